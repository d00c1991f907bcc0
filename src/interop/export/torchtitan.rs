//! torchtitan's TOML. Source: pytorch/torchtitan 0.2.1 `config/job_config.py`; from 0.2.2 on the same keys are flags
//! (`--training.seq_len`) over a registry of configurations.

use serde_json::{Map, Value, json};

use super::Body;
use super::common::{Recipe, global_batch, machines, put, recipe, reshards, shard_and_replicate};
use super::sheet::Sheet;
use crate::request::{EngineId, InputId};

pub(super) fn write(sheet: &mut Sheet<'_>) -> Body {
    let recipe = recipe(sheet);
    machines(sheet);
    let mut root = Map::new();
    put(
        &mut root,
        "job",
        json!({"dump_folder": "./outputs", "description": "written by gpu-mem-calc"}),
    );
    put(&mut root, "model", model(sheet));
    put(&mut root, "optimizer", optimizer(sheet));
    put(
        &mut root,
        "lr_scheduler",
        json!({"warmup_steps": sheet.integer(InputId::WarmupSteps).unwrap_or(200)}),
    );
    put(&mut root, "training", training(sheet, recipe));
    put(&mut root, "parallelism", parallelism(sheet));
    put(&mut root, "activation_checkpoint", recomputation(sheet));
    let compile = match sheet.word(InputId::Compile) {
        "model" => json!({"enable": true, "components": ["model"]}),
        "model_and_loss" => json!({"enable": true, "components": ["model", "loss"]}),
        _ => json!({"enable": false}),
    };
    put(&mut root, "compile", compile);
    let saves = sheet.among(InputId::CheckpointSave, &["none", "sharded"]);
    put(
        &mut root,
        "checkpoint",
        json!({"enable": saves == Some("sharded")}),
    );
    if sheet.among(InputId::Evaluation, &["none", "loss"]) == Some("loss") {
        let batch = sheet.integer(InputId::EvaluationBatchSize);
        let batch = batch.or(sheet.peek_integer(InputId::BatchSize)).unwrap_or(1);
        let length = sheet.peek_integer(InputId::SeqLength);
        put(
            &mut root,
            "validation",
            json!({"enable": true, "local_batch_size": batch, "seq_len": length}),
        );
    }
    sheet.among(InputId::Attention, &["fused"]);
    sheet.among(InputId::BatchLayout, &["packed"]);
    let (nodes, each) = (sheet.facts().nodes, sheet.facts().gpus_per_node());
    sheet.note(format!("It runs on {nodes} x {each} GPUs (NGPU={each})."));
    Body::Toml(Value::Object(root))
}

/// Names of torchtitan's flavors by the catalogue's id.
const FLAVORS: [(&str, &str, &str); 12] = [
    ("llama-3.1-8b", "llama3", "8B"),
    ("llama-3.1-70b", "llama3", "70B"),
    ("llama-3.1-405b", "llama3", "405B"),
    ("llama-4-scout-17b-16e", "llama4", "17bx16e"),
    ("llama-4-maverick-17b-128e", "llama4", "17bx128e"),
    ("deepseek-v3", "deepseek_v3", "671B"),
    ("qwen3-0.6b", "qwen3", "0.6B"),
    ("qwen3-1.7b", "qwen3", "1.7B"),
    ("qwen3-4b", "qwen3", "4B"),
    ("qwen3-8b", "qwen3", "8B"),
    ("qwen3-14b", "qwen3", "14B"),
    ("qwen3-32b", "qwen3", "32B"),
];

fn model(sheet: &mut Sheet<'_>) -> Value {
    let path = sheet.model();
    let id = sheet.facts().id.clone().unwrap_or_default();
    let found = FLAVORS.iter().find(|(model, _, _)| *model == id);
    let (name, flavor) = match found {
        Some((_, name, flavor)) => (*name, *flavor),
        None => {
            sheet.note("torchtitan has no flavor of this model that is known here: add one, and name it in model.flavor.");
            ("llama3", sheet.facts().name.as_str())
        }
    };
    json!({"name": name, "flavor": flavor, "hf_assets_path": format!("./assets/hf/{path}")})
}

fn optimizer(sheet: &mut Sheet<'_>) -> Value {
    let name = match sheet.among(InputId::Optimizer, &["adamw", "adam"]) {
        Some("adam") => "Adam",
        Some(_) => "AdamW",
        None => {
            sheet.note("torchtitan builds AdamW and Adam; this optimizer needs a container of your own.");
            "AdamW"
        }
    };
    let built = matches!(sheet.peek_word(InputId::Optimizer), "adamw" | "adam");
    let implementation = match sheet.word(InputId::OptimizerImplementation) {
        "loop" => "for-loop",
        "foreach" => "foreach",
        _ if !sheet.facts().fused_optimizer => "foreach",
        _ => "fused",
    };
    let mut options = json!({
        "name": name,
        "lr": sheet.number(InputId::LearningRate).unwrap_or(1e-4),
        "weight_decay": sheet.number(InputId::WeightDecay).unwrap_or(0.01),
        "implementation": implementation,
        "early_step_in_backward": sheet.toggle(InputId::OptimizerInBackward),
    });
    // The settings of AdamW mean nothing for the optimizer that takes its place.
    if let Some(fields) = options.as_object_mut().filter(|_| !built) {
        fields.shift_remove("implementation");
    }
    options
}

fn training(sheet: &mut Sheet<'_>, recipe: Recipe) -> Value {
    let batch = sheet.integer(InputId::BatchSize).unwrap_or(1);
    if let Recipe::Mixed("fp16") | Recipe::Pure("fp16") = recipe {
        sheet.note("torchtitan trains in bf16 or fp32; training.dtype = fp16 has no place.");
    }
    if recipe == (Recipe::Full { tf32: true }) {
        sheet.note("torchtitan switches TF32 products on by itself (training.dtype = tf32).");
    }
    let compute = match recipe {
        Recipe::Full { .. } => "float32",
        _ => "bfloat16",
    };
    let stored = match recipe {
        Recipe::Pure(_) => "bfloat16",
        _ => "float32",
    };
    // Its reduction is fp32 always.
    sheet.among(InputId::ReduceDtype, &["fp32", ""]);
    json!({
        "dataset": "c4_test",
        "local_batch_size": batch,
        "global_batch_size": global_batch(sheet),
        "seq_len": sheet.integer(InputId::SeqLength),
        "max_norm": sheet.number(InputId::GradientClipping).unwrap_or(1.0),
        "steps": 1000,
        "enable_cpu_offload": sheet.among(InputId::FsdpCpuOffload, &["none", "pinned"]) == Some("pinned"),
        "dtype": stored,
        "mixed_precision_param": compute,
        "mixed_precision_reduce": "float32",
    })
}

fn parallelism(sheet: &mut Sheet<'_>) -> Value {
    let fsdp = sheet.trainer() == EngineId::Fsdp;
    let (shard, replicate) = if fsdp {
        shard_and_replicate(sheet)
    } else {
        (1, sheet.facts().data_parallel)
    };
    sheet.tell(&[InputId::DataParallelSize]);
    if fsdp && shard == 1 {
        sheet.note("With one rank torchtitan does not shard (engine.type), and computes under autocast (training.precision_mode).");
    }
    let mut root = Map::new();
    put(&mut root, "data_parallel_replicate_degree", replicate);
    put(&mut root, "data_parallel_shard_degree", shard);
    if fsdp {
        if sheet.peek_word(InputId::FsdpVersion) == "1" {
            sheet.note("torchtitan has FSDP2 only (engine.fsdp_version).");
        }
        sheet.tell(&[InputId::FsdpVersion]);
        let reshards = reshards(sheet);
        put(
            &mut root,
            "fsdp_reshard_after_forward",
            if reshards { "always" } else { "never" },
        );
    }
    let tensor = sheet.integer(InputId::TensorParallelSize).unwrap_or(1);
    put(&mut root, "tensor_parallel_degree", tensor);
    if tensor > 1 {
        put(
            &mut root,
            "disable_loss_parallel",
            !sheet.toggle(InputId::LossParallel),
        );
        if !sheet.toggle(InputId::SequenceParallel) {
            sheet.note("torchtitan's plan has sequence parallelism always (parallelism.sequence_parallel).");
        }
        if sheet.among(InputId::TensorParallelPlan, &["torch", ""]).is_none() {
            sheet.note("The plan is torchtitan's own (parallelism.tensor_parallel_plan).");
        }
    }
    Value::Object(root)
}

fn recomputation(sheet: &mut Sheet<'_>) -> Value {
    let word = sheet.among(
        InputId::ActivationCheckpointing,
        &["none", "full", "operations", "every_n"],
    );
    match word {
        Some("full") => json!({"mode": "full"}),
        Some("operations") => json!({"mode": "selective", "selective_ac_option": "op"}),
        Some("every_n") => {
            let every = sheet.integer(InputId::CheckpointEvery).unwrap_or(2);
            json!({"mode": "selective", "selective_ac_option": every.to_string()})
        }
        _ => json!({"mode": "none"}),
    }
}
