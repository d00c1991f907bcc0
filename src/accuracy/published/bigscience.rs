//! BigScience's runs of Megatron-DeepSpeed before the 176B model: totals of a device as `nvidia-smi` shows them, of the node that
//! holds the embedding.

use serde_json::{Value, json};

use super::place;
use crate::accuracy::question::Question;
use crate::accuracy::record::Record;
use crate::request::InputId;

/// The question of a run.
pub fn question(record: &Record) -> Result<Question, String> {
    let size = |key: &str| record.whole(key).unwrap_or(1);
    let pipeline = size("pp");
    let arch = record.object("arch").ok_or("the architecture is not stated")?;
    let whole = |key: &str| arch.get(key).and_then(Value::as_u64);
    let hidden = whole("hidden").ok_or("the architecture is not stated")?;
    let vocabulary = whole("vocab").ok_or("the architecture is not stated")?;
    let layers = match whole("layers") {
        Some(layers) => layers,
        None => layers(record, (hidden, vocabulary), pipeline)?,
    };
    let mut question = Question::default();
    question.set(
        InputId::HfConfig,
        json!({"model_type": "megatron_gpt", "num_layers": layers, "hidden_size": hidden,
            "num_attention_heads": whole("heads"), "ffn_hidden_size": whole("ffn"), "vocab_size": vocabulary,
            "max_position_embeddings": 2048, "hidden_dropout": 0.0, "attention_dropout": 0.0}),
    );
    question.set(InputId::EngineType, "megatron_deepspeed");
    question.set(
        InputId::NumGpus,
        record.whole("n_gpus").ok_or("the number of GPUs is not stated")?,
    );
    question.set(InputId::DataParallelSize, size("dp"));
    question.set(InputId::TensorParallelSize, size("tp"));
    question.set(InputId::PipelineParallelSize, pipeline);
    let stage = record
        .text("strategy")
        .and_then(|text| text.strip_prefix("ZeRO-")?.chars().next()?.to_digit(10))
        .ok_or("the ZeRO stage is not stated")?;
    question.set(InputId::ZeroStage, u64::from(stage));
    // Embedding and head were counted as layers where layers alone do not divide (bigscience train/tr11-176B-ml,
    // `--partition-method type:transformer|embedding`).
    let counted = !layers.is_multiple_of(pipeline) && (layers + 2).is_multiple_of(pipeline);
    question.set(InputId::CountEmbedding, counted);
    question.set(InputId::CountLoss, counted);
    place::batch(&mut question, record)?;
    question.set(InputId::Attention, "eager");
    question.set(InputId::ActivationCheckpointing, "full");
    let bf16 = record
        .text("precision")
        .is_some_and(|text| text.starts_with("bf16"));
    question.set(InputId::Dtype, if bf16 { "bf16" } else { "fp16" });
    question.set(InputId::Optimizer, "adamw");
    place::versions(&mut question, record)?;
    place::card(&mut question, record);
    Ok(question)
}

/// Layers of a run that states its parameters alone: as many as give the stated billions, and divide by the stages.
fn layers(record: &Record, (hidden, vocabulary): (u64, u64), pipeline: u64) -> Result<u64, String> {
    let billions = record
        .number("params_b")
        .ok_or("the number of layers is not stated")?;
    let each = 12.0 * (hidden as f64) * (hidden as f64);
    let wanted = (billions * 1e9 - (vocabulary as f64) * (hidden as f64)) / each;
    let steps = (wanted / pipeline as f64).round().max(1.0);
    Ok(crate::units::Bytes::new(pipeline).scaled(steps).get())
}
