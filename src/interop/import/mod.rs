//! Importers: anything that a user has at hand becomes a request, one file each for a source. The kind of a text is
//! recognised, and everything in it is found, assumed or named as not understood; no text panics or stays unexplained.

mod accelerate;
mod axolotl;
mod commands;
mod deepspeed;
mod findings;
mod gguf;
mod gguf_question;
mod llama_command;
mod logs;
mod mapping;
mod megatron;
mod safetensors;
mod servers;
mod torchtitan;
mod trainer;

pub use findings::{Found, Measured};

use serde::Serialize;
use serde_json::Value;

use super::{toml_in, yaml_in};
use crate::model::catalogue;
use crate::request::{InputId, Request, Section};
use crate::warn::Issue;
use findings::Findings;
use mapping::{Row, apply, row};

/// Longest text that is read.
const LONGEST: usize = 8_000_000;

/// A YAML document, or the line that is wrong with what is wrong.
pub fn yaml(text: &str) -> Result<Value, (usize, &'static str)> {
    yaml_in::parse(text).map_err(|problem| (problem.line, problem.words))
}

/// What a text says.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Import {
    /// Its kind: `deepspeed`, `vllm_log`; `unknown` where nothing was recognised.
    pub kind: &'static str,
    /// The kind for a person.
    pub title: &'static str,
    /// The values that were found, as a request.
    #[serde(skip)]
    pub request: Request,
    /// Each value with the place where it stood.
    pub found: Vec<Found>,
    /// What is assumed because the text does not say it.
    pub assumed: Vec<String>,
    /// What stands in the text and has no place in a question.
    pub not_understood: Vec<String>,
    /// What was measured.
    pub measured: Vec<Measured>,
    /// What is wrong with the text.
    pub issues: Vec<Issue>,
}

/// Reads a file of any kind from its first bytes: the header of a GGUF or a safetensors file, else a text. Where a header is
/// longer than what is given, the issue `header_cut_off` says so: give twice as much.
pub fn import_bytes(bytes: &[u8]) -> Import {
    let mut findings = Findings::default();
    let read = if bytes.starts_with(gguf::MAGIC) {
        gguf::read(bytes).map(|header| {
            gguf_question::gguf(&mut findings, &header);
            ("gguf", "Header of a GGUF file")
        })
    } else if safetensors::is_file(bytes) {
        safetensors::header(bytes).map(|header| safetensors::safetensors(&header, &mut findings))
    } else {
        return match std::str::from_utf8(bytes) {
            Ok(text) => import(text),
            Err(_) => unknown(vec![
                nothing().with_hint("It is no text, and no GGUF or safetensors file either."),
            ]),
        };
    };
    match read {
        Ok(kind) => finished(kind, findings),
        Err(problem) => unknown(vec![problem.issue()]),
    }
}

/// Reads a text of any kind.
pub fn import(text: &str) -> Import {
    let text = text.trim_start_matches('\u{feff}');
    if text.len() > LONGEST {
        let longest = LONGEST / 1_000_000;
        let issue = Issue::error(
            "too_large",
            "",
            format!(
                "This text is longer than {longest} MB: give the part of the log from the start of the engine."
            ),
        );
        return unknown(vec![issue]);
    }
    let mut findings = Findings::default();
    match recognise(text, &mut findings, 0) {
        Ok(kind) => finished(kind, findings),
        Err(issues) => unknown(issues),
    }
}

fn finished((kind, title): Kind, mut findings: Findings) -> Import {
    if findings.found.is_empty() && findings.measured.is_empty() {
        findings.assume("Nothing in this text says anything about memory.");
    }
    Import {
        kind,
        title,
        request: findings.request,
        found: findings.found,
        assumed: findings.assumed,
        not_understood: findings.not_understood,
        measured: findings.measured,
        issues: Vec::new(),
    }
}

fn unknown(issues: Vec<Issue>) -> Import {
    Import {
        kind: "unknown",
        title: "Not recognised",
        request: Request::new(),
        found: Vec::new(),
        assumed: Vec::new(),
        not_understood: Vec::new(),
        measured: Vec::new(),
        issues,
    }
}

type Kind = (&'static str, &'static str);

/// Recognises a text and reads it.
fn recognise(text: &str, findings: &mut Findings, depth: usize) -> Result<Kind, Vec<Issue>> {
    let body = text.trim_start();
    if body.starts_with('{') {
        return json(text, findings);
    }
    if let Some(kind) = message(text, findings).or_else(|| command(text, findings)) {
        return Ok(kind);
    }
    if let Some(kind) = log(text, findings) {
        return Ok(kind);
    }
    if text.contains("TrainingArguments(") || text.contains("SFTConfig(") || text.contains("DPOConfig(") {
        trainer::python(findings, text);
        return Ok(("training_arguments", "TrainingArguments in Python"));
    }
    let has_table = |name: &str| text.lines().any(|line| line.trim() == name);
    if has_table("[training]") || has_table("[parallelism]") {
        let (value, strange) = toml_in::parse(text);
        torchtitan::torchtitan(findings, &value);
        for line in strange {
            findings.strange(line);
        }
        return Ok(("torchtitan", "torchtitan's TOML"));
    }
    match yaml_in::parse(text) {
        Ok(value) if value.is_object() => mapping_of(&value, findings, depth),
        Ok(_) => Err(vec![nothing()]),
        Err(problem)
            if text
                .lines()
                .any(|line| line.contains(": ") || line.ends_with(':')) =>
        {
            Err(vec![nothing().with_hint(format!(
                "As YAML, line {} is wrong: {}.",
                problem.line, problem.words
            ))])
        }
        Err(_) => Err(vec![nothing()]),
    }
}

fn nothing() -> Issue {
    Issue::error(
        "not_recognised",
        "",
        "This is nothing that can be imported: a config.json, a configuration of DeepSpeed, Accelerate, Axolotl, torchtitan or the Trainer, \
         arguments of Megatron-LM, a command line of vLLM, SGLang, TGI, TensorRT-LLM or llama.cpp, one of their start-up logs, \
         the table of nvidia-smi, or a CUDA out-of-memory message.",
    )
}

fn json(text: &str, findings: &mut Findings) -> Result<Kind, Vec<Issue>> {
    let value: Value =
        serde_json::from_str(text).map_err(|error| vec![crate::request::json_invalid("", &error)])?;
    mapping_of(&value, findings, 0)
}

/// A mapping by its keys.
fn mapping_of(value: &Value, findings: &mut Findings, depth: usize) -> Result<Kind, Vec<Issue>> {
    let has = |key: &str| value.get(key).is_some();
    let sections = Section::ALL
        .iter()
        .any(|section| value.get(section.key()).is_some_and(Value::is_object));
    if has("apiVersion") && has("kind") {
        return cluster(value, findings, depth);
    }
    if sections && !has("zero_optimization") {
        let request = Request::from_json(value).map_err(|issue| vec![issue])?;
        for (id, given) in request.given() {
            findings.set(id, given.clone(), id.key());
        }
        for (key, _) in request.unknown() {
            findings.strange(key.as_str());
        }
        return Ok(("request", "A question of the calculator"));
    }
    if has("zero_optimization") || has("train_micro_batch_size_per_gpu") || has("train_batch_size") {
        deepspeed::deepspeed(findings, value);
        findings.assume("Model, sequence length and recomputation stand in the training script.");
        return Ok(("deepspeed", "DeepSpeed's configuration"));
    }
    if has("compute_environment") || has("distributed_type") {
        accelerate::accelerate(findings, value);
        return Ok(("accelerate", "Accelerate's configuration"));
    }
    if has("base_model") {
        axolotl::axolotl(findings, value);
        return Ok(("axolotl", "Axolotl's configuration"));
    }
    if has("per_device_train_batch_size")
        || has("finetuning_type")
        || (has("output_dir") && has("learning_rate"))
    {
        trainer::arguments(findings, value);
        return Ok(("training_arguments", "Arguments of transformers' Trainer"));
    }
    if has("weight_map")
        || has("__metadata__")
        || value
            .as_object()
            .is_some_and(|fields| fields.values().any(|tensor| tensor.get("data_offsets").is_some()))
    {
        return Ok(safetensors::safetensors(value, findings));
    }
    if has("model_type") || has("architectures") || has("hidden_size") || has("n_embd") {
        findings.set(InputId::HfConfig, value.clone(), "config.json");
        return Ok(("hf_config", "A model's config.json"));
    }
    if has("total_memory_per_gpu_gb") {
        return Err(Request::from_json(value).err().into_iter().collect());
    }
    Err(vec![nothing()])
}

/// The command inside of a Kubernetes object.
fn cluster(value: &Value, findings: &mut Findings, depth: usize) -> Result<Kind, Vec<Issue>> {
    let container = value
        .pointer("/spec/template/spec/containers/0")
        .cloned()
        .unwrap_or_default();
    let mut words: Vec<String> = Vec::new();
    for key in ["command", "args"] {
        let list = container.get(key).and_then(Value::as_array).into_iter().flatten();
        words.extend(list.map(mapping::text));
    }
    let gpus = container
        .pointer("/resources/limits/nvidia.com~1gpu")
        .and_then(mapping::whole);
    if depth > 0 || words.is_empty() {
        return Err(vec![nothing()]);
    }
    let quoted: Vec<String> = words.iter().map(|word| super::shell::quoted(word)).collect();
    if command(&quoted.join(" "), findings).is_none() {
        findings.strange(words.join(" "));
    }
    if let Some(gpus) = gpus {
        let nodes = value
            .pointer("/spec/completions")
            .and_then(mapping::whole)
            .unwrap_or(1);
        findings.set(InputId::NumGpus, gpus.saturating_mul(nodes), "nvidia.com/gpu");
    }
    Ok(("kubernetes", "A Kubernetes object"))
}

/// Messages and tables that are no configuration.
fn message(text: &str, findings: &mut Findings) -> Option<Kind> {
    if text.contains("CUDA out of memory") || text.contains("OutOfMemoryError") {
        logs::out_of_memory(findings, text);
        return Some(("out_of_memory", "A CUDA out-of-memory message"));
    }
    let table = text.contains("NVIDIA-SMI") || text.contains("memory.used [MiB]");
    let rows = text.lines().any(|line| line.contains("MiB /"));
    if table || rows {
        logs::nvidia_smi(findings, text);
        return Some(("nvidia_smi", "The table of nvidia-smi"));
    }
    None
}

/// A command line by its program.
fn command(text: &str, findings: &mut Findings) -> Option<Kind> {
    // A log repeats the arguments; what a log says itself is worth more.
    let cluster = text.lines().any(|line| line.starts_with("apiVersion:"));
    if cluster || is_log(text) {
        return None;
    }
    let words = commands::words(text);
    let has = |wanted: &str| {
        words
            .iter()
            .any(|word| word == wanted || word.rsplit('/').next() == Some(wanted))
    };
    let flag = |wanted: &[&str]| {
        words
            .iter()
            .any(|word| wanted.contains(&word.split('=').next().unwrap_or(word)))
    };
    if (has("vllm") && has("serve")) || words.iter().any(|word| word.starts_with("vllm.entrypoints")) {
        servers::vllm(findings, &words);
        return Some(("vllm", "A command line of vLLM"));
    }
    if has("sglang.launch_server") || (has("sglang") && has("serve")) {
        servers::sglang(findings, &words);
        return Some(("sglang", "A command line of SGLang"));
    }
    if has("text-generation-launcher") {
        servers::tgi(findings, &words);
        return Some(("tgi", "A command line of Text Generation Inference"));
    }
    if has("trtllm-serve") {
        servers::tensorrt(findings, &words, text);
        return Some(("tensorrt_llm", "A command line of TensorRT-LLM"));
    }
    let llama = [
        "llama-server",
        "llama-cli",
        "llama-bench",
        "llama-perplexity",
        "llama-run",
    ];
    if llama.iter().any(|name| has(name)) {
        llama_command::command(findings, &words);
        return Some(("llama_cpp", "A command line of llama.cpp"));
    }
    if flag(&[
        "--tensor-model-parallel-size",
        "--pipeline-model-parallel-size",
        "--use-mcore-models",
    ]) || (flag(&["--num-layers"]) && flag(&["--hidden-size"]))
    {
        let start = words.iter().position(|word| word.starts_with('-')).unwrap_or(0);
        megatron::arguments(findings, words.get(start..).unwrap_or_default());
        return Some(("megatron", "Megatron-LM's arguments"));
    }
    if flag(&["--per_device_train_batch_size"]) {
        let (_, all) = commands::flags(&words);
        trainer::flags(findings, &all);
        return Some(("training_arguments", "Arguments of transformers' Trainer"));
    }
    None
}

fn is_log(text: &str) -> bool {
    const LINES: [&str; 10] = [
        "Model loading took",
        "Loading model weights took",
        "GPU KV cache size",
        "Load weight end",
        "KV Cache is allocated",
        "[TensorRT-LLM]",
        "[TRT-LLM]",
        "load_tensors:",
        "llm_load_tensors:",
        "model buffer size",
    ];
    LINES.iter().any(|line| text.contains(line))
}

/// A start-up log by its own words.
fn log(text: &str, findings: &mut Findings) -> Option<Kind> {
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&[
        "Load weight end",
        "max_total_num_tokens=",
        "ServerArgs(",
        "KV Cache is allocated",
    ]) {
        logs::sglang(findings, text);
        return Some(("sglang_log", "A start-up log of SGLang"));
    }
    if has(&["[TensorRT-LLM]", "[TRT-LLM]", "[MemUsageChange]"]) {
        logs::tensorrt(findings, text);
        return Some(("tensorrt_llm_log", "A start-up log of TensorRT-LLM"));
    }
    if has(&[
        "model buffer size",
        "llama_context:",
        "llm_load_tensors:",
        "llama_model_loader:",
        "llama_new_context_with_model:",
    ]) {
        logs::llama(findings, text);
        return Some(("llama_cpp_log", "A start-up log of llama.cpp"));
    }
    if has(&[
        "Model loading took",
        "Loading model weights took",
        "GPU KV cache size",
        "Initializing a V1 LLM engine",
        "Initializing an LLM engine",
        "gpu_memory_utilization (",
    ]) {
        logs::vllm(findings, text);
        return Some(("vllm_log", "A start-up log of vLLM"));
    }
    None
}

/// Reads the keys of a mapping by a table; `known` ones decide nothing here.
fn keys(findings: &mut Findings, table: &[Row], value: &Value, known: &[&str]) {
    for (key, value) in value.as_object().into_iter().flatten() {
        if known.contains(&key.as_str()) {
            continue;
        }
        let from = format!("{key}: {}", mapping::text(value));
        match row(table, key) {
            Some(_) if value.is_null() => {}
            Some(found) => {
                if !apply(findings, found, value, &from) {
                    findings.strange(from);
                }
            }
            None => findings.strange(from),
        }
    }
}

/// The catalogue's id of a model's name or path.
fn catalogued(name: &str) -> Option<&'static str> {
    let own = name.trim().trim_end_matches('/');
    let last = own.rsplit('/').next().unwrap_or(own);
    [own, last]
        .into_iter()
        .find_map(catalogue::find)
        .map(|entry| entry.id.as_str())
}
