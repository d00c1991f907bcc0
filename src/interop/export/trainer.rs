//! `TrainingArguments` of transformers, as YAML for `HfArgumentParser.parse_yaml_file`; TRL and LLaMA-Factory read the same
//! names. Source: huggingface/transformers 5.23.0 `training_args.py`.

use serde_json::{Map, Value, json};

use super::Body;
use super::common::{
    Recipe, full_recomputation, is_first_fsdp, machines, note_pure, put, recipe, reduction, reshards,
    strategy, trainer_optimizer,
};
use super::sheet::Sheet;
use super::{deepspeed, layers};
use crate::request::{EngineId, InputId};

pub(super) fn write(sheet: &mut Sheet<'_>) -> Body {
    let recipe = recipe(sheet);
    note_pure(sheet, recipe);
    let mut root = Map::new();
    arguments(sheet, recipe, &mut root);
    sheet.note("Model, adapters, attention kernel and sequence length belong to the training script.");
    launch(sheet, "train.py");
    Body::Yaml(Value::Object(root))
}

/// How processes are started, which the arguments do not say.
pub(super) fn launch(sheet: &mut Sheet<'_>, script: &str) {
    let (nodes, each) = machines(sheet);
    if sheet.facts().gpus > 1 {
        sheet.note(format!(
            "Start it with torchrun --nnodes {nodes} --nproc_per_node {each} {script}."
        ));
    }
}

/// The arguments, with the settings of FSDP or DeepSpeed among them.
pub(super) fn arguments(sheet: &mut Sheet<'_>, recipe: Recipe, root: &mut Map<String, Value>) {
    put(root, "output_dir", "./output");
    put(
        root,
        "per_device_train_batch_size",
        sheet.integer(InputId::BatchSize).unwrap_or(1),
    );
    put(
        root,
        "gradient_accumulation_steps",
        sheet.integer(InputId::GradientAccumulationSteps).unwrap_or(1),
    );
    put(root, "num_train_epochs", 1);
    put(
        root,
        "learning_rate",
        sheet.number(InputId::LearningRate).unwrap_or(1e-4),
    );
    put(root, "lr_scheduler_type", "cosine");
    put(
        root,
        "warmup_steps",
        sheet.integer(InputId::WarmupSteps).unwrap_or(0),
    );
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
    types(recipe, root);
    optimizer(sheet, root);
    recomputation(sheet, root);
    kernels(sheet, root);
    evaluation(sheet, root);
    put(root, "logging_steps", 10);
    match sheet.trainer() {
        EngineId::Fsdp => {
            put(root, "fsdp", true);
            put(root, "fsdp_config", fsdp(sheet));
            reduction(sheet, recipe, "The Trainer");
        }
        EngineId::Deepspeed => {
            let mut config = deepspeed::config(sheet, recipe);
            // The Trainer builds optimizer and schedule from its own arguments.
            for key in ["optimizer", "scheduler"] {
                config.remove(key);
            }
            put(&mut config, "zero_allow_untested_optimizer", true);
            put(root, "deepspeed", config);
        }
        _ => {}
    }
}

fn types(recipe: Recipe, root: &mut Map<String, Value>) {
    put(root, "bf16", recipe == Recipe::Mixed("bf16"));
    put(root, "fp16", recipe == Recipe::Mixed("fp16"));
    if let Recipe::Full { tf32 } = recipe {
        put(root, "tf32", tf32);
    }
}

fn optimizer(sheet: &mut Sheet<'_>, root: &mut Map<String, Value>) {
    let Some(name) = trainer_optimizer(sheet) else {
        sheet.note("The Trainer has no name for this optimizer: pass it as optimizers=(optimizer, None).");
        return;
    };
    put(root, "optim", name);
    if name.starts_with("galore") {
        let rank = sheet.integer(InputId::GaloreRank).unwrap_or(128);
        put(root, "optim_args", format!("rank={rank}"));
        put(root, "optim_target_modules", json!(["attn", "mlp"]));
    }
}

fn recomputation(sheet: &mut Sheet<'_>, root: &mut Map<String, Value>) {
    let full = full_recomputation(sheet);
    if sheet.trainer() == EngineId::Fsdp && !(full && sheet.facts().reentrant) {
        // FSDP has a recomputation of its own, which gathers once less.
        return;
    }
    put(root, "gradient_checkpointing", full);
    if full {
        sheet.tell(&[InputId::CheckpointReentrant]);
        let kwargs = json!({"use_reentrant": sheet.facts().reentrant});
        put(root, "gradient_checkpointing_kwargs", kwargs);
    }
}

fn kernels(sheet: &mut Sheet<'_>, root: &mut Map<String, Value>) {
    let compiled = sheet.among(InputId::Compile, &["none"]).is_none();
    if compiled {
        // The Trainer compiles the whole forward; that is nearer to the choice than nothing, and said.
        put(root, "torch_compile", true);
        sheet.note("torch_compile of the Trainer compiles the model as one, not layer by layer.");
    }
    let liger = sheet.peek_word(InputId::FusedKernels) == "liger";
    let fused_loss = sheet.peek_word(InputId::Loss) == "fused";
    if liger || fused_loss {
        sheet.among(InputId::FusedKernels, &["liger", "none"]);
        sheet.among(InputId::Loss, &["fused", "plain"]);
        put(root, "use_liger_kernel", true);
        let config = json!({
            "rope": liger,
            "rms_norm": liger,
            "swiglu": liger,
            "cross_entropy": false,
            "fused_linear_cross_entropy": fused_loss,
        });
        put(root, "liger_kernel_config", config);
    }
    if sheet.trainer() == EngineId::PytorchDdp && sheet.facts().gpus > 1 {
        if let Some(size) = sheet.typed_number(InputId::BucketCapMb) {
            put(root, "ddp_bucket_cap_mb", size.ceil());
        }
        if sheet.typed(InputId::StaticGraph) {
            put(root, "ddp_static_graph", sheet.toggle(InputId::StaticGraph));
        }
    }
}

fn evaluation(sheet: &mut Sheet<'_>, root: &mut Map<String, Value>) {
    if sheet.among(InputId::Evaluation, &["none", "loss"]) == Some("loss") {
        put(root, "eval_strategy", "steps");
        put(root, "eval_steps", 100);
        put(root, "prediction_loss_only", true);
        let batch = sheet.integer(InputId::EvaluationBatchSize);
        let batch = batch.or(sheet.peek_integer(InputId::BatchSize)).unwrap_or(1);
        put(root, "per_device_eval_batch_size", batch);
    }
    let saves = sheet.peek_word(InputId::CheckpointSave);
    let fsdp = sheet.trainer() == EngineId::Fsdp;
    if saves == "none" || (saves == "full" && !fsdp) {
        sheet.tell(&[InputId::CheckpointSave]);
    }
    put(
        root,
        "save_strategy",
        if saves == "none" { "no" } else { "steps" },
    );
}

/// Keys of `fsdp_config` as the Trainer reads them.
fn fsdp(sheet: &mut Sheet<'_>) -> Value {
    let mut config = Map::new();
    let first = is_first_fsdp(sheet);
    sheet.tell(&[InputId::FsdpVersion]);
    put(&mut config, "version", if first { 1 } else { 2 });
    if first {
        put(
            &mut config,
            "reshard_after_forward",
            strategy(sheet).to_ascii_lowercase(),
        );
        put(
            &mut config,
            "backward_prefetch",
            match sheet.word(InputId::BackwardPrefetch) {
                "backward_post" => "backward_post",
                "none" => "no_prefetch",
                _ => "backward_pre",
            },
        );
        for (key, id) in [
            ("forward_prefetch", InputId::ForwardPrefetch),
            ("limit_all_gathers", InputId::LimitAllGathers),
            ("use_orig_params", InputId::UseOrigParams),
        ] {
            put(&mut config, key, sheet.toggle(id));
        }
    } else {
        put(&mut config, "reshard_after_forward", reshards(sheet));
        if sheet.peek_word(InputId::ShardingStrategy).starts_with("hybrid") {
            sheet.note(
                "Hybrid sharding of FSDP2 needs a mesh: launch with an Accelerate configuration that has parallelism_config (export accelerate).",
            );
        }
    }
    let offload = sheet.among(InputId::FsdpCpuOffload, &["none", "pinned"]) == Some("pinned");
    put(&mut config, "cpu_offload", offload);
    let full = sheet.peek_word(InputId::ActivationCheckpointing) == "full" && !sheet.facts().reentrant;
    if full {
        sheet.tell(&[InputId::CheckpointReentrant]);
    }
    put(&mut config, "activation_checkpointing", full);
    put(&mut config, "auto_wrap_policy", "TRANSFORMER_BASED_WRAP");
    if let Some(class) = layers::class(&sheet.facts().network.model_type) {
        put(&mut config, "transformer_layer_cls_to_wrap", json!([class]));
    }
    put(&mut config, "cpu_ram_efficient_loading", true);
    let saves = sheet.among(InputId::CheckpointSave, &["none", "sharded", "full"]);
    let kind = if saves == Some("full") {
        "FULL_STATE_DICT"
    } else {
        "SHARDED_STATE_DICT"
    };
    put(&mut config, "state_dict_type", kind);
    Value::Object(config)
}
