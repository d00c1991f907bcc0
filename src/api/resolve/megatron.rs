//! Megatron-LM: its settings from the request, what must divide what, and inputs of other engines that mean something else
//! or nothing to it.

use super::super::given::Given;
use super::super::read::Typed;
use super::{Mesh, Model, Report, megatron_states as states};
use crate::model::{FeedForward, Layer, Mixer, Network, Residual};
use crate::parallel::{Schedule, Split, Uneven, Written, stages};
use crate::request::InputId;
use crate::training::{
    Engine, Megatron, Optimizer, Precision, Recompute, RecomputedModules, VocabularyLoss, Wrapper,
};
use crate::units::{Bytes, DType};
use crate::warn::Issue;

/// The engine with its settings, and the micro-batches that pass through the pipeline per step.
pub fn megatron(
    given: &Given,
    (mesh, model, sequence): (Mesh, &Model, u64),
    (own, accumulation, optimizer): (bool, u64, Optimizer),
    (torch, compute_capability): ((u16, u16), u16),
    report: &mut Report,
) -> (Engine, u64) {
    refuse(given, own, report);
    let micro_batches = micro_batches(given, accumulation, report);
    let same = torch >= (2, 15) || compute_capability == 90;
    if same && given.toggle(InputId::DeterministicMode) == Some(true) {
        report.warn(
            "not_used",
            InputId::DeterministicMode,
            "On Hopper a cuBLAS workspace takes 32 MiB in any mode, and from torch 2.15 on none stays.",
        );
    }
    let on = |id| given.toggle(id).unwrap_or(false);
    let count = |id| given.integer(id);
    let written = states::layout(given, report);
    let settings = Megatron {
        tensor: mesh.tensor,
        sequence: on(InputId::SequenceParallel) && mesh.tensor > 1,
        pipeline: mesh.pipeline,
        context: mesh.context,
        expert: mesh.expert,
        expert_tensor: given
            .typed_integer(InputId::ExpertTensorParallelSize)
            .unwrap_or(mesh.tensor),
        schedule: schedule(given, (mesh, written), micro_batches, report),
        split: Split {
            weighed: false,
            first: count(InputId::FirstStageLayers),
            last: count(InputId::LastStageLayers),
            embedding: on(InputId::CountEmbedding),
            loss: on(InputId::CountLoss),
            written,
            balanced: !own,
        },
        distributed_optimizer: on(InputId::UseDistributedOptimizer),
        recompute: recompute(given, report),
        loss: if on(InputId::CrossEntropyFusion) {
            VocabularyLoss::Native
        } else {
            VocabularyLoss::Unfused
        },
        fused_softmax: given.toggle(InputId::SoftmaxFusion).unwrap_or(true),
        deferred: count(InputId::WgradDeferral)
            .unwrap_or(0)
            .min(micro_batches.saturating_sub(1)),
        fused_accumulation: given.toggle(InputId::AccumulationFusion).unwrap_or(true),
        deterministic: on(InputId::DeterministicMode),
        grouped_experts: on(InputId::GroupedExperts) && model.network.has_experts(),
        dispatcher: states::dispatcher(given),
        vocabulary_multiple: count(InputId::VocabularyMultiple).unwrap_or(128),
        capacity_thousandths: given
            .number(InputId::ExpertCapacity)
            .filter(|factor| *factor > 0.0)
            .map(thousandths),
        padded: on(InputId::PadToCapacity),
        imbalance_thousandths: thousandths(given.number(InputId::ExpertImbalance).unwrap_or(1.0)),
        further: states::further(given, written, report),
        narrow: states::narrow(given, compute_capability, report),
        sharding: states::sharding(given, report),
        offloaded_millionths: Bytes::new(1_000_000)
            .scaled(given.number(InputId::OffloadFraction).unwrap_or(0.0))
            .get(),
        moment_bytes: match given.choice(InputId::MomentDtype) {
            Some("bf16" | "fp16") => 2,
            Some("fp8") => 1,
            _ => 4,
        },
        dealt_out: optimizer == Optimizer::Muon
            && on(InputId::UseDistributedOptimizer)
            && given.toggle(InputId::LayerWiseLayout) == Some(false),
        comm_overlap: on(InputId::TpCommOverlap) && on(InputId::SequenceParallel) && mesh.tensor > 1,
        wrapper: states::wrapper(given, own, report),
        stage: None,
    };
    if !model.network.has_experts() {
        let of_experts = [
            InputId::GroupedExperts,
            InputId::TokenDispatcher,
            InputId::ExpertImbalance,
            InputId::ExpertCapacity,
            InputId::PadToCapacity,
        ];
        for id in of_experts
            .into_iter()
            .filter(|id| given.differs_from_default(*id))
        {
            report.warn("not_used", id, "The model has no experts.");
        }
    }
    states::check_dispatcher(&settings, report);
    check(&settings, (mesh, &model.network, sequence), report);
    (Engine::Megatron(settings), micro_batches)
}

/// A factor between 1 and 1024 in thousandths.
fn thousandths(factor: f64) -> u64 {
    Bytes::new(1000).scaled(factor).get()
}

/// Megatron keeps fp32 master weights beside 16-bit ones, or everything in fp32.
pub fn precision(given: &Given, compute: DType, report: &mut Report) -> Precision {
    if compute == DType::Fp32 {
        if given
            .choice(InputId::PrecisionMode)
            .is_some_and(|mode| mode != "pure")
        {
            report.warn(
                "not_used",
                InputId::PrecisionMode,
                "With fp32 arithmetic everything is fp32; the precision mode has no effect.",
            );
        }
        return Precision::Pure(compute);
    }
    match given.choice(InputId::PrecisionMode) {
        None => report.assume(
            InputId::PrecisionMode,
            "mixed",
            "Megatron keeps fp32 master weights",
        ),
        Some("mixed") => {}
        Some(_) => report.error(
            "unsupported_combination",
            InputId::PrecisionMode,
            "Megatron's 16-bit modes are mixed: weights in the compute type with fp32 master weights.",
        ),
    }
    Precision::Master(compute)
}

fn micro_batches(given: &Given, accumulation: u64, report: &mut Report) -> u64 {
    let Some(count) = given.integer(InputId::NumMicroBatches) else {
        return accumulation;
    };
    if given.has(InputId::GradientAccumulationSteps) && accumulation != count {
        report.add(
            Issue::error(
                "unsupported_combination",
                InputId::NumMicroBatches.key(),
                "The micro-batches of the pipeline are the gradient accumulation steps: give one of the two, or the same number.",
            )
            .with_value(count),
        );
    }
    count
}

pub(super) fn schedule(
    given: &Given,
    (mesh, written): (Mesh, Option<Written>),
    micro_batches: u64,
    report: &mut Report,
) -> Schedule {
    // A layout has as many virtual stages as it writes.
    let of_layout = written.map(|layout| (layout.stages() / mesh.pipeline.max(1)).max(1));
    let chunks = given
        .integer(InputId::VirtualPipelineSize)
        .filter(|_| given.has(InputId::VirtualPipelineSize))
        .or(of_layout)
        .unwrap_or(1);
    let group = given.integer(InputId::MicrobatchGroup).unwrap_or(mesh.pipeline);
    let found = match given.choice(InputId::PipelineSchedule) {
        Some("gpipe") => Schedule::GPipe,
        Some("zero_bubble") => Schedule::ZeroBubble,
        Some("zero_bubble_v") => Schedule::ZeroBubbleV,
        Some("dualpipe") => Schedule::DualPipe,
        Some("dualpipe_v") => Schedule::DualPipeV,
        _ if chunks > 1 => Schedule::Interleaved { chunks, group },
        _ => Schedule::OneForwardOneBackward,
    };
    let mut refuse = |id: InputId, message: String| {
        report.error("unsupported_combination", id, message);
    };
    let interleaved = matches!(found, Schedule::Interleaved { .. });
    if chunks > 1 && !interleaved {
        refuse(
            InputId::VirtualPipelineSize,
            "Virtual stages belong to the schedule of one forward, one backward; the others have chunks of their own.".into(),
        );
    }
    if chunks > 1 && mesh.pipeline == 1 {
        refuse(
            InputId::VirtualPipelineSize,
            "Virtual stages need more than one pipeline stage.".into(),
        );
    }
    if interleaved
        && (group < mesh.pipeline || !micro_batches.is_multiple_of(mesh.pipeline) && group == mesh.pipeline)
    {
        refuse(
            InputId::MicrobatchGroup,
            format!(
                "Interleaving wants groups of at least {} micro-batches, and {micro_batches} in groups of {group} leave a smaller one.",
                mesh.pipeline
            ),
        );
    }
    if micro_batches < found.fewest(mesh.pipeline) {
        refuse(
            InputId::PipelineSchedule,
            format!(
                "It needs at least {} micro-batches per step.",
                found.fewest(mesh.pipeline)
            ),
        );
    }
    let odd = !mesh.pipeline.is_multiple_of(2) || !micro_batches.is_multiple_of(2);
    if found == Schedule::DualPipe && odd {
        refuse(
            InputId::PipelineSchedule,
            "DualPipe needs an even number of ranks and of micro-batches.".into(),
        );
    }
    if mesh.pipeline > 1 && micro_batches < mesh.pipeline {
        report.warn(
            "pipeline_not_full",
            InputId::GradientAccumulationSteps,
            format!(
                "{micro_batches} micro-batches per step are fewer than the {} stages: the pipeline is never full, and more would need more memory.",
                mesh.pipeline
            ),
        );
    }
    found
}

fn recompute(given: &Given, report: &mut Report) -> Recompute {
    let layers = given.integer(InputId::RecomputeLayers).unwrap_or(1);
    match given.choice(InputId::ActivationCheckpointing) {
        Some("full") if given.choice(InputId::RecomputeMethod) == Some("block") => Recompute::Block(layers),
        Some("full") => Recompute::Uniform(layers.max(1)),
        Some("selective") => Recompute::Modules(modules(given, report)),
        Some("every_n" | "operations" | "products") => {
            report.add(
                Issue::error(
                    "unsupported_combination",
                    InputId::ActivationCheckpointing.key(),
                    "Megatron recomputes all layers, the first ones of a chunk, or modules of every layer.",
                )
                .with_allowed(["none", "selective", "full"]),
            );
            Recompute::None
        }
        _ => Recompute::None,
    }
}

/// Names of modules that selective recomputation knows.
const MODULES: [&str; 7] = [
    "core_attn",
    "layernorm",
    "mlp",
    "moe",
    "moe_act",
    "shared_experts",
    "mla_up_proj",
];

fn modules(given: &Given, report: &mut Report) -> RecomputedModules {
    let Some(Typed::List(words)) = given.get(InputId::RecomputeModules) else {
        return RecomputedModules {
            core_attention: true,
            ..RecomputedModules::default()
        };
    };
    for word in words.iter().filter(|word| !MODULES.contains(&word.as_str())) {
        report.add(
            Issue::error(
                "unknown_value",
                InputId::RecomputeModules.key(),
                format!("{word} is no module that selective recomputation knows."),
            )
            .with_value(word.as_str())
            .with_allowed(MODULES),
        );
    }
    let has = |name: &str| words.iter().any(|word| word == name);
    RecomputedModules {
        core_attention: has("core_attn"),
        norms: has("layernorm"),
        feed_forward: has("mlp"),
        experts: has("moe"),
        expert_activation: has("moe_act"),
        shared_experts: has("shared_experts"),
        up_projection: has("mla_up_proj"),
    }
}

/// What must divide what, and which layers there are.
fn check(settings: &Megatron, (mesh, network, sequence): (Mesh, &Network, u64), report: &mut Report) {
    // More stages than layers are refused with the mesh, and so are heads that do not divide.
    let divided = stages(
        network.depth(),
        settings.split,
        settings.schedule,
        settings.pipeline,
    );
    if let Err(why) = divided
        && settings.pipeline <= network.depth()
    {
        let id = match why {
            Uneven::Indivisible { .. } => InputId::PipelineParallelSize,
            Uneven::TooMany { .. } => InputId::FirstStageLayers,
            Uneven::OtherStages { .. } | Uneven::OtherLayers { .. } => InputId::PipelineLayout,
        };
        report.add(
            Issue::error("not_divisible", id.key(), why.to_string()).with_hint(
                "Give the layers of the first or the last stage, or let embedding or loss count as layers.",
            ),
        );
    }
    let tensor = settings.tensor;
    for layer in &network.kinds {
        layer_is_known(layer, report);
        if let Mixer::Attention(attention) = &layer.mixer
            && attention.heads.is_multiple_of(tensor)
            && !attention.kv_heads.is_multiple_of(tensor)
            && settings.wrapper != Wrapper::Megatron
        {
            let message = format!(
                "{} key/value heads cannot be divided by {tensor}, and copies of them are not built.",
                attention.kv_heads
            );
            report.error("not_divisible", InputId::TensorParallelSize, message);
            break;
        }
    }
    let local = sequence / settings.context.max(1);
    if settings.sequence && !local.is_multiple_of(tensor) {
        report.error(
            "not_divisible",
            InputId::SequenceParallel,
            format!("A sequence of {local} tokens cannot be divided by {tensor}."),
        );
    }
    let moe = network.has_experts();
    if moe && tensor > 1 && !settings.sequence {
        report.add(
            Issue::error(
                "unsupported_combination",
                InputId::SequenceParallel.key(),
                "Megatron trains experts under tensor parallelism only with sequence parallelism.",
            )
            .with_hint("Switch sequence parallelism on."),
        );
    }
    let ranks = mesh.data.saturating_mul(tensor).saturating_mul(settings.context);
    let within = settings.expert.saturating_mul(settings.expert_tensor);
    if moe && !ranks.is_multiple_of(within.max(1)) {
        report.error(
            "not_divisible",
            InputId::ExpertParallelSize,
            format!("The {ranks} ranks of a stage cannot be divided into groups of {within} expert ranks."),
        );
    }
}

/// Layers that Megatron's transformer block has: attention or latent attention, then a feed-forward or experts.
fn layer_is_known(layer: &Layer, report: &mut Report) {
    let mixer = matches!(layer.mixer, Mixer::Attention(_) | Mixer::Latent(_));
    let feed_forward = matches!(layer.feed_forward, FeedForward::Dense(_) | FeedForward::Moe(_));
    let known = mixer && feed_forward && layer.residual == Residual::Sequential;
    let noted = report.issues.iter().any(|issue| issue.code == "unknown_layer");
    if !known && !noted {
        report.add(
            Issue::error(
                "unknown_layer",
                InputId::EngineType.key(),
                "This model has layers other than attention followed by a feed-forward or experts; what they keep under Megatron is not built yet.",
            )
            .with_hint("Use PyTorch FSDP."),
        );
    }
}

/// Inputs that other engines have and Megatron has not, or that are not built with it.
const ELSEWHERE: &[(InputId, &str)] = &[
    (
        InputId::Evaluation,
        "Evaluation between steps is not built with Megatron yet.",
    ),
    (
        InputId::CheckpointSave,
        "Saving is not built with Megatron yet: its distributed checkpoints are staged on the host.",
    ),
    (
        InputId::MovingAverage,
        "Megatron has no moving average of the weights.",
    ),
    (
        InputId::Compile,
        "Megatron's layers are Transformer Engine's own kernels; compiled runs are not built.",
    ),
    (
        InputId::ActivationOffload,
        "Offloading activations is not built with Megatron yet.",
    ),
    (
        InputId::FusedKernels,
        "Megatron's layers are Transformer Engine's fused modules already.",
    ),
    (
        InputId::Loss,
        "Megatron computes the loss over the divided vocabulary: see its fused cross entropy.",
    ),
    (InputId::KeepOutputs, "Megatron frees the logits with the loss."),
    (
        InputId::OptimizerInBackward,
        "Megatron's optimizer steps over its buffers when backward is over.",
    ),
];

fn refuse(given: &Given, own: bool, report: &mut Report) {
    for (id, why) in ELSEWHERE {
        if given.differs_from_default(*id) {
            report.error("not_available_yet", *id, *why);
        }
    }
    if given.choice(InputId::BatchLayout) == Some("padding_free") {
        report.error(
            "not_available_yet",
            InputId::BatchLayout,
            "Rows without padding are not built with Megatron yet.",
        );
    }
    if given.choice(InputId::Attention) == Some("masked") {
        report.error(
            "unsupported_combination",
            InputId::Attention,
            "Transformer Engine's kernels have no dense mask of this kind: choose fused or eager (unfused).",
        );
    }
    let muon = given.choice(InputId::Optimizer) == Some("muon");
    let known = matches!(
        given.choice(InputId::Optimizer),
        Some("adam" | "adamw" | "sgd") | None
    );
    if !(known || muon && own) {
        report.add(
            Issue::error(
                "not_available_yet",
                InputId::Optimizer.key(),
                "With Megatron, Adam, SGD and Muon are built; with its fork of DeepSpeed, Adam and SGD.",
            )
            .with_allowed(["adamw", "sgd", "muon"]),
        );
    }
    if muon
        && given
            .number(InputId::OffloadFraction)
            .is_some_and(|share| share > 0.0)
    {
        report.error(
            "unsupported_combination",
            InputId::OffloadFraction,
            "Megatron's optimizer on the host is Adam or SGD.",
        );
    }
}

/// Why an input means nothing to a Megatron job, where it does.
pub fn usage(id: InputId, given: &Given) -> Option<&'static str> {
    let full = given.choice(InputId::ActivationCheckpointing) == Some("full");
    let selective = given.choice(InputId::ActivationCheckpointing) == Some("selective");
    let pipeline = given.integer(InputId::PipelineParallelSize).unwrap_or(1) > 1;
    let unless = |used: bool, why| if used { None } else { Some(why) };
    match id {
        InputId::TransformersVersion => Some("Megatron has classes of its own."),
        InputId::SlidingWindow | InputId::LayerTypes => {
            Some("Windows are a setting of Transformer Engine's kernels; what they keep is the same.")
        }
        InputId::OptimizerImplementation => Some("Megatron's optimizer is one fused kernel."),
        InputId::GradientClipping => Some("Megatron computes one norm over its buffers, without copies."),
        InputId::SyncEachMicroBatch | InputId::ReduceDtype | InputId::CheckpointReentrant => {
            Some("Megatron's gradients are in contiguous buffers, and it checkpoints by itself.")
        }
        InputId::RecomputeMethod | InputId::RecomputeLayers => {
            unless(full, "Only full recomputation has a method and layers.")
        }
        InputId::PadToCapacity => unless(
            given
                .number(InputId::ExpertCapacity)
                .is_some_and(|factor| factor > 0.0),
            "Without a capacity there is nothing to pad to.",
        ),
        InputId::RecomputeModules => unless(selective, "Only selective recomputation has modules."),
        InputId::MicrobatchGroup => unless(
            given.integer(InputId::VirtualPipelineSize).unwrap_or(1) > 1
                || given.has(InputId::PipelineLayout),
            "Only virtual stages have turns.",
        ),
        InputId::SoftmaxFusion => unless(
            given.choice(InputId::Attention) == Some("eager"),
            "Only unfused attention has a softmax of its own.",
        ),
        InputId::WgradDeferral if given.integer(InputId::GradientAccumulationSteps).unwrap_or(1) == 1 => {
            Some("With one micro-batch none waits.")
        }
        InputId::PipelineSchedule
        | InputId::WgradDeferral
        | InputId::FirstStageLayers
        | InputId::LastStageLayers
        | InputId::CountEmbedding
        | InputId::CountLoss => unless(pipeline, "Without a pipeline there is one stage."),
        _ => states::usage(id, given),
    }
}
