//! Reading record files: one JSON object per line, in any of the formats of `tests/measured/`. A record keeps its fields
//! as they were written; which engine it is of and which format it has is told from the fields alone, so that a file of
//! somebody else's runs reads as well as the project's own.

use serde_json::{Map, Value};
use thiserror::Error;

/// The engine that a record's figures come from, as the accuracy tables name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EngineName {
    /// One GPU, no communication.
    Single,
    /// PyTorch DistributedDataParallel.
    Ddp,
    /// PyTorch FullyShardedDataParallel.
    Fsdp1,
    /// PyTorch `fully_shard`.
    Fsdp2,
    /// `fully_shard` within a node, replicas across nodes.
    Hsdp,
    /// Tensor parallelism without Megatron.
    Tp,
    /// DeepSpeed ZeRO.
    DeepSpeed,
    /// Megatron-LM.
    Megatron,
    /// Megatron-DeepSpeed.
    MegatronDeepSpeed,
    /// Transformers' `generate`.
    Transformers,
    /// vLLM.
    Vllm,
    /// SGLang.
    Sglang,
    /// TensorRT-LLM.
    TensorRtLlm,
    /// Text Generation Inference.
    Tgi,
    /// llama.cpp and its forks.
    LlamaCpp,
}

impl EngineName {
    /// Every engine that records exist of.
    pub const ALL: [Self; 15] = [
        Self::Single,
        Self::Ddp,
        Self::Fsdp1,
        Self::Fsdp2,
        Self::Hsdp,
        Self::Tp,
        Self::DeepSpeed,
        Self::Megatron,
        Self::MegatronDeepSpeed,
        Self::Transformers,
        Self::Vllm,
        Self::Sglang,
        Self::TensorRtLlm,
        Self::Tgi,
        Self::LlamaCpp,
    ];

    /// The key used in tables and files.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Ddp => "ddp",
            Self::Fsdp1 => "fsdp1",
            Self::Fsdp2 => "fsdp2",
            Self::Hsdp => "hsdp",
            Self::Tp => "tp",
            Self::DeepSpeed => "deepspeed",
            Self::Megatron => "megatron",
            Self::MegatronDeepSpeed => "megatron_deepspeed",
            Self::Transformers => "transformers",
            Self::Vllm => "vllm",
            Self::Sglang => "sglang",
            Self::TensorRtLlm => "tensorrt_llm",
            Self::Tgi => "tgi",
            Self::LlamaCpp => "llama_cpp",
        }
    }

    /// Whether it trains; the others serve.
    pub const fn trains(self) -> bool {
        match self {
            Self::Single
            | Self::Ddp
            | Self::Fsdp1
            | Self::Fsdp2
            | Self::Hsdp
            | Self::Tp
            | Self::DeepSpeed
            | Self::Megatron
            | Self::MegatronDeepSpeed => true,
            Self::Transformers
            | Self::Vllm
            | Self::Sglang
            | Self::TensorRtLlm
            | Self::Tgi
            | Self::LlamaCpp => false,
        }
    }

    /// The engine of a `strategy` text: "FSDP2", "single-lora", "tp-sp", "Megatron FSDP", "zero3" ...
    fn of_strategy(strategy: &str) -> Self {
        let text = strategy.to_ascii_lowercase();
        let has = |part: &str| text.contains(part);
        if has("megatron") {
            Self::Megatron
        } else if has("zero") && has("tp") && has("pp") {
            Self::MegatronDeepSpeed
        } else if has("zero") || has("deepspeed") {
            Self::DeepSpeed
        } else if has("hsdp") {
            Self::Hsdp
        } else if has("fsdp") && has("+tp") || text.starts_with("tp") {
            Self::Tp
        } else if has("fsdp1") {
            Self::Fsdp1
        } else if has("fsdp") {
            Self::Fsdp2
        } else if has("ddp") {
            Self::Ddp
        } else {
            Self::Single
        }
    }

    fn of_server(engine: &str) -> Self {
        match engine.to_ascii_lowercase().as_str() {
            text if text.contains("sglang") => Self::Sglang,
            text if text.contains("tensorrt") => Self::TensorRtLlm,
            text if text.contains("tgi") => Self::Tgi,
            text if text.contains("llama") => Self::LlamaCpp,
            text if text.contains("transformers") => Self::Transformers,
            _ => Self::Vllm,
        }
    }
}

/// The formats of record files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// `torch-trace.jsonl`: framework traces of training steps.
    TorchTrace,
    /// `deepspeed-trace.jsonl`.
    DeepSpeedTrace,
    /// `training-extras-trace.jsonl`: adapters, quantised bases and the like.
    TrainingExtras,
    /// `training.jsonl`: published training runs.
    Training,
    /// `transformers-inference-trace.jsonl`.
    TransformersInference,
    /// `vllm.jsonl`.
    Vllm,
    /// `serving.jsonl`: the other servers.
    Serving,
    /// `saved-activations.jsonl`: a table for unit tests, not runs.
    SavedActivations,
    /// `smallest-card.jsonl`: a table for unit tests, not runs.
    SmallestCard,
    /// `throughput.jsonl`, `serving-speed.jsonl`: published speeds, which [`super::speed`] compares.
    Speed,
    /// An object that is none of these.
    Unknown,
}

impl Format {
    /// Whether the run is one of the framework's own code on a device that does nothing, traced to the byte.
    pub const fn is_traced(self) -> bool {
        matches!(
            self,
            Self::TorchTrace | Self::DeepSpeedTrace | Self::TrainingExtras | Self::TransformersInference
        )
    }

    fn of(fields: &Map<String, Value>) -> Self {
        let has = |key: &str| fields.contains_key(key);
        if has("measured_speed") {
            Self::Speed
        } else if has("min_capacity_gib") {
            Self::SmallestCard
        } else if has("per_token_per_layer") {
            Self::SavedActivations
        } else if has("source_group") || has("value_gib") || has("value_raw") {
            Self::Training
        } else if has("phases") && (has("stage") || has("zero")) {
            Self::DeepSpeedTrace
        } else if has("topic") {
            Self::TrainingExtras
        } else if has("prompt_tokens") {
            Self::TransformersInference
        } else if has("strategy_args") {
            Self::TorchTrace
        } else if has("measured") {
            Self::Serving
        } else if has("arch_key") || has("kv_cache_gib") || has("weights_gib") {
            Self::Vllm
        } else {
            Self::Unknown
        }
    }
}

/// One measured run.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its stable id, or "line N" where it has none.
    pub id: String,
    /// Its format.
    pub format: Format,
    /// Its fields as they were written.
    pub fields: Map<String, Value>,
}

/// A line that is no JSON object.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {message}")]
pub struct Unreadable {
    /// Counted from one.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

/// Reads a record file: one JSON object per line, empty lines skipped.
pub fn read(text: &str) -> Result<Vec<Record>, Unreadable> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(index, line)| {
            let number = index + 1;
            let unreadable = |message: String| Unreadable {
                line: number,
                message,
            };
            match serde_json::from_str(line).map_err(|error| unreadable(error.to_string()))? {
                Value::Object(fields) => Ok(Record {
                    id: match fields.get("id") {
                        Some(Value::String(id)) => id.clone(),
                        Some(other) => other.to_string(),
                        None => format!("line {number}"),
                    },
                    format: Format::of(&fields),
                    fields,
                }),
                _ => Err(unreadable("a record is a JSON object".into())),
            }
        })
        .collect()
}

impl Record {
    /// A text field; `None` when it is absent, null or something else.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.fields.get(key).and_then(Value::as_str)
    }

    /// A number.
    pub fn number(&self, key: &str) -> Option<f64> {
        self.fields.get(key).and_then(Value::as_f64)
    }

    /// A whole number.
    pub fn whole(&self, key: &str) -> Option<u64> {
        self.fields.get(key).and_then(Value::as_u64)
    }

    /// Whether a field is `true`.
    pub fn flag(&self, key: &str) -> bool {
        self.fields.get(key).and_then(Value::as_bool) == Some(true)
    }

    /// An object field.
    pub fn object(&self, key: &str) -> Option<&Map<String, Value>> {
        self.fields.get(key).and_then(Value::as_object)
    }

    /// The engine that the figures are of.
    pub fn engine(&self) -> EngineName {
        match self.format {
            Format::DeepSpeedTrace => EngineName::DeepSpeed,
            Format::TransformersInference => EngineName::Transformers,
            Format::Vllm | Format::Serving => EngineName::of_server(self.text("engine").unwrap_or_default()),
            Format::Training
                if self
                    .text("engine")
                    .is_some_and(|engine| engine.contains("DeepSpeed (pipeline")) =>
            {
                EngineName::MegatronDeepSpeed
            }
            _ => EngineName::of_strategy(self.text("strategy").unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn engine(line: &str, engine: &str) {
        let records = read(line).expect("one record");
        assert_eq!(records.first().map(|record| record.engine().key()), Some(engine));
    }

    #[test]
    fn engines_are_told_from_the_fields() {
        engine(
            r#"{"id":"a","strategy":"single-lora","strategy_args":{}}"#,
            "single",
        );
        engine(r#"{"id":"a","strategy":"tp-sp","strategy_args":{}}"#, "tp");
        engine(r#"{"id":"a","strategy":"hsdp","strategy_args":{}}"#, "hsdp");
        engine(
            r#"{"id":"a","source_group":"x","strategy":"FSDP1 full shard (WRAP)"}"#,
            "fsdp1",
        );
        engine(r#"{"id":"a","source_group":"x","strategy":"FSDP2+TP"}"#, "tp");
        engine(r#"{"id":"a","source_group":"x","strategy":"FSDP2"}"#, "fsdp2");
        engine(
            r#"{"id":"a","source_group":"x","strategy":"Megatron FSDP"}"#,
            "megatron",
        );
        engine(
            r#"{"id":"a","source_group":"x","strategy":"ZeRO-1 + TP + PP"}"#,
            "megatron_deepspeed",
        );
        engine(r#"{"id":"a","source_group":"x","strategy":"zero3"}"#, "deepspeed");
        engine(r#"{"id":"a","measured":{},"engine":"ik_llama.cpp"}"#, "llama_cpp");
        engine(r#"{"id":"a","kv_cache_gib":1,"engine":"V1"}"#, "vllm");
        engine(
            r#"{"id":"a","kv_cache_gib":1,"engine":"transformers+AutoAWQ"}"#,
            "transformers",
        );
    }

    #[test]
    fn a_broken_line_is_named() {
        let error = read("{\"id\":\"a\"}\n\n{nonsense").expect_err("broken");
        assert_eq!(error.line, 3);
        let error = read("[1]").expect_err("no object");
        assert_eq!(error.to_string(), "line 1: a record is a JSON object");
    }

    #[test]
    fn a_record_without_id_is_named_by_its_line() {
        let records = read("\n{\"strategy\":\"ddp\"}").expect("one record");
        assert_eq!(records.first().map(|record| record.id.as_str()), Some("line 2"));
    }
}
