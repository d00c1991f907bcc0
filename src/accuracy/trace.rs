//! From a framework trace (`torch-trace.jsonl`) to a question. What the trace leaves unsaid is written in
//! `tests/measured/README.md`: torch 2.15, transformers 5.23, FSDP units = every decoder layer and the root.

use serde_json::{Map, Value};

use super::question::Question;
use super::record::Record;
use crate::request::InputId;

/// The question of a trace, or why it cannot be asked.
pub fn question(record: &Record) -> Result<Question, String> {
    let text = |key: &str| record.text(key).unwrap_or_default();
    let mut question = Question {
        rank: record.whole("rank"),
        ..Question::default()
    };
    adapter(&mut question, record)?;
    model(&mut question, record)?;
    engine(&mut question, record)?;
    precision(&mut question, record)?;
    work(&mut question, record)?;
    images(&mut question, record);
    // The step of offloaded states is the host's, and was not run.
    let away = |args: &Map<String, Value>| args.get("cpu_offload").and_then(Value::as_bool) == Some(true);
    if !record.object("strategy_args").is_some_and(away) {
        optimizer(&mut question, text("optimizer"))?;
    }
    question.set_some(InputId::Objective, record.text("objective"));
    question.set(InputId::KeepOutputs, record.flag("keep_outputs"));
    question.set(
        InputId::ActivationCheckpointing,
        match text("checkpointing") {
            "none" | "" => "none",
            "full" => "full",
            "sac" => "operations",
            "every_n" => "every_n",
            other => return Err(format!("recomputation {other} is not known")),
        },
    );
    question.set_some(InputId::CheckpointEvery, record.whole("checkpoint_every"));
    question.set_some(InputId::Dropout, record.number("dropout"));
    question.set(
        InputId::Attention,
        match text("attention") {
            "sdpa" | "flash_attention_2" | "flash" | "" => "fused",
            "sdpa_padded" => "masked",
            "eager" => "eager",
            other => return Err(format!("attention {other} is not known")),
        },
    );
    question.set(
        InputId::Gpu,
        match record.whole("compute_capability") {
            Some(80) => "a100-sxm-80gb",
            Some(100) => "b200-sxm",
            _ => "h100-sxm-80gb",
        },
    );
    Ok(question)
}

/// The model, and the versions under which every trace of the rig ran.
pub(super) fn model(question: &mut Question, record: &Record) -> Result<(), String> {
    let arch = record.object("arch").ok_or("the record has no architecture")?;
    question.set(InputId::HfConfig, hf_config(arch)?);
    question.set(InputId::EngineVersion, "2.15");
    question.set(InputId::TransformersVersion, "5.23");
    Ok(())
}

/// The work of a step.
pub(super) fn work(question: &mut Question, record: &Record) -> Result<(), String> {
    question.set(InputId::BatchSize, whole(record, "micro_batch")?);
    question.set(InputId::SeqLength, whole(record, "seq")?);
    question.set_some(InputId::GradientAccumulationSteps, record.whole("grad_accum"));
    question.set(
        InputId::GradientClipping,
        if record.flag("grad_clip") { 1.0 } else { 0.0 },
    );
    Ok(())
}

/// The images of a sequence, and what trains of the tower.
pub(super) fn images(question: &mut Question, record: &Record) {
    question.set_some(InputId::ImagesPerSample, record.whole("images_per_sample"));
    question.set_some(InputId::ImageHeight, record.whole("image_height"));
    question.set_some(InputId::ImageWidth, record.whole("image_width"));
    question.set_some(
        InputId::TowerTraining,
        record.text("tower_training").map(str::to_string),
    );
}

pub(super) fn whole(record: &Record, key: &str) -> Result<u64, String> {
    record
        .whole(key)
        .ok_or_else(|| format!("the record has no {key}"))
}

fn engine(question: &mut Question, record: &Record) -> Result<(), String> {
    let empty = Map::new();
    let args = record.object("strategy_args").unwrap_or(&empty);
    let world = args.get("world").and_then(Value::as_u64).unwrap_or(1);
    question.set(InputId::NumGpus, world);
    match record.text("strategy").unwrap_or_default() {
        "single" | "single-lora" => question.set(InputId::EngineType, "pytorch_ddp"),
        "ddp" => {
            question.set(InputId::EngineType, "pytorch_ddp");
            let view = args.get("bucket_view").and_then(Value::as_bool).unwrap_or(false);
            question.set(InputId::GradientAsBucketView, view);
            question.set_some(InputId::StaticGraph, args.get("static").and_then(Value::as_bool));
            question.set_some(InputId::BucketCapMb, args.get("bucket_mb").cloned());
        }
        "fsdp2" => {
            question.set(InputId::EngineType, "fsdp");
            let reshard = args.get("reshard").and_then(Value::as_bool).unwrap_or(true);
            question.set(InputId::ReshardAfterForward, reshard);
            question.set(
                InputId::ShardingStrategy,
                if reshard { "full_shard" } else { "shard_grad_op" },
            );
            question.set_some(InputId::ReshardRanks, args.get("reshard_to").cloned());
            if args.get("cpu_offload").and_then(Value::as_bool) == Some(true) {
                let pinned = args.get("pin").and_then(Value::as_bool).unwrap_or(true);
                let place = if pinned { "pinned" } else { "pageable" };
                question.set(InputId::FsdpCpuOffload, place);
            }
        }
        "fsdp1" => first_version(question, args)?,
        "hsdp" => {
            let replicas = args.get("replicate").and_then(Value::as_u64).unwrap_or(1);
            let reshard = args.get("reshard").and_then(Value::as_bool).unwrap_or(true);
            question.set(InputId::EngineType, "fsdp");
            question.set(InputId::NumNodes, replicas);
            question.set(
                InputId::ShardingStrategy,
                if reshard {
                    "hybrid_shard"
                } else {
                    "hybrid_shard_zero2"
                },
            );
        }
        strategy if strategy.starts_with("tp") => tensor(question, record, args)?,
        other => return Err(format!("strategy {other} is not known")),
    }
    Ok(())
}

/// FSDP1 with its settings; what a record leaves out has torch's default.
fn first_version(question: &mut Question, args: &Map<String, Value>) -> Result<(), String> {
    question.set(InputId::EngineType, "fsdp");
    question.set(InputId::FsdpVersion, "1");
    question.set(
        InputId::ShardingStrategy,
        match args.get("strategy").and_then(Value::as_str) {
            Some("SHARD_GRAD_OP") => "shard_grad_op",
            Some("NO_SHARD") => "no_shard",
            Some("HYBRID_SHARD") => "hybrid_shard",
            Some("_HYBRID_SHARD_ZERO2") => "hybrid_shard_zero2",
            Some("FULL_SHARD") | None => "full_shard",
            Some(other) => return Err(format!("sharding strategy {other} is not known")),
        },
    );
    question.set_some(InputId::NumNodes, args.get("replicate").cloned());
    question.set_some(
        InputId::BackwardPrefetch,
        match args.get("prefetch").and_then(Value::as_str) {
            None => None,
            Some("pre") => Some("backward_pre"),
            Some("post") => Some("backward_post"),
            Some(other) => Some(other),
        },
    );
    for (key, input) in [
        ("fwd_prefetch", InputId::ForwardPrefetch),
        ("limit", InputId::LimitAllGathers),
        ("orig", InputId::UseOrigParams),
    ] {
        question.set_some(input, args.get(key).and_then(Value::as_bool));
    }
    if args.get("cpu_offload").and_then(Value::as_bool) == Some(true) {
        question.set(InputId::FsdpCpuOffload, "pinned");
    }
    Ok(())
}

/// transformers' plan ("hf") or torchtitan's ("sp", with its sequence parallelism unless the record says otherwise), alone
/// or under FSDP2. transformers' plan applied to a built model, as the traces did, loses the tie of a head: such a record
/// counts more trained weights than the model has.
fn tensor(question: &mut Question, record: &Record, args: &Map<String, Value>) -> Result<(), String> {
    let world = args.get("world").and_then(Value::as_u64).unwrap_or(1);
    let flag = |key: &str, usual: bool| args.get(key).and_then(Value::as_bool).unwrap_or(usual);
    let sharded = args.get("kind").and_then(Value::as_str) == Some("tp_fsdp");
    if sharded {
        question.set(InputId::EngineType, "fsdp");
        question.set(
            InputId::ShardingStrategy,
            if flag("reshard", true) {
                "full_shard"
            } else {
                "shard_grad_op"
            },
        );
        let ranks = args
            .get("tp")
            .and_then(Value::as_u64)
            .ok_or("the record has no tp")?;
        question.set(InputId::TensorParallelSize, ranks);
    } else {
        question.set(InputId::EngineType, "pytorch_ddp");
        question.set(InputId::TensorParallelSize, world);
    }
    match args.get("plan").and_then(Value::as_str) {
        Some("hf") => {
            question.set(InputId::TensorParallelPlan, "transformers");
            if record.whole("trainable") > record.whole("params") {
                question.set(InputId::TieWordEmbeddings, false);
            }
        }
        Some("sp") => {
            question.set(InputId::TensorParallelPlan, "torch");
            question.set(InputId::SequenceParallel, flag("sequence_parallel", true));
            question.set(InputId::LossParallel, flag("loss_parallel", false));
        }
        other => return Err(format!("the plan {} is not known", other.unwrap_or("none"))),
    }
    Ok(())
}

/// Adapters are fp32 beside weights of another type (PEFT's default).
fn adapter(question: &mut Question, record: &Record) -> Result<(), String> {
    let Some(lora) = record.object("lora") else {
        return Ok(());
    };
    let number = |key: &str| lora.get(key).and_then(Value::as_f64);
    question.set(InputId::Adapter, "lora");
    question.set_some(InputId::LoraRank, lora.get("rank").and_then(Value::as_u64));
    question.set_some(InputId::LoraDropout, number("dropout"));
    question.set(InputId::LoraTargets, targets(lora.get("targets"))?);
    question.set_some(InputId::BaseFormat, record.text("quant").map(str::to_string));
    Ok(())
}

/// The choice that a list of module names, or PEFT's word for all, stands for.
pub(super) fn targets(given: Option<&Value>) -> Result<&'static str, String> {
    let Some(list) = given.and_then(Value::as_array) else {
        return match given.and_then(Value::as_str) {
            None | Some("all-linear" | "all_linear") => Ok("all_linear"),
            Some("qv") => Ok("query_value"),
            Some("qkvo" | "attention") => Ok("attention"),
            Some("mlp") => Ok("mlp"),
            Some(other) => Err(format!("the adapter's targets {other} are not known")),
        };
    };
    let has = |part: &str| {
        list.iter()
            .filter_map(Value::as_str)
            .any(|name| name.contains(part))
    };
    Ok(
        match (
            has("q_proj") || has("c_attn"),
            has("k_proj") || has("o_proj"),
            has("up_proj") || has("gate"),
        ) {
            (true, false, false) => "query_value",
            (true, true, false) => "attention",
            (false, false, true) => "mlp",
            _ => "all_linear",
        },
    )
}

/// `mode` names the type of the parameters; FSDP's mixed precision is said in `strategy_args`.
fn precision(question: &mut Question, record: &Record) -> Result<(), String> {
    let args = record.object("strategy_args");
    let of = |key: &str| args.and_then(|args| args.get(key)).and_then(Value::as_str);
    match (record.text("mode").unwrap_or_default(), of("mp")) {
        ("fp32", Some(compute)) => {
            question.set(InputId::Dtype, compute);
            question.set(InputId::PrecisionMode, "mixed");
            // FSDP1's mixed precision reduced in the compute type unless the record says otherwise.
            let usual = if record.text("strategy") == Some("fsdp1") {
                compute
            } else {
                "fp32"
            };
            question.set(InputId::ReduceDtype, of("reduce").unwrap_or(usual));
        }
        // Frozen weights are stored in the type of the arithmetic; the policy casts the adapters.
        ("bf16", Some("bf16")) if record.object("lora").is_some() => {
            question.set(InputId::Dtype, "bf16");
            question.set(InputId::PrecisionMode, "mixed");
            question.set(InputId::ReduceDtype, of("reduce").unwrap_or("fp32"));
        }
        ("bf16", Some("bf16")) => {
            question.set(InputId::Dtype, "bf16");
            question.set(InputId::PrecisionMode, "pure");
            question.set(InputId::ReduceDtype, of("reduce").unwrap_or("bf16"));
        }
        ("bf16", None) => {
            question.set(InputId::Dtype, "bf16");
            question.set(InputId::PrecisionMode, "pure");
        }
        ("fp32", None) => {
            question.set(InputId::Dtype, "fp32");
            question.set(InputId::PrecisionMode, "pure");
        }
        ("amp", None) => {
            question.set(InputId::Dtype, "bf16");
            question.set(InputId::PrecisionMode, "autocast");
        }
        (mode, mixed) => {
            return Err(format!(
                "precision {mode} with mixed precision {} is not known",
                mixed.unwrap_or("none")
            ));
        }
    }
    Ok(())
}

/// "..._backward": the step runs inside backward; "galore_r64": its rank; "every": its projectors are new in each step.
fn optimizer(question: &mut Question, name: &str) -> Result<(), String> {
    let plain = name.strip_suffix("_backward").unwrap_or(name);
    if plain != name {
        question.set(InputId::OptimizerInBackward, true);
        question.set(InputId::GradientClipping, 0.0);
    }
    if let Some(settings) = plain.strip_prefix("galore") {
        let rank: Option<u64> = settings.rsplit("_r").next().and_then(|rank| rank.parse().ok());
        question.set(InputId::Optimizer, "galore");
        question.set_some(InputId::GaloreRank, rank);
        return Ok(());
    }
    let (optimizer, implementation) = match plain {
        "adamw_fused" => ("adamw", Some("fused")),
        "adamw_foreach" => ("adamw", Some("foreach")),
        "adamw_loop" => ("adamw", Some("loop")),
        "adamw8bit" => ("adamw_8bit", None),
        "adamw32_bnb" => ("adamw_32bit", None),
        "paged_adamw8" => ("paged_adamw_8bit", None),
        "paged_adamw32" => ("paged_adamw_32bit", None),
        "paged_lion32" => ("paged_lion_32bit", None),
        "lion" => ("lion", None),
        "lion8bit" => ("lion_8bit", None),
        "ademamix" => ("ademamix", None),
        "ademamix8" => ("ademamix_8bit", None),
        "paged_ademamix" => ("paged_ademamix", None),
        "paged_ademamix8" => ("paged_ademamix_8bit", None),
        "torchao_adamw8" => ("adamw_8bit_torchao", None),
        "torchao_adamw4" => ("adamw_4bit_torchao", None),
        "torchao_adamwfp8" => ("adamw_fp8_torchao", None),
        "sgd" | "sgdm" => ("sgd", Some("foreach")),
        "adafactor" => ("adafactor", None),
        "adafactor_hf" => ("adafactor_transformers", None),
        "muon" => ("muon", None),
        "schedulefree" => ("schedule_free", Some("foreach")),
        "schedulefree_loop" => ("schedule_free", Some("loop")),
        other => return Err(format!("optimizer {other} is not built yet")),
    };
    question.set(InputId::Optimizer, optimizer);
    question.set_some(InputId::OptimizerImplementation, implementation);
    if optimizer == "sgd" {
        question.set(InputId::Momentum, if plain == "sgdm" { 0.9 } else { 0.0 });
    }
    Ok(())
}

/// The configuration that the trace's architecture stands for: `hf_class` X is the `model_type` of transformers'
/// XConfig, and keys that are missing have that class's defaults, which is what the import assumes too.
pub(super) fn hf_config(arch: &Map<String, Value>) -> Result<Value, String> {
    let class = arch
        .get("hf_class")
        .and_then(Value::as_str)
        .ok_or("the architecture has no hf_class")?;
    let mut config = arch.clone();
    config.shift_remove("hf_class");
    config.shift_remove("family");
    config.insert("model_type".into(), model_type(class).into());
    Ok(Value::Object(config))
}

/// `Qwen3Moe` is `qwen3_moe`; the classes whose names are not in camel case are listed.
fn model_type(class: &str) -> String {
    let class = class.strip_suffix("Config").unwrap_or(class);
    match class {
        "GPT2" => return "gpt2".into(),
        "GPTNeoX" => return "gpt_neox".into(),
        "GPTBigCode" => return "gpt_bigcode".into(),
        "GPTJ" => return "gptj".into(),
        "OPT" => return "opt".into(),
        "MiniMax" => return "minimax".into(),
        "StableLm" => return "stablelm".into(),
        "MiniMaxM2" => return "minimax_m2".into(),
        "HunYuanMoEV1" => return "hunyuan_v1_moe".into(),
        "HunYuanDenseV1" => return "hunyuan_v1_dense".into(),
        "Qwen3VLMoe" => return "qwen3_vl_moe".into(),
        "GraniteMoe" | "GraniteMoeHybrid" | "NanoChat" | "BitNet" | "DiffLlama" | "VaultGemma"
        | "SmolLM3" | "MiMo" => {
            return class.to_lowercase();
        }
        _ => {}
    }
    let mut name = String::new();
    let mut before = '\0';
    for letter in class.chars() {
        if letter.is_uppercase() && (before.is_lowercase() || before.is_ascii_digit()) {
            name.push('_');
        }
        name.extend(letter.to_lowercase());
        before = letter;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accuracy::record::read;
    use serde_json::json;

    #[test]
    fn classes_become_model_types() {
        for (class, expected) in [
            ("Llama", "llama"),
            ("GPT2", "gpt2"),
            ("GPTNeoX", "gpt_neox"),
            ("Qwen3Moe", "qwen3_moe"),
            ("DeepseekV2", "deepseek_v2"),
            ("Gemma3Text", "gemma3_text"),
            ("Gemma2", "gemma2"),
            ("Qwen3Next", "qwen3_next"),
            ("GptOss", "gpt_oss"),
        ] {
            assert_eq!(model_type(class), expected);
        }
    }

    #[test]
    fn a_trace_becomes_a_request() {
        let line = r#"{"id":"c1","arch":{"hf_class":"Llama","hidden_size":64},"mode":"fp32","micro_batch":2,"seq":128,
            "attention":"sdpa_padded","checkpointing":"sac","optimizer":"adamw_foreach","grad_clip":true,"grad_accum":1,
            "keep_outputs":false,"lora":null,"strategy":"fsdp2","compute_capability":80,
            "strategy_args":{"kind":"fsdp2","world":16,"reshard":true,"mp":"bf16","reduce":"bf16"}}"#;
        let records = read(&line.replace('\n', " ")).expect("readable");
        let request = question(records.first().expect("one"))
            .expect("mapped")
            .request
            .to_json();
        assert_eq!(
            request.get("model"),
            Some(&json!({"hf_config": {"hidden_size": 64, "model_type": "llama"}}))
        );
        assert_eq!(
            request.get("training"),
            Some(
                &json!({"dtype": "bf16", "precision_mode": "mixed", "optimizer": "adamw",
                "optimizer_implementation": "foreach", "batch_size": 2, "seq_length": 128,
                "gradient_accumulation_steps": 1, "gradient_clipping": 1.0, "keep_outputs": false,
                "activation_checkpointing": "operations", "attention": "masked"})
            )
        );
        assert_eq!(
            request.get("hardware"),
            Some(&json!({"num_gpus": 16, "gpu": "a100-sxm-80gb"}))
        );
    }

    #[test]
    fn what_is_not_built_has_a_reason() {
        let line =
            r#"{"id":"c1","arch":{"hf_class":"Llama"},"strategy":"tp-sp","strategy_args":{},"lora":null}"#;
        let records = read(line).expect("readable");
        let reason = question(records.first().expect("one")).expect_err("not mapped");
        assert_eq!(reason, "the plan none is not known");
    }
}
