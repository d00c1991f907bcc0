//! What several training exporters have in common: types, recomputation, names of optimizers, batch sizes.

use serde_json::{Map, Value, json};

use super::sheet::Sheet;
use crate::request::{EngineId, InputId};

/// Where fp32 copies are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipe {
    /// Everything in fp32, products in TF32 where the flag is set.
    Full {
        /// Shorter mantissas in products.
        tf32: bool,
    },
    /// Weights and states in fp32, arithmetic in 16 bits: autocast, FSDP's policy or DeepSpeed's master weights.
    Mixed(&'static str),
    /// Everything in 16 bits.
    Pure(&'static str),
}

/// The recipe, told.
pub fn recipe(sheet: &mut Sheet<'_>) -> Recipe {
    let word = match sheet.word(InputId::Dtype) {
        "fp32" => return Recipe::Full { tf32: false },
        "tf32" => return Recipe::Full { tf32: true },
        "fp16" => "fp16",
        _ => "bf16",
    };
    match sheet.word(InputId::PrecisionMode) {
        "pure" => Recipe::Pure(word),
        _ => Recipe::Mixed(word),
    }
}

impl Recipe {
    /// The word of frameworks that know `no`, `fp16` and `bf16`.
    pub const fn mixed_precision(self) -> &'static str {
        match self {
            Self::Mixed(word) => word,
            Self::Full { .. } | Self::Pure(_) => "no",
        }
    }

    /// torch's name of the type in which weights are loaded.
    pub fn weights(self) -> &'static str {
        match self {
            Self::Pure("fp16") => "float16",
            Self::Pure(_) => "bfloat16",
            Self::Full { .. } | Self::Mixed(_) => "float32",
        }
    }

    /// torch's name of the type of the arithmetic.
    pub fn compute(self) -> &'static str {
        match self {
            Self::Full { .. } => "float32",
            Self::Mixed("fp16") | Self::Pure("fp16") => "float16",
            Self::Mixed(_) | Self::Pure(_) => "bfloat16",
        }
    }
}

/// A note for files that cannot say in which type weights are loaded.
pub fn note_pure(sheet: &mut Sheet<'_>, recipe: Recipe) {
    if let Recipe::Pure(_) = recipe {
        sheet.note(format!(
            "Pure {} (training.precision_mode, training.dtype): load the model with dtype=\"{}\"; this file cannot say so.",
            recipe.compute(),
            recipe.weights()
        ));
    }
    if recipe == (Recipe::Full { tf32: true }) {
        sheet.note(
            "TF32 products (training.dtype): set torch.backends.cuda.matmul.allow_tf32 = True in the script.",
        );
    }
}

/// The name of the optimizer in transformers' `TrainingArguments`, where it has one; only then it is told.
pub fn trainer_optimizer(sheet: &mut Sheet<'_>) -> Option<&'static str> {
    let fused = sheet.facts().fused_optimizer;
    let name = match sheet.peek_word(InputId::Optimizer) {
        "adamw" => {
            // Its two names are the two implementations; a plain loop has none.
            sheet.among(InputId::OptimizerImplementation, &["fused", "foreach"]);
            if fused { "adamw_torch_fused" } else { "adamw_torch" }
        }
        "sgd" => {
            match sheet.peek(InputId::Momentum).and_then(Value::as_f64) {
                Some(momentum) if momentum > 0.0 => sheet.note(format!(
                    "SGD of the Trainer has no momentum, the calculation assumes {momentum} (training.momentum): pass an optimizer with momentum to the Trainer."
                )),
                _ => {}
            }
            sheet.tell(&[InputId::Momentum]);
            "sgd"
        }
        "adamw_8bit" => "adamw_bnb_8bit",
        "paged_adamw_32bit" => "paged_adamw_32bit",
        "paged_adamw_8bit" => "paged_adamw_8bit",
        "adafactor_transformers" => "adafactor",
        "lion" => "lion_32bit",
        "lion_8bit" => "lion_8bit",
        "paged_lion_8bit" => "paged_lion_8bit",
        "paged_lion_32bit" => "paged_lion_32bit",
        "ademamix" => "ademamix",
        "ademamix_8bit" => "ademamix_8bit",
        "paged_ademamix" => "paged_ademamix_32bit",
        "paged_ademamix_8bit" => "paged_ademamix_8bit",
        "adamw_8bit_torchao" => "adamw_torch_8bit",
        "adamw_4bit_torchao" => "adamw_torch_4bit",
        "galore" if sheet.peek_toggle(InputId::OptimizerInBackward) => {
            sheet.tell(&[InputId::OptimizerInBackward]);
            "galore_adamw_layerwise"
        }
        "galore" => "galore_adamw",
        "schedule_free" => "schedule_free_adamw",
        _ => return None,
    };
    sheet.tell(&[InputId::Optimizer]);
    Some(name)
}

/// Whether all layers are recomputed; other kinds are left to the notes.
pub fn full_recomputation(sheet: &mut Sheet<'_>) -> bool {
    sheet.among(InputId::ActivationCheckpointing, &["none", "full"]) == Some("full")
}

/// transformers' name of the attention kernel, where the choice of ours is one.
pub fn attention(sheet: &mut Sheet<'_>) -> Option<&'static str> {
    match sheet.among(InputId::Attention, &["fused", "flash_attention", "eager"])? {
        "fused" => Some("sdpa"),
        "flash_attention" => Some("flash_attention_2"),
        _ => Some("eager"),
    }
}

/// Whether FSDP frees gathered weights after the forward pass. A number of ranks has no place in files.
pub fn reshards(sheet: &mut Sheet<'_>) -> bool {
    let strategy = sheet.word(InputId::ShardingStrategy);
    match sheet.value(InputId::ReshardAfterForward).and_then(Value::as_bool) {
        Some(reshards) => reshards,
        None => matches!(strategy, "full_shard" | "hybrid_shard"),
    }
}

/// Ranks that share the states, and copies of them: FSDP's two dimensions.
pub fn shard_and_replicate(sheet: &mut Sheet<'_>) -> (u64, u64) {
    let facts = sheet.facts();
    let hybrid = sheet.peek_word(InputId::ShardingStrategy).starts_with("hybrid");
    let replicas = if hybrid { facts.nodes.max(1) } else { 1 };
    (
        facts.data_parallel.checked_div(replicas).unwrap_or(1).max(1),
        replicas,
    )
}

/// How many sequences one step takes, over all replicas.
pub fn global_batch(sheet: &mut Sheet<'_>) -> u64 {
    let micro = sheet.integer(InputId::BatchSize).unwrap_or(1);
    let accumulation = sheet.integer(InputId::GradientAccumulationSteps).unwrap_or(1);
    micro
        .saturating_mul(accumulation)
        .saturating_mul(sheet.facts().data_parallel)
}

/// Counts of machines and GPUs, told.
pub fn machines(sheet: &mut Sheet<'_>) -> (u64, u64) {
    sheet.tell(&[
        InputId::NumGpus,
        InputId::NumNodes,
        InputId::GpusPerNode,
        InputId::DataParallelSize,
    ]);
    (sheet.facts().nodes, sheet.facts().gpus_per_node())
}

/// The modules beside which PEFT puts adapters, by the names of Llama-like models.
pub fn lora_modules(sheet: &mut Sheet<'_>) -> Value {
    let modules: &[&str] = match sheet.word(InputId::LoraTargets) {
        "query_value" => &["q_proj", "v_proj"],
        "attention" => &["q_proj", "k_proj", "v_proj", "o_proj"],
        "mlp" => &["gate_proj", "up_proj", "down_proj"],
        _ => return json!("all-linear"),
    };
    sheet.note("Names of adapted modules are those of Llama-like models.");
    json!(modules)
}

/// Modules that train in full beside adapters.
pub fn modules_to_save(sheet: &mut Sheet<'_>) -> Vec<&'static str> {
    match sheet.word(InputId::ModulesToSave) {
        "embedding" => vec!["embed_tokens"],
        "head" => vec!["lm_head"],
        "embedding_head" => vec!["embed_tokens", "lm_head"],
        _ => Vec::new(),
    }
}

/// Whether the question trains adapters.
pub fn has_adapter(sheet: &Sheet<'_>) -> bool {
    matches!(sheet.peek_word(InputId::Adapter), "lora" | "dora")
}

/// Puts a value into a mapping.
pub fn put(map: &mut Map<String, Value>, key: &str, value: impl Into<Value>) {
    map.insert(key.to_owned(), value.into());
}

/// Whether the engine is FSDP of the first version.
pub fn is_first_fsdp(sheet: &Sheet<'_>) -> bool {
    sheet.trainer() == EngineId::Fsdp && sheet.peek_word(InputId::FsdpVersion) == "1"
}

/// The five strategies as the first FSDP spells them.
pub fn strategy(sheet: &mut Sheet<'_>) -> &'static str {
    match sheet.word(InputId::ShardingStrategy) {
        "shard_grad_op" => "SHARD_GRAD_OP",
        "no_shard" => "NO_SHARD",
        "hybrid_shard" => "HYBRID_SHARD",
        "hybrid_shard_zero2" => "HYBRID_SHARD_ZERO2",
        _ => "FULL_SHARD",
    }
}

/// Accelerate, and all that runs on it, reduces FSDP's gradients in the compute type; what is asked otherwise is said.
pub fn reduction(sheet: &mut Sheet<'_>, recipe: Recipe, who: &str) {
    let compute = recipe.mixed_precision();
    let asked = match sheet.peek_word(InputId::ReduceDtype) {
        "" => "fp32",
        word => word,
    };
    if compute == "no" {
        return;
    }
    sheet.tell(&[InputId::ReduceDtype]);
    if asked != compute {
        sheet.note(format!(
            "{who} reduces FSDP's gradients in {compute}; the calculation assumes {asked} (engine.reduce_dtype). Set it to {compute} to see that memory, or pass a policy of your own."
        ));
    }
}
