//! torchtitan's TOML.

use serde_json::Value;

use super::accelerate::hybrid;
use super::findings::Findings;
use super::keys;
use super::mapping::Kind::{Number, Truth, Whole, Words};
use super::mapping::{Row, text, truth, whole};
use crate::request::InputId as Id;

/// torchtitan's configuration.
pub fn torchtitan(findings: &mut Findings, value: &Value) {
    let section = |name: &str| value.get(name).cloned().unwrap_or_default();
    let model = section("model");
    let path = model
        .get("hf_assets_path")
        .or_else(|| model.get("tokenizer_path"))
        .map(text);
    let named = path
        .as_deref()
        .and_then(|path| super::catalogued(path.rsplit('/').next().unwrap_or(path)));
    let flavor = format!(
        "{} {}",
        model.get("name").map(text).unwrap_or_default(),
        model.get("flavor").map(text).unwrap_or_default()
    );
    match named {
        Some(id) => findings.set(Id::ModelId, id, path.unwrap_or_default()),
        None => findings.model(
            &flavor
                .replace("llama3 ", "llama-3.1-")
                .replace(' ', "-")
                .to_lowercase(),
            flavor.clone(),
        ),
    }
    const TRAINING: &[Row] = &[
        (&["local_batch_size", "batch_size"], Some(Id::BatchSize), Whole),
        (&["seq_len"], Some(Id::SeqLength), Whole),
        (&["max_norm"], Some(Id::GradientClipping), Number),
        (
            &["enable_cpu_offload"],
            Some(Id::FsdpCpuOffload),
            Words(&[("true", "pinned"), ("false", "none")]),
        ),
    ];
    let training = section("training");
    keys(
        findings,
        TRAINING,
        &training,
        &[
            "dataset",
            "dataset_path",
            "global_batch_size",
            "steps",
            "dtype",
            "mixed_precision_param",
            "mixed_precision_reduce",
            "gc_freq",
            "seed",
            "deterministic",
            "compile",
            "data_parallel_replicate_degree",
        ],
    );
    const OPTIMIZER: &[Row] = &[
        (
            &["name"],
            Some(Id::Optimizer),
            Words(&[("AdamW", "adamw"), ("Adam", "adam")]),
        ),
        (&["lr"], Some(Id::LearningRate), Number),
        (&["weight_decay"], Some(Id::WeightDecay), Number),
        (
            &["implementation"],
            Some(Id::OptimizerImplementation),
            Words(&[("fused", "fused"), ("foreach", "foreach"), ("for-loop", "loop")]),
        ),
        (&["early_step_in_backward"], Some(Id::OptimizerInBackward), Truth),
    ];
    keys(
        findings,
        OPTIMIZER,
        &section("optimizer"),
        &["eps", "beta1", "beta2"],
    );
    if let Some(steps) = value.pointer("/lr_scheduler/warmup_steps").and_then(whole) {
        findings.set(Id::WarmupSteps, steps, "lr_scheduler.warmup_steps");
    }
    titan_mesh(findings, &section("parallelism"), &training);
    titan_rest(findings, value);
    for name in value.as_object().into_iter().flatten().map(|(name, _)| name) {
        const SECTIONS: [&str; 15] = [
            "job",
            "profiling",
            "metrics",
            "model",
            "optimizer",
            "lr_scheduler",
            "training",
            "parallelism",
            "checkpoint",
            "activation_checkpoint",
            "compile",
            "quantize",
            "comm",
            "validation",
            "float8",
        ];
        if !SECTIONS.contains(&name.as_str()) {
            findings.strange(format!("[{name}]"));
        }
    }
    if value.get("float8").is_some() || value.get("quantize").is_some() {
        findings.strange("[quantize]: training in 8 bits has no place in a question yet");
    }
}

fn titan_mesh(findings: &mut Findings, mesh: &Value, training: &Value) {
    let size = |key: &str| mesh.get(key).and_then(whole).unwrap_or(1);
    let replicas = size("data_parallel_replicate_degree");
    let shard = mesh
        .get("data_parallel_shard_degree")
        .and_then(Value::as_i64)
        .unwrap_or(-1);
    let tensor = size("tensor_parallel_degree");
    let types = (
        training.get("dtype").map(text).unwrap_or_default(),
        training
            .get("mixed_precision_param")
            .map(text)
            .unwrap_or_default(),
    );
    if shard == 1 {
        findings.set(Id::EngineType, "pytorch_ddp", "data_parallel_shard_degree = 1");
        findings.forget(Id::FsdpCpuOffload);
    } else {
        findings.set(Id::EngineType, "fsdp", "data_parallel_shard_degree");
        findings.set(Id::FsdpVersion, "2", "torchtitan has the second only");
        let never = mesh.get("fsdp_reshard_after_forward").map(text).as_deref() == Some("never");
        findings.set(
            Id::ShardingStrategy,
            if never { "shard_grad_op" } else { "full_shard" },
            "fsdp_reshard_after_forward",
        );
        hybrid(findings, replicas, "data_parallel_replicate_degree");
    }
    let fsdp = shard != 1;
    match (types.0.as_str(), types.1.as_str()) {
        ("bfloat16", _) => {
            findings.set(Id::Dtype, "bf16", "training.dtype = bfloat16");
            findings.set(Id::PrecisionMode, "pure", "training.dtype = bfloat16");
        }
        (_, "float32") => findings.set(Id::Dtype, "fp32", "mixed_precision_param = float32"),
        _ => {
            findings.set(Id::Dtype, "bf16", "mixed_precision_param");
            findings.set(
                Id::PrecisionMode,
                if fsdp { "mixed" } else { "autocast" },
                "mixed_precision_param",
            );
            if fsdp {
                findings.set(Id::ReduceDtype, "fp32", "mixed_precision_reduce");
            }
        }
    }
    if tensor > 1 {
        findings.set(Id::TensorParallelSize, tensor, "tensor_parallel_degree");
        findings.set(Id::TensorParallelPlan, "torch", "torchtitan's plan");
        findings.set(Id::SequenceParallel, true, "torchtitan's plan");
        let off = mesh.get("disable_loss_parallel").and_then(truth) == Some(true);
        findings.set(Id::LossParallel, !off, "disable_loss_parallel");
    }
    for key in [
        "pipeline_parallel_degree",
        "context_parallel_degree",
        "expert_parallel_degree",
    ] {
        if size(key) > 1 {
            findings.strange(format!("{key} = {}", size(key)));
        }
    }
    if let Ok(shard) = u64::try_from(shard) {
        let gpus = shard.saturating_mul(replicas).saturating_mul(tensor);
        findings.set(Id::NumGpus, gpus, "product of the degrees");
        let batch = training.get("local_batch_size").and_then(whole).unwrap_or(8);
        let each = batch.saturating_mul(shard).saturating_mul(replicas);
        let all = training.get("global_batch_size").and_then(whole);
        if let Some(steps) = all
            .and_then(|all| all.checked_div(each))
            .filter(|steps| *steps > 0)
        {
            findings.set(
                Id::GradientAccumulationSteps,
                steps,
                "global_batch_size over all ranks",
            );
        }
    } else {
        findings.assume(
            "data_parallel_shard_degree = -1 takes all GPUs that are left: the number in the form is kept.",
        );
    }
}

fn titan_rest(findings: &mut Findings, value: &Value) {
    let mode = value
        .pointer("/activation_checkpoint/mode")
        .map(text)
        .unwrap_or_default();
    let option = value
        .pointer("/activation_checkpoint/selective_ac_option")
        .map(text)
        .unwrap_or_default();
    match (mode.as_str(), option.as_str()) {
        ("none", _) => findings.set(Id::ActivationCheckpointing, "none", "mode = none"),
        ("full", _) => findings.set(Id::ActivationCheckpointing, "full", "mode = full"),
        ("selective", "op") => findings.set(
            Id::ActivationCheckpointing,
            "operations",
            "selective_ac_option = op",
        ),
        ("selective", every) => {
            let every = every.parse::<u64>().unwrap_or(2);
            findings.set(Id::ActivationCheckpointing, "every_n", "mode = selective");
            findings.set(Id::CheckpointEvery, every, "selective_ac_option");
        }
        ("", _) => {}
        (other, _) => findings.strange(format!("activation_checkpoint.mode = {other}")),
    }
    let compiles = value.pointer("/compile/enable").and_then(truth) == Some(true);
    if compiles {
        let parts = value.pointer("/compile/components").map(Value::to_string);
        let loss = parts.is_none_or(|parts| parts.contains("loss"));
        findings.set(
            Id::Compile,
            if loss { "model_and_loss" } else { "model" },
            "compile.enable",
        );
    }
    if value.pointer("/validation/enable").and_then(truth) == Some(true) {
        findings.set(Id::Evaluation, "loss", "validation.enable");
        if let Some(batch) = value.pointer("/validation/local_batch_size").and_then(whole) {
            findings.set(Id::EvaluationBatchSize, batch, "validation.local_batch_size");
        }
    }
    if value.pointer("/checkpoint/enable").and_then(truth) == Some(true) {
        findings.set(Id::CheckpointSave, "sharded", "checkpoint.enable");
    }
}
