//! Command lines of vLLM, SGLang, TGI and TensorRT-LLM: their flags as inputs. The flags are those of the exporters, and
//! the usual ones that decide nothing about memory.

use serde_json::Value;

use super::commands::{Flag, flags, read};
use super::findings::Findings;
use super::mapping::Kind::{Model, Nothing, Number, Truth, Whole, Word, Words};
use super::mapping::{DTYPES, Row, text, whole};
use crate::model::draft_head::DraftHead;
use crate::request::InputId as Id;

const VLLM: &[Row] = &[
    (&["--model"], None, Model),
    (&["--dtype"], Some(Id::ServerDtype), Words(DTYPES)),
    (&["--max-model-len"], Some(Id::MaxModelLen), Whole),
    (
        &["--gpu-memory-utilization"],
        Some(Id::GpuMemoryUtilization),
        Number,
    ),
    (
        &["--tensor-parallel-size", "-tp"],
        Some(Id::ServerTensorParallel),
        Whole,
    ),
    (
        &["--pipeline-parallel-size", "-pp"],
        Some(Id::ServerPipelineParallel),
        Whole,
    ),
    (
        &["--data-parallel-size", "-dp"],
        Some(Id::ServerDataParallel),
        Whole,
    ),
    (
        &["--decode-context-parallel-size", "-dcp"],
        Some(Id::DecodeContextParallel),
        Whole,
    ),
    (
        &["--enable-expert-parallel", "-ep"],
        Some(Id::ServerExpertParallel),
        Truth,
    ),
    (&["--max-num-batched-tokens"], Some(Id::MaxBatchedTokens), Whole),
    (&["--max-num-seqs"], Some(Id::MaxSequences), Whole),
    (&["--block-size"], Some(Id::BlockSize), Whole),
    (&["--enable-prefix-caching"], Some(Id::PrefixCaching), Truth),
    (&["--enable-chunked-prefill"], Some(Id::ChunkedPrefill), Truth),
    (&["--enforce-eager"], Some(Id::EnforceEager), Truth),
    (
        &["--disable-custom-all-reduce"],
        Some(Id::DisableCustomAllReduce),
        Truth,
    ),
    (&["--max-loras"], Some(Id::MaxLoras), Whole),
    (&["--max-lora-rank"], Some(Id::MaxLoraRank), Whole),
    (&["--swap-space"], Some(Id::SwapSpace), Number),
    (
        &["--kv-cache-dtype"],
        Some(Id::KvCacheType),
        Words(&[
            ("auto", "none"),
            ("fp8", "fp8"),
            ("fp8_e4m3", "fp8"),
            ("fp8_e5m2", "fp8"),
            ("bfloat16", "none"),
            ("float16", "none"),
            ("int8_per_token_head", "int8"),
            ("int4_per_token_head", "int4"),
        ]),
    ),
    (
        &["--quantization", "-q"],
        Some(Id::WeightFormat),
        Words(&[
            ("fp8", "fp8"),
            ("awq", "awq"),
            ("awq_marlin", "awq"),
            ("gptq", "gptq"),
            ("gptq_marlin", "gptq"),
            ("bitsandbytes", "nf4"),
            ("mxfp4", "mxfp4"),
            ("modelopt_fp4", "nvfp4"),
        ]),
    ),
    (
        &["--mamba-ssm-cache-dtype"],
        Some(Id::StateDtype),
        Words(&[
            ("float32", "float32"),
            ("auto", "compute"),
            ("bfloat16", "compute"),
            ("float16", "compute"),
        ]),
    ),
    (
        &[
            "-m",
            "--host",
            "--port",
            "--served-model-name",
            "--trust-remote-code",
            "--api-key",
            "--tokenizer",
            "--seed",
            "--download-dir",
            "--uvicorn-log-level",
            "--disable-log-requests",
            "--disable-log-stats",
            "--chat-template",
            "--tool-call-parser",
            "--enable-auto-tool-choice",
            "--reasoning-parser",
            "--enable-lora",
            "--revision",
            "--load-format",
            "--tokenizer-mode",
            "--generation-config",
            "--distributed-executor-backend",
            "--enable-log-requests",
            "--async-scheduling",
            "--max-log-len",
            "--root-path",
            "--lora-modules",
        ],
        None,
        Nothing,
    ),
];

const SGLANG: &[Row] = &[
    (&["--model-path", "--model"], None, Model),
    (&["--dtype"], Some(Id::ServerDtype), Words(DTYPES)),
    (&["--mem-fraction-static"], Some(Id::GpuMemoryUtilization), Number),
    (&["--context-length"], Some(Id::MaxModelLen), Whole),
    (
        &["--tp-size", "--tp", "--tensor-parallel-size"],
        Some(Id::ServerTensorParallel),
        Whole,
    ),
    (
        &["--pp-size", "--pp", "--pipeline-parallel-size"],
        Some(Id::ServerPipelineParallel),
        Whole,
    ),
    (
        &["--dp-size", "--dp", "--data-parallel-size"],
        Some(Id::ServerDataParallel),
        Whole,
    ),
    (&["--enable-dp-attention"], Some(Id::DpAttention), Truth),
    (&["--chunked-prefill-size"], Some(Id::ChunkSize), Whole),
    (&["--max-running-requests"], Some(Id::MaxRunningRequests), Whole),
    (&["--max-prefill-tokens"], Some(Id::MaxPrefillTokens), Whole),
    (&["--max-total-tokens"], Some(Id::MaxPoolTokens), Whole),
    (&["--page-size"], Some(Id::BlockSize), Whole),
    (
        &["--cuda-graph-max-bs", "--cuda-graph-max-bs-decode"],
        Some(Id::CudaGraphMaxBatch),
        Whole,
    ),
    (&["--max-mamba-cache-size"], Some(Id::StateSlots), Whole),
    (&["--swa-full-tokens-ratio"], Some(Id::WindowTokensRatio), Number),
    (&["--mamba-full-memory-ratio"], Some(Id::StateMemoryRatio), Number),
    (&["--disable-radix-cache"], Some(Id::DisableRadixCache), Truth),
    (
        &["--disable-hybrid-swa-memory"],
        Some(Id::DisableWindowPool),
        Truth,
    ),
    (&["--disable-cuda-graph"], Some(Id::EnforceEager), Truth),
    (&["--enable-torch-compile"], Some(Id::ServerCompile), Truth),
    (&["--enable-p2p-check"], Some(Id::EnableP2p), Truth),
    (
        &["--disable-custom-all-reduce"],
        Some(Id::DisableCustomAllReduce),
        Truth,
    ),
    (&["--max-loras-per-batch"], Some(Id::MaxLoras), Whole),
    (&["--max-lora-rank"], Some(Id::MaxLoraRank), Whole),
    (&["--enable-lora"], Some(Id::MultiLora), Truth),
    (
        &["--speculative-num-draft-tokens"],
        Some(Id::SpeculativeTokens),
        Whole,
    ),
    (
        &["--speculative-algorithm", "--speculative-algo"],
        Some(Id::SpeculativeAlgorithm),
        Words(&[
            ("EAGLE", "eagle"),
            ("EAGLE3", "eagle"),
            ("NEXTN", "eagle"),
            ("STANDALONE", "standalone"),
            ("NGRAM", "ngram"),
        ]),
    ),
    (
        &["--kv-cache-dtype"],
        Some(Id::KvCacheType),
        Words(&[
            ("auto", "none"),
            ("fp8_e4m3", "fp8"),
            ("fp8_e5m2", "fp8"),
            ("fp4_e2m1", "fp4"),
        ]),
    ),
    (
        &["--quantization"],
        Some(Id::WeightFormat),
        Words(&[
            ("fp8", "fp8"),
            ("awq", "awq"),
            ("gptq", "gptq"),
            ("mxfp4", "mxfp4"),
            ("modelopt_fp4", "nvfp4"),
        ]),
    ),
    (
        &["--attention-backend"],
        Some(Id::AttentionBackend),
        Words(&[
            ("flashinfer", "flashinfer"),
            ("triton", "triton"),
            ("torch_native", "torch"),
            ("fa3", "fa3"),
            ("flashmla", "flashmla"),
            ("trtllm_mha", "trtllm"),
            ("trtllm_mla", "trtllm"),
            ("aiter", "aiter"),
        ]),
    ),
    (
        &["--mamba-ssm-dtype"],
        Some(Id::StateDtype),
        Words(&[
            ("float32", "float32"),
            ("bfloat16", "compute"),
            ("float16", "compute"),
        ]),
    ),
    (
        &[
            "-m",
            "--host",
            "--port",
            "--trust-remote-code",
            "--served-model-name",
            "--api-key",
            "--log-level",
            "--tokenizer-path",
            "--lora-target-modules",
            "--nnodes",
            "--node-rank",
            "--dist-init-addr",
            "--enable-metrics",
            "--tool-call-parser",
            "--reasoning-parser",
            "--chat-template",
            "--random-seed",
            "--schedule-conservativeness",
            "--lora-paths",
        ],
        None,
        Nothing,
    ),
];

const TGI: &[Row] = &[
    (&["--model-id"], None, Model),
    (&["--num-shard"], Some(Id::TgiShards), Whole),
    (&["--sharded"], Some(Id::TgiSharded), Truth),
    (&["--max-total-tokens"], Some(Id::TgiMaxTotalTokens), Whole),
    (
        &["--max-input-tokens", "--max-input-length"],
        Some(Id::TgiMaxInputTokens),
        Whole,
    ),
    (&["--max-batch-prefill-tokens"], Some(Id::TgiPrefillTokens), Whole),
    (
        &["--max-batch-total-tokens"],
        Some(Id::TgiBatchTotalTokens),
        Whole,
    ),
    (
        &["--cuda-memory-fraction"],
        Some(Id::GpuMemoryUtilization),
        Number,
    ),
    (&["--speculate"], Some(Id::SpeculativeTokens), Whole),
    (&["--quantize"], Some(Id::TgiQuantize), Word),
    (&["--dtype"], Some(Id::TgiDtype), Word),
    (
        &["--kv-cache-dtype"],
        Some(Id::KvCacheType),
        Words(&[("fp8_e4m3fn", "fp8"), ("fp8_e5m2", "fp8")]),
    ),
    (&["--cuda-graphs"], Some(Id::EnforceEager), Words(&[])),
    (
        &[
            "--hostname",
            "--port",
            "-p",
            "--trust-remote-code",
            "--max-concurrent-requests",
            "--json-output",
        ],
        None,
        Nothing,
    ),
];

const TENSORRT: &[Row] = &[
    (&["--tp_size"], Some(Id::ServerTensorParallel), Whole),
    (&["--pp_size"], Some(Id::ServerPipelineParallel), Whole),
    (&["--max_seq_len"], Some(Id::TrtMaxSeqLen), Whole),
    (&["--max_batch_size"], Some(Id::TrtMaxBatchSize), Whole),
    (&["--max_num_tokens"], Some(Id::TrtMaxNumTokens), Whole),
    (&["--max_beam_width"], Some(Id::TrtMaxBeamWidth), Whole),
    (
        &["--kv_cache_free_gpu_memory_fraction"],
        Some(Id::GpuMemoryUtilization),
        Number,
    ),
    (&["--enable_chunked_prefill"], Some(Id::ChunkedPrefill), Truth),
    (
        &["--backend"],
        Some(Id::TrtBackend),
        Words(&[
            ("pytorch", "pytorch"),
            ("tensorrt", "tensorrt"),
            ("trt", "tensorrt"),
        ]),
    ),
    (
        &[
            "-m",
            "--host",
            "--port",
            "--trust_remote_code",
            "--tokenizer",
            "--log_level",
            "--gpus_per_node",
        ],
        None,
        Nothing,
    ),
];

/// `vllm serve`, or the old entry point.
pub fn vllm(findings: &mut Findings, words: &[String]) {
    findings.set(Id::ServerType, "vllm", "vllm");
    // What stands before the program belongs to whoever starts it.
    let start = words
        .windows(2)
        .position(|pair| {
            pair.first().is_some_and(|word| word.ends_with("vllm"))
                && pair.get(1).is_some_and(|word| word == "serve")
        })
        .unwrap_or(0);
    let (before, flags) = flags(words.get(start..).unwrap_or_default());
    if let Some(model) = after(&before, "serve") {
        findings.model(model, format!("vllm serve {model}"));
    }
    let own: Vec<Flag> = flags
        .into_iter()
        .filter(|flag| !vllm_alone(findings, flag))
        .collect();
    read(findings, VLLM, &own);
    gpus(findings, 1);
}

/// Flags of vLLM whose values are no plain words.
fn vllm_alone(findings: &mut Findings, flag: &Flag) -> bool {
    match flag.name.as_str() {
        "--kv-cache-memory-bytes" => {
            let bytes = flag.values.first().and_then(|word| word.parse::<f64>().ok());
            match bytes {
                Some(bytes) => findings.set(Id::CacheMemory, bytes / 1_073_741_824.0, flag.text()),
                None => findings.strange(flag.text()),
            }
            true
        }
        "--speculative-config" => {
            let config = flag
                .values
                .first()
                .and_then(|word| serde_json::from_str::<Value>(word).ok());
            let Some(config) = config else {
                findings.strange(flag.text());
                return true;
            };
            if let Some(tokens) = config.get("num_speculative_tokens").and_then(whole) {
                findings.set(Id::SpeculativeTokens, tokens, flag.text());
            }
            let head = config
                .get("method")
                .map(text)
                .filter(|method| DraftHead::read(method).is_some());
            if let Some(model) = config.get("model").map(text) {
                let id = super::catalogued(&model).map(str::to_owned);
                findings.set(Id::DraftModel, id.or(head).unwrap_or(model), flag.text());
            }
            true
        }
        _ => false,
    }
}

/// `sglang.launch_server`.
pub fn sglang(findings: &mut Findings, words: &[String]) {
    findings.set(Id::ServerType, "sglang", "sglang");
    let start = words
        .iter()
        .position(|word| word == "sglang.launch_server")
        .unwrap_or(0);
    let (_, flags) = flags(words.get(start..).unwrap_or_default());
    let mut rest = Vec::new();
    for flag in flags {
        match (flag.name.as_str(), flag.values.first().map(String::as_str)) {
            ("--chunked-prefill-size", Some("-1")) => findings.set(Id::ChunkSize, 0, flag.text()),
            ("--ep-size" | "--ep", Some(size)) => {
                findings.set(Id::ServerExpertParallel, size != "1", flag.text());
            }
            ("--cuda-graph-backend-decode", Some("disabled")) => {
                findings.set(Id::EnforceEager, true, flag.text());
            }
            ("--cuda-graph-backend-prefill", Some("disabled")) | ("--disable-piecewise-cuda-graph", None) => {
                findings.set(Id::PiecewiseCudaGraph, false, flag.text());
            }
            ("--speculative-draft-model-path", Some(model)) => {
                let id = super::catalogued(model).unwrap_or(model).to_owned();
                findings.set(Id::DraftModel, id, flag.text());
            }
            _ => rest.push(flag),
        }
    }
    read(findings, SGLANG, &rest);
    gpus(findings, 1);
}

/// `text-generation-launcher`, with the variables before it.
pub fn tgi(findings: &mut Findings, words: &[String]) {
    findings.set(Id::ServerType, "tgi", "text-generation-launcher");
    let start = words
        .iter()
        .position(|word| word.ends_with("text-generation-launcher"))
        .unwrap_or(0);
    let (_, flags) = flags(words.get(start..).unwrap_or_default());
    for word in words.iter().take(start) {
        match word.split_once('=') {
            Some(("TGI_WIGGLE_ROOM", room)) => {
                if let Ok(room) = room.parse::<f64>() {
                    findings.set(Id::TgiWiggleRoom, room, word.as_str());
                }
            }
            Some(("ATTENTION", kernel)) => findings.set(Id::TgiAttention, kernel, word.as_str()),
            Some(("PREFIX_CACHING", on)) => findings.set(Id::PrefixCaching, on == "1", word.as_str()),
            _ => {}
        }
    }
    let mut rest = Vec::new();
    for flag in flags {
        if flag.name == "--cuda-graphs" && flag.values.first().is_some_and(|word| word == "0") {
            findings.set(Id::EnforceEager, true, flag.text());
        } else {
            rest.push(flag);
        }
    }
    read(findings, TGI, &rest);
    gpus(findings, 1);
}

/// `trtllm-serve`, with the options that a script writes before it.
pub fn tensorrt(findings: &mut Findings, words: &[String], script: &str) {
    findings.set(Id::ServerType, "tensorrt_llm", "trtllm-serve");
    let start = words
        .iter()
        .position(|word| word.ends_with("trtllm-serve"))
        .unwrap_or(0);
    let (before, flags) = flags(words.get(start..).unwrap_or_default());
    if let Some(model) = after(&before, "trtllm-serve") {
        findings.model(model, format!("trtllm-serve {model}"));
    }
    let mut rest = Vec::new();
    for flag in flags {
        match flag.name.as_str() {
            "--ep_size" => {
                let several = flag.values.first().is_some_and(|size| size != "1");
                findings.set(Id::ServerExpertParallel, several, flag.text());
            }
            "--extra_llm_api_options" => match script.split("OPTIONS").nth(1) {
                Some(options) => extra(findings, options.trim_start_matches(['\'', '\n'])),
                None => findings.strange(format!("{}: its content is not here", flag.text())),
            },
            _ => rest.push(flag),
        }
    }
    read(findings, TENSORRT, &rest);
    gpus(findings, 1);
}

fn extra(findings: &mut Findings, options: &str) {
    let Ok(value) = crate::interop::yaml_in::parse(options) else {
        findings.strange("extra_llm_api_options.yaml");
        return;
    };
    const TOP: &[Row] = &[
        (&["dtype"], Some(Id::ServerDtype), Words(DTYPES)),
        (&["max_input_len"], Some(Id::TrtMaxInputLen), Whole),
        (&["kv_cache_config"], None, Nothing),
    ];
    const CACHE: &[Row] = &[
        (
            &["dtype"],
            Some(Id::KvCacheType),
            Words(&[("fp8", "fp8"), ("int8", "int8"), ("auto", "none")]),
        ),
        (&["max_tokens"], Some(Id::MaxPoolTokens), Whole),
        (&["tokens_per_block"], Some(Id::BlockSize), Whole),
        (&["enable_block_reuse"], Some(Id::PrefixCaching), Truth),
        (
            &["free_gpu_memory_fraction"],
            Some(Id::GpuMemoryUtilization),
            Number,
        ),
    ];
    super::keys(findings, TOP, &value, &["cuda_graph_config"]);
    if value.get("cuda_graph_config").is_some_and(Value::is_null) {
        findings.set(Id::EnforceEager, true, "cuda_graph_config: null");
    }
    if let Some(cache) = value.get("kv_cache_config") {
        super::keys(findings, CACHE, cache, &[]);
    }
}

/// The word that follows another.
fn after<'a>(words: &'a [String], word: &str) -> Option<&'a str> {
    let place = words.iter().position(|own| own.ends_with(word))?;
    words.get(place + 1).map(String::as_str)
}

/// GPUs that the sizes of the command ask for.
pub fn gpus(findings: &mut Findings, least: u64) {
    let size = |id: Id| findings.request.get(id).and_then(Value::as_u64).unwrap_or(1);
    let tensor = size(Id::ServerTensorParallel).max(size(Id::TgiShards));
    // With data-parallel attention the copies share the tensor-parallel ranks.
    let copies = match findings.request.get(Id::DpAttention) {
        Some(Value::Bool(true)) => 1,
        _ => size(Id::ServerDataParallel),
    };
    let product = tensor
        .saturating_mul(size(Id::ServerPipelineParallel))
        .saturating_mul(copies);
    if product > least {
        findings.set(Id::NumGpus, product, "product of the parallel sizes");
    }
}
