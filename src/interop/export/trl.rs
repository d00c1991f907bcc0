//! TRL's YAML for `trl sft` and `trl dpo`: its own fields above those of `TrainingArguments`.
//! Source: huggingface/trl 1.16.0 `trainer/sft_config.py`, `trainer/dpo_config.py`, `trainer/model_config.py`.

use serde_json::{Map, Value, json};

use super::Body;
use super::common::{attention, has_adapter, lora_modules, modules_to_save, put, recipe};
use super::sheet::Sheet;
use super::trainer;
use crate::request::InputId;

pub(super) fn write(sheet: &mut Sheet<'_>) -> Body {
    let mut root = Map::new();
    let recipe = recipe(sheet);
    let preference = sheet.among(InputId::Objective, &["next_token", "preference"]) == Some("preference");
    put(&mut root, "model_name_or_path", sheet.model());
    put(&mut root, "dtype", recipe.weights());
    if let Some(kernel) = attention(sheet) {
        put(&mut root, "attn_implementation", kernel);
    }
    put(
        &mut root,
        "dataset_name",
        if preference {
            "trl-lib/ultrafeedback_binarized"
        } else {
            "trl-lib/Capybara"
        },
    );
    put(&mut root, "max_length", sheet.integer(InputId::SeqLength));
    layout(sheet, preference, &mut root);
    if sheet.among(InputId::ActivationOffload, &["none", "pinned"]) == Some("pinned") {
        put(&mut root, "activation_offloading", true);
    }
    if !preference {
        put(&mut root, "loss_type", loss(sheet));
    }
    if preference && sheet.typed(InputId::LogProbabilities) {
        sheet.note("TRL computes log-probabilities row by row.");
    }
    if has_adapter(sheet) {
        adapter(sheet, &mut root);
    }
    trainer::arguments(sheet, recipe, &mut root);
    sheet.note("The data set is a placeholder.");
    trainer::launch(sheet, "-m trl.scripts.sft, or accelerate launch");
    Body::Yaml(Value::Object(root))
}

/// The loss of supervised training: TRL's chunks are its own.
fn loss(sheet: &mut Sheet<'_>) -> &'static str {
    match sheet.peek_word(InputId::Loss) {
        "chunked" => {
            sheet.tell(&[InputId::Loss]);
            "chunked_nll"
        }
        _ => {
            sheet.among(InputId::Loss, &["plain"]);
            "nll"
        }
    }
}

fn layout(sheet: &mut Sheet<'_>, preference: bool, root: &mut Map<String, Value>) {
    let layout = sheet.peek_word(InputId::BatchLayout);
    if preference {
        put(root, "beta", 0.1);
        put(root, "padding_free", layout == "padding_free");
        if sheet
            .among(InputId::BatchLayout, &["padded", "padding_free"])
            .is_none()
        {
            sheet.note("Preference training of TRL pads its rows (training.batch_layout).");
        }
        return;
    }
    sheet.tell(&[InputId::BatchLayout]);
    put(root, "packing", layout == "packed");
    put(root, "padding_free", layout == "padding_free");
    if layout == "packed" {
        // Rows cut to one length, as the calculation has them.
        put(root, "packing_strategy", "wrapped");
    }
}

fn adapter(sheet: &mut Sheet<'_>, root: &mut Map<String, Value>) {
    put(root, "use_peft", true);
    put(root, "lora_r", sheet.integer(InputId::LoraRank).unwrap_or(16));
    put(
        root,
        "lora_dropout",
        sheet.number(InputId::LoraDropout).unwrap_or(0.0),
    );
    let modules = match lora_modules(sheet) {
        Value::String(word) => json!([word]),
        list => list,
    };
    put(root, "lora_target_modules", modules);
    let saved = modules_to_save(sheet);
    if !saved.is_empty() {
        put(root, "lora_modules_to_save", json!(saved));
    }
    put(root, "use_dora", sheet.word(InputId::Adapter) == "dora");
    match sheet.among(InputId::BaseFormat, &["plain", "nf4", "nf4_double", "int8"]) {
        Some("int8") => put(root, "load_in_8bit", true),
        Some("plain") | None => {}
        Some(kind) => {
            put(root, "load_in_4bit", true);
            put(root, "bnb_4bit_quant_type", "nf4");
            put(root, "use_bnb_nested_quant", kind == "nf4_double");
        }
    }
}
