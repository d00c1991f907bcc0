//! Context, pipeline and expert parallelism under FSDP2, as torchtitan composes them, and pipeline stages of DeepSpeed: what goes
//! together, and what must divide what.

use super::super::given::Given;
use super::megatron::schedule;
use super::{Mesh, Report, Step};
use crate::model::{Mixer, Network, Span};
use crate::parallel::{Split, Written, stages};
use crate::request::{EngineId, InputId};
use crate::training::{Adapter, AttentionKernel, Composed, Engine, HostMemory, Images, Pipeline};
use crate::warn::Issue;

/// The sizes that FSDP divides beside its own: one where the engine is another.
pub const fn context_ranks(mesh: Mesh, engine: EngineId) -> u64 {
    match engine {
        EngineId::Fsdp => mesh.context,
        _ => 1,
    }
}

/// The composition, with the engine as it runs in it.
pub fn composed(
    given: &Given,
    (id, engine): (EngineId, Engine),
    (mesh, network): (Mesh, &Network),
    beside: (&Step, Option<Adapter>, Option<Images>),
    report: &mut Report,
) -> (Composed, Engine) {
    let sizes = [mesh.context, mesh.pipeline, mesh.expert];
    let composes = matches!(id, EngineId::Fsdp | EngineId::Deepspeed);
    if !composes || sizes.iter().all(|size| *size <= 1) {
        return (Composed::default(), engine);
    }
    match composes_by() {
        Some(compose) => compose(given, (id, engine), (mesh, network), beside, report),
        None => (Composed::default(), engine),
    }
}

type Compose = fn(
    &Given,
    (EngineId, Engine),
    (Mesh, &Network),
    (&Step, Option<Adapter>, Option<Images>),
    &mut Report,
) -> (Composed, Engine);

brought!(composes_by: Compose = compose);

fn compose(
    given: &Given,
    (id, engine): (EngineId, Engine),
    (mesh, network): (Mesh, &Network),
    (step, adapter, images): (&Step, Option<Adapter>, Option<Images>),
    report: &mut Report,
) -> (Composed, Engine) {
    let sizes = [mesh.context, mesh.pipeline, mesh.expert];
    let ids = [
        InputId::ContextParallelSize,
        InputId::PipelineParallelSize,
        InputId::ExpertParallelSize,
    ];
    let used = || ids.into_iter().zip(sizes).filter(|(_, size)| *size > 1);
    let first = used()
        .map(|(id, _)| id)
        .next()
        .unwrap_or(InputId::PipelineParallelSize);
    let mut refuse = |id: InputId, message: &str, hint: &str| {
        report.add(Issue::error("unsupported_combination", id.key(), message).with_hint(hint));
    };
    if matches!(engine, Engine::Fsdp1 { .. }) {
        refuse(
            first,
            "torchtitan composes context, pipeline and expert parallelism with FSDP2; they were not read beside FSDP1.",
            "Take FSDP version 2.",
        );
    }
    if adapter.is_some() {
        refuse(
            InputId::Adapter,
            "Adapters beside context, pipeline or expert parallelism were not read.",
            "Train all weights, or set these sizes to 1.",
        );
    }
    if given.differs_from_default(InputId::Objective) {
        refuse(
            InputId::Objective,
            "Preference training over context, pipeline or expert ranks is answered with Megatron-LM.",
            "Take Megatron-LM, or set these sizes to 1.",
        );
    }
    if images.is_some() {
        refuse(
            InputId::ImagesPerSample,
            "Images are answered without context, pipeline and expert parallelism.",
            "Set these sizes to 1.",
        );
    }
    for id in [InputId::Evaluation, InputId::CheckpointSave] {
        if given.differs_from_default(id) {
            refuse(
                id,
                "What happens between steps is answered without context, pipeline and expert parallelism.",
                "Set these sizes to 1.",
            );
        }
    }
    if mesh.context > 1 {
        context(network, step, &mut refuse);
    }
    let mut engine = engine;
    let pipeline = (mesh.pipeline > 1)
        .then(|| pipeline(given, (id, &mut engine), (mesh, network), step, report))
        .flatten();
    let ranks = mesh.data.saturating_mul(mesh.context);
    if mesh.expert > 1 {
        if !ranks.is_multiple_of(mesh.expert) {
            report.add(
                Issue::error(
                    "not_divisible",
                    InputId::ExpertParallelSize.key(),
                    format!(
                        "The {ranks} ranks that share weights cannot be divided into groups of {} expert ranks.",
                        mesh.expert
                    ),
                )
                .with_value(mesh.expert),
            );
        }
        report.unproven(
            InputId::ExpertParallelSize,
            &mesh.expert.to_string(),
            "engine.type=fsdp",
        );
    }
    let composed = Composed {
        context: mesh.context,
        expert: mesh.expert,
        pipeline,
        rank: None,
    };
    (composed, engine)
}

/// Ring attention goes round with torch's flash kernel alone.
fn context(network: &Network, step: &Step, refuse: &mut impl FnMut(InputId, &str, &str)) {
    let plain = |mixer: &Mixer| matches!(mixer, Mixer::Attention(attention) if attention.span == Span::Full);
    if step.attention != AttentionKernel::Flash || !network.layers().all(|layer| plain(&layer.mixer)) {
        refuse(
            InputId::ContextParallelSize,
            "Ring attention was read for full attention with torch's flash kernel (torch 2.15 distributed/tensor/experimental/_context_parallel).",
            "Choose fused attention, or a context parallel size of 1.",
        );
    }
}

fn pipeline(
    given: &Given,
    (id, engine): (EngineId, &mut Engine),
    (mesh, network): (Mesh, &Network),
    step: &Step,
    report: &mut Report,
) -> Option<Pipeline> {
    let own = id == EngineId::Deepspeed;
    if own {
        let size = mesh.pipeline.to_string();
        report.unproven(InputId::PipelineParallelSize, &size, "engine.type=deepspeed");
    }
    let mut refuse = |id: InputId, message: &str, hint: &str| {
        report.add(Issue::error("unsupported_combination", id.key(), message).with_hint(hint));
    };
    if network.head.tied && !own {
        refuse(
            InputId::PipelineParallelSize,
            "Embedding and head are tied, but lie on different stages: torch's pipelines keep no copies equal.",
            "Take Megatron-LM, or a model whose head is its own.",
        );
    }
    if step.in_backward {
        refuse(
            InputId::OptimizerInBackward,
            "Gradients of a pipeline are complete when the last micro-batch is over.",
            "Switch it off.",
        );
    }
    let away = match engine {
        Engine::DeepSpeed(zero) if zero.optimizer.away() => Some(InputId::OffloadOptimizer),
        _ if engine.states() != HostMemory::None => Some(InputId::FsdpCpuOffload),
        _ => None,
    };
    if let Some(id) = away {
        refuse(
            id,
            "States on the host beside a pipeline were not read.",
            "Keep them on the GPU.",
        );
    }
    if given
        .choice(InputId::ActivationOffload)
        .is_some_and(|place| place != "none")
    {
        refuse(
            InputId::ActivationOffload,
            "Saved activations on the host beside a pipeline were not read.",
            "Keep them on the GPU.",
        );
    }
    if given.toggle(InputId::ReshardAfterForward) == Some(true) && !own {
        refuse(
            InputId::ReshardAfterForward,
            "torchtitan keeps the weights of a pipeline's stages gathered through the step; gathering them for each micro-batch is not built.",
            "Leave it out, or switch it off.",
        );
    }
    if let Engine::Fsdp2 {
        reshard_after_forward,
        resharded_to,
        ..
    } = engine
    {
        (*reshard_after_forward, *resharded_to) = (false, None);
    }
    let written = given.text(InputId::PipelineLayout).and_then(|text| {
        Written::read(&text)
            .map_err(|why| {
                report.error(
                    "unsupported_combination",
                    InputId::PipelineLayout,
                    why.to_string(),
                )
            })
            .ok()
    });
    if written.is_some_and(|written| written.further > 0) {
        report.error(
            "unsupported_combination",
            InputId::PipelineLayout,
            "torchtitan's pipelines have no layers for further tokens.",
        );
    }
    let split = Split {
        written,
        weighed: !own,
        balanced: own,
        ..Split::default()
    };
    let schedule = schedule(given, (mesh, written), step.accumulation, report);
    if let Err(why) = stages(network.depth(), split, schedule, mesh.pipeline) {
        report.error("not_divisible", InputId::PipelineParallelSize, why.to_string());
        return None;
    }
    Some(Pipeline {
        ranks: mesh.pipeline,
        schedule,
        split,
    })
}
