//! Megatron-LM's functional tests: every argument is stated, and the figures are of the last rank, so of the last pipeline
//! stage; and ms-swift's scripts over Megatron-LM, whose figures are rounded and of no stated meter.

use serde_json::{Map, Value, json};

use super::place;
use crate::accuracy::question::Question;
use crate::accuracy::record::Record;
use crate::request::InputId;

/// The question of one of ms-swift's scripts over Megatron-LM, or why it cannot be asked. What its arguments leave out has the
/// defaults of modelscope/ms-swift swift/megatron/arguments.
pub fn script(record: &Record, model: &str) -> Result<Question, String> {
    let empty = Map::new();
    let args = record
        .object("extra")
        .and_then(|extra| extra.get("args"))
        .and_then(Value::as_object)
        .unwrap_or(&empty);
    let says = |name: &str| word(args, name);
    if record.object("peft").is_some() || says("tuner_type").is_some() {
        return Err("adapters are not built with Megatron yet".into());
    }
    for (name, reason) in [
        (
            "rlhf_type",
            "training on preferences is not built with Megatron yet",
        ),
        ("fp8_format", "FP8 recipes are not built yet"),
        (
            "optimizer_cpu_offload",
            "an optimizer on the host is not built with Megatron yet",
        ),
        ("optimizer", "this optimizer is not built with Megatron yet"),
    ] {
        if says(name).is_some() {
            return Err(reason.into());
        }
    }
    if says("packing") != Some("true") {
        return Err("the true sequence length is not known".into());
    }
    let size = |key: &str| record.whole(key).unwrap_or(1);
    let gpus = record.whole("n_gpus").ok_or("the number of GPUs is not stated")?;
    let data = (gpus / size("tp") / size("pp")).max(1);
    let batch = number(args, "micro_batch_size").unwrap_or(1.0);
    let all = number(args, "global_batch_size").ok_or("the batch is not stated")?;
    let mut question = Question::default();
    question.set(InputId::ModelId, model.trim_end_matches("-base"));
    question.set(InputId::EngineType, "megatron_lm");
    question.set(InputId::NumGpus, gpus);
    question.set(InputId::TensorParallelSize, size("tp"));
    question.set(InputId::PipelineParallelSize, size("pp"));
    question.set(InputId::ExpertParallelSize, size("ep"));
    question.set(InputId::ExpertTensorParallelSize, 1);
    question.set(InputId::SequenceParallel, size("tp") > 1);
    let layers = |name: &str| number(args, name);
    question.set_some(
        InputId::FirstStageLayers,
        layers("decoder_first_pipeline_num_layers"),
    );
    question.set_some(
        InputId::LastStageLayers,
        layers("decoder_last_pipeline_num_layers"),
    );
    question.set(InputId::BatchSize, batch);
    question.set_some(InputId::SeqLength, number(args, "max_length"));
    let steps = (all / batch / data as f64).max(1.0);
    question.set(InputId::GradientAccumulationSteps, steps);
    question.set(InputId::Optimizer, "adamw");
    question.set(InputId::UseDistributedOptimizer, true);
    question.set_some(InputId::ActivationCheckpointing, says("recompute_granularity"));
    if says("recompute_granularity") == Some("full") {
        question.set_some(InputId::RecomputeMethod, says("recompute_method"));
        question.set_some(InputId::RecomputeLayers, number(args, "recompute_num_layers"));
    }
    let fused = says("cross_entropy_loss_fusion") == Some("true");
    question.set(InputId::CrossEntropyFusion, fused);
    question.set(InputId::GroupedExperts, says("moe_grouped_gemm") == Some("true"));
    let capacity = number(args, "moe_expert_capacity_factor");
    question.set_some(InputId::ExpertCapacity, capacity);
    place::versions(&mut question, record)?;
    // "GPU type usually A100/A800 80GB", as the records have it.
    question.set(InputId::Gpu, "a100-sxm-80gb");
    Ok(question)
}

/// Whether a record is of such a test.
pub fn is_functional_test(record: &Record) -> bool {
    record
        .text("source_group")
        .is_some_and(|group| group.starts_with("megatron-golden"))
}

/// The question of a functional test, or why it cannot be asked.
pub fn question(record: &Record) -> Result<Question, String> {
    let empty = Map::new();
    let args = record
        .object("extra")
        .and_then(|extra| extra.get("args"))
        .and_then(Value::as_object)
        .unwrap_or(&empty);
    refuse(record, args)?;
    let mut question = Question::default();
    question.set(InputId::HfConfig, model(record, args)?);
    question.set(InputId::EngineType, "megatron_lm");
    mesh(&mut question, record, args)?;
    work(&mut question, record, args)?;
    memory(&mut question, record, args)?;
    place::versions(&mut question, record)?;
    place::card(&mut question, record);
    Ok(question)
}

fn has(args: &Map<String, Value>, name: &str) -> bool {
    args.get(name).is_some_and(|value| value.as_bool() != Some(false))
}

fn word<'a>(args: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    args.get(name).and_then(Value::as_str)
}

/// An argument that is a number, written as one or as text.
fn number(args: &Map<String, Value>, name: &str) -> Option<f64> {
    let value = args.get(name)?;
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}

/// What is not built, each with a reason that many records share.
fn refuse(record: &Record, args: &Map<String, Value>) -> Result<(), String> {
    let group = record.text("source_group").unwrap_or_default();
    if group.ends_with("bert") || group.ends_with("t5") {
        return Err("encoders (BERT, T5) are not built yet".into());
    }
    for (name, reason) in [
        ("use-megatron-fsdp", "Megatron-FSDP is not built yet"),
        ("fp8-format", "FP8 recipes are not built yet"),
        (
            "pipeline-model-parallel-layout",
            "pipeline layouts written out are not built yet",
        ),
    ] {
        if has(args, name) {
            return Err(reason.into());
        }
    }
    if word(args, "optimizer").is_some_and(|name| name != "adam") {
        return Err("this optimizer is not built with Megatron yet".into());
    }
    match record.whole("dp") {
        Some(_) => Ok(()),
        None => Err("the number of GPUs is not stated".into()),
    }
}

/// The architecture in Megatron's own words; what is not stated has the defaults of its arguments.
fn model(record: &Record, args: &Map<String, Value>) -> Result<Value, String> {
    let mut config = json!({"model_type": "megatron_gpt"});
    let arch = record.object("arch").ok_or("the architecture is not stated")?;
    let Some(fields) = config.as_object_mut() else {
        return Err("the architecture is not stated".into());
    };
    for (key, value) in arch {
        match key.as_str() {
            "disable_bias_linear" => {
                fields.insert(
                    "add_bias_linear".into(),
                    Value::from(value.as_bool() != Some(true)),
                );
            }
            "decoder_first_pipeline_num_layers"
            | "decoder_last_pipeline_num_layers"
            | "make_vocab_size_divisible_by"
            | "group_query_attention"
            | "tokenizer_type" => {}
            "mtp_num_layers" => return Err("heads for further tokens are not built with Megatron yet".into()),
            _ => {
                fields.insert(key.clone(), value.clone());
            }
        }
    }
    for (name, key) in [
        ("hidden-dropout", "hidden_dropout"),
        ("attention-dropout", "attention_dropout"),
        ("max-position-embeddings", "max_position_embeddings"),
    ] {
        if let Some(found) = number(args, name) {
            let whole = (found.fract() == 0.0 && key == "max_position_embeddings")
                .then(|| args.get(name).and_then(|value| value.as_u64()))
                .flatten();
            fields.insert(key.into(), whole.map_or_else(|| Value::from(found), Value::from));
        }
    }
    if has(args, "qk-layernorm") {
        fields.insert("qk_layernorm".into(), Value::from(true));
    }
    if let Some(dtype) = word(args, "moe-router-dtype") {
        fields.insert("moe_router_dtype".into(), Value::from(dtype));
    }
    Ok(config)
}

fn mesh(question: &mut Question, record: &Record, args: &Map<String, Value>) -> Result<(), String> {
    let size = |key: &str| record.whole(key).unwrap_or(1);
    let (tensor, pipeline, context) = (size("tp"), size("pp"), size("cp"));
    question.set(InputId::DataParallelSize, size("dp"));
    question.set(InputId::TensorParallelSize, tensor);
    question.set(InputId::PipelineParallelSize, pipeline);
    question.set(InputId::ContextParallelSize, context);
    question.set(InputId::ExpertParallelSize, size("ep"));
    question.set_some(InputId::ExpertTensorParallelSize, record.whole("etp"));
    if let Some(chunks) = record.whole("vpp").filter(|chunks| *chunks > 1) {
        question.set(InputId::VirtualPipelineSize, chunks);
    }
    question.set(InputId::SequenceParallel, has(args, "sequence-parallel"));
    let group = number(args, "microbatch-group-size-per-virtual-pipeline-stage");
    question.set_some(InputId::MicrobatchGroup, group);
    let arch = record.object("arch");
    let layers = |key: &str| arch.and_then(|arch| arch.get(key)).and_then(Value::as_u64);
    let first = layers("decoder_first_pipeline_num_layers");
    question.set_some(InputId::FirstStageLayers, first);
    question.set_some(
        InputId::LastStageLayers,
        layers("decoder_last_pipeline_num_layers"),
    );
    // Both are part of this test's name, and of no argument in its record.
    let counted = record.id.contains("account_for_embedding_loss_in_pipeline_split");
    question.set(InputId::CountEmbedding, counted);
    question.set(InputId::CountLoss, counted);
    question.set_some(
        InputId::VocabularyMultiple,
        layers("make_vocab_size_divisible_by"),
    );
    Ok(())
}

fn work(question: &mut Question, record: &Record, args: &Map<String, Value>) -> Result<(), String> {
    question.set(
        InputId::SeqLength,
        record
            .whole("seq_len")
            .ok_or("the true sequence length is not known")?,
    );
    question.set(
        InputId::BatchSize,
        record.whole("mbs").ok_or("the micro-batch is not stated")?,
    );
    question.set_some(InputId::GradientAccumulationSteps, record.whole("grad_accum"));
    let local = word(args, "transformer-impl") == Some("local");
    let unfused = matches!(word(args, "attention-backend"), Some("unfused" | "local"));
    question.set(
        InputId::Attention,
        if local || unfused { "eager" } else { "fused" },
    );
    question.set(
        InputId::CrossEntropyFusion,
        has(args, "cross-entropy-loss-fusion"),
    );
    question.set(
        InputId::AccumulationFusion,
        !has(args, "no-gradient-accumulation-fusion"),
    );
    question.set(InputId::SoftmaxFusion, !has(args, "no-masked-softmax-fusion"));
    if has(args, "defer-embedding-wgrad-compute") {
        question.set_some(InputId::WgradDeferral, number(args, "wgrad-deferral-limit"));
    }
    question.set(InputId::GroupedExperts, has(args, "moe-grouped-gemm"));
    Ok(())
}

fn memory(question: &mut Question, record: &Record, args: &Map<String, Value>) -> Result<(), String> {
    question.set(
        InputId::Dtype,
        match (has(args, "fp16"), has(args, "bf16")) {
            (true, _) => "fp16",
            (_, true) => "bf16",
            _ => "fp32",
        },
    );
    question.set(InputId::Optimizer, "adamw");
    question.set(InputId::UseDistributedOptimizer, record.flag("dist_optimizer"));
    match word(args, "recompute-granularity") {
        Some("full") => {
            question.set(InputId::ActivationCheckpointing, "full");
            question.set_some(InputId::RecomputeMethod, word(args, "recompute-method"));
            question.set_some(InputId::RecomputeLayers, number(args, "recompute-num-layers"));
        }
        Some(_) => return Err("the recomputed modules are not read yet".into()),
        None => {}
    }
    // The tests run with CUBLAS_WORKSPACE_CONFIG=:4096:8 but for those that say otherwise in their name.
    question.set(
        InputId::DeterministicMode,
        !record.id.contains("nondeterministic"),
    );
    Ok(())
}
