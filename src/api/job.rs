//! A request becomes a job: every value read, every default filled in, every error reported at once.

use serde_json::Value;

use super::answer::engine_name;
use super::evidence::{self, Chosen};
use super::given::{Given, default_of};
use super::resolve::{self, Card, Divided, EngineChoice, Mesh, Model, Report, Speed, Step};
use super::rollout::Beside;
use crate::request::{Assumed, Backing, EngineId, InputDefault, InputId, MultiNodeInfo, Request, Section};
use crate::training::{Compile, HostMemory, Layout, Objective, TrainingJob};
use crate::units::{Bytes, DType, sort_by_key};
use crate::warn::Issue;

/// A validated request.
#[derive(Clone, Debug)]
pub struct Job {
    /// What is trained, and how.
    pub training: TrainingJob,
    /// The model behind it.
    pub model: Model,
    /// The engine.
    pub engine: EngineChoice,
    /// The card.
    pub card: Card,
    /// The mesh.
    pub mesh: Mesh,
    /// Nodes, where there is more than one.
    pub nodes: Option<MultiNodeInfo>,
    /// What decides the time of a step.
    pub speed: Speed,
    /// Memory and disk of a node, where they are stated.
    pub host: (Option<Bytes>, Option<Bytes>),
    /// Defaults that were taken.
    pub assumed: Vec<Assumed>,
    /// What the reader must know.
    pub warnings: Vec<Issue>,
    /// The options that are chosen.
    pub chosen: Vec<Chosen>,
    /// What stands behind them.
    pub evidence: Backing,
    /// The rank that is asked about; the fullest where it is not said.
    pub rank: Option<u64>,
    /// What reinforcement learning has beside the model.
    pub beside: Beside,
}

/// How strictly a request is judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strictness {
    /// Unknown keys are errors.
    pub unknown_fields: bool,
}

/// Every issue of a request, errors first; it can be answered when none of them is an error.
pub fn validate(request: &Request) -> Vec<Issue> {
    match job(request, Strictness::default()) {
        Ok(job) => job.warnings,
        Err(issues) => issues,
    }
}

/// The job of a request, or every issue (errors and warnings) by field.
pub fn job(request: &Request, strictness: Strictness) -> Result<Job, Vec<Issue>> {
    let mut report = Report::default();
    let given = Given::read(request, &mut report.issues);
    if strictness.unknown_fields {
        for issue in &mut report.issues {
            if issue.code == "unknown_field" {
                issue.severity = crate::warn::Severity::Error;
            }
        }
    }
    let shaped = resolve::shaped(&given, &mut report);
    let job = build((&given, &shaped), &mut report);
    sort_by_key(&mut report.issues, |issue| !issue.is_error());
    match job {
        Some(mut job) if !report.has_errors() => {
            job.warnings = report.issues;
            job.warnings.extend(evidence::warnings(&job.evidence));
            job.assumed = report.assumed;
            Ok(job)
        }
        _ => Err(report.issues),
    }
}

/// `typed` is what the user gave, `given` has what a node shape fills beside it.
fn build((typed, given): (&Given, &Given), report: &mut Report) -> Option<Job> {
    let engine = resolve::engine(given, report);
    resolve::zero(given, engine.id, report);
    let mesh = resolve::mesh(given, engine.id, report);
    let gpus = mesh.map_or_else(|| given.integer(InputId::NumGpus).unwrap_or(1), |mesh| mesh.gpus);
    let card = resolve::hardware(given, gpus, report);
    let nodes = mesh.and_then(|mesh| resolve::nodes(given, mesh.gpus, card.as_ref(), report));
    let precision = resolve::precision(given, engine.id, report);
    let adapter = resolve::adapter(given, engine, precision, report);
    let objective = resolve::objective(given, engine.id, report);
    let step = resolve::step(given, engine, report);
    let ranks = mesh.map_or(1, |mesh| {
        mesh.data.saturating_mul(resolve::context_ranks(mesh, engine.id))
    });
    let num_nodes = nodes.as_ref().map_or(1, |nodes| nodes.num_nodes);
    let settings = resolve::settings(given, engine.id, (ranks, num_nodes), report);
    resolve::note(given, report);
    resolve::unused(typed, engine.id, ranks, num_nodes, report);
    let model = resolve::model(given, report);
    resolve::note_released(model.as_ref(), report);
    let sequence = sequence(given, model.as_ref(), report);
    if let Some(mesh) = mesh {
        resolve::splits(mesh, (engine.id, model.as_ref()), given, sequence, report);
    }
    sections(given, report);
    let (model, mesh, card) = (model?, mesh?, card?);
    let megatron = matches!(engine.id, EngineId::MegatronLm | EngineId::MegatronDeepspeed);
    if model.network.encoder.is_some() && (!megatron || mesh.pipeline > 1) {
        report.error(
            "unknown_layer",
            InputId::EngineType,
            "A decoder behind an encoder is built with Megatron-LM without pipeline stages.",
        );
    }
    let model = if objective == Objective::Reward && !megatron {
        model.with_one_row()
    } else {
        model
    };
    let device = (engine.torch, card.compute_capability);
    let (settings, accumulation) = match engine.id {
        EngineId::MegatronLm | EngineId::MegatronDeepspeed => {
            let own = engine.id == EngineId::MegatronLm;
            resolve::megatron(
                given,
                (mesh, &model, sequence),
                (own, step.accumulation, step.optimizer),
                device,
                report,
            )
        }
        _ => (settings, step.accumulation),
    };
    let Divided {
        network,
        whole,
        tensor,
    } = resolve::divide(
        given,
        (engine, settings),
        (mesh, &model, sequence),
        (&step, adapter),
        report,
    );
    let (evaluation, save) = resolve::between(given, (mesh, sequence), objective, report);
    let images = resolve::images(given, (engine.id, mesh), (&model, sequence), &step, report);
    let (composed, settings) = resolve::composed(
        given,
        (engine.id, settings),
        (mesh, &network),
        (&step, adapter, images),
        report,
    );
    let shared = resolve::context_ranks(mesh, engine.id);
    let Step {
        micro_batch,
        accumulation: _,
        optimizer,
        implementation,
        in_backward,
        clipping,
        recomputation,
        attention,
        loss,
        kernels,
        keep_outputs,
    } = step;
    let sequences = micro_batch.saturating_mul(objective.sequences_per_row());
    let adapter = adapter.map(|adapter| resolve::replaceable(adapter, &model.network, report));
    let training = TrainingJob {
        network,
        whole,
        micro_batch: sequences,
        sequence_length: sequence / shared.max(1),
        accumulation_steps: accumulation,
        precision,
        optimizer,
        implementation,
        optimizer_in_backward: in_backward,
        gradient_clipping: clipping,
        recomputation,
        saved: match given.choice(InputId::ActivationOffload) {
            Some("pinned") => HostMemory::Pinned,
            Some("pageable") => HostMemory::Pageable,
            _ => HostMemory::None,
        },
        attention: resolve::attention(attention, &model, images),
        loss,
        kernels,
        transformers_version: engine.transformers,
        keep_outputs,
        engine: settings,
        data_parallel: mesh.data.saturating_mul(shared),
        torch_version: engine.torch,
        layout: layout(given, sequence, report),
        compile: match given.choice(InputId::Compile) {
            Some("model") => Some(Compile::Model),
            Some("model_and_loss") => Some(Compile::ModelAndLoss),
            _ => None,
        },
        moving_average: match given.choice(InputId::MovingAverage) {
            Some("fp32") => Some(DType::Fp32),
            // DeepSpeed's module has the type of the arithmetic; fp32 weights are the optimizer's.
            Some("same") if engine.id == EngineId::Deepspeed => Some(precision.compute()),
            Some("same") => Some(precision.stored()),
            _ => None,
        },
        sync_each_micro_batch: given.toggle(InputId::SyncEachMicroBatch).unwrap_or(true),
        adapter,
        tensor,
        composed,
        objective,
        images,
        reentrant: given
            .toggle(InputId::CheckpointReentrant)
            .unwrap_or(engine.transformers < (5, 0)),
        evaluation,
        save,
        rank: 0,
        compute_capability: card.compute_capability,
    };
    let beside = resolve::beside(given, &training, &card, report);
    let chosen = evidence::chosen(given, engine.id, (ranks, num_nodes), report);
    let speed = resolve::speed(given, &card.gpu.id, report);
    Some(Job {
        evidence: evidence::evidence(engine_name(&training), &chosen, &report.unproven),
        chosen,
        rank: None,
        beside,
        training,
        model,
        engine,
        card,
        mesh,
        nodes,
        speed,
        host: (
            given.number(InputId::HostMemoryGb).map(Bytes::from_gib),
            given.number(InputId::HostDiskGb).map(Bytes::from_gib),
        ),
        assumed: Vec::new(),
        warnings: Vec::new(),
    })
}

/// The training length: typed, else the typed longest sequence, else 2048 or what the model allows if that is less.
fn sequence(given: &Given, model: Option<&Model>, report: &mut Report) -> u64 {
    let limit = model.and_then(|model| model.network.max_positions);
    if let Some(length) = given.integer(InputId::SeqLength) {
        let typed = given.typed_integer(InputId::MaxSeqLen);
        if let Some(limit) = typed.or(limit).filter(|limit| length > *limit) {
            report.add(
                Issue::warning(
                    "longer_than_model",
                    InputId::SeqLength.key(),
                    format!(
                        "The model is made for {limit} tokens at most; {length} are calculated all the same."
                    ),
                )
                .with_value(length),
            );
        }
        return length;
    }
    if given.has(InputId::MaxSeqLen) {
        let length = given.integer(InputId::MaxSeqLen).unwrap_or(2048);
        report.assume(
            InputId::SeqLength,
            length,
            "the longest sequence of the model, as typed",
        );
        return length;
    }
    let length = limit.map_or(2048, |limit| limit.clamp(1, 2048));
    report.assume(
        InputId::SeqLength,
        length,
        "neither a sequence length nor a longest sequence is typed",
    );
    length
}

/// How sequences become a batch.
fn layout(given: &Given, sequence: u64, report: &mut Report) -> Layout {
    match given.choice(InputId::BatchLayout) {
        Some("padded") => Layout::Padded,
        Some("padding_free") => {
            if given
                .choice(InputId::Attention)
                .is_some_and(|kernel| kernel != "fused")
            {
                report.error(
                    "unsupported_combination",
                    InputId::BatchLayout,
                    "Rows without padding need attention kernels that know where each sequence ends: choose fused attention.",
                );
            }
            let mean = given.integer(InputId::MeanLength).unwrap_or(sequence);
            if mean > sequence {
                report.error(
                    "out_of_range",
                    InputId::MeanLength,
                    format!("The mean cannot exceed the longest sequence, {sequence} tokens."),
                );
            }
            Layout::PaddingFree {
                mean: mean.min(sequence),
            }
        }
        _ => Layout::Packed,
    }
}

/// A section of which nothing is given: its defaults hold, and the answer says which.
fn sections(given: &Given, report: &mut Report) {
    for (section, inputs) in [
        (
            Section::Training,
            &[
                InputId::BatchSize,
                InputId::SeqLength,
                InputId::Dtype,
                InputId::PrecisionMode,
                InputId::Optimizer,
                InputId::ActivationCheckpointing,
                InputId::GradientAccumulationSteps,
            ][..],
        ),
        (
            Section::Engine,
            &[InputId::EngineType, InputId::EngineVersion][..],
        ),
        (Section::Hardware, &[InputId::Gpu, InputId::NumGpus][..]),
    ] {
        let words: Vec<String> = inputs
            .iter()
            .filter_map(|id| Some(format!("{} {}", id.input().name(), word(given, *id, report)?)))
            .collect();
        for id in inputs {
            assume_default(given, *id, report);
        }
        let absent = given.iter().all(|(id, _)| id.input().section != section)
            && InputId::ALL
                .iter()
                .all(|id| id.input().section != section || !given.has_failed(*id));
        if absent {
            report.add(
                Issue::warning(
                    "assumed",
                    section.key(),
                    format!(
                        "Nothing is given for {}, so defaults hold: {}.",
                        section.key(),
                        words.join(", ")
                    ),
                )
                .with_hint("Type the values that differ."),
            );
        }
    }
}

/// The value that holds for an input that is not given.
fn word(given: &Given, id: InputId, report: &Report) -> Option<String> {
    if given.has(id) {
        return None;
    }
    let noted = report.assumed.iter().find(|assumed| assumed.path == id.key());
    let value = noted
        .map(|assumed| assumed.value.clone())
        .or_else(|| default_of(id.input()).map(|typed| typed.to_json()))?;
    Some(match value {
        Value::String(text) => text,
        other => other.to_string(),
    })
}

fn assume_default(given: &Given, id: InputId, report: &mut Report) {
    let noted = report.assumed.iter().any(|assumed| assumed.path == id.key());
    if given.has(id) || noted || !matches!(id.input().default, InputDefault::Fixed(_)) {
        return;
    }
    if let Some(default) = default_of(id.input()) {
        report.assume(id, default.to_json(), "not given");
    }
}
