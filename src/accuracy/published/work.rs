//! The batch of a published run, and what its layers and its loss hold.

use serde_json::Value;

use super::{extra, says};
use crate::accuracy::question::Question;
use crate::accuracy::record::Record;
use crate::request::InputId;

pub(super) fn workload(question: &mut Question, record: &Record) -> Result<(), String> {
    let note = record
        .text("seq_len_note")
        .unwrap_or_default()
        .to_ascii_lowercase();
    let sequence = record.whole("seq_len");
    // Samples longer than the cap are cut to it, so the longest batch is as long as the cap.
    let reached = note.contains("cap is reached")
        || note.contains("cap reached up to 8192") && sequence.is_some_and(|tokens| tokens <= 8192);
    let padded = reached || note.contains("padded to");
    if padded {
        question.set(InputId::BatchLayout, "padded");
    }
    let unknown = [
        "only a cap",
        "only the cap",
        "cap;",
        "cap on",
        "not packed",
        "unknown",
        "not stated",
    ];
    match sequence {
        Some(tokens) if reached || !unknown.iter().any(|word| note.contains(word)) => {
            question.set(InputId::SeqLength, tokens);
        }
        _ => return Err("the true sequence length is not known".into()),
    }
    question.set(
        InputId::BatchSize,
        record.whole("mbs").ok_or("the micro-batch is not stated")?,
    );
    question.set_some(InputId::GradientAccumulationSteps, record.whole("grad_accum"));
    Ok(())
}

pub(super) fn activations(question: &mut Question, record: &Record) -> Result<(), String> {
    // torchtitan's own configurations recompute at op level unless they say otherwise.
    let unstated = match record.text("engine") {
        Some(engine) if engine.starts_with("torchtitan") => "selective (per-op)",
        _ => "none",
    };
    let checkpointing = record.text("act_ckpt").unwrap_or(unstated).to_ascii_lowercase();
    question.set(
        InputId::ActivationCheckpointing,
        match checkpointing.as_str() {
            "none" => "none",
            "selective (per-op)" => "operations",
            "graph sac (default policy)" => "products",
            "selective (every 2nd layer)" => "every_n",
            "selective (per-layer)" => return Err("which layers are recomputed is not stated".into()),
            text if text.starts_with(SAVED) => "full",
            text if text.starts_with("full") && (!text.contains('+') || text.contains("offload")) => "full",
            _ => return Err("this kind of recomputation is not built yet".into()),
        },
    );
    if checkpointing.starts_with(SAVED) {
        question.set(InputId::SavedProducts, saved_products(&checkpointing)?);
    }
    let attention = record.text("attention").unwrap_or_default().to_ascii_lowercase();
    let kernel = if attention.contains("unfused") || attention.contains("eager") {
        "eager"
    } else if attention.contains("flash_att") || attention.contains("flash attention") {
        "flash_attention"
    } else {
        "fused"
    };
    question.set(InputId::Attention, kernel);
    let loss = record.text("loss_impl").unwrap_or_default().to_ascii_lowercase();
    let kind = if loss.contains("liger") {
        "fused"
    } else if loss.contains("chunked") {
        "chunked"
    } else if loss.contains("fused ce") {
        "fused_in_place"
    } else {
        "plain"
    };
    question.set(InputId::Loss, kind);
    let config = extra(record, "framework_config").unwrap_or_default();
    if liger(record) {
        question.set(InputId::Loss, "fused");
        question.set(InputId::FusedKernels, "liger");
        return Ok(());
    }
    let bigcode = says(record, "model", "bigcode");
    question.set(
        InputId::FusedKernels,
        // "liger" in these names is the loss alone, and GPT-BigCode's rules replace nothing but the loss.
        if config.contains("foak") && record.text("quant_base").is_some() && !bigcode {
            "norm_rotary_adapter"
        } else if config.contains("foak") {
            "norm_rotary"
        } else {
            "none"
        },
    );
    Ok(())
}

/// How records begin that name the products which full recomputation keeps.
const SAVED: &str = "full + saved ops:";

/// The products that torchtitan's selectors name, by the modules that make them.
fn saved_products(text: &str) -> Result<Value, String> {
    let names = text.split_once(':').map_or("", |(_, names)| names).split('+');
    let words: Result<Vec<&str>, String> = names
        .map(|name| match name.trim() {
            "gate" => Ok("router"),
            "wo" => Ok("attention_output"),
            "wkv_a" => Ok("latent"),
            other => Err(format!("the product of {other} is not built yet")),
        })
        .collect();
    words.map(Value::from)
}

/// Whether ms-swift's script uses Liger's kernels; one of its comments gives the figure without them.
fn liger(record: &Record) -> bool {
    let argument = record
        .object("extra")
        .and_then(|extra| extra.get("args"))
        .and_then(|args| args.get("use_liger_kernel"))
        .and_then(Value::as_str);
    let comment = extra(record, "comment").unwrap_or_default().to_ascii_lowercase();
    argument == Some("true") && !comment.contains("not using")
}
