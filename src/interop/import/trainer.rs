//! `TrainingArguments` of transformers, as YAML, JSON, flags or Python; TRL's and LLaMA-Factory's files, which hold them.

use serde_json::{Map, Value};

use super::accelerate::{fsdp, reduction};
use super::commands::Flag;
use super::deepspeed::deepspeed;
use super::findings::Findings;
use super::keys;
use super::mapping::Kind::{Model, Nothing, Number, Whole, Words};
use super::mapping::{DTYPES, Row, text, truth, whole};
use crate::request::InputId as Id;

const TABLE: &[Row] = &[
    (&["model_name_or_path", "model_name"], None, Model),
    (&["per_device_train_batch_size"], Some(Id::BatchSize), Whole),
    (
        &["gradient_accumulation_steps"],
        Some(Id::GradientAccumulationSteps),
        Whole,
    ),
    (
        &["max_length", "max_seq_length", "cutoff_len"],
        Some(Id::SeqLength),
        Whole,
    ),
    (&["max_grad_norm"], Some(Id::GradientClipping), Number),
    (&["learning_rate"], Some(Id::LearningRate), Number),
    (&["weight_decay"], Some(Id::WeightDecay), Number),
    (&["warmup_steps"], Some(Id::WarmupSteps), Whole),
    (&["lora_r", "lora_rank"], Some(Id::LoraRank), Whole),
    (&["lora_dropout"], Some(Id::LoraDropout), Number),
    (&["galore_rank"], Some(Id::GaloreRank), Whole),
    (
        &["galore_layerwise"],
        Some(Id::OptimizerInBackward),
        Words(&[("true", "true")]),
    ),
    (&["ddp_bucket_cap_mb"], Some(Id::BucketCapMb), Number),
    (
        &["activation_offloading"],
        Some(Id::ActivationOffload),
        Words(&[("true", "pinned"), ("false", "none")]),
    ),
    (
        &[
            "output_dir",
            "num_train_epochs",
            "max_steps",
            "lr_scheduler_type",
            "bf16",
            "fp16",
            "tf32",
            "optim",
            "optim_args",
            "optim_target_modules",
            "gradient_checkpointing",
            "gradient_checkpointing_kwargs",
            "torch_compile",
            "use_liger_kernel",
            "liger_kernel_config",
            "enable_liger_kernel",
            "eval_strategy",
            "eval_steps",
            "per_device_eval_batch_size",
            "prediction_loss_only",
            "save_strategy",
            "save_steps",
            "logging_steps",
            "fsdp",
            "fsdp_config",
            "deepspeed",
            "ddp_static_graph",
            "dtype",
            "torch_dtype",
            "attn_implementation",
            "dataset_name",
            "packing",
            "padding_free",
            "packing_strategy",
            "loss_type",
            "use_peft",
            "lora_target_modules",
            "lora_target",
            "lora_modules_to_save",
            "additional_target",
            "use_dora",
            "load_in_8bit",
            "load_in_4bit",
            "bnb_4bit_quant_type",
            "use_bnb_nested_quant",
            "stage",
            "do_train",
            "finetuning_type",
            "dataset",
            "template",
            "flash_attn",
            "pure_bf16",
            "quantization_method",
            "quantization_bit",
            "quantization_type",
            "double_quantization",
            "use_muon",
            "use_galore",
            "disable_gradient_checkpointing",
            "use_reentrant_gc",
            "report_to",
            "seed",
            "warmup_ratio",
            "lora_alpha",
            "save_total_limit",
            "evaluation_strategy",
            "do_eval",
            "overwrite_output_dir",
            "run_name",
            "logging_dir",
            "dataloader_num_workers",
            "remove_unused_columns",
            "push_to_hub",
            "group_by_length",
            "ddp_timeout",
            "plot_loss",
            "preprocessing_num_workers",
            "max_samples",
            "dataset_dir",
            "val_size",
            "save_only_model",
            "ddp_find_unused_parameters",
            "adam_beta1",
            "adam_beta2",
            "trust_remote_code",
            "overwrite_cache",
            "load_best_model_at_end",
            "metric_for_best_model",
            "eval_accumulation_steps",
            "hub_model_id",
            "beta",
        ],
        None,
        Nothing,
    ),
];

/// Arguments in a mapping.
pub fn arguments(findings: &mut Findings, value: &Value) {
    keys(findings, TABLE, value, &[]);
    let on = |key: &str| value.get(key).and_then(truth) == Some(true);
    let word = |key: &str| value.get(key).map(text).unwrap_or_default();
    let dtype = word("dtype") + &word("torch_dtype");
    let short = DTYPES
        .iter()
        .find(|(own, _)| *own == dtype)
        .map(|(_, ours)| *ours);
    types(
        findings,
        value,
        on("pure_bf16") || (short == Some("bf16") && !on("bf16")),
        short == Some("fp16") && !on("fp16"),
    );
    optimizer(findings, &word("optim"), value);
    attention(findings, value);
    recomputation(findings, value);
    kernels(findings, value);
    layout(findings, value);
    adapter(findings, value);
    if matches!(word("eval_strategy").as_str(), "steps" | "epoch") {
        findings.set(Id::Evaluation, "loss", "eval_strategy");
        if let Some(batch) = value.get("per_device_eval_batch_size").and_then(whole) {
            findings.set(Id::EvaluationBatchSize, batch, "per_device_eval_batch_size");
        }
    }
    if word("stage") == "dpo" || value.get("beta").is_some() && value.get("packing").is_none() {
        findings.set(Id::Objective, "preference", "preference training");
    }
    engine(findings, value);
}

fn engine(findings: &mut Findings, value: &Value) {
    let sharded = value.get("fsdp").is_some_and(|value| match value {
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        other => truth(other) == Some(true) && !other.is_null(),
    });
    if sharded {
        findings.set(Id::EngineType, "fsdp", "fsdp");
        let mut config = value.get("fsdp_config").cloned().unwrap_or_default();
        // The old way: words in the argument itself.
        if let (Some(words), Value::Null | Value::Object(_)) =
            (value.get("fsdp").and_then(Value::as_str), &config)
        {
            let mut fields = config.as_object().cloned().unwrap_or_default();
            let strategy = words.split([' ', ',']).find(|word| word.contains("shard"));
            if let Some(strategy) = strategy {
                fields.insert("sharding_strategy".to_owned(), strategy.into());
            }
            if words.contains("offload") {
                fields.insert("cpu_offload".to_owned(), true.into());
            }
            config = Value::Object(fields);
        }
        fsdp(findings, &config, "fsdp_");
        reduction(findings);
    } else if let Some(block) = value.get("deepspeed").filter(|block| !block.is_null()) {
        match block {
            Value::Object(_) => {
                let mut own = block.clone();
                // The Trainer decides over these; 'auto' stands for them as well.
                if let Some(fields) = own.as_object_mut() {
                    fields.retain(|_, value| value.as_str() != Some("auto"));
                }
                let dtype = findings.request.get(Id::Dtype).cloned();
                deepspeed(findings, &own);
                if let (Some(dtype), None) = (dtype, own.get("bf16").or(own.get("fp16"))) {
                    findings.set(Id::Dtype, dtype, "bf16, fp16");
                }
                findings.forget(Id::PrecisionMode);
            }
            other => {
                findings.set(Id::EngineType, "deepspeed", format!("deepspeed: {}", text(other)));
                findings.assume("The settings of DeepSpeed are in a file of their own: import it, too.");
            }
        }
    } else {
        findings.set(Id::EngineType, "pytorch_ddp", "neither fsdp nor deepspeed");
    }
    findings.assume("The number of GPUs is that of the launch command, where nothing above says it.");
}

/// Types of arithmetic and weights from the usual truth values.
pub fn types(findings: &mut Findings, value: &Value, pure_bf16: bool, pure_fp16: bool) {
    let on = |key: &str| value.get(key).and_then(truth) == Some(true);
    let sharded = value
        .get("fsdp")
        .is_some_and(|value| truth(value) != Some(false) && !value.is_null())
        || value.get("fsdp_config").is_some();
    let mixed = if sharded { "mixed" } else { "autocast" };
    if pure_bf16 || pure_fp16 {
        findings.set(
            Id::Dtype,
            if pure_bf16 { "bf16" } else { "fp16" },
            "dtype of the weights",
        );
        findings.set(Id::PrecisionMode, "pure", "weights in 16 bits without autocast");
    } else if on("bf16") || value.get("bf16").and_then(Value::as_str) == Some("auto") {
        findings.set(Id::Dtype, "bf16", "bf16");
        findings.set(Id::PrecisionMode, mixed, "bf16");
    } else if on("fp16") {
        findings.set(Id::Dtype, "fp16", "fp16");
        findings.set(Id::PrecisionMode, mixed, "fp16");
    } else if on("tf32") {
        findings.set(Id::Dtype, "tf32", "tf32: true");
    } else if value.get("tf32").is_some() || value.get("dtype").map(text).as_deref() == Some("float32") {
        findings.set(Id::Dtype, "fp32", "neither bf16 nor fp16");
    } else {
        findings.assume(
            "Neither bf16 nor fp16 is set: everything is in the type in which the script loads the model; the type in the form is kept.",
        );
    }
}

/// The optimizer by its name in the Trainer.
pub fn optimizer(findings: &mut Findings, name: &str, value: &Value) {
    let on = |key: &str| value.get(key).and_then(truth) == Some(true);
    if on("use_muon") {
        findings.set(Id::Optimizer, "muon", "use_muon: true");
        return;
    }
    if on("use_galore") {
        findings.set(Id::Optimizer, "galore", "use_galore: true");
        return;
    }
    let ours = match name {
        "" => return,
        "adamw_torch_fused" | "adamw_torch" => {
            let how = if name.ends_with("fused") {
                "fused"
            } else {
                "foreach"
            };
            findings.set(Id::OptimizerImplementation, how, name);
            "adamw"
        }
        "adamw_bnb_8bit" | "adamw_8bit" => "adamw_8bit",
        "paged_adamw_32bit" | "paged_adamw" => "paged_adamw_32bit",
        "paged_adamw_8bit" => "paged_adamw_8bit",
        "adafactor" => "adafactor_transformers",
        "lion_32bit" | "lion" => "lion",
        "lion_8bit" => "lion_8bit",
        "paged_lion_8bit" => "paged_lion_8bit",
        "paged_lion_32bit" | "paged_lion" => "paged_lion_32bit",
        "ademamix" => "ademamix",
        "ademamix_8bit" => "ademamix_8bit",
        "paged_ademamix_32bit" => "paged_ademamix",
        "paged_ademamix_8bit" => "paged_ademamix_8bit",
        "adamw_torch_8bit" | "ao_adamw_8bit" => "adamw_8bit_torchao",
        "adamw_torch_4bit" | "ao_adamw_4bit" => "adamw_4bit_torchao",
        "ao_adamw_fp8" => "adamw_fp8_torchao",
        "muon" => "muon",
        "sgd" => {
            findings.assume("SGD of the Trainer has no momentum.");
            findings.set(Id::Momentum, 0, "sgd of the Trainer");
            "sgd"
        }
        "schedule_free_adamw" => "schedule_free",
        "galore_adamw" | "galore_adamw_layerwise" => {
            if name.ends_with("layerwise") {
                findings.set(Id::OptimizerInBackward, true, name);
            }
            let rank = value
                .get("optim_args")
                .map(|arguments| match arguments.get("rank") {
                    Some(rank) => text(rank),
                    None => text(arguments).trim_start_matches("rank=").to_owned(),
                })
                .and_then(|rank| rank.parse::<u64>().ok());
            if let Some(rank) = rank {
                findings.set(Id::GaloreRank, rank, "optim_args");
            }
            "galore"
        }
        other => {
            findings.strange(format!("optimizer {other}"));
            return;
        }
    };
    findings.set(Id::Optimizer, ours, name);
}

/// The attention kernel under its names.
pub fn attention(findings: &mut Findings, value: &Value) {
    let on = |key: &str| value.get(key).and_then(truth) == Some(true);
    let word = value
        .get("attn_implementation")
        .or_else(|| value.get("flash_attn"))
        .map(text)
        .unwrap_or_default();
    let ours = match word.as_str() {
        "sdpa" => "fused",
        "flash_attention_2" | "flash_attention_3" | "fa2" | "fa3" => "flash_attention",
        "eager" | "disabled" => "eager",
        _ if on("flash_attention") => "flash_attention",
        _ if on("sdp_attention") => "fused",
        _ if on("eager_attention") => "eager",
        "" | "auto" => return,
        other => {
            findings.strange(format!("attention {other}"));
            return;
        }
    };
    findings.set(Id::Attention, ours, "attention kernel");
}

fn recomputation(findings: &mut Findings, value: &Value) {
    let on = |key: &str| value.get(key).and_then(truth) == Some(true);
    let off = value.get("disable_gradient_checkpointing").and_then(truth);
    if on("gradient_checkpointing") || off == Some(false) {
        findings.set(Id::ActivationCheckpointing, "full", "gradient_checkpointing");
        let reentrant = value
            .pointer("/gradient_checkpointing_kwargs/use_reentrant")
            .or_else(|| value.get("use_reentrant_gc"))
            .and_then(truth);
        if let Some(reentrant) = reentrant {
            findings.set(Id::CheckpointReentrant, reentrant, "use_reentrant");
        }
    }
}

fn kernels(findings: &mut Findings, value: &Value) {
    let on = |key: &str| value.get(key).and_then(truth) == Some(true);
    if on("enable_liger_kernel") {
        findings.set(Id::FusedKernels, "liger", "enable_liger_kernel: true");
        findings.set(Id::Loss, "fused", "enable_liger_kernel: true");
    } else if on("use_liger_kernel") {
        let part = |key: &str| {
            let part = value
                .get("liger_kernel_config")
                .and_then(|config| config.get(key));
            part.and_then(truth).unwrap_or(true)
        };
        if part("rms_norm") && part("swiglu") {
            findings.set(Id::FusedKernels, "liger", "use_liger_kernel: true");
        }
        if part("fused_linear_cross_entropy") {
            findings.set(Id::Loss, "fused", "use_liger_kernel: true");
        }
    }
    if on("torch_compile") {
        findings.set(Id::Compile, "model", "torch_compile: true");
    }
    if value.get("loss_type").map(text).as_deref() == Some("chunked_nll") {
        findings.set(Id::Loss, "chunked", "loss_type: chunked_nll");
    }
    if on("ddp_static_graph") {
        findings.set(Id::StaticGraph, true, "ddp_static_graph");
    }
}

fn layout(findings: &mut Findings, value: &Value) {
    let on = |key: &str| value.get(key).and_then(truth) == Some(true);
    if on("packing") {
        findings.set(Id::BatchLayout, "packed", "packing: true");
    } else if on("padding_free") {
        findings.set(Id::BatchLayout, "padding_free", "padding_free: true");
    } else if value.get("packing").is_some() || value.get("padding_free").is_some() {
        findings.set(Id::BatchLayout, "padded", "packing: false");
    }
}

fn adapter(findings: &mut Findings, value: &Value) {
    let on = |key: &str| value.get(key).and_then(truth) == Some(true);
    let lora = value.get("finetuning_type").map(text).as_deref() == Some("lora");
    if !on("use_peft") && !lora {
        return;
    }
    findings.set(
        Id::Adapter,
        if on("use_dora") { "dora" } else { "lora" },
        "adapter",
    );
    let four = on("load_in_4bit") || value.get("quantization_bit").and_then(whole) == Some(4);
    let eight = on("load_in_8bit") || value.get("quantization_bit").and_then(whole) == Some(8);
    // LLaMA-Factory quantises the scales as well unless that is switched off; TRL does not.
    let double = on("use_bnb_nested_quant")
        || (lora && value.get("double_quantization").and_then(truth) != Some(false));
    if four {
        findings.set(
            Id::BaseFormat,
            if double { "nf4_double" } else { "nf4" },
            "4 bits",
        );
    } else if eight {
        findings.set(Id::BaseFormat, "int8", "8 bits");
    }
    if let Some(list) = value
        .get("lora_target_modules")
        .or_else(|| value.get("lora_target"))
    {
        modules(findings, list);
    }
    if let Some(list) = value
        .get("lora_modules_to_save")
        .or_else(|| value.get("additional_target"))
    {
        saved(findings, list);
    }
}

/// Words of a list, or of a text with commas.
fn listed(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().map(text).collect(),
        other => text(other)
            .split(',')
            .map(|word| word.trim().to_owned())
            .collect(),
    }
}

/// The modules that have adapters.
pub fn modules(findings: &mut Findings, value: &Value) {
    let mut names = listed(value);
    names.sort();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let ours = match names.as_slice() {
        ["all-linear" | "all"] => "all_linear",
        ["q_proj", "v_proj"] => "query_value",
        ["k_proj", "o_proj", "q_proj", "v_proj"] => "attention",
        ["down_proj", "gate_proj", "up_proj"] => "mlp",
        [
            "down_proj",
            "gate_proj",
            "k_proj",
            "o_proj",
            "q_proj",
            "up_proj",
            "v_proj",
        ] => "all_linear",
        _ => {
            findings.strange(format!("adapters beside {}", names.join(", ")));
            return;
        }
    };
    findings.set(Id::LoraTargets, ours, "modules with adapters");
}

/// The modules that train in full.
pub fn saved(findings: &mut Findings, value: &Value) {
    let mut names = listed(value);
    names.sort();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let ours = match names.as_slice() {
        ["embed_tokens"] => "embedding",
        ["lm_head"] => "head",
        ["embed_tokens", "lm_head"] => "embedding_head",
        _ => {
            findings.strange(format!("modules that train in full: {}", names.join(", ")));
            return;
        }
    };
    findings.set(Id::ModulesToSave, ours, "modules that train in full");
}

/// Arguments as flags of a command.
pub fn flags(findings: &mut Findings, flags: &[Flag]) {
    let mut value = Map::new();
    for flag in flags {
        let name = flag.name.trim_start_matches('-').replace('-', "_");
        let given = match flag.values.first() {
            None => Value::Bool(true),
            Some(word) => serde_json::from_str(word).unwrap_or_else(|_| Value::from(word.as_str())),
        };
        let given = match given {
            Value::String(word) if word == "True" => Value::Bool(true),
            Value::String(word) if word == "False" => Value::Bool(false),
            other => other,
        };
        // Launchers stand before the script and have their own.
        match name.as_str() {
            "nproc_per_node" | "num_processes" => {
                if let Some(gpus) = whole(&given) {
                    findings.set(Id::NumGpus, gpus, flag.text());
                }
            }
            "nnodes" | "num_machines" | "node_rank" | "master_addr" | "master_port" | "config_file"
            | "machine_rank" | "rdzv_backend" | "rdzv_endpoint" | "standalone" => {}
            _ => drop(value.insert(name, given)),
        }
    }
    arguments(findings, &Value::Object(value));
}

/// Arguments as Python: `name=value` inside of a call.
pub fn python(findings: &mut Findings, script: &str) {
    let mut value = Map::new();
    for line in script.split([',', '\n', '(']) {
        let line = line.trim().trim_end_matches(')');
        let Some((name, given)) = line.split_once('=') else {
            continue;
        };
        let name = name.trim();
        if name.is_empty()
            || !name
                .chars()
                .all(|char| char.is_ascii_alphanumeric() || char == '_')
        {
            continue;
        }
        let given = given.trim().trim_matches(['"', '\'']);
        // The call itself: `args = TrainingArguments(`.
        if given.ends_with("Arguments") || given.ends_with("Config") {
            continue;
        }
        let read = match given {
            "True" => Value::Bool(true),
            "False" => Value::Bool(false),
            "None" => Value::Null,
            other => serde_json::from_str(&other.replace('_', ""))
                .ok()
                .filter(Value::is_number)
                .unwrap_or_else(|| Value::from(other)),
        };
        value.insert(name.to_owned(), read);
    }
    arguments(findings, &Value::Object(value));
}
