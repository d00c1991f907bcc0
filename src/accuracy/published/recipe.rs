//! Precision, optimizer and offload of a published run.

use super::{says, zero_stage};
use crate::accuracy::question::Question;
use crate::accuracy::record::{EngineName, Record};
use crate::request::InputId;

pub(super) fn precision(question: &mut Question, record: &Record) -> Result<(), String> {
    let text = record.text("precision").unwrap_or_default().to_ascii_lowercase();
    let has = |part: &str| text.contains(part);
    if zero_stage(record).is_some() {
        question.set(
            InputId::Dtype,
            if record.text("quant_base").is_some() {
                "fp16"
            } else {
                "bf16"
            },
        );
        question.set(InputId::PrecisionMode, "mixed");
        return Ok(());
    }
    if has("nvfp4") {
        return Err("nvfp4 training is not built yet".into());
    }
    if has("fp32 params sharded") {
        question.set(InputId::Dtype, "bf16");
        question.set(InputId::PrecisionMode, "mixed");
        question.set(InputId::ReduceDtype, "fp32");
        return Ok(());
    }
    let sharded = record
        .text("strategy")
        .is_some_and(|text| text.starts_with("FSDP1"));
    let adapted = record.object("peft").is_some();
    // Qwen's scripts: bf16 weights and --bf16, fp16 over a quantised base.
    let flagged = has("--bf16") || has("--fp16") || has("hf bf16") || has("q-lora: fp16");
    let compute = if has("float16") && !has("bfloat16") {
        "fp16"
    } else {
        "bf16"
    };
    // HF's flag on FSDP1 is its mixed precision: trained weights in fp32 shards, arithmetic and reduction in 16 bits.
    if sharded && !adapted && (has("--bf16") || has("--fp16")) {
        question.set(InputId::Dtype, compute);
        question.set(InputId::PrecisionMode, "mixed");
        question.set(InputId::ReduceDtype, compute);
        return Ok(());
    }
    // Beside adapters the frozen weights stay in 16 bits and the fp32 adapters are cast.
    if adapted && flagged {
        question.set(InputId::Dtype, compute);
        question.set(InputId::PrecisionMode, "autocast");
        return Ok(());
    }
    if has("fp16") && !flagged || compute == "fp16" {
        return Err("fp16 without adapters is not described closely enough".into());
    }
    // A model that was loaded in bf16 keeps its weights, gradients and states there; --bf16 changes nothing at rest.
    if has("torch_dtype=bfloat16")
        || has("(pure)")
        || has("params, grads, optimizer states in bf16")
        || has("bf16 weights")
    {
        question.set(InputId::Dtype, "bf16");
        question.set(InputId::PrecisionMode, "pure");
        return Ok(());
    }
    Err("the precision recipe is not stated".into())
}

pub(super) fn optimizer(question: &mut Question, record: &Record) -> Result<(), String> {
    let text = record.text("optimizer").unwrap_or_default().to_ascii_lowercase();
    let has = |part: &str| text.contains(part);
    if text.is_empty() {
        return Err("the optimizer is not stated".into());
    }
    if has("backward") {
        question.set(InputId::OptimizerInBackward, true);
        question.set(InputId::GradientClipping, 0.0);
    }
    let torchao = has("ao ") && !has("_adamw");
    let eight = has("8-bit") || has("8bit");
    let kind = match () {
        () if has("galore") => return galore(question, &text),
        () if has("muon") => "muon",
        () if torchao && eight => "adamw_8bit_torchao",
        () if torchao && has("4-bit") => "adamw_4bit_torchao",
        () if has("paged") && eight => "paged_adamw_8bit",
        () if has("paged") => "paged_adamw_32bit",
        () if eight => "adamw_8bit",
        () => "adamw",
    };
    question.set(InputId::Optimizer, kind);
    let runner = record.text("engine").unwrap_or_default();
    let fused = kind == "adamw" && (has("fused") || runner.starts_with("torchtune"));
    question.set_some(InputId::OptimizerImplementation, fused.then_some("fused"));
    Ok(())
}

/// GaLore as galore_torch computes it: one optimizer over all matrices of the layers.
fn galore(question: &mut Question, text: &str) -> Result<(), String> {
    let value = |key: &str| {
        let words = || text.split([' ', '/']);
        words().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    };
    if value("galore_per_parameter") == Some("true") {
        return Err("GaLore with one optimizer per weight is not built yet".into());
    }
    if value("galore_with_embedding") == Some("true") {
        return Err("GaLore over the embedding is not built yet".into());
    }
    let rank: u64 = value("galore_rank")
        .and_then(|rank| rank.parse().ok())
        .ok_or("GaLore's rank is not stated")?;
    question.set(InputId::Optimizer, "galore");
    question.set(InputId::GaloreRank, rank);
    Ok(())
}

/// What waits on the host: activations (torchtune pins them), FSDP's shards with their step, or DeepSpeed's optimizer and weights.
pub(super) fn offload(question: &mut Question, record: &Record, engine: EngineName) -> Result<(), String> {
    let place = record.text("offload").unwrap_or_default().to_ascii_lowercase();
    let has = |part: &str| place.contains(part);
    if has("activation") || says(record, "act_ckpt", "offload") {
        question.set(InputId::ActivationOffload, "pinned");
    }
    let on_host = says(record, "optimizer", "cpu");
    let states = has("param") || has("optimizer") || on_host;
    match engine {
        _ if !states => Ok(()),
        EngineName::Fsdp1 | EngineName::Fsdp2 if has("param") => {
            question.set(InputId::FsdpCpuOffload, "pinned");
            Ok(())
        }
        EngineName::DeepSpeed => {
            let to = if has("nvme") { "nvme" } else { "cpu" };
            question.set(InputId::OffloadOptimizer, to);
            if has("param") {
                question.set(InputId::OffloadParam, to);
            }
            Ok(())
        }
        _ => Err("an optimizer on the host without the weights is not built yet".into()),
    }
}
