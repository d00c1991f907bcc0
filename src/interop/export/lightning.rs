//! A runnable Lightning script: the strategy object, the Trainer's arguments and a module that loads the model.
//! Source: Lightning-AI/pytorch-lightning 2.6.6 `strategies/{ddp,fsdp,model_parallel,deepspeed}.py`, `plugins/precision`.

use serde_json::{Value, json};

use super::Body;
use super::common::{
    Recipe, attention, full_recomputation, is_first_fsdp, machines, recipe, reshards, shard_and_replicate,
    strategy,
};
use super::optimizers::{Optimizer, optimizer};
use super::python::{call, literal, mapping, text, truth};
use super::sheet::Sheet;
use super::{deepspeed, layers};
use crate::request::{EngineId, InputId};

pub(super) fn write(sheet: &mut Sheet<'_>) -> Body {
    let recipe = recipe(sheet);
    let (nodes, each) = machines(sheet);
    let clip = sheet.number(InputId::GradientClipping).unwrap_or(1.0);
    let made = optimizer(sheet).unwrap_or_else(|| Optimizer {
        import: "",
        call: "torch.optim.AdamW(parameters)".to_owned(),
    });
    let parts = strategy_of(sheet, recipe);
    let model = model(sheet, recipe);
    let trainer = call(
        "L.Trainer",
        &[
            ("accelerator", "accelerator".to_owned()),
            ("devices", each.to_string()),
            ("num_nodes", nodes.to_string()),
            ("strategy", "strategy()".to_owned()),
            ("precision", text(precision(recipe))),
            ("max_epochs", "1".to_owned()),
            (
                "accumulate_grad_batches",
                sheet
                    .integer(InputId::GradientAccumulationSteps)
                    .unwrap_or(1)
                    .to_string(),
            ),
            (
                "gradient_clip_val",
                if clip > 0.0 {
                    clip.to_string()
                } else {
                    "None".to_owned()
                },
            ),
            ("log_every_n_steps", "50".to_owned()),
        ],
        4,
    );
    let tf32 = if recipe == (Recipe::Full { tf32: true }) {
        "torch.backends.cuda.matmul.allow_tf32 = True\n"
    } else {
        ""
    };
    let batch = sheet.integer(InputId::BatchSize).unwrap_or(1);
    let length = sheet.integer(InputId::SeqLength).unwrap_or(2048);
    let configure = configure(sheet, recipe);
    sheet.note("tokens() is a placeholder that makes random rows: put your data there.");
    let Parts {
        imports,
        before,
        expression,
    } = parts;
    let (import, made) = (made.import, made.call);
    Body::Python(format!(
        "import lightning as L\nimport torch\nfrom transformers import AutoModelForCausalLM\n{import}{imports}\n{tf32}\
MODEL = {model}\nMICRO_BATCH = {batch}\nSEQUENCE_LENGTH = {length}\n{before}\n\n\
def strategy():\n    return {expression}\n\n\n\
def trainer(accelerator=\"cuda\"):\n    return {trainer}\n\n\n\
class CausalLanguageModel(L.LightningModule):\n{configure}\n    \
def training_step(self, batch, index):\n        return self.model(input_ids=batch, labels=batch).loss\n\n    \
def configure_optimizers(self):\n        parameters = [p for p in self.parameters() if p.requires_grad]\n        return {made}\n\n\n\
def tokens():\n    vocabulary = MODEL[\"vocab_size\"]\n    rows = torch.randint(0, vocabulary, (64 * MICRO_BATCH, SEQUENCE_LENGTH))\n    \
return torch.utils.data.DataLoader(rows, batch_size=MICRO_BATCH)\n\n\n\
if __name__ == \"__main__\":\n    trainer().fit(CausalLanguageModel(), tokens())\n"
    ))
}

/// What the calculator knows of the model, for the reader and for the loading.
fn model(sheet: &mut Sheet<'_>, recipe: Recipe) -> String {
    let facts = sheet.facts();
    let network = &facts.network;
    let name = sheet.model();
    let heads = network.layers().find_map(heads);
    let value = json!({
        "model_name": name,
        "num_parameters": network.total_parameters().get(),
        "hidden_size": network.hidden_size,
        "num_layers": network.depth(),
        "num_attention_heads": heads,
        "max_seq_len": network.max_positions,
        "vocab_size": network.vocabulary,
        "dtype": recipe.weights(),
        "attn_implementation": attention(sheet),
    });
    mapping(&value, 0)
}

fn heads(layer: &crate::model::layer::Layer) -> Option<u64> {
    use crate::model::layer::Mixer;
    match &layer.mixer {
        Mixer::Attention(attention) => Some(attention.heads),
        Mixer::Latent(latent) => Some(latent.heads),
        _ => None,
    }
}

const fn precision(recipe: Recipe) -> &'static str {
    match recipe {
        Recipe::Full { .. } => "32-true",
        Recipe::Mixed(word) => match word.as_bytes() {
            b"fp16" => "16-mixed",
            _ => "bf16-mixed",
        },
        Recipe::Pure(word) => match word.as_bytes() {
            b"fp16" => "16-true",
            _ => "bf16-true",
        },
    }
}

struct Parts {
    imports: String,
    before: String,
    expression: String,
}

fn strategy_of(sheet: &mut Sheet<'_>, recipe: Recipe) -> Parts {
    let plain = |expression: &str| Parts {
        imports: String::new(),
        before: String::new(),
        expression: expression.to_owned(),
    };
    match sheet.trainer() {
        EngineId::Fsdp if is_first_fsdp(sheet) => first_fsdp(sheet, recipe),
        EngineId::Fsdp => second_fsdp(sheet),
        EngineId::Deepspeed => {
            let mut config = deepspeed::config(sheet, recipe);
            // The Trainer has its own arguments for these and refuses them here.
            for key in [
                "train_batch_size",
                "gradient_accumulation_steps",
                "gradient_clipping",
                "optimizer",
                "scheduler",
                "bf16",
                "fp16",
            ] {
                config.remove(key);
            }
            config.insert("zero_allow_untested_optimizer".to_owned(), true.into());
            config.insert(
                "train_micro_batch_size_per_gpu".to_owned(),
                sheet.peek_integer(InputId::BatchSize).unwrap_or(1).into(),
            );
            Parts {
                imports: "from lightning.pytorch.strategies import DeepSpeedStrategy\n".to_owned(),
                before: format!("DEEPSPEED = {}\n", mapping(&Value::Object(config), 0)),
                expression: "DeepSpeedStrategy(config=DEEPSPEED)".to_owned(),
            }
        }
        _ if sheet.facts().gpus == 1 => plain("\"auto\""),
        _ => {
            let arguments = [
                (
                    "gradient_as_bucket_view",
                    truth(sheet.toggle(InputId::GradientAsBucketView)).to_owned(),
                ),
                (
                    "static_graph",
                    truth(sheet.toggle(InputId::StaticGraph)).to_owned(),
                ),
                (
                    "bucket_cap_mb",
                    sheet.number(InputId::BucketCapMb).unwrap_or(25.0).to_string(),
                ),
            ];
            Parts {
                imports: "from lightning.pytorch.strategies import DDPStrategy\n".to_owned(),
                before: String::new(),
                expression: call("DDPStrategy", &arguments, 4),
            }
        }
    }
}

fn reduce_type(sheet: &mut Sheet<'_>) -> &'static str {
    match sheet.word(InputId::ReduceDtype) {
        "bf16" => "torch.bfloat16",
        "fp16" => "torch.float16",
        _ => "torch.float32",
    }
}

/// The strategy of the first FSDP.
fn first_fsdp(sheet: &mut Sheet<'_>, recipe: Recipe) -> Parts {
    sheet.tell(&[InputId::FsdpVersion]);
    let mut imports = String::from("from lightning.pytorch.strategies import FSDPStrategy\n");
    let mut arguments = vec![("sharding_strategy", text(strategy(sheet)))];
    let offload = sheet.among(InputId::FsdpCpuOffload, &["none", "pinned", "pageable"]);
    arguments.push((
        "cpu_offload",
        truth(offload.is_some_and(|word| word != "none")).to_owned(),
    ));
    if let Recipe::Mixed(_) = recipe {
        let compute = format!("torch.{}", recipe.compute());
        let policy = format!(
            "MixedPrecision(param_dtype={compute}, reduce_dtype={}, buffer_dtype={compute})",
            reduce_type(sheet)
        );
        imports.push_str("from torch.distributed.fsdp import MixedPrecision\n");
        arguments.push(("mixed_precision", policy));
    }
    let prefetch = match sheet.word(InputId::BackwardPrefetch) {
        "backward_post" => "BackwardPrefetch.BACKWARD_POST",
        "none" => "None",
        _ => "BackwardPrefetch.BACKWARD_PRE",
    };
    if prefetch != "None" {
        imports.push_str("from torch.distributed.fsdp import BackwardPrefetch\n");
    }
    arguments.push(("backward_prefetch", prefetch.to_owned()));
    for (key, id) in [
        ("forward_prefetch", InputId::ForwardPrefetch),
        ("limit_all_gathers", InputId::LimitAllGathers),
        ("use_orig_params", InputId::UseOrigParams),
    ] {
        arguments.push((key, truth(sheet.toggle(id)).to_owned()));
    }
    layer_class(sheet, &mut imports);
    arguments.push(("auto_wrap_policy", "{LAYER}".to_owned()));
    if full_recomputation(sheet) {
        arguments.push(("activation_checkpointing_policy", "{LAYER}".to_owned()));
    }
    let saves = sheet.among(InputId::CheckpointSave, &["none", "sharded", "full"]);
    arguments.push((
        "state_dict_type",
        text(if saves == Some("full") { "full" } else { "sharded" }),
    ));
    Parts {
        imports,
        before: String::new(),
        expression: call("FSDPStrategy", &arguments, 4),
    }
}

/// The import of the class of the layers, under one name.
fn layer_class(sheet: &mut Sheet<'_>, imports: &mut String) {
    let family = &sheet.facts().network.model_type;
    match layers::class(family) {
        Some(class) => {
            let module = module_of(family);
            imports.push_str(&format!(
                "from transformers.models.{module}.modeling_{module} import {class} as LAYER\n"
            ));
        }
        None => {
            sheet.note("The class of the layers is not known: Llama's stands in its place.");
            imports.push_str(
                "from transformers.models.llama.modeling_llama import LlamaDecoderLayer as LAYER\n",
            );
        }
    }
}

/// The package of a family: text stacks live in that of the whole model.
fn module_of(family: &str) -> &str {
    family.strip_suffix("_text").unwrap_or(family)
}

/// The second FSDP is applied in `configure_model`, over the mesh of this strategy.
fn second_fsdp(sheet: &mut Sheet<'_>) -> Parts {
    sheet.tell(&[InputId::FsdpVersion]);
    let mut imports = String::from(
        "from lightning.pytorch.strategies import ModelParallelStrategy\nfrom torch.distributed.fsdp import CPUOffloadPolicy, MixedPrecisionPolicy, OffloadPolicy, fully_shard\n",
    );
    layer_class(sheet, &mut imports);
    let (shard, replicate) = shard_and_replicate(sheet);
    sheet.tell(&[InputId::DataParallelSize]);
    let tensor = sheet.integer(InputId::TensorParallelSize).unwrap_or(1);
    if replicate > 1 {
        sheet.note(
            "Lightning's mesh has one data-parallel dimension: hybrid sharding (engine.sharding_strategy) needs a mesh of your own.",
        );
    }
    if tensor > 1 {
        sheet.note(
            "Apply your tensor-parallel plan in configure_model, over self.device_mesh[\"tensor_parallel\"].",
        );
    }
    let saves = sheet.among(InputId::CheckpointSave, &["none", "sharded", "full"]);
    let arguments = [
        ("data_parallel_size", shard.saturating_mul(replicate).to_string()),
        ("tensor_parallel_size", tensor.to_string()),
        (
            "save_distributed_checkpoint",
            truth(saves != Some("full")).to_owned(),
        ),
    ];
    Parts {
        imports,
        before: String::new(),
        expression: call("ModelParallelStrategy", &arguments, 4),
    }
}

/// The method that loads the model, and shards it with the second FSDP.
fn configure(sheet: &mut Sheet<'_>, recipe: Recipe) -> String {
    let mut method = String::from(
        "    def configure_model(self):\n        if hasattr(self, \"model\"):\n            return\n        \
self.model = AutoModelForCausalLM.from_pretrained(\n            MODEL[\"model_name\"],\n            \
dtype=getattr(torch, MODEL[\"dtype\"]),\n            attn_implementation=MODEL[\"attn_implementation\"],\n        )\n",
    );
    let engine = sheet.trainer();
    let second = engine == EngineId::Fsdp && !is_first_fsdp(sheet);
    let first = engine == EngineId::Fsdp && !second;
    if !first && full_recomputation(sheet) {
        let kwargs = json!({"use_reentrant": sheet.facts().reentrant});
        sheet.tell(&[InputId::CheckpointReentrant]);
        method.push_str(&format!(
            "        self.model.gradient_checkpointing_enable({})\n",
            literal(&kwargs)
        ));
    }
    if sheet.among(InputId::Compile, &["none", "model"]) == Some("model") {
        method.push_str("        for layer in self.model.model.layers:\n            layer.compile()\n");
    }
    if second {
        let mixed = matches!(recipe, Recipe::Mixed(_));
        let policy = if mixed {
            format!(
                "MixedPrecisionPolicy(param_dtype=torch.{}, reduce_dtype={})",
                recipe.compute(),
                reduce_type(sheet)
            )
        } else {
            "MixedPrecisionPolicy()".to_owned()
        };
        let offload = match sheet.among(InputId::FsdpCpuOffload, &["none", "pinned", "pageable"]) {
            Some("pinned") => "CPUOffloadPolicy(pin_memory=True)",
            Some("pageable") => "CPUOffloadPolicy(pin_memory=False)",
            _ => "OffloadPolicy()",
        };
        let reshard = match sheet.typed_integer(InputId::ReshardRanks) {
            Some(ranks) => {
                reshards(sheet);
                ranks.to_string()
            }
            None => truth(reshards(sheet)).to_owned(),
        };
        method.push_str(&format!(
            "        options = dict(\n            mesh=self.device_mesh[\"data_parallel\"],\n            mp_policy={policy},\n            \
offload_policy={offload},\n            reshard_after_forward={reshard},\n        )\n        \
for module in list(self.model.modules()):\n            if isinstance(module, LAYER):\n                \
fully_shard(module, **options)\n        fully_shard(self.model, **options)\n"
        ));
    }
    method
}
