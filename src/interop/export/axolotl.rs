//! Axolotl's YAML. Source: axolotl-ai-cloud/axolotl 0.19.0 `utils/schemas/config.py`, `training.py`, `fsdp.py`, `peft.py`,
//! `validation.py`.

use serde_json::{Map, Value, json};

use super::Body;
use super::common::{
    Recipe, attention, full_recomputation, has_adapter, is_first_fsdp, machines, modules_to_save, put,
    recipe, reduction, reshards, shard_and_replicate, trainer_optimizer,
};
use super::sheet::Sheet;
use super::{deepspeed, layers};
use crate::request::{EngineId, InputId};

pub(super) fn write(sheet: &mut Sheet<'_>) -> Body {
    let mut root = Map::new();
    let recipe = recipe(sheet);
    let preference = sheet.among(InputId::Objective, &["next_token", "preference"]) == Some("preference");
    put(&mut root, "base_model", sheet.model());
    put(&mut root, "model_type", "AutoModelForCausalLM");
    put(&mut root, "tokenizer_type", "AutoTokenizer");
    if preference {
        put(&mut root, "rl", "dpo");
        put(
            &mut root,
            "datasets",
            json!([{"path": "trl-lib/ultrafeedback_binarized", "type": "chatml.intel", "split": "train"}]),
        );
    } else {
        put(
            &mut root,
            "datasets",
            json!([{"path": "trl-lib/Capybara", "type": "chat_template"}]),
        );
    }
    put(&mut root, "val_set_size", if preference { 0.0 } else { 0.1 });
    put(&mut root, "output_dir", "./output");
    put(&mut root, "sequence_len", sheet.integer(InputId::SeqLength));
    layout(sheet, preference, &mut root);
    batches(sheet, &mut root);
    types(sheet, recipe, &mut root);
    optimizer(sheet, &mut root);
    activations(sheet, &mut root);
    if has_adapter(sheet) {
        adapter(sheet, &mut root);
    }
    for (key, value) in [
        ("logging_steps", 10),
        ("save_steps", 100),
        ("eval_steps", 100),
        ("save_total_limit", 2),
    ] {
        if !(preference && key == "eval_steps") {
            put(&mut root, key, value);
        }
    }
    match sheet.trainer() {
        EngineId::Fsdp => {
            fsdp(sheet, &mut root);
            reduction(sheet, recipe, "Axolotl");
        }
        EngineId::Deepspeed => {
            let mut config = deepspeed::config(sheet, recipe);
            for key in ["optimizer", "scheduler"] {
                config.remove(key);
            }
            put(&mut config, "zero_allow_untested_optimizer", true);
            put(&mut root, "deepspeed", config);
        }
        _ => {}
    }
    let (nodes, each) = machines(sheet);
    sheet.note("Data sets are placeholders; special tokens are left to the tokenizer.");
    sheet.note(format!(
        "Machines are no part of the file: axolotl train axolotl.yaml --launcher torchrun -- --nnodes {nodes} --nproc_per_node {each}"
    ));
    Body::Yaml(Value::Object(root))
}

fn layout(sheet: &mut Sheet<'_>, preference: bool, root: &mut Map<String, Value>) {
    if preference {
        sheet.among(InputId::BatchLayout, &["padded"]);
        return;
    }
    match sheet.word(InputId::BatchLayout) {
        "packed" => {
            put(root, "sample_packing", true);
            put(root, "eval_sample_packing", false);
            put(root, "pad_to_sequence_len", true);
            put(root, "remove_unused_columns", false);
        }
        "padding_free" => {
            put(root, "sample_packing", false);
            put(root, "batch_flattening", true);
        }
        _ => put(root, "sample_packing", false),
    }
}

fn batches(sheet: &mut Sheet<'_>, root: &mut Map<String, Value>) {
    put(
        root,
        "gradient_accumulation_steps",
        sheet.integer(InputId::GradientAccumulationSteps).unwrap_or(1),
    );
    put(
        root,
        "micro_batch_size",
        sheet.integer(InputId::BatchSize).unwrap_or(1),
    );
    if sheet.among(InputId::Evaluation, &["none", "loss"]) == Some("loss") {
        let batch = sheet.integer(InputId::EvaluationBatchSize);
        let batch = batch.or(sheet.peek_integer(InputId::BatchSize)).unwrap_or(1);
        put(root, "eval_batch_size", batch);
    }
    put(root, "num_epochs", 3);
    put(
        root,
        "learning_rate",
        sheet.number(InputId::LearningRate).unwrap_or(2e-4),
    );
    put(root, "lr_scheduler", "cosine");
    if sheet.typed(InputId::WarmupSteps) {
        put(root, "warmup_steps", sheet.integer(InputId::WarmupSteps));
    } else {
        put(root, "warmup_ratio", 0.03);
    }
    put(
        root,
        "weight_decay",
        sheet.number(InputId::WeightDecay).unwrap_or(0.0),
    );
    put(
        root,
        "max_grad_norm",
        sheet.number(InputId::GradientClipping).unwrap_or(1.0),
    );
}

fn types(sheet: &mut Sheet<'_>, recipe: Recipe, root: &mut Map<String, Value>) {
    match recipe {
        // bf16 and fp16 are autocast over weights that are loaded in that type; the next two are no autocast.
        Recipe::Mixed("fp16") => put(root, "fp16", true),
        Recipe::Mixed(_) => {
            put(root, "bf16", true);
            put(root, "fp16", false);
        }
        Recipe::Pure("fp16") => put(root, "float16", true),
        Recipe::Pure(_) => put(root, "bfloat16", true),
        Recipe::Full { .. } => {
            put(root, "bf16", false);
            put(root, "fp16", false);
        }
    }
    put(root, "tf32", recipe == Recipe::Full { tf32: true });
    if matches!(recipe, Recipe::Mixed(_)) && sheet.trainer() != EngineId::Deepspeed && !has_adapter(sheet) {
        sheet.note(
            "Axolotl loads weights in the compute type where bf16 or fp16 is set; the calculation keeps fp32 weights. Set training.precision_mode to pure to see that memory.",
        );
    }
}

fn optimizer(sheet: &mut Sheet<'_>, root: &mut Map<String, Value>) {
    let own = match sheet.peek_word(InputId::Optimizer) {
        "muon" => Some("muon"),
        "adamw_8bit_torchao" => Some("ao_adamw_8bit"),
        "adamw_4bit_torchao" => Some("ao_adamw_4bit"),
        "adamw_fp8_torchao" => Some("ao_adamw_fp8"),
        _ => None,
    };
    if let Some(name) = own {
        sheet.tell(&[InputId::Optimizer]);
        put(root, "optimizer", name);
        return;
    }
    match trainer_optimizer(sheet) {
        Some(name) => {
            put(root, "optimizer", name);
            if name.starts_with("galore") {
                let rank = sheet.integer(InputId::GaloreRank).unwrap_or(128);
                put(root, "optim_args", json!({"rank": rank}));
                put(root, "optim_target_modules", json!(["self_attn", "mlp"]));
            }
        }
        None => sheet.note("Axolotl has no name for this optimizer; its default would run."),
    }
}

fn activations(sheet: &mut Sheet<'_>, root: &mut Map<String, Value>) {
    let full = full_recomputation(sheet);
    let fsdp = sheet.trainer() == EngineId::Fsdp;
    if !fsdp {
        put(root, "gradient_checkpointing", full);
        if full {
            sheet.tell(&[InputId::CheckpointReentrant]);
            let kwargs = json!({"use_reentrant": sheet.facts().reentrant});
            put(root, "gradient_checkpointing_kwargs", kwargs);
        }
    }
    if sheet.among(InputId::ActivationOffload, &["none", "pinned"]) == Some("pinned") {
        put(root, "activation_offloading", true);
    }
    let flattened = sheet.peek_word(InputId::BatchLayout) == "padding_free";
    if let Some(kernel) = attention(sheet) {
        if flattened && kernel == "sdpa" {
            sheet.note("Rows without padding need a kernel that knows where each sequence ends: flash-attn (training.attention).");
            put(root, "attn_implementation", "flash_attention_2");
        } else {
            put(root, "attn_implementation", kernel);
        }
    }
    if sheet.among(InputId::Compile, &["none"]).is_none() {
        put(root, "torch_compile", true);
        sheet.note("torch_compile compiles the model as one, not layer by layer.");
    }
    let liger = sheet.peek_word(InputId::FusedKernels) == "liger";
    let fused = sheet.peek_word(InputId::Loss) == "fused";
    if liger || fused {
        sheet.among(InputId::FusedKernels, &["liger", "none"]);
        sheet.among(InputId::Loss, &["fused", "plain"]);
        put(root, "plugins", json!(["axolotl.integrations.liger.LigerPlugin"]));
        put(root, "liger_rope", liger);
        put(root, "liger_rms_norm", liger);
        put(root, "liger_glu_activation", liger);
        put(root, "liger_fused_linear_cross_entropy", fused);
    } else if sheet.among(InputId::Loss, &["plain", "chunked"]) == Some("chunked") {
        put(root, "chunked_cross_entropy", true);
        put(
            root,
            "chunked_cross_entropy_num_chunks",
            sheet.integer(InputId::LossChunks).unwrap_or(8),
        );
    }
}

fn adapter(sheet: &mut Sheet<'_>, root: &mut Map<String, Value>) {
    let format = sheet.among(InputId::BaseFormat, &["plain", "nf4", "nf4_double", "int8"]);
    let four = matches!(format, Some("nf4" | "nf4_double"));
    put(root, "adapter", if four { "qlora" } else { "lora" });
    put(root, "load_in_4bit", four);
    put(root, "load_in_8bit", format == Some("int8"));
    if format == Some("nf4") {
        let config = json!({"bnb_4bit_use_double_quant": false});
        put(root, "bnb_config_kwargs", config);
    }
    put(root, "lora_r", sheet.integer(InputId::LoraRank).unwrap_or(16));
    put(root, "lora_alpha", 32);
    put(
        root,
        "lora_dropout",
        sheet.number(InputId::LoraDropout).unwrap_or(0.0),
    );
    match sheet.word(InputId::LoraTargets) {
        "query_value" => put(root, "lora_target_modules", json!(["q_proj", "v_proj"])),
        "attention" => put(
            root,
            "lora_target_modules",
            json!(["q_proj", "k_proj", "v_proj", "o_proj"]),
        ),
        "mlp" => put(
            root,
            "lora_target_modules",
            json!(["gate_proj", "up_proj", "down_proj"]),
        ),
        _ => put(root, "lora_target_linear", true),
    }
    let saved = modules_to_save(sheet);
    if !saved.is_empty() {
        put(root, "lora_modules_to_save", json!(saved));
    }
    put(root, "peft_use_dora", sheet.word(InputId::Adapter) == "dora");
    match sheet.word(InputId::AdapterDtype) {
        "fp32" => put(root, "peft_autocast_adapter_dtype", true),
        _ => put(root, "peft_autocast_adapter_dtype", false),
    }
}

fn fsdp(sheet: &mut Sheet<'_>, root: &mut Map<String, Value>) {
    if is_first_fsdp(sheet) {
        sheet.note("Axolotl drops FSDP version 1 (engine.fsdp_version): the export is for version 2.");
    }
    sheet.tell(&[InputId::FsdpVersion]);
    put(root, "fsdp_version", 2);
    let mut config = Map::new();
    put(&mut config, "reshard_after_forward", reshards(sheet));
    let offload = sheet.among(InputId::FsdpCpuOffload, &["none", "pinned", "pageable"]);
    put(
        &mut config,
        "offload_params",
        matches!(offload, Some("pinned" | "pageable")),
    );
    if let Some(word) = offload.filter(|word| *word != "none") {
        put(&mut config, "cpu_offload_pin_memory", word == "pinned");
    }
    put(&mut config, "auto_wrap_policy", "TRANSFORMER_BASED_WRAP");
    match layers::class(&sheet.facts().network.model_type) {
        Some(class) => put(&mut config, "transformer_layer_cls_to_wrap", class),
        None => {
            sheet.note("The class of the layers is not known: name it in transformer_layer_cls_to_wrap.");
        }
    }
    put(&mut config, "cpu_ram_efficient_loading", true);
    let saves = sheet.among(InputId::CheckpointSave, &["none", "sharded", "full"]);
    let kind = if saves == Some("full") {
        "FULL_STATE_DICT"
    } else {
        "SHARDED_STATE_DICT"
    };
    put(&mut config, "state_dict_type", kind);
    put(&mut config, "activation_checkpointing", full_recomputation(sheet));
    put(root, "fsdp_config", config);
    let (shard, replicate) = shard_and_replicate(sheet);
    put(root, "dp_shard_size", shard);
    if replicate > 1 {
        put(root, "dp_replicate_size", replicate);
    }
    sheet.tell(&[InputId::DataParallelSize]);
    let tensor = sheet.integer(InputId::TensorParallelSize).unwrap_or(1);
    if tensor > 1 {
        put(root, "tensor_parallel_size", tensor);
    }
}
