//! `llama-server`. Source: ggml-org/llama.cpp `common/arg.cpp` (August 2026), and ikawrakow/ik_llama.cpp for its own flags.

use serde_json::Value;

use super::Body;
use super::sheet::Sheet;
use super::vllm::requests;
use crate::interop::shell::Command;
use crate::request::InputId;

pub(super) fn write(sheet: &mut Sheet<'_>) -> Body {
    Body::Shell(command(sheet).text())
}

/// The command.
pub(super) fn command(sheet: &mut Sheet<'_>) -> Command {
    let name = sheet.facts().name.replace([' ', '/'], "-");
    sheet.tell(&[InputId::ModelId, InputId::ModelName]);
    let kind = match sheet.word(InputId::GgufType) {
        "" => "F16",
        word => word,
    };
    let mut command = Command::new(&["llama-server"]);
    command.flag("--model", format!("{name}-{kind}.gguf"));
    if sheet.typed(InputId::LlamaFork) {
        sheet.tell(&[InputId::LlamaFork]);
        sheet.note("The command is for ik_llama.cpp (inference.llama_fork).");
    }
    let parallel = sheet.integer(InputId::Sequences).unwrap_or(1);
    let cells = sheet.typed_integer(InputId::ContextSize).or_else(|| {
        let each = sheet.typed_integer(InputId::TotalTokens)?;
        Some(each.saturating_mul(parallel))
    });
    command.maybe("--ctx-size", cells);
    if parallel > 1 {
        command.flag("--parallel", parallel);
    }
    for (flag, id) in [
        ("--batch-size", InputId::LogicalBatch),
        ("--ubatch-size", InputId::PhysicalBatch),
        ("--n-gpu-layers", InputId::GpuLayers),
        ("--n-cpu-moe", InputId::CpuMoe),
        ("-mla", InputId::Mla),
        ("-amb", InputId::AttentionSlice),
    ] {
        command.maybe(flag, sheet.typed_integer(id));
    }
    for (flag, id) in [
        ("--cache-type-k", InputId::CacheTypeK),
        ("--cache-type-v", InputId::CacheTypeV),
        ("--flash-attn", InputId::FlashAttention),
        ("--split-mode", InputId::SplitMode),
    ] {
        if sheet.typed(id) {
            command.flag(flag, sheet.word(id));
        }
    }
    if sheet.typed(InputId::TensorSplit) {
        command.flag("--tensor-split", list(sheet, InputId::TensorSplit));
    }
    if sheet.typed(InputId::OverrideTensor) {
        command.flag("--override-tensor", list(sheet, InputId::OverrideTensor));
    }
    if sheet.typed(InputId::Mmproj) && sheet.word(InputId::Mmproj) != "none" {
        let file = format!(
            "mmproj-{name}-{}.gguf",
            sheet.word(InputId::Mmproj).to_uppercase()
        );
        command.flag("--mmproj", file);
    }
    if sheet.typed(InputId::DraftModel) {
        let file = format!(
            "{}-{kind}.gguf",
            sheet.word(InputId::DraftModel).replace([' ', '/'], "-")
        );
        command.flag("--model-draft", file);
        sheet.note("The drafter is named as in the catalogue: give the path of its file.");
        command.maybe(
            "--spec-draft-n-max",
            sheet.typed_integer(InputId::SpeculativeTokens),
        );
    }
    for (flag, id, when) in [
        ("--kv-unified", InputId::KvUnified, true),
        ("--swa-full", InputId::SwaFull, true),
        ("--no-kv-offload", InputId::KvOffload, false),
        ("--no-mmap", InputId::Mmap, false),
    ] {
        if sheet.typed(id) && sheet.toggle(id) == when {
            command.switch(flag);
        }
    }
    requests(sheet, "--parallel and --ctx-size");
    command
}

/// A list as the flags take it: words with commas between them.
fn list(sheet: &mut Sheet<'_>, id: InputId) -> String {
    match sheet.value(id) {
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned))
            .collect::<Vec<_>>()
            .join(","),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}
