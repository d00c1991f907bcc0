//! From a trace of training extras (`training-extras-trace.jsonl`) to a question: adapters, quantised bases, fp16, further
//! optimizers, accumulation without synchronisation, moving averages.

use serde_json::Value;

use super::question::Question;
use super::record::Record;
use super::trace::{model, targets, work};
use crate::request::InputId;

/// The question of a trace, or why it cannot be asked.
pub fn question(record: &Record) -> Result<Question, String> {
    let text = |key: &str| record.text(key).unwrap_or_default();
    let mut question = Question::default();
    model(&mut question, record)?;
    engine(&mut question, record)?;
    precision(&mut question, record)?;
    // The step of offloaded states is the host's, and was not run.
    if text("topic") != "fsdp2_offload" {
        optimizer(&mut question, text("optimizer"))?;
    }
    adapter(&mut question, record)?;
    work(&mut question, record)?;
    if let Some(how) = record.text("dpo_logprob") {
        question.set(InputId::Objective, "preference");
        question.set(InputId::LogProbabilities, how);
    }
    question.set(InputId::CheckpointReentrant, record.flag("checkpoint_reentrant"));
    question.set(
        InputId::ActivationCheckpointing,
        if text("checkpointing") == "full" {
            "full"
        } else {
            "none"
        },
    );
    question.set(
        InputId::Attention,
        if text("attention") == "eager" {
            "eager"
        } else {
            "fused"
        },
    );
    if let Some(chunks) = record.whole("loss_chunks") {
        question.set(InputId::Loss, "chunked");
        question.set(InputId::LossChunks, chunks);
        question.set(InputId::LossChunkRecompute, record.flag("loss_chunk_checkpoint"));
    }
    question.set_some(InputId::ActivationOffload, record.text("save_on_cpu"));
    match record.text("ema") {
        Some("fp32") => question.set(InputId::MovingAverage, "fp32"),
        Some(_) => question.set(InputId::MovingAverage, "same"),
        None => {}
    }
    question.set(InputId::Gpu, "h100-sxm-80gb");
    Ok(question)
}

fn engine(question: &mut Question, record: &Record) -> Result<(), String> {
    let args = record.object("strategy_args");
    let arg = |key: &str| args.and_then(|args| args.get(key));
    question.set(InputId::NumGpus, record.whole("world").unwrap_or(1));
    match record.text("strategy").unwrap_or_default() {
        "single" => question.set(InputId::EngineType, "pytorch_ddp"),
        "ddp" => {
            question.set(InputId::EngineType, "pytorch_ddp");
            let view = arg("bucket_view").and_then(Value::as_bool).unwrap_or(false);
            question.set(InputId::GradientAsBucketView, view);
        }
        "fsdp2" => {
            question.set(InputId::EngineType, "fsdp");
            let reshard = arg("reshard").and_then(Value::as_bool).unwrap_or(true);
            question.set(InputId::ReshardAfterForward, reshard);
            question.set(
                InputId::ShardingStrategy,
                if reshard { "full_shard" } else { "shard_grad_op" },
            );
            question.set(InputId::SyncEachMicroBatch, !record.flag("no_sync"));
            if arg("cpu_offload").and_then(Value::as_bool) == Some(true) {
                let pinned = arg("pin").and_then(Value::as_bool).unwrap_or(true);
                question.set(
                    InputId::FsdpCpuOffload,
                    if pinned { "pinned" } else { "pageable" },
                );
            }
        }
        other => return Err(format!("strategy {other} is not known")),
    }
    Ok(())
}

fn precision(question: &mut Question, record: &Record) -> Result<(), String> {
    let args = record.object("strategy_args");
    let arg = |key: &str| args.and_then(|args| args.get(key)).and_then(Value::as_str);
    let weights = record.text("weight_dtype").unwrap_or("bf16");
    match (record.text("autocast"), arg("mp")) {
        // Frozen weights are stored in the type of the arithmetic; the policy casts the adapters.
        (None, Some(compute)) => {
            question.set(InputId::Dtype, compute);
            question.set(InputId::PrecisionMode, "mixed");
            question.set(InputId::ReduceDtype, arg("reduce").unwrap_or("fp32"));
        }
        (Some(compute), _) => {
            question.set(InputId::Dtype, compute);
            question.set(InputId::PrecisionMode, "autocast");
        }
        (None, None) => {
            question.set(InputId::Dtype, weights);
            question.set(InputId::PrecisionMode, "pure");
        }
    }
    Ok(())
}

fn optimizer(question: &mut Question, name: &str) -> Result<(), String> {
    let (optimizer, implementation) = match name {
        "adamw_fused" => ("adamw", Some("fused")),
        "adamw_foreach" => ("adamw", Some("foreach")),
        "adamw8bit" => ("adamw_8bit", None),
        "paged_adamw32" => ("paged_adamw_32bit", None),
        "paged_adamw8" => ("paged_adamw_8bit", None),
        "lion" => ("lion", None),
        "lion8bit" => ("lion_8bit", None),
        "paged_lion8" => ("paged_lion_8bit", None),
        "ademamix" => ("ademamix", None),
        "" => return Err("no optimizer step was run".into()),
        other => return Err(format!("optimizer {other} is not built yet")),
    };
    question.set(InputId::Optimizer, optimizer);
    question.set_some(InputId::OptimizerImplementation, implementation);
    Ok(())
}

fn adapter(question: &mut Question, record: &Record) -> Result<(), String> {
    let Some(rank) = record.whole("lora_rank") else {
        return Ok(());
    };
    question.set(
        InputId::Adapter,
        if record.flag("dora") { "dora" } else { "lora" },
    );
    question.set(
        InputId::ModulesToSave,
        modules(record.fields.get("modules_to_save"))?,
    );
    question.set(InputId::LoraRank, rank);
    question.set_some(InputId::LoraDropout, record.number("lora_dropout"));
    let named = record.text("lora_targets").map(Value::from);
    question.set(InputId::LoraTargets, targets(named.as_ref())?);
    let wide = record.flag("lora_fp32_adapters");
    question.set(
        InputId::AdapterDtype,
        if wide {
            "fp32"
        } else {
            record.text("weight_dtype").unwrap_or("bf16")
        },
    );
    question.set(
        InputId::BaseFormat,
        match record.text("weight_quant") {
            None => "plain",
            Some("nf4") => "nf4",
            Some("nf4_dq") => "nf4_double",
            Some("int8") => "int8",
            Some(other) => return Err(format!("a base in {other} is not built yet")),
        },
    );
    question.set(InputId::KbitPrepared, record.flag("kbit_prepared"));
    Ok(())
}

/// The choice that a list of module names stands for.
pub(super) fn modules(given: Option<&Value>) -> Result<&'static str, String> {
    let names: Vec<&str> = match given {
        None | Some(Value::Null) => return Ok("none"),
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(text)) => text.split(',').map(str::trim).collect(),
        Some(_) => return Err("the modules trained beside adapters are not named".into()),
    };
    let is = |parts: &[&str]| {
        names
            .iter()
            .any(|name| parts.iter().any(|part| name.contains(part)))
    };
    match (is(&["embed", "wte"]), is(&["head"])) {
        (true, true) => Ok("embedding_head"),
        (true, false) => Ok("embedding"),
        (false, true) => Ok("head"),
        (false, false) => Err("these modules beside adapters are not built yet".into()),
    }
}
