//! `trtllm-serve` with its extra options. Source: NVIDIA/TensorRT-LLM at 00209af `tensorrt_llm/commands/serve.py`,
//! `llmapi/llm_args.py`.

use serde_json::{Map, Value};

use super::Body;
use super::common::put;
use super::sheet::Sheet;
use super::vllm::requests;
use crate::interop::shell::Command;
use crate::interop::yaml;
use crate::request::InputId;

pub(super) fn write(sheet: &mut Sheet<'_>) -> Body {
    let (command, extra) = command(sheet);
    if extra.is_empty() {
        return Body::Shell(command.text());
    }
    Body::Shell(format!(
        "cat > extra_llm_api_options.yaml <<'OPTIONS'\n{}OPTIONS\n{}",
        yaml::emit(&Value::Object(extra)),
        command.text()
    ))
}

/// The command, and the options that have no flag.
pub(super) fn command(sheet: &mut Sheet<'_>) -> (Command, Map<String, Value>) {
    let model = sheet.model();
    let mut command = Command::new(&["trtllm-serve", &model]);
    let backend = if sheet.typed(InputId::TrtBackend) {
        sheet.word(InputId::TrtBackend)
    } else {
        "pytorch"
    };
    command.flag("--backend", backend);
    for (flag, id) in [
        ("--tp_size", InputId::ServerTensorParallel),
        ("--pp_size", InputId::ServerPipelineParallel),
    ] {
        command.flag(flag, sheet.integer(id).unwrap_or(1));
    }
    if sheet.toggle(InputId::ServerExpertParallel) {
        command.flag(
            "--ep_size",
            sheet.peek_integer(InputId::ServerTensorParallel).unwrap_or(1),
        );
    }
    for (flag, id) in [
        ("--max_seq_len", InputId::TrtMaxSeqLen),
        ("--max_batch_size", InputId::TrtMaxBatchSize),
        ("--max_num_tokens", InputId::TrtMaxNumTokens),
        ("--max_beam_width", InputId::TrtMaxBeamWidth),
    ] {
        command.maybe(flag, sheet.typed_integer(id));
    }
    command.maybe(
        "--kv_cache_free_gpu_memory_fraction",
        sheet.typed_number(InputId::GpuMemoryUtilization),
    );
    if sheet.typed(InputId::ChunkedPrefill) && sheet.toggle(InputId::ChunkedPrefill) {
        command.switch("--enable_chunked_prefill");
    }
    let extra = extra(sheet);
    if !extra.is_empty() {
        command.flag("--extra_llm_api_options", "extra_llm_api_options.yaml");
    }
    requests(sheet, "--max_batch_size and --max_seq_len");
    (command, extra)
}

fn extra(sheet: &mut Sheet<'_>) -> Map<String, Value> {
    let mut root = Map::new();
    let mut cache = Map::new();
    match sheet.among(InputId::KvCacheType, &["none", "fp8", "int8"]) {
        Some("none") | None => {}
        Some(word) => put(&mut cache, "dtype", word),
    }
    if let Some(tokens) = sheet.typed_integer(InputId::MaxPoolTokens) {
        put(&mut cache, "max_tokens", tokens);
    }
    if let Some(size) = sheet.typed_integer(InputId::BlockSize) {
        put(&mut cache, "tokens_per_block", size);
    }
    if sheet.typed(InputId::PrefixCaching) {
        put(
            &mut cache,
            "enable_block_reuse",
            sheet.toggle(InputId::PrefixCaching),
        );
    }
    if !cache.is_empty() {
        put(&mut root, "kv_cache_config", cache);
    }
    if sheet.typed(InputId::ServerDtype) {
        let word = match sheet.word(InputId::ServerDtype) {
            "fp16" => "float16",
            "fp32" => "float32",
            _ => "bfloat16",
        };
        put(&mut root, "dtype", word);
    }
    if sheet.typed(InputId::TrtMaxInputLen) {
        put(&mut root, "max_input_len", sheet.integer(InputId::TrtMaxInputLen));
    }
    if sheet.typed(InputId::EnforceEager) && sheet.toggle(InputId::EnforceEager) {
        put(&mut root, "cuda_graph_config", Value::Null);
    }
    root
}
