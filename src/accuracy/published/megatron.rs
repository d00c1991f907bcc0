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
    for (name, words, reason) in [
        (
            "rlhf_type",
            &["dpo", "kto", "rm"][..],
            "this objective is not built with Megatron yet",
        ),
        (
            "optimizer",
            &["dist_muon"][..],
            "this optimizer is not built with Megatron yet",
        ),
    ] {
        if says(name).is_some_and(|word| !words.contains(&word)) {
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
    let model = model
        .trim_end_matches("-base")
        .trim_end_matches("-fp8")
        .trim_end_matches("-2507");
    question.set(InputId::ModelId, model);
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
    let muon = says("optimizer") == Some("dist_muon");
    question.set(InputId::Optimizer, if muon { "muon" } else { "adamw" });
    question.set(InputId::UseDistributedOptimizer, true);
    if muon {
        question.set(InputId::LayerWiseLayout, false);
    }
    variant(&mut question, record, args);
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
    // "GPU type usually A100/A800 80GB", as the records have it; FP8 needs a newer one.
    let narrow = question.request.get(InputId::NarrowRecipe).is_some();
    question.set(
        InputId::Gpu,
        if narrow { "h100-sxm-80gb" } else { "a100-sxm-80gb" },
    );
    Ok(question)
}

/// Adapters, objective, narrow formats and states on the host of a script.
fn variant(question: &mut Question, record: &Record, args: &Map<String, Value>) {
    let says = |name: &str| word(args, name);
    // The note of a record says where its line is of a variant of the script.
    let note = record.text("note").unwrap_or_default();
    let (full, wide) = (note.contains("full:"), note.contains("BF16:"));
    if says("tuner_type") == Some("lora") && !full {
        question.set(InputId::Adapter, "lora");
        question.set_some(InputId::LoraRank, number(args, "lora_rank").or(Some(8.0)));
        let attention = args.get("target_modules").is_some_and(Value::is_array);
        question.set(
            InputId::LoraTargets,
            if attention { "attention" } else { "all_linear" },
        );
        // modelscope/ms-swift swift/megatron/arguments: lora_dropout.
        question.set(InputId::LoraDropout, 0.05);
    }
    question.set_some(
        InputId::Objective,
        says("rlhf_type").map(|kind| match kind {
            "kto" => "unpaired_preference",
            "rm" => "reward",
            _ => "preference",
        }),
    );
    if says("fp8_format").is_some() && !wide {
        question.set_some(InputId::NarrowRecipe, says("fp8_recipe"));
        question.set(InputId::NarrowPrimary, says("fp8_param_gather") == Some("true"));
    }
    if says("optimizer_cpu_offload") == Some("true") {
        question.set_some(
            InputId::OffloadFraction,
            number(args, "optimizer_offload_fraction").or(Some(1.0)),
        );
    }
    question.set_some(InputId::MomentDtype, says("exp_avg_dtype"));
    question.set_some(InputId::FurtherLayers, number(args, "mtp_num_layers"));
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
    refuse(record)?;
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
fn refuse(record: &Record) -> Result<(), String> {
    // What is offloaded is part of this test's name, and of no argument in its record.
    if record.id.contains("fine_grained_offloading") {
        return Err("activations of some modules on the host are not built with Megatron yet".into());
    }
    // The optimizer's states are divided among data-parallel ranks, the number of which some releases' tests leave open.
    match record.whole("dp") {
        None if record.flag("dist_optimizer") => Err("the number of GPUs is not stated".into()),
        _ => Ok(()),
    }
}

/// The architecture in Megatron's own words; what is not stated has the defaults of its arguments.
fn model(record: &Record, args: &Map<String, Value>) -> Result<Value, String> {
    let group = record.text("source_group").unwrap_or_default();
    let model_type = match group.rsplit('-').next() {
        Some("bert") => "megatron_bert",
        Some("t5") => "megatron_t5",
        _ => "megatron_gpt",
    };
    let mut config = json!({"model_type": model_type});
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
            | "mtp_num_layers"
            | "tokenizer_type" => {}
            _ => {
                fields.insert(key.clone(), value.clone());
            }
        }
    }
    for (name, key) in [
        ("hidden-dropout", "hidden_dropout"),
        ("attention-dropout", "attention_dropout"),
        ("max-position-embeddings", "max_position_embeddings"),
        ("decoder-seq-length", "decoder_seq_length"),
    ] {
        if let Some(found) = number(args, name) {
            let whole = (found.fract() == 0.0 && !key.ends_with("dropout"))
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
    // Where it is not stated, no state is divided by it.
    question.set(InputId::DataParallelSize, size("dp"));
    question.set(InputId::TensorParallelSize, tensor);
    question.set(InputId::PipelineParallelSize, pipeline);
    question.set(InputId::ContextParallelSize, context);
    question.set(InputId::ExpertParallelSize, size("ep"));
    question.set_some(InputId::ExpertTensorParallelSize, record.whole("etp"));
    if let Some(chunks) = record.whole("vpp").filter(|chunks| *chunks > 1) {
        question.set(InputId::VirtualPipelineSize, chunks);
    }
    question.set(
        InputId::SequenceParallel,
        tensor > 1 && has(args, "sequence-parallel"),
    );
    if let Some(layout) = word(args, "pipeline-model-parallel-layout") {
        // Some records kept the backslashes of a shell.
        question.set(InputId::PipelineLayout, layout.replace('\\', ""));
    }
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
    question.set_some(InputId::FurtherLayers, layers("mtp_num_layers"));
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
    place::batch(question, record)?;
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
    let experts = record
        .object("arch")
        .is_some_and(|arch| arch.contains_key("num_experts"));
    if experts || word(args, "moe-token-dispatcher-type").is_some() {
        // core/transformer/transformer_config.py: gathered unless said otherwise.
        let dispatcher = word(args, "moe-token-dispatcher-type").unwrap_or("allgather");
        question.set(InputId::TokenDispatcher, dispatcher);
    }
    question.set(InputId::TpCommOverlap, has(args, "tp-comm-overlap"));
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
    let muon = word(args, "optimizer") == Some("muon");
    question.set(InputId::Optimizer, if muon { "muon" } else { "adamw" });
    question.set(InputId::UseDistributedOptimizer, record.flag("dist_optimizer"));
    if muon {
        let dealt_out = has(args, "no-use-layer-wise-param-layout");
        question.set(InputId::LayerWiseLayout, !dealt_out);
    }
    if has(args, "use-megatron-fsdp") {
        // megatron/training/arguments.py: the strategy where none is given.
        let strategy = word(args, "data-parallel-sharding-strategy").unwrap_or("optim_grads_params");
        question.set(InputId::MegatronSharding, strategy);
    }
    if word(args, "fp8-format").is_some() {
        let recipe = word(args, "fp8-recipe").unwrap_or("delayed");
        question.set(InputId::NarrowRecipe, recipe);
        question.set(InputId::NarrowPrimary, has(args, "fp8-param-gather"));
    }
    match word(args, "recompute-granularity") {
        Some("selective") => {
            question.set(InputId::ActivationCheckpointing, "selective");
            let modules = word(args, "recompute-modules").unwrap_or("core_attn");
            let words: Vec<&str> = modules.trim_matches(['[', ']']).split_whitespace().collect();
            question.set(InputId::RecomputeModules, json!(words));
        }
        Some("full") => {
            question.set(InputId::ActivationCheckpointing, "full");
            question.set_some(InputId::RecomputeMethod, word(args, "recompute-method"));
            question.set_some(InputId::RecomputeLayers, number(args, "recompute-num-layers"));
        }
        Some(_) | None => {}
    }
    // The tests run with CUBLAS_WORKSPACE_CONFIG=:4096:8 but for those that say otherwise in their name.
    question.set(
        InputId::DeterministicMode,
        !record.id.contains("nondeterministic"),
    );
    Ok(())
}
