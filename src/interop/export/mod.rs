//! Exporters: a validated question as the configuration of a framework, a command or a file of our own. One file for each
//! target; `TARGETS` lists them with the version of the framework whose own code reads the export in the tests.

mod accelerate;
mod axolotl;
mod cluster;
mod common;
mod deepspeed;
mod layers;
mod lightning;
mod llama_cpp;
mod llama_factory;
mod megatron;
mod megatron_bridge;
mod optimizers;
mod own;
mod python;
pub mod result;
mod settings;
mod sglang;
mod sheet;
mod tensorrt_llm;
mod tgi;
mod torchrun;
mod torchtitan;
mod trainer;
mod transformers;
mod trl;
mod vllm;

pub use settings::{Engine, Facts, Setting, Settings};

use serde::Serialize;
use serde_json::Value;

use super::{toml, yaml};
use crate::request::{EngineId, InputId, ServerId};
use crate::warn::Issue;
use sheet::Sheet;

/// An export.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Export {
    /// Name of the target.
    pub format: &'static str,
    /// The file.
    pub text: String,
    /// What the file is called.
    pub file_name: &'static str,
    /// In which language it is written: `yaml`, `json`, `toml`, `python`, `shell`, `csv` or `markdown`.
    pub language: &'static str,
    /// What the target cannot express, and what to do with the file.
    pub notes: Vec<String>,
    /// Keys of the settings that were typed and that the file does not hold.
    pub not_expressed: Vec<&'static str>,
}

/// The text of an export, before its notes are written above it.
enum Body {
    Json(Value),
    Yaml(Value),
    Toml(Value),
    Python(String),
    Shell(String),
}

/// Which questions a target takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Training with one of these engines.
    Training(&'static [EngineId]),
    /// Serving with one of these engines.
    Serving(&'static [ServerId]),
    /// Every question.
    Any,
}

impl Takes {
    /// Whether a question with this engine is taken.
    pub fn engine(self, engine: Engine) -> bool {
        match (self, engine) {
            (Self::Any, _) => true,
            (Self::Training(engines), Engine::Training(engine)) => engines.contains(&engine),
            (Self::Serving(engines), Engine::Serving(engine)) => engines.contains(&engine),
            _ => false,
        }
    }
}

/// A target of an export.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name on the command line and in the functions.
    pub name: &'static str,
    /// Its name for a person.
    pub title: &'static str,
    /// What the file is called.
    pub file_name: &'static str,
    /// How it is used.
    pub usage: &'static str,
    /// Which questions it takes.
    pub takes: Takes,
    write: fn(&mut Sheet<'_>) -> Body,
}

use EngineId::{Deepspeed, Fsdp, MegatronLm, PytorchDdp};

const PYTORCH: Takes = Takes::Training(&[PytorchDdp, Fsdp, Deepspeed]);

const fn target(
    (name, title): (&'static str, &'static str),
    (file_name, usage): (&'static str, &'static str),
    takes: Takes,
    write: fn(&mut Sheet<'_>) -> Body,
) -> Target {
    Target {
        name,
        title,
        file_name,
        usage,
        takes,
        write,
    }
}

/// Every target that writes the settings, in the order of a menu.
pub static TARGETS: &[Target] = &[
    target(
        ("accelerate", "Accelerate"),
        (
            "accelerate_config.yaml",
            "accelerate launch --config_file accelerate_config.yaml train.py",
        ),
        Takes::Training(&[PytorchDdp, Fsdp, Deepspeed, MegatronLm]),
        accelerate::write,
    ),
    target(
        ("deepspeed", "DeepSpeed"),
        (
            "ds_config.json",
            "deepspeed train.py --deepspeed_config ds_config.json",
        ),
        Takes::Training(&[Deepspeed]),
        deepspeed::write,
    ),
    target(
        ("lightning", "Lightning"),
        ("lightning_train.py", "python lightning_train.py"),
        PYTORCH,
        lightning::write,
    ),
    target(
        ("axolotl", "Axolotl"),
        ("axolotl.yaml", "axolotl train axolotl.yaml"),
        PYTORCH,
        axolotl::write,
    ),
    target(
        ("training_arguments", "HF TrainingArguments"),
        (
            "training_arguments.yaml",
            "HfArgumentParser(TrainingArguments).parse_yaml_file(\"training_arguments.yaml\")",
        ),
        PYTORCH,
        trainer::write,
    ),
    target(
        ("trl", "TRL"),
        (
            "trl.yaml",
            "trl sft --config trl.yaml, or trl dpo for preferences",
        ),
        PYTORCH,
        trl::write,
    ),
    target(
        ("llama_factory", "LLaMA-Factory"),
        ("llama_factory.yaml", "llamafactory-cli train llama_factory.yaml"),
        PYTORCH,
        llama_factory::write,
    ),
    target(
        ("torchrun", "torchrun with FSDP2 or DDP"),
        ("torchrun_train.py", "torchrun torchrun_train.py"),
        Takes::Training(&[PytorchDdp, Fsdp]),
        torchrun::write,
    ),
    target(
        ("torchtitan", "torchtitan"),
        ("torchtitan.toml", "CONFIG_FILE=torchtitan.toml ./run_train.sh"),
        Takes::Training(&[PytorchDdp, Fsdp]),
        torchtitan::write,
    ),
    target(
        ("megatron", "Megatron-LM"),
        ("megatron.sh", "bash megatron.sh"),
        Takes::Training(&[MegatronLm]),
        megatron::write,
    ),
    target(
        ("megatron_bridge", "Megatron-Bridge (NeMo)"),
        ("megatron_bridge.py", "torchrun megatron_bridge.py"),
        Takes::Training(&[MegatronLm]),
        megatron_bridge::write,
    ),
    target(
        ("transformers", "HF Transformers"),
        ("generate.py", "python generate.py"),
        Takes::Serving(&[ServerId::Huggingface]),
        transformers::write,
    ),
    target(
        ("vllm", "vLLM"),
        ("vllm_serve.sh", "bash vllm_serve.sh"),
        Takes::Serving(&[ServerId::Vllm]),
        vllm::write,
    ),
    target(
        ("sglang", "SGLang"),
        ("sglang_launch.sh", "bash sglang_launch.sh"),
        Takes::Serving(&[ServerId::Sglang]),
        sglang::write,
    ),
    target(
        ("tgi", "Text Generation Inference"),
        ("tgi_launch.sh", "bash tgi_launch.sh"),
        Takes::Serving(&[ServerId::Tgi]),
        tgi::write,
    ),
    target(
        ("tensorrt_llm", "TensorRT-LLM"),
        ("trtllm_serve.sh", "bash trtllm_serve.sh"),
        Takes::Serving(&[ServerId::TensorRtLlm]),
        tensorrt_llm::write,
    ),
    target(
        ("llama_cpp", "llama.cpp"),
        ("llama_server.sh", "bash llama_server.sh"),
        Takes::Serving(&[ServerId::LlamaCpp]),
        llama_cpp::write,
    ),
    target(
        ("kubernetes", "Kubernetes"),
        ("job.yaml", "kubectl apply -f job.yaml"),
        Takes::Any,
        cluster::kubernetes,
    ),
    target(
        ("slurm", "Slurm"),
        ("job.sbatch", "sbatch job.sbatch"),
        Takes::Any,
        cluster::slurm,
    ),
    target(
        ("yaml", "YAML of the calculator"),
        ("config.yaml", "gpu-mem-calc calculate --config config.yaml"),
        Takes::Any,
        own::yaml,
    ),
    target(
        ("json", "JSON of the calculator"),
        ("config.json", "gpu-mem-calc calculate --config config.json"),
        Takes::Any,
        own::json,
    ),
];

/// Other names under which targets are known.
const ALIASES: [(&str, &str); 12] = [
    ("hf", "training_arguments"),
    ("trainer", "training_arguments"),
    ("trainingarguments", "training_arguments"),
    ("llamafactory", "llama_factory"),
    ("fsdp2", "torchrun"),
    ("megatron_lm", "megatron"),
    ("nemo", "megatron_bridge"),
    ("trtllm", "tensorrt_llm"),
    ("llama_server", "llama_cpp"),
    ("k8s", "kubernetes"),
    ("sbatch", "slurm"),
    ("titan", "torchtitan"),
];

/// The target of this name, in any case and with hyphens or underscores.
pub fn target_named(name: &str) -> Option<&'static Target> {
    let wanted = name.trim().to_ascii_lowercase().replace(['-', '.', ' '], "_");
    let wanted = ALIASES
        .iter()
        .find(|(alias, _)| *alias == wanted)
        .map_or(wanted.as_str(), |(_, name)| name);
    TARGETS.iter().find(|target| target.name == wanted)
}

/// The targets that take a question with this engine.
pub fn targets_for(engine: Engine) -> impl Iterator<Item = &'static Target> {
    TARGETS.iter().filter(move |target| target.takes.engine(engine))
}

/// Writes the settings for a target; refused where the target has no such engine.
pub fn export(target: &'static Target, settings: &Settings) -> Result<Export, Issue> {
    if !target.takes.engine(settings.engine) {
        let others = targets_for(settings.engine).map(|target| target.name);
        let asked = match settings.engine {
            Engine::Training(_) => InputId::EngineType,
            Engine::Serving(_) => InputId::ServerType,
        };
        return Err(Issue::error(
            "unsupported_combination",
            asked.key(),
            format!("{} has no place for {}.", target.title, settings.engine.name()),
        )
        .with_value(target.name)
        .with_allowed(others));
    }
    let mut sheet = Sheet::new(settings);
    // Which engine it is, the target itself says.
    sheet.tell(&[InputId::EngineType, InputId::ServerType]);
    let body = (target.write)(&mut sheet);
    let (notes, not_expressed) = sheet.notes();
    let head = comment(target, &notes);
    let (language, text) = match body {
        Body::Json(value) => ("json", format!("{value:#}\n")),
        Body::Yaml(value) => ("yaml", head + &yaml::emit(&value)),
        Body::Toml(value) => ("toml", head + &toml::emit(&value)),
        Body::Python(text) => ("python", head + &text),
        Body::Shell(text) => ("shell", format!("#!/usr/bin/env bash\n{head}{text}")),
    };
    Ok(Export {
        format: target.name,
        text,
        file_name: target.file_name,
        language,
        notes,
        not_expressed,
    })
}

/// Usage and notes as comment lines.
fn comment(target: &Target, notes: &[String]) -> String {
    let mut text = format!(
        "# {}, written by gpu-mem-calc. Use: {}\n",
        target.title, target.usage
    );
    for note in notes {
        for line in note.lines() {
            text.push_str(&format!("# {line}\n"));
        }
    }
    text
}
