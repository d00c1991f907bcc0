//! Start-up logs of inference engines, CUDA out-of-memory messages and the table of `nvidia-smi`: settings, and what was
//! measured.

use serde_json::Value;

use super::findings::Findings;
use super::mapping::{DTYPES, whole};
use super::servers;
use crate::hardware;
use crate::request::InputId as Id;
use crate::units::Bytes;

/// The text between two others.
pub fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let start = text.find(before)? + before.len();
    let rest = text.get(start..)?;
    rest.get(..rest.find(after)?)
}

/// The number that begins a text, with commas between thousands.
fn leading(text: &str) -> Option<f64> {
    let digits: String = text
        .trim_start()
        .chars()
        .take_while(|char| char.is_ascii_digit() || matches!(char, '.' | ','))
        .filter(|char| *char != ',')
        .collect();
    digits.trim_end_matches('.').parse().ok()
}

/// The bytes that begin a text: `14.99 GiB`, `4403.49 MiB`, `14.98 GB`, where these programs mean GiB by GB.
fn size(text: &str) -> Option<Bytes> {
    let number = leading(text)?;
    let rest = text
        .trim_start()
        .trim_start_matches(|char: char| char.is_ascii_digit() || matches!(char, '.' | ','));
    let unit = rest.trim_start().to_ascii_uppercase();
    let gib = match unit.get(..2)? {
        "GI" | "GB" => number,
        "MI" | "MB" => number / 1024.0,
        "KI" | "KB" => number / 1_048_576.0,
        _ => return None,
    };
    (0.0..1e6).contains(&gib).then(|| Bytes::from_gib(gib))
}

/// The bytes that stand behind some words in a line.
fn behind(line: &str, words: &str) -> Option<Bytes> {
    let start = line.find(words)? + words.len();
    size(line.get(start..)?.trim_start_matches([' ', '=', ':', '(']))
}

/// Part and words of a table of quantities.
fn quantities(findings: &mut Findings, line: &str, table: &[(&'static str, &str)]) -> bool {
    let mut any = false;
    for (part, words) in table {
        if let Some(bytes) = behind(line, words) {
            findings.measure(part, bytes, line);
            any = true;
        }
    }
    any
}

/// A log of vLLM.
pub fn vllm(findings: &mut Findings, text: &str) {
    findings.set(Id::ServerType, "vllm", "a log of vLLM");
    for line in text.lines() {
        if let Some(version) = between(line, "LLM engine (v", ")").or_else(|| between(line, "version ", " "))
        {
            let version = version.split(['+', ')']).next().unwrap_or(version);
            if version.starts_with(|char: char| char.is_ascii_digit()) && version.contains('.') {
                findings.set_if_absent(Id::ServerVersion, version, line);
            }
        }
        settings(
            findings,
            line,
            &[
                ("max_seq_len=", Id::MaxModelLen),
                ("tensor_parallel_size=", Id::ServerTensorParallel),
                ("pipeline_parallel_size=", Id::ServerPipelineParallel),
                ("data_parallel_size=", Id::ServerDataParallel),
                ("'max_model_len': ", Id::MaxModelLen),
                ("'tensor_parallel_size': ", Id::ServerTensorParallel),
                ("'max_num_seqs': ", Id::MaxSequences),
                ("'max_num_batched_tokens': ", Id::MaxBatchedTokens),
                ("'block_size': ", Id::BlockSize),
            ],
        );
        if let Some(model) =
            between(line, "config: model='", "'").or_else(|| between(line, "'model': '", "'"))
        {
            findings.model(model, line);
        }
        if let Some(dtype) = between(line, "dtype=torch.", ",") {
            words(findings, Id::ServerDtype, dtype, line);
        }
        if line.contains("kv_cache_dtype=fp8") {
            findings.set(Id::KvCacheType, "fp8", line);
        }
        if line.contains("enforce_eager=True") || line.contains("'enforce_eager': True") {
            findings.set(Id::EnforceEager, true, line);
        }
        let share = between(line, "gpu_memory_utilization (", ")")
            .or_else(|| between(line, "'gpu_memory_utilization': ", "}"));
        if let Some(share) = share.and_then(leading) {
            findings.set(Id::GpuMemoryUtilization, share, line);
        }
        if let Some(total) = behind(line, "total_gpu_memory (") {
            card_of(findings, total, line);
        }
        quantities(
            findings,
            line,
            &[
                ("weights", "Model loading took "),
                ("weights", "Loading model weights took "),
                ("weights", "model weights take "),
                ("non_torch", "non_torch_memory takes "),
                ("activations", "PyTorch activation peak memory takes "),
                ("kv_cache", "reserved for KV Cache is "),
                ("kv_cache", "Available KV cache memory: "),
                ("graphs", "secs, took "),
            ],
        );
    }
    servers::gpus(findings, 1);
}

/// A log of SGLang.
pub fn sglang(findings: &mut Findings, text: &str) {
    findings.set(Id::ServerType, "sglang", "a log of SGLang");
    for line in text.lines() {
        if let Some(model) = between(line, "model_path='", "'") {
            findings.model(model, line);
        }
        settings(
            findings,
            line,
            &[
                ("tp_size=", Id::ServerTensorParallel),
                ("pp_size=", Id::ServerPipelineParallel),
                ("dp_size=", Id::ServerDataParallel),
                ("chunked_prefill_size=", Id::ChunkSize),
                ("max_prefill_tokens=", Id::MaxPrefillTokens),
                ("max_running_requests=", Id::MaxRunningRequests),
                ("context_length=", Id::MaxModelLen),
                ("page_size=", Id::BlockSize),
            ],
        );
        if let Some(share) = between(line, "mem_fraction_static=", ",").and_then(leading) {
            findings.set(Id::GpuMemoryUtilization, share, line);
        }
        if line.contains("disable_radix_cache=True") {
            findings.set(Id::DisableRadixCache, true, line);
        }
        if line.contains("kv_cache_dtype='fp8") {
            findings.set(Id::KvCacheType, "fp8", line);
        }
        if line.contains("Load weight end") {
            quantities(findings, line, &[("weights", "mem usage=")]);
            if let Some(dtype) = between(line, "dtype=torch.", ",") {
                words(findings, Id::ServerDtype, dtype, line);
            }
        } else if line.contains("apture cuda graph end") {
            quantities(findings, line, &[("graphs", "mem usage=")]);
        } else if line.contains("KV Cache is allocated") {
            let both = behind(line, "K size: ").zip(behind(line, "V size: "));
            let bytes = both
                .map(|(keys, values)| keys + values)
                .or_else(|| behind(line, "KV size: "));
            if let Some(bytes) = bytes {
                findings.measure("kv_cache", bytes, line);
            }
        }
    }
    servers::gpus(findings, 1);
}

/// A log of TensorRT-LLM.
pub fn tensorrt(findings: &mut Findings, text: &str) {
    findings.set(Id::ServerType, "tensorrt_llm", "a log of TensorRT-LLM");
    for line in text.lines() {
        quantities(
            findings,
            line,
            &[
                ("weights", "Loaded engine size: "),
                (
                    "kv_cache",
                    "available KV cache memory when calculating max tokens: ",
                ),
            ],
        );
        if line.contains("for max tokens in paged KV cache") {
            quantities(findings, line, &[("kv_cache", "Allocated ")]);
        } else if line.contains("for execution context memory") {
            quantities(findings, line, &[("activations", "Allocated ")]);
        } else if line.contains("for decoder") || line.contains("for runtime buffers") {
            quantities(findings, line, &[("workspaces", "Allocated ")]);
        }
        settings(
            findings,
            line,
            &[
                ("max_batch_size=", Id::TrtMaxBatchSize),
                ("max_num_tokens=", Id::TrtMaxNumTokens),
                ("max_seq_len=", Id::TrtMaxSeqLen),
                ("maxBatchSize: ", Id::TrtMaxBatchSize),
                ("maxNumTokens: ", Id::TrtMaxNumTokens),
                ("maxSequenceLen: ", Id::TrtMaxSeqLen),
                ("maxBeamWidth: ", Id::TrtMaxBeamWidth),
                ("tensor_parallel_size=", Id::ServerTensorParallel),
            ],
        );
        if let Some(version) = between(line, "TensorRT-LLM version: ", " ")
            .or_else(|| line.split("TensorRT-LLM version: ").nth(1))
        {
            findings.set_if_absent(Id::ServerVersion, version.trim(), line);
        }
        if let Some(share) = between(line, "fraction is set ", ",").and_then(leading) {
            findings.set(Id::GpuMemoryUtilization, share, line);
        }
        if let Some(total) = behind(line, "device total memory ") {
            card_of(findings, total, line);
        }
        if line.contains("Loaded engine size") {
            findings.set(Id::TrtBackend, "tensorrt", line);
        }
    }
    servers::gpus(findings, 1);
}

/// A log of llama.cpp.
pub fn llama(findings: &mut Findings, text: &str) {
    findings.set(Id::ServerType, "llama_cpp", "a log of llama.cpp");
    for line in text.lines() {
        let gpu = line.contains("CUDA")
            || line.contains("Metal")
            || line.contains("Vulkan")
            || line.contains("ROCm");
        let part = if line.contains("model buffer size") {
            Some("weights")
        } else if line.contains("KV buffer size") {
            Some("kv_cache")
        } else if line.contains("compute buffer size") {
            Some("activations")
        } else {
            None
        };
        if let (Some(part), Some(bytes)) = (part, behind(line, "buffer size =")) {
            findings.measure(if gpu { part } else { "host" }, bytes, line);
        }
        let path = between(line, "from ", " (version");
        if let Some(path) = path.filter(|path| path.contains(".gguf")) {
            super::llama_command::file(findings, path, line);
        }
        let value = |name: &str| {
            let rest = line.split(name).nth(1)?.trim_start();
            let word = rest.strip_prefix('=')?.split_whitespace().next()?;
            whole(&Value::from(word))
        };
        for (name, id) in [
            ("n_ctx ", Id::ContextSize),
            ("n_batch ", Id::LogicalBatch),
            ("n_ubatch ", Id::PhysicalBatch),
            ("n_seq_max ", Id::Sequences),
        ] {
            if let Some(value) = value(name) {
                findings.set_if_absent(id, value, line);
            }
        }
        if let Some(on) = value("flash_attn ") {
            findings.set_if_absent(Id::FlashAttention, if on == 1 { "on" } else { "off" }, line);
        }
        if let Some((some, all)) =
            between(line, "offloaded ", " layers").and_then(|words| words.split_once('/'))
        {
            let numbers = (some.parse::<u64>().ok(), all.parse::<u64>().ok());
            if let (Some(some), Some(all)) = numbers
                && some < all
            {
                findings.set(Id::GpuLayers, some, line);
            }
        }
    }
}

/// A CUDA out-of-memory message of torch, in its old and new words.
pub fn out_of_memory(findings: &mut Findings, text: &str) {
    let joined = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for (part, words) in [
        ("allocated", "Of the allocated memory "),
        ("device", "this process has "),
        ("request", "Tried to allocate "),
        ("free", "of which "),
    ] {
        if let Some(bytes) = behind(&joined, words) {
            findings.measure(part, bytes, format!("{words}{}", bytes_text(bytes)));
        }
    }
    // 22.30 GiB already allocated; 22.64 GiB reserved in total by PyTorch
    for (part, words) in [
        ("allocated", " already allocated"),
        ("reserved", " reserved in total"),
    ] {
        let before = joined
            .split(words)
            .next()
            .filter(|before| before.len() < joined.len());
        if let Some(bytes) = before
            .and_then(|before| before.rsplit([';', '(']).next())
            .and_then(size)
        {
            findings.measure(part, bytes, format!("{}{words}", bytes_text(bytes)));
        }
    }
    let unallocated = joined
        .split(" is reserved by PyTorch but unallocated")
        .next()
        .filter(|before| before.len() < joined.len())
        .and_then(|before| before.rsplit("and ").next())
        .and_then(size);
    let allocated = findings
        .measured
        .iter()
        .find(|measured| measured.part == "allocated")
        .map(|measured| measured.bytes);
    if let (Some(free), Some(held)) = (unallocated, allocated) {
        findings.measure("reserved", held + free, "allocated and reserved but unallocated");
    }
    let asked = findings
        .measured
        .iter()
        .find(|measured| measured.part == "request")
        .map(|measured| measured.bytes);
    if let (Some(held), Some(asked)) = (allocated, asked) {
        findings.measure("needed", held + asked, "allocated, and the request that failed");
    }
    let total = behind(&joined, "total capacity of ").or_else(|| {
        let before = joined.split(" total capacity;").next()?;
        size(before.rsplit(';').next()?)
    });
    if let Some(total) = total {
        card_of(findings, total, "total capacity");
    }
    findings.assume(
        "The message says nothing about model and settings: those in the form are kept. It was written before the allocation that failed.",
    );
}

fn bytes_text(bytes: Bytes) -> String {
    format!("{:.2} GiB", bytes.to_gib())
}

/// The table of `nvidia-smi`, or its comma-separated form.
pub fn nvidia_smi(findings: &mut Findings, text: &str) {
    let mut gpus = 0u64;
    let mut name = None;
    let mut used_most = Bytes::ZERO;
    let mut total = None;
    for line in text.lines() {
        for word in ["NVIDIA ", "Tesla ", "GeForce ", "Quadro "] {
            let place = line
                .find(word)
                .filter(|_| !line.contains("NVIDIA-SMI") && !line.contains("Driver"));
            if let Some(rest) = place.and_then(|place| line.get(place..)) {
                let own = rest.split("  ").next().unwrap_or(rest);
                let own = own.split([',', '|']).next().unwrap_or(own);
                let own = own.trim().trim_end_matches(" On").trim_end_matches(" Off").trim();
                name.get_or_insert_with(|| own.to_owned());
                break;
            }
        }
        let memory = line
            .split(['|', ','])
            .find(|cell| cell.contains("MiB") && cell.contains('/'))
            .and_then(|cell| cell.split_once('/'));
        if let Some((used, all)) = memory
            && let (Some(used), Some(all)) = (size(used), size(all))
        {
            gpus += 1;
            used_most = used_most.max(used);
            total = Some(all);
            findings.measure("device", used, line);
        }
    }
    if gpus > 0 {
        findings.set(Id::NumGpus, gpus, "rows of the table");
    }
    let known = name.as_deref().and_then(card);
    match (known, total) {
        (Some(id), _) => findings.set(Id::Gpu, id, name.unwrap_or_default()),
        (None, Some(total)) => card_of(findings, total, "total memory"),
        (None, None) => findings.strange("no card and no memory in this table"),
    }
    if used_most > Bytes::ZERO {
        let gib = (used_most.to_gib() * 100.0).round() / 100.0;
        findings.assume(format!(
            "{gib} GiB of a card are in use. If something else holds them, type them as memory already in use (hardware.used_memory_gb)."
        ));
    }
}

/// The id of a card by the name that its driver prints.
fn card(name: &str) -> Option<String> {
    let plain = |text: &str| -> String {
        text.to_ascii_lowercase()
            .replace("nvidia", "")
            .replace("geforce", "")
            .replace("tesla", "")
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .collect()
    };
    let wanted = plain(name);
    hardware::gpus()
        .iter()
        .find(|gpu| plain(&gpu.name) == wanted || gpu.aliases.iter().any(|alias| plain(alias) == wanted))
        .map(|gpu| gpu.id.to_string())
}

/// A card by its whole memory, which does not tell it: the size is taken.
fn card_of(findings: &mut Findings, total: Bytes, from: &str) {
    if findings.request.has(Id::Gpu) {
        return;
    }
    let gib = (total.to_gib() * 100.0).round() / 100.0;
    findings.set(Id::GpuMemoryGb, gib, from);
    findings.assume("The card is not named: its size is taken, and a named card may tell more.");
}

/// Numbers behind words.
fn settings(findings: &mut Findings, line: &str, table: &[(&str, Id)]) {
    for (words, id) in table {
        let Some(rest) = line.split(words).nth(1) else {
            continue;
        };
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        if let Some(value) = digits.parse::<u64>().ok().filter(|value| *value > 0) {
            findings.set(*id, value, line);
        }
    }
}

/// The word of a type.
fn words(findings: &mut Findings, id: Id, word: &str, from: &str) {
    if let Some((_, ours)) = DTYPES.iter().find(|(own, _)| *own == word.trim()) {
        findings.set(id, *ours, from);
    }
}
