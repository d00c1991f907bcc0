//! Adapters of a published run and the format of its frozen weights.

use serde_json::Value;

use super::{extra, says};
use crate::accuracy::question::Question;
use crate::accuracy::record::Record;
use crate::accuracy::{extras, trace};
use crate::request::InputId;

pub(super) fn adapter(question: &mut Question, record: &Record) -> Result<(), String> {
    let base = record.text("quant_base").map(str::to_ascii_lowercase);
    let Some(peft) = record.object("peft") else {
        return match base {
            Some(_) => Err("a quantised base without adapters".into()),
            None => Ok(()),
        };
    };
    let kind = peft.get("type").and_then(Value::as_str).unwrap_or_default();
    if !matches!(kind, "lora" | "qlora" | "dora") {
        return Err(format!("the adapter {kind} is not built yet"));
    }
    let modules = extras::modules(peft.get("modules_to_save"))?;
    question.set(InputId::ModulesToSave, modules);
    question.set(InputId::Adapter, if kind == "dora" { "dora" } else { "lora" });
    let rank = peft
        .get("rank")
        .and_then(Value::as_u64)
        .ok_or("the adapter's rank is not stated")?;
    question.set(InputId::LoraRank, rank);
    question.set(
        InputId::LoraTargets,
        // PEFT matches names of modules: GPT-BigCode's one projection makes queries, keys and values, and no o_proj follows.
        if says(record, "model", "bigcode") {
            "query_value"
        } else {
            targets(peft.get("targets"))?
        },
    );
    // As their model cards say of the main branch: one scale per output.
    let ungrouped = [
        "TheBloke/Llama-2-70B-GPTQ",
        "TheBloke/Mixtral-8x7B-Instruct-v0.1-GPTQ",
    ];
    if record
        .text("model")
        .is_some_and(|model| ungrouped.contains(&model))
    {
        question.set(InputId::BaseGroupSize, 0);
    }
    // torchtune makes its adapters in the type of the weights; PEFT widens them to fp32.
    if record
        .text("engine")
        .is_some_and(|runner| runner.starts_with("torchtune"))
    {
        question.set(InputId::AdapterDtype, "bf16");
    }
    // The baseline leaves the preparation of a 4-bit model to TRL, which does nothing to one that FSDP divides.
    let baseline = extra(record, "framework_config").is_some_and(|config| config.contains("baseline"));
    if baseline && base.is_some() && record.text("strategy") == Some("single") {
        question.set(InputId::KbitPrepared, true);
        question.set(InputId::KbitNormsOnly, true);
    }
    // The default of fms-hf-tuning (tuning/config/peft_config.py).
    let usual = record
        .text("source_group")
        .is_some_and(|group| group.starts_with("fms"))
        .then_some(0.05);
    let dropout = peft.get("dropout").and_then(Value::as_f64).or(usual);
    question.set_some(InputId::LoraDropout, dropout);
    question.set(
        InputId::BaseFormat,
        match base.as_deref() {
            None => "plain",
            // torchao's NF4Tensor is divided with its scales; bitsandbytes' scales are whole on every rank.
            Some(text) if text.contains("torchao") && record.text("strategy") == Some("FSDP2") => {
                return Err(
                    "torchao's NF4, whose scales are divided with the weights, is not built yet".into(),
                );
            }
            // ms-swift's and fms-hf-tuning's defaults of bitsandbytes are NF4 with quantised scales.
            Some(text) if text.contains("nf4") || text.contains("int4 (bnb)") => "nf4_double",
            Some(text) if text.contains("gptq") && text.contains("int4") => "gptq_int4",
            Some(text) if text.contains("gptq") && text.contains("int8") => "gptq_int8",
            Some(text) => return Err(format!("a base in {text} is not built yet")),
        },
    );
    Ok(())
}

/// The adapted layers of a published run: names of modules, torchtune's short names, or the runner's word for all of them.
fn targets(given: Option<&Value>) -> Result<&'static str, String> {
    let names: Vec<String> = match given {
        Some(Value::Array(list)) => list
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_ascii_lowercase)
            .collect(),
        Some(Value::String(name)) => vec![name.to_ascii_lowercase()],
        _ => return Err("the adapter's targets are not stated".into()),
    };
    let has = |words: &[&str]| names.iter().any(|name| words.contains(&name.as_str()));
    let says = |part: &str| names.iter().any(|name| name.contains(part));
    if says("all-linear") || says("all linear") || has(&["mlp", "w1"]) {
        return Ok("all_linear");
    }
    if says("default (") || has(&["q", "v"]) && !has(&["k", "o"]) {
        return Ok("query_value");
    }
    if has(&["q", "k"]) {
        return Ok("attention");
    }
    if says("default") {
        return Err("the adapter's targets are not stated".into());
    }
    trace::targets(given)
}
