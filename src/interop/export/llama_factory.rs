//! LLaMA-Factory's YAML: its own fields above those of `TrainingArguments`.
//! Source: hiyouga/LLaMA-Factory 0.9.5 `hparams/model_args.py`, `finetuning_args.py`, `data_args.py`.

use serde_json::{Map, Value};

use super::Body;
use super::common::{Recipe, has_adapter, note_pure, put, recipe};
use super::sheet::Sheet;
use super::trainer;
use crate::request::InputId;

pub(super) fn write(sheet: &mut Sheet<'_>) -> Body {
    let mut root = Map::new();
    let recipe = recipe(sheet);
    put(&mut root, "model_name_or_path", sheet.model());
    let preference = sheet.among(InputId::Objective, &["next_token", "preference"]) == Some("preference");
    put(&mut root, "stage", if preference { "dpo" } else { "sft" });
    put(&mut root, "do_train", true);
    if has_adapter(sheet) {
        adapter(sheet, &mut root);
    } else {
        put(&mut root, "finetuning_type", "full");
    }
    put(
        &mut root,
        "dataset",
        if preference { "dpo_en_demo" } else { "identity" },
    );
    put(&mut root, "template", "default");
    put(&mut root, "cutoff_len", sheet.integer(InputId::SeqLength));
    match sheet.among(InputId::BatchLayout, &["packed", "padded"]) {
        Some("packed") if !preference => put(&mut root, "packing", true),
        Some(_) => put(&mut root, "packing", false),
        None => {}
    }
    if let Some(word) = sheet.among(InputId::Attention, &["fused", "flash_attention", "eager"]) {
        let word = match word {
            "fused" => "sdpa",
            "flash_attention" => "fa2",
            _ => "disabled",
        };
        put(&mut root, "flash_attn", word);
    }
    if recipe == Recipe::Pure("bf16") {
        put(&mut root, "pure_bf16", true);
    } else {
        note_pure(sheet, recipe);
    }
    let muon = sheet.peek_word(InputId::Optimizer) == "muon";
    let galore = sheet.peek_word(InputId::Optimizer) == "galore";
    trainer::arguments(sheet, recipe, &mut root);
    if muon {
        sheet.tell(&[InputId::Optimizer]);
        put(&mut root, "use_muon", true);
    }
    if galore {
        for key in ["optim", "optim_args", "optim_target_modules"] {
            root.remove(key);
        }
        put(&mut root, "use_galore", true);
        put(
            &mut root,
            "galore_rank",
            sheet.integer(InputId::GaloreRank).unwrap_or(128),
        );
        put(
            &mut root,
            "galore_layerwise",
            sheet.toggle(InputId::OptimizerInBackward),
        );
    }
    // It has switches of its own for these two.
    if let Some(liger) = root.remove("use_liger_kernel") {
        root.remove("liger_kernel_config");
        put(&mut root, "enable_liger_kernel", liger);
        sheet.note(
            "Liger kernels are switched on as one here: norm, rotary, gated activation (training.fused_kernels) and the fused loss (training.loss).",
        );
    }
    if let Some(recomputes) = root.remove("gradient_checkpointing") {
        root.remove("gradient_checkpointing_kwargs");
        put(
            &mut root,
            "disable_gradient_checkpointing",
            recomputes != Value::Bool(true),
        );
        put(&mut root, "use_reentrant_gc", sheet.facts().reentrant);
    } else {
        put(&mut root, "disable_gradient_checkpointing", true);
    }
    sheet.note("Data set and template are placeholders.");
    trainer::launch(
        sheet,
        "$(which llamafactory-cli) train llama_factory.yaml, with FORCE_TORCHRUN=1",
    );
    Body::Yaml(Value::Object(root))
}

fn adapter(sheet: &mut Sheet<'_>, root: &mut Map<String, Value>) {
    put(root, "finetuning_type", "lora");
    put(root, "lora_rank", sheet.integer(InputId::LoraRank).unwrap_or(16));
    put(
        root,
        "lora_dropout",
        sheet.number(InputId::LoraDropout).unwrap_or(0.0),
    );
    let targets = match sheet.word(InputId::LoraTargets) {
        "query_value" => "q_proj,v_proj",
        "attention" => "q_proj,k_proj,v_proj,o_proj",
        "mlp" => "gate_proj,up_proj,down_proj",
        _ => "all",
    };
    put(root, "lora_target", targets);
    match sheet.word(InputId::ModulesToSave) {
        "embedding" => put(root, "additional_target", "embed_tokens"),
        "head" => put(root, "additional_target", "lm_head"),
        "embedding_head" => put(root, "additional_target", "embed_tokens,lm_head"),
        _ => {}
    }
    put(root, "use_dora", sheet.word(InputId::Adapter) == "dora");
    match sheet.among(InputId::BaseFormat, &["plain", "nf4", "nf4_double", "int8"]) {
        Some("int8") => {
            put(root, "quantization_method", "bnb");
            put(root, "quantization_bit", 8);
        }
        Some("plain") | None => {}
        Some(kind) => {
            put(root, "quantization_method", "bnb");
            put(root, "quantization_bit", 4);
            put(root, "quantization_type", "nf4");
            put(root, "double_quantization", kind == "nf4_double");
        }
    }
}
