//! `vllm serve`. Source: vllm-project/vllm 0.33.0 `engine/arg_utils.py`, `config/cache.py`.

use serde_json::json;

use super::Body;
use super::sheet::Sheet;
use crate::interop::shell::Command;
use crate::model::draft_head::DraftHead;
use crate::request::InputId;

pub(super) fn write(sheet: &mut Sheet<'_>) -> Body {
    Body::Shell(command(sheet).text())
}

/// The command.
pub(super) fn command(sheet: &mut Sheet<'_>) -> Command {
    let model = sheet.model();
    let mut command = Command::new(&["vllm", "serve", &model]);
    if sheet.among(InputId::EntryPoint, &["server"]).is_none() {
        sheet.note("The library (inference.entry_point) takes the same settings as arguments of LLM(...), with other defaults.");
        sheet.tell(&[InputId::EntryPoint]);
    }
    formats(sheet, &mut command);
    sharding(sheet, &mut command);
    limits(sheet, &mut command);
    adapters(sheet, &mut command);
    drafts(sheet, &mut command);
    requests(sheet, "--max-num-seqs and --max-model-len");
    command
}

/// Requests are what clients send: they are no flags, but what limits them is.
pub(super) fn requests(sheet: &mut Sheet<'_>, flags: &str) {
    let ids = [
        InputId::Sequences,
        InputId::TotalTokens,
        InputId::PromptTokens,
        InputId::NewTokens,
        InputId::SharedPrefixTokens,
    ];
    let asked: Vec<String> = ids
        .into_iter()
        .filter(|id| sheet.typed(*id))
        .filter_map(|id| Some(format!("{} = {}", id.key(), sheet.peek(id)?)))
        .collect();
    if !asked.is_empty() {
        sheet.tell(&ids);
        sheet.note(format!(
            "Asked was about {}; a server is bounded by {flags}.",
            asked.join(", ")
        ));
    }
}

fn formats(sheet: &mut Sheet<'_>, command: &mut Command) {
    if sheet.typed(InputId::ServerDtype) {
        let word = match sheet.word(InputId::ServerDtype) {
            "fp16" => "float16",
            "fp32" => "float32",
            _ => "bfloat16",
        };
        command.flag("--dtype", word);
    }
    // Formats that are made at load have a flag; published ones come with the checkpoint.
    match sheet.peek_word(InputId::WeightFormat) {
        "fp8" => {
            sheet.tell(&[InputId::WeightFormat]);
            command.flag("--quantization", "fp8");
        }
        "nf4" | "nf4_double" => {
            sheet.tell(&[InputId::WeightFormat]);
            sheet.note("bitsandbytes in vLLM quantises in 4 bits at load.");
            command.flag("--quantization", "bitsandbytes");
        }
        _ if sheet.typed(InputId::WeightFormat) => {
            sheet.note("A format of published weights comes with the checkpoint: serve a model that has it.")
        }
        _ => {}
    }
    if sheet.typed(InputId::VllmQuantization) && !sheet.typed(InputId::WeightFormat) {
        let word = sheet.word(InputId::VllmQuantization);
        command.flag("--quantization", word);
    }
    match sheet.among(InputId::KvCacheType, &["none", "fp8", "int8", "int4"]) {
        Some("fp8") => command.flag("--kv-cache-dtype", "fp8"),
        Some("int8") => command.flag("--kv-cache-dtype", "int8_per_token_head"),
        Some("int4") => command.flag("--kv-cache-dtype", "int4_per_token_head"),
        _ => {}
    }
    if sheet.among(InputId::StateDtype, &["float32"]).is_some() {
        command.flag("--mamba-ssm-cache-dtype", "float32");
    } else if sheet.typed(InputId::StateDtype) {
        sheet.tell(&[InputId::StateDtype]);
        command.flag("--mamba-ssm-cache-dtype", "auto");
    }
}

fn sharding(sheet: &mut Sheet<'_>, command: &mut Command) {
    for (flag, id) in [
        ("--tensor-parallel-size", InputId::ServerTensorParallel),
        ("--pipeline-parallel-size", InputId::ServerPipelineParallel),
        ("--data-parallel-size", InputId::ServerDataParallel),
        ("--decode-context-parallel-size", InputId::DecodeContextParallel),
    ] {
        let size = sheet.integer(id).unwrap_or(1);
        if size > 1 {
            command.flag(flag, size);
        }
    }
    if sheet.toggle(InputId::ServerExpertParallel) {
        command.switch("--enable-expert-parallel");
    }
    if sheet.toggle(InputId::DisableCustomAllReduce) {
        command.switch("--disable-custom-all-reduce");
    }
}

fn limits(sheet: &mut Sheet<'_>, command: &mut Command) {
    command.maybe(
        "--gpu-memory-utilization",
        sheet.typed_number(InputId::GpuMemoryUtilization),
    );
    let longest = sheet
        .typed_integer(InputId::MaxModelLen)
        .or_else(|| sheet.typed_integer(InputId::TotalTokens));
    command.maybe("--max-model-len", longest);
    for (flag, id) in [
        ("--max-num-batched-tokens", InputId::MaxBatchedTokens),
        ("--max-num-seqs", InputId::MaxSequences),
        ("--block-size", InputId::BlockSize),
    ] {
        command.maybe(flag, sheet.typed_integer(id));
    }
    for (flag, id) in [
        ("enable-prefix-caching", InputId::PrefixCaching),
        ("enable-chunked-prefill", InputId::ChunkedPrefill),
    ] {
        if sheet.typed(id) {
            let no = if sheet.toggle(id) { "" } else { "no-" };
            command.switch(&format!("--{no}{flag}"));
        }
    }
    if sheet.toggle(InputId::EnforceEager) {
        command.switch("--enforce-eager");
    }
    if let Some(gib) = sheet.typed_number(InputId::CacheMemory) {
        command.flag("--kv-cache-memory-bytes", format!("{:.0}", gib * 1_073_741_824.0));
    }
}

fn adapters(sheet: &mut Sheet<'_>, command: &mut Command) {
    let adapters = sheet.integer(InputId::MaxLoras).unwrap_or(0);
    if adapters > 0 {
        command.switch("--enable-lora");
        command.flag("--max-loras", adapters);
        command.flag(
            "--max-lora-rank",
            sheet.integer(InputId::MaxLoraRank).unwrap_or(16),
        );
    }
}

fn drafts(sheet: &mut Sheet<'_>, command: &mut Command) {
    let tokens = sheet.integer(InputId::SpeculativeTokens).unwrap_or(0);
    if tokens == 0 {
        return;
    }
    let drafter = if sheet.typed(InputId::DraftModel) {
        sheet.note("The drafter is named as in the catalogue: give the path of its checkpoint.");
        let name = sheet.word(InputId::DraftModel);
        match DraftHead::read(name).map(|head| head.kind) {
            None => json!({"model": name, "num_speculative_tokens": tokens}),
            Some(kind) => json!({"method": kind.key(), "model": name, "num_speculative_tokens": tokens}),
        }
    } else {
        json!({"method": "mtp", "num_speculative_tokens": tokens})
    };
    command.flag("--speculative-config", drafter);
}
