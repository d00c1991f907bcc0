//! A plain training script for torchrun: FSDP2 (`fully_shard`), the first FSDP, DDP or one GPU.
//! Source: pytorch 2.15 `torch/distributed/fsdp/_fully_shard/_fully_shard.py`, `fully_sharded_data_parallel.py`,
//! `torch/nn/parallel/distributed.py`.

use super::Body;
use super::common::{
    Recipe, attention, is_first_fsdp, machines, recipe, reshards, shard_and_replicate, strategy,
};
use super::optimizers::{Optimizer, optimizer};
use super::python::{text, truth};
use super::sheet::Sheet;
use crate::request::{EngineId, InputId};

pub(super) fn write(sheet: &mut Sheet<'_>) -> Body {
    let recipe = recipe(sheet);
    let (nodes, each) = machines(sheet);
    sheet.note(format!(
        "Start it with torchrun --nnodes {nodes} --nproc_per_node {each} torchrun_train.py."
    ));
    let made = optimizer(sheet).unwrap_or_else(|| Optimizer {
        import: "",
        call: "torch.optim.AdamW(parameters)".to_owned(),
    });
    let name = text(&sheet.model());
    let kernel = attention(sheet).map_or("None".to_owned(), text);
    let batch = sheet.integer(InputId::BatchSize).unwrap_or(1);
    let length = sheet.integer(InputId::SeqLength).unwrap_or(2048);
    let accumulation = sheet.integer(InputId::GradientAccumulationSteps).unwrap_or(1);
    let clip = sheet.number(InputId::GradientClipping).unwrap_or(1.0);
    let mut prepare = String::new();
    recomputation(sheet, &mut prepare);
    compile(sheet, &mut prepare);
    let distribute = distribute(sheet, recipe, &mut prepare);
    let tf32 = if recipe == (Recipe::Full { tf32: true }) {
        "torch.backends.cuda.matmul.allow_tf32 = True\n"
    } else {
        ""
    };
    let autocast = match (recipe, sheet.trainer()) {
        (Recipe::Mixed(_), EngineId::PytorchDdp) => {
            format!("torch.autocast(device, dtype=torch.{})", recipe.compute())
        }
        _ => "contextlib.nullcontext()".to_owned(),
    };
    let sync = sync(sheet);
    let clipping = if clip > 0.0 {
        format!("        torch.nn.utils.clip_grad_norm_(model.parameters(), {clip})\n")
    } else {
        String::new()
    };
    sheet.note("The rows are random: put your data there.");
    let (import, made, weights) = (made.import, made.call, recipe.weights());
    Body::Python(format!(
        "import contextlib\nimport os\n\nimport torch\nimport torch.distributed as dist\nfrom transformers import AutoModelForCausalLM\n{import}\n{tf32}\
MODEL = {name}\nMICRO_BATCH = {batch}\nSEQUENCE_LENGTH = {length}\nACCUMULATION = {accumulation}\n\n\n\
def wrap(model, device):\n    layers = model.model.layers\n{prepare}{distribute}    return model\n\n\n\
def make_optimizer(model):\n    parameters = [p for p in model.parameters() if p.requires_grad]\n    return {made}\n\n\n\
def train(model, optimizer, device, steps=10):\n    base = getattr(model, \"module\", model)\n    vocabulary = base.config.vocab_size\n    for _ in range(steps):\n        \
for micro in range(ACCUMULATION):\n            rows = torch.randint(0, vocabulary, (MICRO_BATCH, SEQUENCE_LENGTH), device=device)\n            \
last = micro == ACCUMULATION - 1\n{sync}                with {autocast}:\n                    \
loss = model(input_ids=rows, labels=rows, use_cache=False).loss / ACCUMULATION\n                loss.backward()\n{clipping}        \
optimizer.step()\n        optimizer.zero_grad(set_to_none=True)\n\n\n\
def main():\n    device = \"cuda\"\n    torch.cuda.set_device(int(os.environ[\"LOCAL_RANK\"]))\n    dist.init_process_group(\"cpu:gloo,cuda:nccl\")\n    \
model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.{weights}, attn_implementation={kernel})\n    \
model = wrap(model, device)\n    train(model, make_optimizer(model), device)\n    dist.destroy_process_group()\n\n\n\
if __name__ == \"__main__\":\n    main()\n"
    ))
}

fn recomputation(sheet: &mut Sheet<'_>, text: &mut String) {
    let every = match sheet.among(InputId::ActivationCheckpointing, &["none", "full", "every_n"]) {
        Some("full") => 1,
        Some("every_n") => sheet.integer(InputId::CheckpointEvery).unwrap_or(2),
        _ => return,
    };
    let kind = if sheet.facts().reentrant {
        "REENTRANT"
    } else {
        "NO_REENTRANT"
    };
    sheet.tell(&[InputId::CheckpointReentrant]);
    text.push_str(&format!(
        "    from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import CheckpointImpl, checkpoint_wrapper\n\n    \
for index in range(len(layers)):\n        if (index + 1) % {every} == 0:\n            \
layers[index] = checkpoint_wrapper(layers[index], checkpoint_impl=CheckpointImpl.{kind})\n"
    ));
}

fn compile(sheet: &mut Sheet<'_>, text: &mut String) {
    if sheet.among(InputId::Compile, &["none", "model"]) == Some("model") {
        text.push_str("    for layer in layers:\n        layer.compile()\n");
    }
}

fn reduce_type(sheet: &mut Sheet<'_>) -> &'static str {
    match sheet.word(InputId::ReduceDtype) {
        "bf16" => "torch.bfloat16",
        "fp16" => "torch.float16",
        _ => "torch.float32",
    }
}

fn distribute(sheet: &mut Sheet<'_>, recipe: Recipe, before: &mut String) -> String {
    match sheet.trainer() {
        EngineId::Fsdp if is_first_fsdp(sheet) => first(sheet, recipe),
        EngineId::Fsdp => second(sheet, recipe),
        _ => {
            before.push_str("    model = model.to(device)\n");
            if sheet.facts().gpus == 1 {
                return String::new();
            }
            format!(
                "    model = torch.nn.parallel.DistributedDataParallel(\n        model,\n        gradient_as_bucket_view={},\n        static_graph={},\n        bucket_cap_mb={},\n    )\n",
                truth(sheet.toggle(InputId::GradientAsBucketView)),
                truth(sheet.toggle(InputId::StaticGraph)),
                sheet.number(InputId::BucketCapMb).unwrap_or(25.0),
            )
        }
    }
}

fn second(sheet: &mut Sheet<'_>, recipe: Recipe) -> String {
    sheet.tell(&[InputId::FsdpVersion, InputId::DataParallelSize]);
    let (shard, replicate) = shard_and_replicate(sheet);
    let mesh = if replicate > 1 {
        format!("({replicate}, {shard}), mesh_dim_names=(\"replicate\", \"shard\")")
    } else {
        format!("({shard},), mesh_dim_names=(\"shard\",)")
    };
    let tensor = sheet.peek_integer(InputId::TensorParallelSize).unwrap_or(1);
    if tensor > 1 {
        sheet.note("Apply your tensor-parallel plan before fully_shard; the mesh here has the data-parallel dimensions only.");
    }
    let policy = match recipe {
        Recipe::Mixed(_) => format!(
            "MixedPrecisionPolicy(param_dtype=torch.{}, reduce_dtype={})",
            recipe.compute(),
            reduce_type(sheet)
        ),
        _ => "MixedPrecisionPolicy()".to_owned(),
    };
    let offload = match sheet.word(InputId::FsdpCpuOffload) {
        "pinned" => "CPUOffloadPolicy(pin_memory=True)",
        "pageable" => "CPUOffloadPolicy(pin_memory=False)",
        _ => "OffloadPolicy()",
    };
    let reshard = match sheet.typed_integer(InputId::ReshardRanks) {
        Some(ranks) => {
            reshards(sheet);
            ranks.to_string()
        }
        None => truth(reshards(sheet)).to_owned(),
    };
    format!(
        "    from torch.distributed.fsdp import CPUOffloadPolicy, MixedPrecisionPolicy, OffloadPolicy, fully_shard\n\n    \
options = dict(\n        mesh=dist.device_mesh.init_device_mesh(device, {mesh}),\n        mp_policy={policy},\n        \
offload_policy={offload},\n        reshard_after_forward={reshard},\n    )\n    for layer in layers:\n        \
fully_shard(layer, **options)\n    fully_shard(model, **options)\n"
    )
}

fn first(sheet: &mut Sheet<'_>, recipe: Recipe) -> String {
    sheet.tell(&[InputId::FsdpVersion]);
    let policy = match recipe {
        Recipe::Mixed(_) => format!(
            "MixedPrecision(param_dtype=torch.{}, reduce_dtype={})",
            recipe.compute(),
            reduce_type(sheet)
        ),
        _ => "None".to_owned(),
    };
    let offload = sheet.among(InputId::FsdpCpuOffload, &["none", "pinned", "pageable"]);
    let offload = truth(offload.is_some_and(|word| word != "none"));
    let prefetch = match sheet.word(InputId::BackwardPrefetch) {
        "backward_post" => "BackwardPrefetch.BACKWARD_POST",
        "none" => "None",
        _ => "BackwardPrefetch.BACKWARD_PRE",
    };
    format!(
        "    from torch.distributed.fsdp import (\n        BackwardPrefetch,\n        CPUOffload,\n        FullyShardedDataParallel,\n        \
MixedPrecision,\n        ShardingStrategy,\n    )\n    from torch.distributed.fsdp.wrap import ModuleWrapPolicy\n\n    \
model = FullyShardedDataParallel(\n        model,\n        sharding_strategy=ShardingStrategy.{},\n        \
auto_wrap_policy=ModuleWrapPolicy({{type(layers[0])}}),\n        mixed_precision={policy},\n        \
cpu_offload=CPUOffload(offload_params={offload}),\n        backward_prefetch={prefetch},\n        forward_prefetch={},\n        \
limit_all_gathers={},\n        use_orig_params={},\n        device_id=torch.device(device),\n    )\n",
        strategy(sheet),
        truth(sheet.toggle(InputId::ForwardPrefetch)),
        truth(sheet.toggle(InputId::LimitAllGathers)),
        truth(sheet.toggle(InputId::UseOrigParams)),
    )
}

/// How a micro-batch that is not the last leaves gradients.
fn sync(sheet: &mut Sheet<'_>) -> &'static str {
    const PLAIN: &str = "            with contextlib.nullcontext():\n";
    match sheet.trainer() {
        EngineId::Fsdp if sheet.toggle(InputId::SyncEachMicroBatch) => PLAIN,
        EngineId::Fsdp if !is_first_fsdp(sheet) => {
            "            model.set_requires_gradient_sync(last)\n            with contextlib.nullcontext():\n"
        }
        EngineId::PytorchDdp if sheet.facts().gpus == 1 => PLAIN,
        _ => "            with contextlib.nullcontext() if last else model.no_sync():\n",
    }
}
