//! Axolotl's YAML.

use serde_json::Value;

use super::accelerate::{fsdp, hybrid, reduction};
use super::deepspeed::deepspeed;
use super::findings::Findings;
use super::keys;
use super::mapping::Kind::{Model, Number, Whole, Words};
use super::mapping::{Row, text, truth, whole};
use crate::request::InputId as Id;

/// Axolotl's configuration.
pub fn axolotl(findings: &mut Findings, value: &Value) {
    const TABLE: &[Row] = &[
        (&["base_model"], None, Model),
        (&["sequence_len"], Some(Id::SeqLength), Whole),
        (&["micro_batch_size"], Some(Id::BatchSize), Whole),
        (
            &["gradient_accumulation_steps"],
            Some(Id::GradientAccumulationSteps),
            Whole,
        ),
        (&["max_grad_norm"], Some(Id::GradientClipping), Number),
        (&["learning_rate"], Some(Id::LearningRate), Number),
        (&["weight_decay"], Some(Id::WeightDecay), Number),
        (&["warmup_steps"], Some(Id::WarmupSteps), Whole),
        (&["lora_r"], Some(Id::LoraRank), Whole),
        (&["lora_dropout"], Some(Id::LoraDropout), Number),
        (&["tensor_parallel_size"], Some(Id::TensorParallelSize), Whole),
        (&["chunked_cross_entropy_num_chunks"], Some(Id::LossChunks), Whole),
        (
            &["activation_offloading"],
            Some(Id::ActivationOffload),
            Words(&[("true", "pinned"), ("false", "none")]),
        ),
        (&["rl"], Some(Id::Objective), Words(&[("dpo", "preference")])),
    ];
    const KNOWN: &[&str] = &[
        "model_type",
        "tokenizer_type",
        "datasets",
        "val_set_size",
        "output_dir",
        "sample_packing",
        "eval_sample_packing",
        "pad_to_sequence_len",
        "remove_unused_columns",
        "num_epochs",
        "lr_scheduler",
        "warmup_ratio",
        "bf16",
        "fp16",
        "tf32",
        "bfloat16",
        "float16",
        "optimizer",
        "attn_implementation",
        "flash_attention",
        "sdp_attention",
        "eager_attention",
        "gradient_checkpointing",
        "gradient_checkpointing_kwargs",
        "adapter",
        "load_in_4bit",
        "load_in_8bit",
        "lora_alpha",
        "lora_target_linear",
        "lora_target_modules",
        "lora_modules_to_save",
        "peft_use_dora",
        "peft_autocast_adapter_dtype",
        "bnb_config_kwargs",
        "logging_steps",
        "save_steps",
        "eval_steps",
        "save_total_limit",
        "fsdp",
        "fsdp_version",
        "fsdp_config",
        "dp_shard_size",
        "dp_replicate_size",
        "deepspeed",
        "plugins",
        "liger_rope",
        "liger_rms_norm",
        "liger_glu_activation",
        "liger_swiglu",
        "liger_fused_linear_cross_entropy",
        "chunked_cross_entropy",
        "batch_flattening",
        "torch_compile",
        "eval_batch_size",
        "optim_args",
        "optim_target_modules",
        "wandb_project",
        "special_tokens",
        "chat_template",
        "dataset_prepared_path",
        "strict",
        "seed",
        "evals_per_epoch",
        "saves_per_epoch",
        "hub_model_id",
        "train_on_inputs",
        "group_by_length",
        "eval_max_new_tokens",
        "resume_from_checkpoint",
    ];
    keys(findings, TABLE, value, KNOWN);
    let on = |key: &str| value.get(key).and_then(truth) == Some(true);
    super::trainer::types(findings, value, on("bfloat16"), on("float16"));
    let optimizer = value.get("optimizer").map(text).unwrap_or_default();
    super::trainer::optimizer(findings, &optimizer, value);
    let packed = if on("sample_packing") {
        "packed"
    } else if value.get("batch_flattening").is_some() {
        "padding_free"
    } else {
        "padded"
    };
    if findings.request.get(Id::Objective).is_none() {
        findings.set(Id::BatchLayout, packed, "sample_packing, batch_flattening");
    }
    super::trainer::attention(findings, value);
    if on("gradient_checkpointing") {
        findings.set(
            Id::ActivationCheckpointing,
            "full",
            "gradient_checkpointing: true",
        );
        let reentrant = value
            .pointer("/gradient_checkpointing_kwargs/use_reentrant")
            .and_then(truth);
        if let Some(reentrant) = reentrant {
            findings.set(Id::CheckpointReentrant, reentrant, "use_reentrant");
        }
    }
    let kernels = on("liger_rms_norm") || on("liger_glu_activation") || on("liger_swiglu");
    if kernels {
        findings.set(Id::FusedKernels, "liger", "liger_rms_norm, liger_glu_activation");
    }
    if on("liger_fused_linear_cross_entropy") {
        findings.set(Id::Loss, "fused", "liger_fused_linear_cross_entropy: true");
    } else if on("chunked_cross_entropy") {
        findings.set(Id::Loss, "chunked", "chunked_cross_entropy: true");
    }
    if let Some(batch) = value.get("eval_batch_size").and_then(whole) {
        findings.set(Id::Evaluation, "loss", "eval_batch_size");
        findings.set(Id::EvaluationBatchSize, batch, "eval_batch_size");
    }
    adapter(findings, value);
    let config = value.get("fsdp_config");
    if config.is_some() || value.get("fsdp").is_some() {
        findings.set(Id::EngineType, "fsdp", "fsdp_config");
        fsdp(findings, config.unwrap_or(&Value::Null), "fsdp_");
        reduction(findings);
        let shard = value.get("dp_shard_size").and_then(whole);
        let replicas = value.get("dp_replicate_size").and_then(whole).unwrap_or(1);
        hybrid(findings, replicas, "dp_replicate_size");
        let tensor = value.get("tensor_parallel_size").and_then(whole).unwrap_or(1);
        if let Some(shard) = shard {
            let gpus = shard.saturating_mul(replicas).saturating_mul(tensor);
            findings.set(
                Id::NumGpus,
                gpus,
                "dp_shard_size x dp_replicate_size x tensor_parallel_size",
            );
        }
    } else if let Some(block) = value.get("deepspeed") {
        match block.as_object() {
            Some(_) => {
                deepspeed(findings, block);
                findings.forget(Id::PrecisionMode);
            }
            None => {
                findings.set(Id::EngineType, "deepspeed", format!("deepspeed: {}", text(block)));
                let path = text(block);
                let stage = ["zero1", "zero2", "zero3"]
                    .iter()
                    .position(|name| path.contains(name));
                if let Some(stage) = stage {
                    findings.set(Id::ZeroStage, stage as u64 + 1, path);
                }
                findings.assume(
                    "The settings of DeepSpeed are in the file that deepspeed names: import that file, too.",
                );
            }
        }
    }
    findings.assume("The number of GPUs is that of the launch command, where nothing above says it.");
}

fn adapter(findings: &mut Findings, value: &Value) {
    let kind = value.get("adapter").map(text).unwrap_or_default();
    let on = |key: &str| value.get(key).and_then(truth) == Some(true);
    if !matches!(kind.as_str(), "lora" | "qlora") {
        return;
    }
    let dora = on("peft_use_dora");
    findings.set(
        Id::Adapter,
        if dora { "dora" } else { "lora" },
        format!("adapter: {kind}"),
    );
    let double = value
        .pointer("/bnb_config_kwargs/bnb_4bit_use_double_quant")
        .and_then(truth)
        != Some(false);
    if on("load_in_4bit") || kind == "qlora" {
        findings.set(
            Id::BaseFormat,
            if double { "nf4_double" } else { "nf4" },
            "load_in_4bit",
        );
    } else if on("load_in_8bit") {
        findings.set(Id::BaseFormat, "int8", "load_in_8bit");
    }
    if on("lora_target_linear") {
        findings.set(Id::LoraTargets, "all_linear", "lora_target_linear: true");
    } else if let Some(modules) = value.get("lora_target_modules") {
        super::trainer::modules(findings, modules);
    }
    if let Some(saved) = value.get("lora_modules_to_save") {
        super::trainer::saved(findings, saved);
    }
    if value.get("peft_autocast_adapter_dtype").and_then(truth) == Some(false) {
        let dtype = findings.request.get(Id::Dtype).cloned();
        if let Some(dtype) = dtype {
            findings.set(Id::AdapterDtype, dtype, "peft_autocast_adapter_dtype: false");
        }
    }
}
