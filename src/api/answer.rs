//! A ledger and its meters become an answer: totals, breakdown, instants, rows, verdict and recommendation.

use std::collections::BTreeMap;

use super::job::Job;
use super::measure::{Outcome, ROUTED, measure};
use super::resolve::{Card, Model};
use super::solve::last;
use crate::memory::{Entry, Group, InstantId, Interval, Ledger};
use crate::request::{
    Answer, Breakdown, Capacity, Component, ExpertRow, GroupBytes, InstantRow, LedgerRow, Meters,
    ModelSummary, Range, RankRow, StageRow, SymbolRow, Validation, Verdict,
};
use crate::training::{
    Engine, Megatron, RankAxis, Stage, TrainingJob, Wrapper, pipeline_stages, rank_classes, rank_reason,
};
use crate::units::{Bytes, sort_by_key};
use crate::warn::Issue;

/// The answer to a job.
pub fn answer(job: Job) -> Result<Answer, Vec<Issue>> {
    let outcome = measure(&job, job.training.micro_batch).map_err(|issue| vec![issue])?;
    let ledger = &outcome.ledger;
    let binding = ledger.peak().map(|(instant, _)| instant.id);
    let components = components(&outcome);
    let groups = sum_by_group(&components);
    let total = outcome.need.expected;
    let usable = job.card.usable.expected;
    let (recommended_batch_size, recommended_batch_size_reason) = recommend(&job, &outcome, &components);
    let on_node = outcome
        .host
        .as_ref()
        .map_or(Bytes::ZERO, |host| host.memory_per_node.expected_bytes);
    let on_all_nodes = on_node * job.nodes.as_ref().map_or(1, |nodes| nodes.num_nodes);
    Ok(Answer {
        total_memory_per_gpu_gb: total.to_gib(),
        total_memory_per_gpu_bytes: total,
        total_memory_all_gpus_gb: (total * job.mesh.gpus).to_gib(),
        total_memory_all_gpus_bytes: total * job.mesh.gpus,
        cpu_memory_gb: on_all_nodes.to_gib(),
        cpu_memory_bytes: on_all_nodes,
        cpu_memory_per_node_gb: on_node.to_gib(),
        cpu_memory_per_node_bytes: on_node,
        breakdown: Breakdown::from_groups(groups),
        fits_on_gpu: outcome.verdict != Verdict::DoesNotFit,
        verdict: outcome.verdict,
        memory_utilization_percent: percent(total, usable),
        recommended_batch_size,
        recommended_batch_size_reason,
        total_gpu_memory_gb: (job.card.visible.expected * job.mesh.gpus).to_gib(),
        total_gpu_memory_bytes: job.card.visible.expected * job.mesh.gpus,
        multi_node_info: job.nodes.clone(),
        network_overhead: super::network::overhead(&job),
        peak_allocated_bytes: outcome.allocated.expected,
        peak_reserved_bytes: outcome.reserved.expected,
        device_bytes: outcome.device.expected,
        meters: Meters {
            allocated: range(outcome.allocated),
            reserved: range(outcome.reserved),
            device: range(outcome.device),
        },
        need: range(outcome.need),
        capacity: capacity_of(&job.card),
        host: outcome.host.clone(),
        gpus_used: job.mesh.gpus,
        global_batch_size: job
            .training
            .micro_batch
            .saturating_mul(job.training.accumulation_steps)
            .saturating_mul(job.mesh.data),
        components,
        instants: instants_of(ledger, binding),
        ledger: rows_of(ledger, binding),
        model: model_summary(&job.model),
        engine: engine_name(&job.training),
        validation: Validation::NOT_VALIDATED,
        ranks: ranks(
            &job.training,
            outcome.ledger.peak().map_or(Bytes::ZERO, |(_, bytes)| bytes),
        ),
        stages: stages(&job.training),
        ranks_reason: rank_reason(&job.training),
        evidence: job.evidence,
        assumed: job.assumed,
        warnings: job.warnings,
    })
}

/// The classes of ranks with their peaks, the fullest first; neighbours that hold the same at the same instant are one class.
fn ranks(job: &TrainingJob, fullest: Bytes) -> Vec<RankRow> {
    let mut rows: Vec<RankRow> = Vec::new();
    for class in rank_classes(job) {
        let ledger = class.ledger(job);
        let Some((instant, peak)) = ledger.as_ref().and_then(Ledger::peak) else {
            continue;
        };
        let row = RankRow {
            among: match class.axis {
                RankAxis::Data => "data",
                RankAxis::Tensor => "tensor",
            },
            first: class.first,
            last: class.last,
            peak_allocated_bytes: peak,
            instant: instant.id.key(),
            less_bytes: fullest.saturating_sub(peak),
        };
        match rows.last_mut() {
            Some(before)
                if before.among == row.among
                    && before.peak_allocated_bytes == peak
                    && before.instant == row.instant =>
            {
                before.last = row.last;
            }
            _ => rows.push(row),
        }
    }
    sort_by_key(&mut rows, |row| std::cmp::Reverse(row.peak_allocated_bytes));
    rows
}

/// Every pipeline rank, in order.
fn stages(job: &TrainingJob) -> Vec<StageRow> {
    let stages = pipeline_stages(job);
    let loads = loads(job);
    stages
        .iter()
        .enumerate()
        .filter_map(|(at, stage)| {
            let (instant, peak) = stage.ledger.peak()?;
            let of = |(class, load, all): &(&'static str, u64, Vec<Stage>)| {
                let ledger = &all.get(at)?.ledger;
                let (instant, peak) = ledger.peak()?;
                Some(ExpertRow {
                    class,
                    load_thousandths: *load,
                    peak_allocated_bytes: peak,
                    instant: instant.id.key(),
                    groups: groups_at(ledger, instant.id),
                })
            };
            Some(StageRow {
                rank: stage.rank,
                layers: stage.layers.clone(),
                in_flight: stage.in_flight.clone(),
                parameters: stage.parameters,
                rest_bytes: stage.ledger.allocated_at(InstantId::Rest),
                peak_allocated_bytes: peak,
                instant: instant.id.key(),
                groups: groups_at(&stage.ledger, instant.id),
                experts: loads.iter().filter_map(of).collect(),
            })
        })
        .collect()
}

/// The pipeline as an expert rank with its even share of the routed rows holds it, and as the fullest one may; nothing where all
/// expert ranks get the same.
fn loads(job: &TrainingJob) -> Vec<(&'static str, u64, Vec<Stage>)> {
    let Engine::Megatron(settings) = job.engine else {
        return Vec::new();
    };
    if settings.expert <= 1 || !job.network.has_experts() {
        return Vec::new();
    }
    let hot = settings.imbalance_thousandths.saturating_mul(ROUTED.1) / 1000;
    [("expected", 1000), ("hot", hot)]
        .into_iter()
        .map(|(class, load)| {
            let own = TrainingJob {
                engine: Engine::Megatron(Megatron {
                    imbalance_thousandths: load,
                    ..settings
                }),
                ..job.clone()
            };
            (class, load, pipeline_stages(&own))
        })
        .collect()
}

/// The engine of a job as records name it.
pub const fn engine_name(job: &TrainingJob) -> &'static str {
    match job.engine {
        Engine::Megatron(settings) => match settings.wrapper {
            Wrapper::Megatron => "megatron",
            Wrapper::DeepSpeed { .. } => "megatron_deepspeed",
        },
        Engine::DeepSpeed(_) => "deepspeed",
        _ if job.tensor.is_some() => "tp",
        Engine::Single => "single",
        Engine::Ddp { .. } => "ddp",
        Engine::Fsdp1 { replicas: 1, .. } => "fsdp1",
        // NO_SHARD: every rank is a replica of its own.
        Engine::Fsdp1 { replicas, .. } if replicas == job.data_parallel => "fsdp1",
        Engine::Fsdp2 { replicas: 1, .. } => "fsdp2",
        Engine::Fsdp1 { .. } | Engine::Fsdp2 { .. } => "hsdp",
    }
}

pub fn percent(part: Bytes, whole: Bytes) -> f64 {
    if whole == Bytes::ZERO {
        return 100.0;
    }
    100.0 * part.get() as f64 / whole.get() as f64
}

/// An interval as plain data.
pub fn range(interval: Interval) -> Range {
    Range {
        low_bytes: interval.low,
        expected_bytes: interval.expected,
        high_bytes: interval.high,
    }
}

/// The card of an answer.
pub fn capacity_of(card: &Card) -> Capacity {
    let visible = card.visible;
    Capacity {
        gpu: card.known.then(|| card.gpu.id.clone()),
        name: card.gpu.name.clone(),
        marketing: card.known.then(|| format!("{} GB", card.gpu.marketing_gb)),
        driver_bytes: card.gpu.driver_visible,
        visible: Range {
            low_bytes: visible.low,
            expected_bytes: visible.expected,
            high_bytes: visible.high,
        },
        used_bytes: card.used,
        usable_bytes: card.usable.expected,
        source: card.gpu.memory_sources.first().cloned(),
    }
}

/// The key of a group in the breakdown.
pub const fn group_key(group: Group) -> &'static str {
    match group {
        Group::ModelParams => "model_params",
        Group::Gradients => "gradients",
        Group::OptimizerStates => "optimizer_states",
        Group::Activations => "activations",
        Group::Cache => "kv_cache",
        Group::Overhead => "overhead",
    }
}

fn groups_at(ledger: &Ledger, instant: InstantId) -> GroupBytes {
    let of = |group| {
        ledger
            .entries
            .iter()
            .filter(|entry| entry.group == group)
            .map(|entry| entry.at(instant))
            .sum()
    };
    GroupBytes {
        model_params: of(Group::ModelParams),
        gradients: of(Group::Gradients),
        optimizer_states: of(Group::OptimizerStates),
        activations: of(Group::Activations),
        overhead: of(Group::Overhead),
    }
}

/// The instants of a ledger.
pub fn instants_of(ledger: &Ledger, binding: Option<InstantId>) -> Vec<InstantRow> {
    ledger
        .instants
        .iter()
        .map(|instant| InstantRow {
            id: instant.id.key(),
            label: instant.label.clone(),
            allocated_bytes: ledger.allocated_at(instant.id),
            binding: binding == Some(instant.id),
            groups: groups_at(ledger, instant.id),
        })
        .collect()
}

fn held(entry: &Entry, instant: InstantId) -> u64 {
    entry.held.get(instant.index()).copied().unwrap_or(0)
}

/// The rows of a ledger.
pub fn rows_of(ledger: &Ledger, binding: Option<InstantId>) -> Vec<LedgerRow> {
    ledger
        .entries
        .iter()
        .map(|entry| row(entry, ledger, binding))
        .collect()
}

fn row(entry: &Entry, ledger: &Ledger, binding: Option<InstantId>) -> LedgerRow {
    let held_at: BTreeMap<&'static str, u64> = ledger
        .instants
        .iter()
        .map(|instant| (instant.id.key(), held(entry, instant.id)))
        .collect();
    LedgerRow {
        id: entry.id,
        label: entry.label,
        place: entry.place.clone(),
        group: group_key(entry.group),
        dtype: entry.dtype,
        unit_bytes: entry.unit,
        held: binding.map_or(0, |instant| held(entry, instant)),
        bytes: binding.map_or(Bytes::ZERO, |instant| entry.at(instant)),
        held_at,
        formula: entry.formula,
        symbols: entry
            .symbols
            .iter()
            .map(|symbol| SymbolRow {
                name: symbol.name,
                meaning: symbol.meaning,
                value: symbol.value,
            })
            .collect(),
        terms: entry.terms.clone(),
        citation: entry.citation,
    }
}

/// What is alive at the binding instant.
pub fn components_of(ledger: &Ledger) -> Vec<Component> {
    let mut components: Vec<Component> = Vec::new();
    if let Some((instant, _)) = ledger.peak() {
        let instant = instant.id;
        for entry in &ledger.entries {
            let bytes = entry.at(instant);
            if bytes > Bytes::ZERO {
                let place = if entry.place.is_empty() {
                    String::new()
                } else {
                    format!(", {}", entry.place)
                };
                components.push(Component {
                    id: entry.id.to_string(),
                    label: format!("{}{place}", entry.label),
                    group: group_key(entry.group),
                    bytes,
                    formula: format!("{} × ({})", held(entry, instant), entry.formula),
                    source: entry.citation.source.to_string(),
                });
            }
        }
    }
    components
}

/// What is alive at the binding instant, the expected fragmentation, and what lies outside the allocator: together the
/// expected need, exactly.
fn components(outcome: &Outcome) -> Vec<Component> {
    let mut components = components_of(&outcome.ledger);
    for term in &outcome.outside {
        components.push(term.clone());
    }
    let listed: Bytes = components.iter().map(|component| component.bytes).sum();
    let rest = outcome.need.expected.saturating_sub(listed);
    if rest > Bytes::ZERO {
        components.push(Component {
            id: "fragmentation".to_string(),
            label: "expected fragmentation of the allocator under pressure".to_string(),
            group: group_key(Group::Overhead),
            bytes: rest,
            formula: "expected need - what is listed".to_string(),
            source: "smallest card on which traced runs still worked: up to 11 % above the allocated peak"
                .to_string(),
        });
    }
    components
}

/// The breakdown of an expected need, without the rows of an answer.
pub fn breakdown_of(outcome: &Outcome) -> GroupBytes {
    sum_by_group(&components(outcome))
}

fn sum_by_group(components: &[Component]) -> GroupBytes {
    let of = |group| {
        components
            .iter()
            .filter(|component| component.group == group_key(group))
            .map(|component| component.bytes)
            .sum()
    };
    GroupBytes {
        model_params: of(Group::ModelParams),
        gradients: of(Group::Gradients),
        optimizer_states: of(Group::OptimizerStates),
        activations: of(Group::Activations),
        overhead: of(Group::Overhead),
    }
}

/// Why no micro-batch helps: what the host lacks it lacks with any.
fn host_decides(outcome: &Outcome) -> Option<String> {
    let host = outcome.host.as_ref()?;
    let activations = host.rows.iter().any(|row| row.id == "host.activations");
    host.reason
        .clone()
        .filter(|_| host.verdict == Some(Verdict::DoesNotFit) && !activations)
}

/// The largest micro-batch whose verdict is not "does not fit", where the given one does not fit.
fn recommend(job: &Job, outcome: &Outcome, components: &[Component]) -> (Option<u64>, Option<String>) {
    if outcome.verdict != Verdict::DoesNotFit {
        return (None, None);
    }
    if let Some(reason) = host_decides(outcome) {
        return (None, Some(reason));
    }
    // A row of the batch is a pair of sequences where preferences are trained.
    let each = job.training.objective.sequences_per_row();
    let given = job.training.micro_batch / each;
    let fits = |batch: &u64| {
        measure(job, batch.saturating_mul(each)).is_ok_and(|outcome| outcome.verdict != Verdict::DoesNotFit)
    };
    if given <= 1 || !fits(&1) {
        let largest = components.iter().max_by_key(|component| component.bytes);
        let reason = largest.map(|component| {
            format!(
                "A micro-batch of 1 does not fit either; the largest part is: {} ({:.2} GiB).",
                component.label,
                component.bytes.to_gib()
            )
        });
        return (None, reason);
    }
    let (largest, _) = last(given - 1, |batch| batch, fits);
    (Some(largest), None)
}

/// What the answer says about the model.
pub fn model_summary(model: &Model) -> ModelSummary {
    let network = &model.network;
    ModelSummary {
        name: model.name.clone(),
        source: model.source,
        id: model.id.clone(),
        family: network.model_type.clone(),
        total_parameters: network.total_parameters(),
        active_parameters: network.active_parameters(),
        embedding_parameters: network.embedding_parameters(),
        head_parameters: network.head_parameters(),
        expert_parameters: network.routed_expert_parameters(),
        tower_parameters: network.tower_parameters(),
        mtp_parameters: network.next_token_parameters(),
        buffer_elements: network.buffer_elements(),
        given_parameters: model.given_parameters,
        fields: model.fields.clone(),
    }
}
