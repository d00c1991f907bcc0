//! `python -m sglang.launch_server`. Source: sgl-project/sglang 0.5.23 `srt/arg_groups/fields/*.py`, `srt/server_args.py`.

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
    let model = sheet.model();
    let mut command = Command::new(&["python3", "-m", "sglang.launch_server"]);
    command.flag("--model-path", model);
    formats(sheet, &mut command);
    sharding(sheet, &mut command);
    limits(sheet, &mut command);
    more(sheet, &mut command);
    requests(sheet, "--max-running-requests and --context-length");
    command
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
    match sheet.peek_word(InputId::WeightFormat) {
        "fp8" => {
            sheet.tell(&[InputId::WeightFormat]);
            command.flag("--quantization", "fp8");
        }
        _ if sheet.typed(InputId::WeightFormat) => {
            sheet.note("A format of published weights comes with the checkpoint: serve a model that has it.")
        }
        _ => {}
    }
    match sheet.among(InputId::KvCacheType, &["none", "fp8", "fp4"]) {
        Some("fp8") => command.flag("--kv-cache-dtype", "fp8_e4m3"),
        Some("fp4") => command.flag("--kv-cache-dtype", "fp4_e2m1"),
        _ => {}
    }
    if sheet.typed(InputId::StateDtype) {
        let word = match sheet.word(InputId::StateDtype) {
            "float32" => "float32",
            _ => "bfloat16",
        };
        command.flag("--mamba-ssm-dtype", word);
    }
}

fn sharding(sheet: &mut Sheet<'_>, command: &mut Command) {
    let tensor = sheet.integer(InputId::ServerTensorParallel).unwrap_or(1);
    if tensor > 1 {
        command.flag("--tp-size", tensor);
    }
    for (flag, id) in [
        ("--pp-size", InputId::ServerPipelineParallel),
        ("--dp-size", InputId::ServerDataParallel),
    ] {
        let size = sheet.integer(id).unwrap_or(1);
        if size > 1 {
            command.flag(flag, size);
        }
    }
    if sheet.toggle(InputId::DpAttention) {
        command.switch("--enable-dp-attention");
    }
    if sheet.toggle(InputId::ServerExpertParallel) {
        command.flag("--ep-size", tensor);
    }
    if sheet.toggle(InputId::DisableCustomAllReduce) {
        command.switch("--disable-custom-all-reduce");
    }
    if sheet.toggle(InputId::EnableP2p) {
        command.switch("--enable-p2p-check");
    }
}

fn limits(sheet: &mut Sheet<'_>, command: &mut Command) {
    command.maybe(
        "--mem-fraction-static",
        sheet.typed_number(InputId::GpuMemoryUtilization),
    );
    command.maybe("--context-length", sheet.typed_integer(InputId::MaxModelLen));
    if let Some(size) = sheet.typed_integer(InputId::ChunkSize) {
        // Off is -1 on its command line.
        let size = if size == 0 {
            "-1".to_owned()
        } else {
            size.to_string()
        };
        command.flag("--chunked-prefill-size", size);
    }
    for (flag, id) in [
        ("--max-running-requests", InputId::MaxRunningRequests),
        ("--max-prefill-tokens", InputId::MaxPrefillTokens),
        ("--max-total-tokens", InputId::MaxPoolTokens),
        ("--page-size", InputId::BlockSize),
        ("--cuda-graph-max-bs-decode", InputId::CudaGraphMaxBatch),
        ("--max-mamba-cache-size", InputId::StateSlots),
    ] {
        command.maybe(flag, sheet.typed_integer(id));
    }
    for (flag, id) in [
        ("--swa-full-tokens-ratio", InputId::WindowTokensRatio),
        ("--mamba-full-memory-ratio", InputId::StateMemoryRatio),
    ] {
        command.maybe(flag, sheet.typed_number(id));
    }
    for (flag, id) in [
        ("--disable-radix-cache", InputId::DisableRadixCache),
        ("--disable-hybrid-swa-memory", InputId::DisableWindowPool),
        ("--enable-torch-compile", InputId::ServerCompile),
    ] {
        if sheet.toggle(id) {
            command.switch(flag);
        }
    }
    let eager = sheet.toggle(InputId::EnforceEager);
    if eager {
        command.flag("--cuda-graph-backend-decode", "disabled");
    }
    let piecewise = sheet.typed(InputId::PiecewiseCudaGraph) && !sheet.toggle(InputId::PiecewiseCudaGraph);
    sheet.tell(&[InputId::PiecewiseCudaGraph]);
    if eager || piecewise {
        command.flag("--cuda-graph-backend-prefill", "disabled");
    }
}

fn more(sheet: &mut Sheet<'_>, command: &mut Command) {
    let backend = match sheet.peek_word(InputId::AttentionBackend) {
        "torch" => "torch_native",
        "trtllm" => "trtllm_mha",
        other => other,
    };
    if sheet.typed(InputId::AttentionBackend) {
        sheet.tell(&[InputId::AttentionBackend]);
        command.flag("--attention-backend", backend);
    }
    let adapters = sheet.typed_integer(InputId::MaxLoras).unwrap_or(0);
    if adapters > 0 || sheet.toggle(InputId::MultiLora) {
        command.switch("--enable-lora");
        if adapters > 0 {
            command.flag("--max-loras-per-batch", adapters);
        }
        command.flag(
            "--max-lora-rank",
            sheet.integer(InputId::MaxLoraRank).unwrap_or(16),
        );
        command.flag("--lora-target-modules", "all");
    }
    let tokens = sheet.integer(InputId::SpeculativeTokens).unwrap_or(0);
    match sheet.among(
        InputId::SpeculativeAlgorithm,
        &["default", "eagle", "standalone", "ngram"],
    ) {
        Some("default") | None => {}
        Some(word) => {
            command.flag("--speculative-algorithm", word.to_ascii_uppercase());
            if tokens > 0 {
                command.flag("--speculative-num-draft-tokens", tokens);
            }
            if sheet.typed(InputId::DraftModel) {
                sheet.note("The drafter is named as in the catalogue: give the path of its checkpoint.");
                command.flag("--speculative-draft-model-path", sheet.word(InputId::DraftModel));
            }
        }
    }
}
