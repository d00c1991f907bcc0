//! From a trace of DeepSpeed (`deepspeed-trace.jsonl`, `deepspeed-adapter-trace.jsonl`, `deepspeed-preference-trace.jsonl`) to a question: bf16 unless it says otherwise, torch's AdamW with `foreach`, fused attention,
//! clipping, defaults of DeepSpeed 0.19 for all that the case does not set.

use serde_json::{Map, Value};

use super::question::Question;
use super::record::Record;
use super::trace::{hf_config, images, targets, whole};
use crate::request::InputId;

/// The question of a trace, or why it cannot be asked.
pub fn question(record: &Record) -> Result<Question, String> {
    let mut question = Question::default();
    match record.object("arch") {
        Some(arch) => question.set(InputId::HfConfig, hf_config(arch)?),
        None => question.set(
            InputId::ModelId,
            record.text("model").ok_or("the model is not named")?,
        ),
    }
    images(&mut question, record);
    question.set_some(InputId::NumLayers, record.whole("layers"));
    adapter(&mut question, record)?;
    question.rank = Some(record.whole("rank").unwrap_or(0));
    question.set(InputId::EngineType, "deepspeed");
    question.set(InputId::EngineVersion, "2.15");
    question.set(InputId::TransformersVersion, "5.23");
    question.set_some(InputId::TensorParallelSize, record.whole("tp"));
    question.set(InputId::ZeroStage, whole(record, "stage")?);
    question.set(InputId::NumGpus, whole(record, "world")?);
    let narrow = record.fields.get("bf16").and_then(Value::as_bool) != Some(false);
    question.set(
        InputId::Dtype,
        match (narrow, record.flag("fp16")) {
            (_, true) => "fp16",
            (true, false) => "bf16",
            (false, false) => "fp32",
        },
    );
    if record.text("torch_autocast") == Some("bfloat16") {
        question.set(InputId::Dtype, "bf16");
        question.set(InputId::PrecisionMode, "autocast");
    }
    let own = record.object("bf16_opts");
    let own = own.and_then(|options| options.get("bf16_optimizer_states"));
    if own.and_then(Value::as_bool) == Some(true) {
        question.set(InputId::PrecisionMode, "pure");
    }
    question.set(InputId::Optimizer, "adamw");
    question.set(InputId::OptimizerImplementation, "foreach");
    question.set(InputId::GradientClipping, 1.0);
    question.set(InputId::BatchSize, whole(record, "mb")?);
    question.set(InputId::SeqLength, whole(record, "seq")?);
    question.set_some(InputId::GradientAccumulationSteps, record.whole("ga"));
    question.set(
        InputId::ActivationCheckpointing,
        if record.text("ckpt") == Some("full") {
            "full"
        } else {
            "none"
        },
    );
    question.set(InputId::CheckpointReentrant, record.flag("checkpoint_reentrant"));
    question.set_some(InputId::MovingAverage, record.text("ema"));
    question.set_some(InputId::LogProbabilities, record.text("log_probabilities"));
    question.set_some(InputId::Objective, record.text("objective"));
    question.set(InputId::Attention, "fused");
    question.set(InputId::Gpu, "h100-sxm-80gb");
    let empty = Map::new();
    for (key, value) in record.object("zero").unwrap_or(&empty) {
        let input = match key.as_str() {
            "reduce_bucket_size" => InputId::ReduceBucketSize,
            "allgather_bucket_size" => InputId::AllgatherBucketSize,
            "overlap_comm" => InputId::OverlapComm,
            "stage3_max_live_parameters" => InputId::MaxLiveParameters,
            "stage3_param_persistence_threshold" => InputId::ParamPersistenceThreshold,
            "stage3_prefetch_bucket_size" => InputId::PrefetchBucketSize,
            "contiguous_gradients" => InputId::ContiguousGradients,
            "zero_hpz_partition_size" => InputId::HpzPartitionSize,
            "offload_optimizer" => {
                question.set_some(InputId::OffloadOptimizer, device(value));
                continue;
            }
            "offload_param" => {
                question.set_some(InputId::OffloadParam, device(value));
                continue;
            }
            other => return Err(format!("{other} = {value} is not built yet")),
        };
        question.set(input, Value::clone(value));
    }
    Ok(question)
}

/// Adapters, and how the frozen weights are stored.
fn adapter(question: &mut Question, record: &Record) -> Result<(), String> {
    let Some(lora) = record.object("lora") else {
        return Ok(());
    };
    question.set(InputId::Adapter, "lora");
    question.set_some(InputId::LoraRank, lora.get("r").and_then(Value::as_u64));
    question.set_some(InputId::LoraDropout, lora.get("dropout").and_then(Value::as_f64));
    question.set(InputId::LoraTargets, targets(lora.get("targets"))?);
    question.set(InputId::BaseFormat, record.text("quant").unwrap_or("plain"));
    Ok(())
}

/// The device of an offload block.
fn device(block: &Value) -> Option<&str> {
    block.get("device").and_then(Value::as_str)
}
