//! DeepSpeed's JSON. Keys and ranges: deepspeedai/DeepSpeed 0.19.8 `runtime/config.py`, `runtime/zero/config.py`,
//! `runtime/zero/offload_config.py`.

use serde_json::{Map, Value, json};

use super::Body;
use super::common::{Recipe, global_batch, note_pure, put, recipe};
use super::sheet::Sheet;
use crate::request::InputId;

pub(super) fn write(sheet: &mut Sheet<'_>) -> Body {
    sheet.note("Recomputation, attention kernel, loss and sequence length belong to the training script.");
    let recipe = recipe(sheet);
    note_pure(sheet, recipe);
    Body::Json(Value::Object(config(sheet, recipe)))
}

/// The configuration; also inside those of frameworks that run DeepSpeed.
pub(super) fn config(sheet: &mut Sheet<'_>, recipe: Recipe) -> Map<String, Value> {
    let mut root = Map::new();
    put(&mut root, "train_batch_size", global_batch(sheet));
    put(
        &mut root,
        "train_micro_batch_size_per_gpu",
        sheet.integer(InputId::BatchSize).unwrap_or(1),
    );
    put(
        &mut root,
        "gradient_accumulation_steps",
        sheet.integer(InputId::GradientAccumulationSteps).unwrap_or(1),
    );
    put(&mut root, "steps_per_print", 100);
    put(&mut root, "prescale_gradients", false);
    put(
        &mut root,
        "gradient_clipping",
        sheet.number(InputId::GradientClipping).unwrap_or(1.0),
    );
    types(sheet, recipe, &mut root);
    optimizer(sheet, &mut root);
    put(&mut root, "zero_optimization", zero(sheet));
    root
}

/// The blocks of types: master weights in fp32, everything in bf16, or DeepSpeed's own autocast over fp32 weights.
fn types(sheet: &Sheet<'_>, recipe: Recipe, root: &mut Map<String, Value>) {
    let narrow = recipe.compute();
    let autocast = narrow != "float32" && sheet.peek_word(InputId::PrecisionMode) == "autocast";
    let mut block = json!({"enabled": narrow == "bfloat16" && !autocast});
    if let (Recipe::Pure("bf16"), Some(fields)) = (recipe, block.as_object_mut()) {
        fields.insert("bf16_master_weights_and_grads".into(), true.into());
        fields.insert("bf16_optimizer_states".into(), true.into());
    }
    put(root, "bf16", block);
    put(root, "fp16", json!({"enabled": narrow == "float16" && !autocast}));
    if autocast {
        put(root, "torch_autocast", json!({"enabled": true, "dtype": narrow}));
    }
}

/// Only what DeepSpeed builds itself; every other optimizer comes from the script.
fn optimizer(sheet: &mut Sheet<'_>, root: &mut Map<String, Value>) {
    let rate = sheet.number(InputId::LearningRate).unwrap_or(1e-4);
    let name = match sheet.among(InputId::Optimizer, &["adamw", "adam"]) {
        Some("adam") => "Adam",
        Some(_) => "AdamW",
        None => {
            sheet.note(format!(
                "DeepSpeed does not build the optimizer {}: pass it to deepspeed.initialize.",
                sheet.peek_word(InputId::Optimizer)
            ));
            put(root, "zero_allow_untested_optimizer", true);
            return;
        }
    };
    let mut parameters = json!({
        "lr": rate,
        "betas": [0.9, 0.999],
        "eps": 1e-8,
        "weight_decay": sheet.number(InputId::WeightDecay).unwrap_or(0.01),
    });
    if let Some(fields) = parameters.as_object_mut().filter(|_| name == "Adam") {
        fields.insert("adam_w_mode".to_owned(), false.into());
    }
    put(root, "optimizer", json!({"type": name, "params": parameters}));
    let warmup = json!({
        "warmup_min_lr": 0.0,
        "warmup_max_lr": rate,
        "warmup_num_steps": sheet.integer(InputId::WarmupSteps).unwrap_or(2000),
    });
    put(root, "scheduler", json!({"type": "WarmupLR", "params": warmup}));
}

fn zero(sheet: &mut Sheet<'_>) -> Value {
    let stage = sheet.integer(InputId::ZeroStage).unwrap_or(0);
    let mut zero = Map::new();
    put(&mut zero, "stage", stage);
    if stage == 0 {
        return Value::Object(zero);
    }
    put(
        &mut zero,
        "contiguous_gradients",
        sheet.toggle(InputId::ContiguousGradients),
    );
    put(
        &mut zero,
        "reduce_bucket_size",
        sheet.integer(InputId::ReduceBucketSize),
    );
    put(
        &mut zero,
        "allgather_bucket_size",
        sheet.integer(InputId::AllgatherBucketSize),
    );
    let overlap = sheet.value(InputId::OverlapComm).and_then(Value::as_bool);
    put(&mut zero, "overlap_comm", overlap.unwrap_or(stage == 3));
    if let Some(mut block) = offload(sheet, InputId::OffloadOptimizer, 4) {
        if stage == 3 {
            put(&mut block, "ratio", sheet.number(InputId::OffloadRatio));
        }
        put(&mut zero, "offload_optimizer", block);
    }
    if stage < 3 {
        return Value::Object(zero);
    }
    if let Some(block) = offload(sheet, InputId::OffloadParam, 5) {
        put(&mut zero, "offload_param", block);
    }
    for (key, id) in [
        ("stage3_prefetch_bucket_size", InputId::PrefetchBucketSize),
        ("stage3_max_live_parameters", InputId::MaxLiveParameters),
        (
            "stage3_param_persistence_threshold",
            InputId::ParamPersistenceThreshold,
        ),
        ("zero_hpz_partition_size", InputId::HpzPartitionSize),
    ] {
        put(&mut zero, key, sheet.integer(id));
    }
    let whole = match sheet.among(InputId::CheckpointSave, &["none", "sharded", "full"]) {
        Some(kind) => kind == "full",
        None => false,
    };
    put(&mut zero, "stage3_gather_16bit_weights_on_model_save", whole);
    Value::Object(zero)
}

/// A block of an offload, where there is one.
fn offload(sheet: &mut Sheet<'_>, id: InputId, buffers: u64) -> Option<Map<String, Value>> {
    let device = sheet.word(id);
    if !matches!(device, "cpu" | "nvme") {
        return None;
    }
    let mut block = Map::new();
    put(&mut block, "device", device);
    put(&mut block, "pin_memory", true);
    if device == "nvme" {
        sheet.note("nvme_path is a placeholder: name a folder on a local disk.");
        put(&mut block, "nvme_path", "/local_nvme");
        put(&mut block, "buffer_count", buffers);
    }
    Some(block)
}
