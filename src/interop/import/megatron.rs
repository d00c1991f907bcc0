//! Megatron-LM's arguments.

use serde_json::{Value, json};

use super::commands::{Flag, flags as split, read};
use super::findings::Findings;
use super::mapping::Kind::{Not, Nothing, Number, Truth, Whole, Word, Words};
use super::mapping::{Row, whole};
use crate::request::InputId as Id;

const TABLE: &[Row] = &[
    (&["--micro-batch-size"], Some(Id::BatchSize), Whole),
    (&["--seq-length"], Some(Id::SeqLength), Whole),
    (
        &["--tensor-model-parallel-size"],
        Some(Id::TensorParallelSize),
        Whole,
    ),
    (
        &["--pipeline-model-parallel-size"],
        Some(Id::PipelineParallelSize),
        Whole,
    ),
    (&["--context-parallel-size"], Some(Id::ContextParallelSize), Whole),
    (
        &["--expert-model-parallel-size"],
        Some(Id::ExpertParallelSize),
        Whole,
    ),
    (
        &["--expert-tensor-parallel-size"],
        Some(Id::ExpertTensorParallelSize),
        Whole,
    ),
    (
        &["--num-virtual-stages-per-pipeline-rank"],
        Some(Id::VirtualPipelineSize),
        Whole,
    ),
    (&["--sequence-parallel"], Some(Id::SequenceParallel), Truth),
    (
        &["--use-distributed-optimizer"],
        Some(Id::UseDistributedOptimizer),
        Truth,
    ),
    (
        &["--microbatch-group-size-per-virtual-pipeline-stage"],
        Some(Id::MicrobatchGroup),
        Whole,
    ),
    (
        &["--decoder-first-pipeline-num-layers"],
        Some(Id::FirstStageLayers),
        Whole,
    ),
    (
        &["--decoder-last-pipeline-num-layers"],
        Some(Id::LastStageLayers),
        Whole,
    ),
    (
        &["--account-for-embedding-in-pipeline-split"],
        Some(Id::CountEmbedding),
        Truth,
    ),
    (
        &["--account-for-loss-in-pipeline-split"],
        Some(Id::CountLoss),
        Truth,
    ),
    (
        &["--recompute-granularity"],
        Some(Id::ActivationCheckpointing),
        Words(&[("full", "full"), ("selective", "selective")]),
    ),
    (
        &["--recompute-method"],
        Some(Id::RecomputeMethod),
        Words(&[("uniform", "uniform"), ("block", "block")]),
    ),
    (&["--recompute-num-layers"], Some(Id::RecomputeLayers), Whole),
    (
        &["--cross-entropy-loss-fusion"],
        Some(Id::CrossEntropyFusion),
        Truth,
    ),
    (
        &["--no-gradient-accumulation-fusion"],
        Some(Id::AccumulationFusion),
        Not,
    ),
    (&["--no-masked-softmax-fusion"], Some(Id::SoftmaxFusion), Not),
    (&["--deterministic-mode"], Some(Id::DeterministicMode), Truth),
    (&["--wgrad-deferral-limit"], Some(Id::WgradDeferral), Whole),
    (&["--moe-grouped-gemm"], Some(Id::GroupedExperts), Truth),
    (
        &["--moe-token-dispatcher-type"],
        Some(Id::TokenDispatcher),
        Words(&[
            ("allgather", "allgather"),
            ("alltoall", "alltoall"),
            ("alltoall_seq", "alltoall"),
            ("flex", "flex"),
        ]),
    ),
    (
        &["--moe-expert-capacity-factor"],
        Some(Id::ExpertCapacity),
        Number,
    ),
    (
        &["--moe-pad-expert-input-to-capacity"],
        Some(Id::PadToCapacity),
        Truth,
    ),
    (
        &["--make-vocab-size-divisible-by"],
        Some(Id::VocabularyMultiple),
        Whole,
    ),
    (
        &["--optimizer"],
        Some(Id::Optimizer),
        Words(&[("adam", "adamw"), ("sgd", "sgd"), ("muon", "muon")]),
    ),
    (
        &["--fp8-recipe"],
        Some(Id::NarrowRecipe),
        Words(&[
            ("delayed", "delayed"),
            ("tensorwise", "tensorwise"),
            ("blockwise", "blockwise"),
            ("mxfp8", "mxfp8"),
        ]),
    ),
    (
        &["--fp4-recipe"],
        Some(Id::NarrowRecipe),
        Words(&[("nvfp4", "nvfp4")]),
    ),
    (&["--fp8-param-gather"], Some(Id::NarrowPrimary), Truth),
    (
        &["--pipeline-model-parallel-layout"],
        Some(Id::PipelineLayout),
        Word,
    ),
    (&["--mtp-num-layers"], Some(Id::FurtherLayers), Whole),
    (
        &["--optimizer-offload-fraction"],
        Some(Id::OffloadFraction),
        Number,
    ),
    (
        &["--exp-avg-dtype"],
        Some(Id::MomentDtype),
        Words(&[
            ("fp32", "fp32"),
            ("bf16", "bf16"),
            ("fp16", "fp16"),
            ("fp8", "fp8"),
        ]),
    ),
    (
        &["--data-parallel-sharding-strategy"],
        Some(Id::MegatronSharding),
        Words(&[
            ("no_shard", "none"),
            ("optim", "optim"),
            ("optim_grads", "optim_grads"),
            ("optim_grads_params", "optim_grads_params"),
        ]),
    ),
    (
        &["--no-use-layer-wise-param-layout"],
        Some(Id::LayerWiseLayout),
        Not,
    ),
    (&["--sgd-momentum"], Some(Id::Momentum), Number),
    (&["--lr"], Some(Id::LearningRate), Number),
    (&["--weight-decay"], Some(Id::WeightDecay), Number),
    (&["--clip-grad"], Some(Id::GradientClipping), Number),
    (&["--lr-warmup-iters"], Some(Id::WarmupSteps), Whole),
    (
        &["--attention-dropout", "--hidden-dropout"],
        Some(Id::Dropout),
        Number,
    ),
    (
        &["--attention-backend"],
        Some(Id::Attention),
        Words(&[
            ("auto", "fused"),
            ("flash", "flash_attention"),
            ("fused", "fused"),
            ("unfused", "eager"),
        ]),
    ),
    (
        &[
            "--use-mcore-models",
            "--transformer-impl",
            "--position-embedding-type",
            "--tokenizer-type",
            "--tokenizer-model",
            "--untie-embeddings-and-output-weights",
            "--disable-bias-linear",
            "--swiglu",
            "--normalization",
            "--group-query-attention",
            "--train-iters",
            "--mock-data",
            "--eval-iters",
            "--defer-embedding-wgrad-compute",
            "--data-path",
            "--split",
            "--save",
            "--load",
            "--save-interval",
            "--eval-interval",
            "--log-interval",
            "--lr-decay-style",
            "--min-lr",
            "--lr-decay-iters",
            "--adam-beta1",
            "--adam-beta2",
            "--init-method-std",
            "--distributed-backend",
            "--rotary-base",
            "--rotary-percent",
            "--use-rotary-position-embeddings",
            "--no-position-embedding",
            "--train-samples",
            "--overlap-grad-reduce",
            "--overlap-param-gather",
            "--tensorboard-dir",
            "--moe-router-load-balancing-type",
            "--moe-aux-loss-coeff",
            "--use-flash-attn",
            "--no-load-optim",
            "--no-load-rng",
            "--ckpt-format",
            "--vocab-file",
            "--merge-file",
            "--moe-router-pre-softmax",
            "--moe-router-dtype",
            "--moe-permute-fusion",
            "--attention-softmax-in-fp32",
            "--nnodes",
            "--nproc-per-node",
            "--nproc_per_node",
            "--node-rank",
            "--node_rank",
            "--master-addr",
            "--master_addr",
            "--master-port",
            "--master_port",
            "--bf16",
            "--fp16",
            "--log-throughput",
            "--num-workers",
            "--exit-interval",
            "--timing-log-level",
            "--seed",
            "--adam-eps",
        ],
        None,
        Nothing,
    ),
];

/// Architecture that becomes `model.hf_config` in Megatron's own words.
const NETWORK: [&str; 22] = [
    "num-layers",
    "hidden-size",
    "ffn-hidden-size",
    "num-attention-heads",
    "num-query-groups",
    "kv-channels",
    "max-position-embeddings",
    "vocab-size",
    "num-experts",
    "moe-router-topk",
    "moe-ffn-hidden-size",
    "moe-layer-freq",
    "moe-shared-expert-intermediate-size",
    "qk-layernorm",
    "multi-latent-attention",
    "q-lora-rank",
    "kv-lora-rank",
    "qk-head-dim",
    "qk-pos-emb-head-dim",
    "v-head-dim",
    "add-qkv-bias",
    "padded-vocab-size",
];

/// The arguments of a command or of a list.
pub fn arguments(findings: &mut Findings, words: &[String]) {
    findings.set(Id::EngineType, "megatron_lm", "Megatron-LM's arguments");
    let (_, all) = split(words);
    let value = |name: &str| all.iter().rev().find(|flag| flag.name == name).map(Flag::value);
    let size = |name: &str| value(name).as_ref().and_then(whole);
    let on = |name: &str| all.iter().any(|flag| flag.name == name);
    let rest: Vec<Flag> = all
        .iter()
        .filter(|flag| {
            let name = flag.name.trim_start_matches('-');
            !NETWORK.contains(&name) && !matches!(name, "recompute-modules" | "global-batch-size")
        })
        .cloned()
        .collect();
    read(findings, TABLE, &rest);
    if on("--bf16") {
        findings.set(Id::Dtype, "bf16", "--bf16");
    } else if on("--fp16") {
        findings.set(Id::Dtype, "fp16", "--fp16");
    } else {
        findings.set(Id::Dtype, "fp32", "neither --bf16 nor --fp16");
    }
    if let Some(flag) = all.iter().find(|flag| flag.name == "--recompute-modules") {
        findings.set(Id::RecomputeModules, flag.values.clone(), flag.text());
    }
    let dispatched = findings.request.get(Id::TokenDispatcher).is_some();
    if on("--num-experts") && !dispatched {
        let why = "no --moe-token-dispatcher-type: Megatron-LM's default";
        findings.set(Id::TokenDispatcher, "allgather", why);
    }
    network(findings, &all);
    let nodes = size("--nnodes").unwrap_or(1);
    let each = size("--nproc-per-node").or_else(|| size("--nproc_per_node"));
    if let Some(each) = each {
        findings.set(
            Id::NumGpus,
            nodes.saturating_mul(each),
            "--nnodes x --nproc-per-node",
        );
        if nodes > 1 {
            findings.set(Id::NumNodes, nodes, "--nnodes");
        }
    } else {
        findings.assume("The number of GPUs is that of the launcher: the one in the form is kept.");
    }
    accumulation(
        findings,
        size("--global-batch-size"),
        each.map(|each| each.saturating_mul(nodes)),
    );
}

/// Micro-batches of a step, from the global batch.
fn accumulation(findings: &mut Findings, batch: Option<u64>, gpus: Option<u64>) {
    let (Some(batch), Some(gpus)) = (batch, gpus) else {
        return;
    };
    let size = |id: Id| findings.request.get(id).and_then(Value::as_u64).unwrap_or(1);
    let model = size(Id::TensorParallelSize)
        .saturating_mul(size(Id::PipelineParallelSize))
        .saturating_mul(size(Id::ContextParallelSize));
    let replicas = gpus.checked_div(model).unwrap_or(1).max(1);
    let each = size(Id::BatchSize).saturating_mul(replicas);
    match batch.checked_div(each).filter(|steps| *steps > 0) {
        Some(steps) => findings.set(
            Id::GradientAccumulationSteps,
            steps,
            format!("--global-batch-size {batch}"),
        ),
        None => findings.strange(format!("--global-batch-size {batch}, less than {each}")),
    }
}

/// The architecture as a configuration of the family `megatron_gpt`, which the import of models reads.
fn network(findings: &mut Findings, all: &[Flag]) {
    let mut config = serde_json::Map::new();
    for flag in all {
        let name = flag.name.trim_start_matches('-');
        if !NETWORK.contains(&name) {
            continue;
        }
        let value = match flag.values.first() {
            None => Value::Bool(true),
            Some(word) => serde_json::from_str(word).unwrap_or_else(|_| Value::from(word.as_str())),
        };
        config.insert(name.replace('-', "_"), value);
    }
    if !config.contains_key("num_layers") || !config.contains_key("hidden_size") {
        return;
    }
    let on = |name: &str| all.iter().any(|flag| flag.name == name);
    let normalization = all
        .iter()
        .find(|flag| flag.name == "--normalization")
        .and_then(|flag| flag.values.first().cloned());
    config.insert("model_type".to_owned(), "megatron_gpt".into());
    for name in ["position-embedding-type", "hidden-dropout", "attention-dropout"] {
        let flag = all.iter().find(|flag| flag.name.trim_start_matches('-') == name);
        if let Some(word) = flag.and_then(|flag| flag.values.first()) {
            let value = serde_json::from_str(word).unwrap_or_else(|_| Value::from(word.as_str()));
            config.insert(name.replace('-', "_"), value);
        }
    }
    config.insert("swiglu".to_owned(), on("--swiglu").into());
    config.insert(
        "untie_embeddings_and_output_weights".to_owned(),
        on("--untie-embeddings-and-output-weights").into(),
    );
    config.insert(
        "add_bias_linear".to_owned(),
        (!on("--disable-bias-linear")).into(),
    );
    config.insert(
        "normalization".to_owned(),
        json!(normalization.unwrap_or_else(|| "LayerNorm".to_owned())),
    );
    findings.set(
        Id::HfConfig,
        Value::Object(config),
        "--num-layers, --hidden-size and the like",
    );
}
