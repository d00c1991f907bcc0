//! From a trace of Transformers' `generate` (`transformers-inference-trace.jsonl`), or a published run beside those of vLLM
//! (`vllm.jsonl`), to a question.

use serde_json::{Value, json};

use super::question::Question;
use super::record::Record;
use crate::request::InputId;

/// The question of a trace, or why it cannot be asked.
pub fn question(record: &Record) -> Result<Question, String> {
    let text = |key: &str| record.text(key).unwrap_or_default();
    if text("grad_mode") == "grad" {
        return Err("autograd kept its tensors: no input describes that".into());
    }
    let mut question = Question::default();
    let config = record.object("arch").ok_or("no architecture")?;
    question.set(InputId::HfConfig, super::trace::hf_config(config)?);
    question.set(InputId::ServerType, "huggingface");
    question.set_some(InputId::ServerVersion, record.text("transformers"));
    question.set(InputId::ServerDtype, text("dtype"));
    question.set(
        InputId::ServerAttention,
        match (text("attention"), text("sdpa_kernel")) {
            ("eager", _) => "eager",
            (_, "math") => "math",
            _ => "sdpa",
        },
    );
    question.set(InputId::Padding, record.flag("padding"));
    question.set_some(InputId::Sequences, record.whole("batch"));
    question.set_some(InputId::PromptTokens, record.whole("prompt_tokens"));
    question.set_some(InputId::NewTokens, record.whole("new_tokens"));
    question.set_some(InputId::NumBeams, record.whole("beams"));
    question.set(InputId::DoSample, record.flag("sampling"));
    question.set_some(InputId::SamplingTopK, record.whole("top_k"));
    question.set_some(InputId::SamplingTopP, record.number("top_p"));
    question.set(InputId::OutputScores, record.flag("output_scores"));
    question.set_some(InputId::AssistantModel, record.text("assistant"));
    question.set_some(InputId::AssistantTokens, record.whole("num_assistant_tokens"));
    question.set_some(InputId::PrefillChunk, record.whole("prefill_chunk"));
    question.set(InputId::AllLogits, text("logits") == "all");
    cache(&mut question, record)?;
    weights(&mut question, record)?;
    let ranks = record.whole("tensor_parallel").unwrap_or(1);
    let stages = record.whole("pipeline_devices").unwrap_or(1);
    question.set(InputId::ServerTensorParallel, ranks);
    question.set(InputId::ServerPipelineParallel, stages);
    question.set(InputId::NumGpus, ranks.saturating_mul(stages));
    if text("experts_implementation") == "batched_mm" {
        question.set(InputId::ExpertsImplementation, "batched_mm");
    }
    Ok(question)
}

/// The question of a published run (`hf-*` of `vllm.jsonl`), or what is missing.
///
/// AutoAWQ's benchmark calls its own model classes: a cache of all positions from the start, scores in memory, logits of every
/// position (casper-hansen/AutoAWQ `examples/benchmark.py`, `awq/modules/fused/attn.py`); what it prints is
/// `max_memory_allocated`.
pub fn published(record: &Record) -> Result<Question, String> {
    let mut question = Question::default();
    question.set(InputId::ServerType, "huggingface");
    let model = record.text("model").unwrap_or_default();
    if record.text("engine") == Some("transformers+AutoAWQ") {
        let known = [
            ("Mistral 7B", "mistral-7b-v0.1"),
            ("TinyLlama 1B", "tinyllama-1.1b"),
            ("Mixtral 46.7B", "mixtral-8x7b"),
        ];
        let id = known.iter().find(|(name, _)| model.starts_with(name));
        let id = id
            .map(|(_, id)| *id)
            .or_else(|| Some(super::names::named(model)?.id.as_str()))
            .ok_or("the architecture is not in the catalogue")?;
        question.set(InputId::ModelId, id);
        question.set(InputId::WeightFormat, "awq");
        question.set(InputId::ServerDtype, "fp16");
        question.set(InputId::ServerAttention, "eager");
        question.set(InputId::CacheImplementation, "static");
        question.set(InputId::AllLogits, true);
        question.set_some(InputId::Sequences, record.whole("batch_size"));
        question.set_some(InputId::PromptTokens, record.whole("prefill_len"));
        question.set_some(InputId::NewTokens, record.whole("decode_len"));
        return Ok(question);
    }
    if model != "bigcode/octocoder" {
        return Err("the architecture is not in the catalogue".into());
    }
    if !record
        .text("notes")
        .is_some_and(|notes| notes.contains("short prompt, 60 new tokens"))
    {
        return Err("the length of the prompt is not stated".into());
    }
    // Its published configuration; a sentence of the document is the prompt, about 20 tokens.
    question.set(
        InputId::HfConfig,
        json!({"model_type": "gpt_bigcode", "vocab_size": 49_152, "n_positions": 8192, "n_embd": 6144, "n_layer": 40,
            "n_head": 48, "n_inner": 24_576, "multi_query": true, "activation_function": "gelu_pytorch_tanh"}),
    );
    question.set(InputId::PromptTokens, 20);
    question.set(InputId::NewTokens, 60);
    let (format, dtype) = match record.text("quantization") {
        None => ("none", "bf16"),
        // What load_in_8bit and load_in_4bit take where no type is given.
        Some("bitsandbytes 8-bit") => ("bnb_int8", "fp16"),
        Some("bitsandbytes 4-bit") => ("nf4", "fp16"),
        Some(other) => return Err(format!("weights in {other} are not known")),
    };
    question.set(InputId::WeightFormat, format);
    question.set(InputId::ServerDtype, dtype);
    Ok(question)
}

fn cache(question: &mut Question, record: &Record) -> Result<(), String> {
    let offloaded = record.flag("cache_offloaded");
    let windows = record
        .object("arch")
        .is_some_and(|arch| arch.get("sliding_window").is_some_and(Value::is_u64));
    if windows && record.fields.get("cache_from_config").and_then(Value::as_bool) == Some(false) {
        return Err(
            "a cache that was made without the configuration knows no windows: no input describes that"
                .into(),
        );
    }
    match record.text("cache").unwrap_or("dynamic") {
        "dynamic" if offloaded => question.set(InputId::CacheImplementation, "offloaded"),
        "dynamic" => {}
        "static" => question.set(InputId::CacheImplementation, "static"),
        "quanto4" => question.set(InputId::KvCacheType, "int4"),
        "quanto2" => question.set(InputId::KvCacheType, "int2"),
        "fp8" => question.set(InputId::KvCacheType, "fp8"),
        "none" => question.set(InputId::UseKvCache, false),
        other => return Err(format!("the cache {other} is not known")),
    }
    Ok(())
}

fn weights(question: &mut Question, record: &Record) -> Result<(), String> {
    let format = match record.text("weight_quant") {
        None => return Ok(()),
        Some("int8") => "bnb_int8",
        Some("nf4" | "fp4") => "nf4",
        Some("nf4_dq") => "nf4_double",
        Some(other) => return Err(format!("weights in {other} are not known")),
    };
    question.set(InputId::WeightFormat, format);
    Ok(())
}
