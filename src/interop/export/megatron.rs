//! Megatron-LM's arguments as a torchrun command. Source: NVIDIA/Megatron-LM at d98e8a6 (August 2026)
//! `megatron/training/arguments.py`, `megatron/core/transformer/transformer_config.py`; a model that is loaded from a
//! checkpoint of the hub needs the same arguments.

use serde_json::Value;

use super::Body;
use super::common::{Recipe, global_batch, machines, recipe};
use super::sheet::Sheet;
use crate::interop::shell::Command;
use crate::model::layer::{Attention, Dense, FeedForward, Latent, Layer, Mixer, Moe, NormKind, QkNorm};
use crate::request::InputId;

pub(super) fn write(sheet: &mut Sheet<'_>) -> Body {
    let (nodes, each) = machines(sheet);
    let mut command = Command::new(&["torchrun"]);
    command.flag("--nnodes", nodes);
    command.flag("--nproc-per-node", each);
    if nodes > 1 {
        command.flag("--node-rank", "$NODE_RANK");
        command.flag("--master-addr", "$MASTER_ADDR");
        command.flag("--master-port", 29500);
        sheet.note("NODE_RANK and MASTER_ADDR differ by machine.");
    }
    command.append(Command::new(&["pretrain_gpt.py"]));
    command.append(arguments(sheet));
    sheet.note("Data are mock data and the tokenizer makes numbers: put yours there.");
    Body::Shell(format!(
        "export CUDA_DEVICE_MAX_CONNECTIONS=1\n{}",
        command.text()
    ))
}

/// The arguments of `pretrain_gpt.py`.
pub(super) fn arguments(sheet: &mut Sheet<'_>) -> Command {
    let mut command = Command::default();
    architecture(sheet, &mut command);
    workload(sheet, &mut command);
    mesh(sheet, &mut command);
    recomputation(sheet, &mut command);
    switches(sheet, &mut command);
    stored(sheet, &mut command);
    command
}

/// The network itself; architecture that was typed is told by it.
fn architecture(sheet: &mut Sheet<'_>, command: &mut Command) {
    let network = &sheet.facts().network;
    sheet.tell(&[
        InputId::ModelId,
        InputId::HfConfig,
        InputId::NumLayers,
        InputId::HiddenSize,
        InputId::IntermediateSize,
        InputId::VocabSize,
        InputId::NumAttentionHeads,
        InputId::NumKeyValueHeads,
        InputId::HeadDim,
        InputId::TieWordEmbeddings,
        InputId::Norm,
        InputId::MlpGated,
        InputId::MaxSeqLen,
        InputId::NumExperts,
        InputId::TopK,
        InputId::ExpertIntermediateSize,
        InputId::MoeEnabled,
    ]);
    command.switch("--use-mcore-models");
    command.flag("--transformer-impl", "transformer_engine");
    command.flag("--num-layers", network.depth());
    command.flag("--hidden-size", network.hidden_size);
    let first = network.layers().next();
    let dense = network.layers().find_map(|layer| dense(&layer.feed_forward));
    let moe = network.layers().find_map(Layer::moe);
    if let Some(dense) = dense {
        command.flag("--ffn-hidden-size", dense.width);
        if dense.gated {
            command.switch("--swiglu");
        }
    } else if moe.is_some_and(|moe| moe.gated) {
        command.switch("--swiglu");
    }
    match first.map(|layer| &layer.mixer) {
        Some(Mixer::Attention(attention)) => softmax(attention, command),
        Some(Mixer::Latent(found)) => latent(found, command),
        _ => sheet.note("Megatron's GPT has no such mixer in its first layer: use its hybrid model."),
    }
    let rms = first
        .and_then(|layer| layer.norms.first())
        .is_none_or(|norm| norm.kind != NormKind::Layer);
    command.flag("--normalization", if rms { "RMSNorm" } else { "LayerNorm" });
    if !has_bias(first) {
        command.switch("--disable-bias-linear");
    }
    if !network.head.tied {
        command.switch("--untie-embeddings-and-output-weights");
    }
    command.flag("--position-embedding-type", "rope");
    let longest = network.max_positions.unwrap_or(0);
    let length = sheet.peek_integer(InputId::SeqLength).unwrap_or(2048);
    command.flag("--max-position-embeddings", longest.max(length));
    command.flag("--vocab-size", network.vocabulary);
    command.flag("--tokenizer-type", "NullTokenizer");
    command.flag(
        "--make-vocab-size-divisible-by",
        sheet.integer(InputId::VocabularyMultiple).unwrap_or(128),
    );
    if let Some(moe) = moe {
        experts(sheet, moe, command);
    }
}

fn dense(part: &FeedForward) -> Option<&Dense> {
    match part {
        FeedForward::Dense(dense) => Some(dense),
        FeedForward::Several(parts) => parts.iter().find_map(dense),
        FeedForward::None | FeedForward::Moe(_) => None,
    }
}

/// Whether the layer's matrices have biases beyond those of queries, keys and values.
fn has_bias(layer: Option<&Layer>) -> bool {
    layer.is_some_and(|layer| {
        layer
            .tensors
            .iter()
            .any(|tensor| tensor.name.ends_with("proj.bias") && tensor.name.contains("mlp"))
    })
}

fn softmax(attention: &Attention, command: &mut Command) {
    command.flag("--num-attention-heads", attention.heads);
    if attention.kv_heads < attention.heads {
        command.switch("--group-query-attention");
        command.flag("--num-query-groups", attention.kv_heads);
    }
    command.flag("--kv-channels", attention.head_dim);
    if attention.qk_norm != QkNorm::None {
        command.switch("--qk-layernorm");
    }
}

fn latent(latent: &Latent, command: &mut Command) {
    command.switch("--multi-latent-attention");
    command.flag("--num-attention-heads", latent.heads);
    command.maybe("--q-lora-rank", latent.query_rank);
    command.flag("--kv-lora-rank", latent.kv_rank);
    command.flag("--qk-head-dim", latent.nope_dim);
    command.flag("--qk-pos-emb-head-dim", latent.rope_dim);
    command.flag("--v-head-dim", latent.value_dim);
}

fn experts(sheet: &mut Sheet<'_>, moe: &Moe, command: &mut Command) {
    command.flag("--num-experts", moe.experts);
    command.flag("--moe-router-topk", moe.top_k);
    command.flag("--moe-ffn-hidden-size", moe.width);
    if let Some(shared) = &moe.shared {
        sheet.tell(&[InputId::NumSharedExperts, InputId::SharedExpertIntermediateSize]);
        command.flag("--moe-shared-expert-intermediate-size", shared.width);
    }
    let pattern: Vec<&str> = sheet
        .facts()
        .network
        .layers()
        .map(|layer| if layer.moe().is_some() { "1" } else { "0" })
        .collect();
    if pattern.contains(&"0") {
        sheet.tell(&[InputId::FirstKDenseReplace, InputId::MoeLayerFreq]);
        command.flag("--moe-layer-freq", format!("[{}]", pattern.join(",")));
    }
    let dispatcher = sheet.word(InputId::TokenDispatcher);
    command.flag("--moe-token-dispatcher-type", dispatcher);
    if dispatcher == "flex" {
        command.flag("--moe-flex-dispatcher-backend", "deepep");
    }
    if sheet.toggle(InputId::GroupedExperts) {
        command.switch("--moe-grouped-gemm");
    }
    if let Some(factor) = sheet.typed_number(InputId::ExpertCapacity) {
        command.flag("--moe-expert-capacity-factor", factor);
    }
    if sheet.toggle(InputId::PadToCapacity) {
        command.switch("--moe-pad-expert-input-to-capacity");
    }
}

fn workload(sheet: &mut Sheet<'_>, command: &mut Command) {
    command.flag(
        "--micro-batch-size",
        sheet.integer(InputId::BatchSize).unwrap_or(1),
    );
    let micro_batches = sheet.integer(InputId::NumMicroBatches);
    let batch = match micro_batches {
        Some(count) => sheet
            .peek_integer(InputId::BatchSize)
            .unwrap_or(1)
            .saturating_mul(count)
            .saturating_mul(sheet.facts().data_parallel),
        None => global_batch(sheet),
    };
    command.flag("--global-batch-size", batch);
    command.flag("--seq-length", sheet.integer(InputId::SeqLength).unwrap_or(2048));
    sheet.among(InputId::BatchLayout, &["packed"]);
    match recipe(sheet) {
        Recipe::Full { .. } => {}
        Recipe::Mixed(word) => command.switch(&format!("--{word}")),
        Recipe::Pure(word) => {
            command.switch(&format!("--{word}"));
            sheet.note(
                "Megatron-LM keeps fp32 master weights; training.precision_mode = pure has no argument.",
            );
        }
    }
    match sheet.among(InputId::Optimizer, &["adamw", "adam", "sgd", "muon"]) {
        Some("muon") => {
            command.flag("--optimizer", "muon");
            if !sheet.toggle(InputId::LayerWiseLayout) {
                command.switch("--no-use-layer-wise-param-layout");
            }
        }
        Some("sgd") => {
            command.flag("--optimizer", "sgd");
            command.flag("--sgd-momentum", sheet.number(InputId::Momentum).unwrap_or(0.9));
        }
        Some(_) => command.flag("--optimizer", "adam"),
        None => sheet.note("Megatron-LM has no such optimizer here: Adam is its default."),
    }
    command.flag("--lr", sheet.number(InputId::LearningRate).unwrap_or(1e-4));
    command.flag(
        "--weight-decay",
        sheet.number(InputId::WeightDecay).unwrap_or(0.01),
    );
    command.flag(
        "--clip-grad",
        sheet.number(InputId::GradientClipping).unwrap_or(1.0),
    );
    let warmup = sheet.integer(InputId::WarmupSteps).unwrap_or(0);
    command.flag("--train-iters", warmup.saturating_mul(10).max(1000));
    command.flag("--lr-warmup-iters", warmup);
    command.switch("--mock-data");
    let dropout = sheet.number(InputId::Dropout).unwrap_or(0.0);
    command.flag("--attention-dropout", dropout);
    command.flag("--hidden-dropout", dropout);
    if let Some(kernel) = sheet.among(InputId::Attention, &["fused", "flash_attention", "eager"]) {
        let backend = match kernel {
            "flash_attention" => "flash",
            "eager" => "unfused",
            _ => "auto",
        };
        command.flag("--attention-backend", backend);
    }
}

fn mesh(sheet: &mut Sheet<'_>, command: &mut Command) {
    for (flag, id) in [
        ("--tensor-model-parallel-size", InputId::TensorParallelSize),
        ("--pipeline-model-parallel-size", InputId::PipelineParallelSize),
        ("--context-parallel-size", InputId::ContextParallelSize),
        ("--expert-model-parallel-size", InputId::ExpertParallelSize),
    ] {
        command.flag(flag, sheet.integer(id).unwrap_or(1));
    }
    if let Some(size) = sheet.typed_integer(InputId::ExpertTensorParallelSize) {
        command.flag("--expert-tensor-parallel-size", size);
    }
    if sheet.toggle(InputId::SequenceParallel) {
        command.switch("--sequence-parallel");
    }
    sheet.tell(&[InputId::DataParallelSize]);
    let chunks = sheet.integer(InputId::VirtualPipelineSize).unwrap_or(1);
    if chunks > 1 {
        command.flag("--num-virtual-stages-per-pipeline-rank", chunks);
    }
    if sheet.toggle(InputId::UseDistributedOptimizer) {
        command.switch("--use-distributed-optimizer");
    }
    sheet.among(InputId::PipelineSchedule, &["1f1b"]);
    for (flag, id) in [
        (
            "--microbatch-group-size-per-virtual-pipeline-stage",
            InputId::MicrobatchGroup,
        ),
        ("--decoder-first-pipeline-num-layers", InputId::FirstStageLayers),
        ("--decoder-last-pipeline-num-layers", InputId::LastStageLayers),
    ] {
        command.maybe(flag, sheet.typed_integer(id));
    }
    for (flag, id) in [
        (
            "--account-for-embedding-in-pipeline-split",
            InputId::CountEmbedding,
        ),
        ("--account-for-loss-in-pipeline-split", InputId::CountLoss),
    ] {
        if sheet.toggle(id) {
            command.switch(flag);
        }
    }
}

fn recomputation(sheet: &mut Sheet<'_>, command: &mut Command) {
    match sheet.among(InputId::ActivationCheckpointing, &["none", "selective", "full"]) {
        Some("full") => {
            command.flag("--recompute-granularity", "full");
            command.flag("--recompute-method", sheet.word(InputId::RecomputeMethod));
            command.flag(
                "--recompute-num-layers",
                sheet.integer(InputId::RecomputeLayers).unwrap_or(1),
            );
        }
        Some("selective") => {
            command.flag("--recompute-granularity", "selective");
            let modules: Vec<String> = sheet
                .value(InputId::RecomputeModules)
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(|module| module.as_str().map(str::to_owned))
                .collect();
            if !modules.is_empty() {
                command.several("--recompute-modules", modules);
            }
        }
        _ => {}
    }
}

/// What is stored in other formats, at other places, or divided further.
fn stored(sheet: &mut Sheet<'_>, command: &mut Command) {
    let layout = sheet.value(InputId::PipelineLayout).and_then(Value::as_str);
    command.maybe("--pipeline-model-parallel-layout", layout.map(str::to_owned));
    let further = sheet.integer(InputId::FurtherLayers).unwrap_or(0);
    if further > 0 {
        command.flag("--mtp-num-layers", further);
    }
    match sheet.word(InputId::NarrowRecipe) {
        "none" => {}
        "nvfp4" => {
            command.flag("--fp4-format", "e2m1");
            command.flag("--fp4-recipe", "nvfp4");
        }
        recipe => {
            command.flag("--fp8-format", "hybrid");
            command.flag("--fp8-recipe", recipe);
        }
    }
    if sheet.toggle(InputId::NarrowPrimary) {
        command.switch("--fp8-param-gather");
    }
    match sheet.word(InputId::MegatronSharding) {
        "none" => {}
        strategy => {
            command.switch("--use-megatron-fsdp");
            command.flag("--data-parallel-sharding-strategy", strategy);
        }
    }
    let away = sheet.number(InputId::OffloadFraction).unwrap_or(0.0);
    let moments = sheet.word(InputId::MomentDtype);
    if away > 0.0 {
        command.switch("--optimizer-cpu-offload");
        command.flag("--optimizer-offload-fraction", away);
    }
    if away > 0.0 || moments != "fp32" {
        command.switch("--use-precision-aware-optimizer");
        command.flag("--exp-avg-dtype", moments);
        command.flag("--exp-avg-sq-dtype", moments);
    }
}

fn switches(sheet: &mut Sheet<'_>, command: &mut Command) {
    for (flag, id, when) in [
        ("--cross-entropy-loss-fusion", InputId::CrossEntropyFusion, true),
        (
            "--no-gradient-accumulation-fusion",
            InputId::AccumulationFusion,
            false,
        ),
        ("--no-masked-softmax-fusion", InputId::SoftmaxFusion, false),
        ("--deterministic-mode", InputId::DeterministicMode, true),
    ] {
        if sheet.toggle(id) == when {
            command.switch(flag);
        }
    }
    if let Some(limit) = sheet.typed_integer(InputId::WgradDeferral) {
        command.switch("--defer-embedding-wgrad-compute");
        command.flag("--wgrad-deferral-limit", limit);
    }
    if sheet.among(InputId::Evaluation, &["none", "loss"]) == Some("none") {
        command.flag("--eval-iters", 0);
    }
}
