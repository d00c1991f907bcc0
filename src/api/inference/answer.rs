//! An estimate becomes an answer: totals, breakdown, parts, capacity both ways, instants and rows.

use super::super::answer::{capacity_of, components_of, instants_of, model_summary, percent, range, rows_of};
use super::super::measure::verdict;
use super::division::Division;
use super::job::Question;
use super::{cards, speed};
use crate::inference::capacity::capacity;
use crate::inference::engines::llama_cpp;
use crate::inference::{Engine, Estimate, PartId, evaluate};
use crate::memory::meters::Fit;
use crate::request::{
    Component, DeviceRow, InferenceAnswer, InferenceBreakdown, Meters, PartRow, Pool, ServerId, Validation,
};
use crate::units::Bytes;
use crate::warn::Issue;

/// The answer to a question.
pub fn answer(mut question: Question) -> Result<InferenceAnswer, Vec<Issue>> {
    let (estimate, cards) = cards::bind(&mut question);
    if estimate.need.expected == Bytes::MAX || estimate.allocated.expected == Bytes::MAX {
        return Err(vec![Issue::error(
            "out_of_range",
            "inference.batch_size",
            "The sum is more than 16 EiB, which no machine has: check model, sequences and lengths.",
        )]);
    }
    let network = &question.job.network;
    let division = Division::of(&question.job, Some(question.engine));
    let room = capacity(&question.job, &estimate, network.max_positions, |size| {
        division.among(size).refused(network).is_none()
    });
    let binding = estimate.ledger.peak().map(|(instant, _)| instant.id);
    let total = estimate.need.expected;
    let per_copy = question.gpus_per_copy();
    let sequence = cached_tokens(&question);
    let fit_tokens = room.sequences.saturating_mul(sequence);
    let pool_bytes = estimate
        .pool
        .as_ref()
        .map_or_else(|| spare_cache(&estimate), |pool| pool.bytes.expected);
    Ok(InferenceAnswer {
        total_memory_per_gpu_gb: total.to_gib(),
        total_memory_per_gpu_bytes: total,
        total_memory_all_gpus_gb: (total * question.gpus).to_gib(),
        total_memory_all_gpus_bytes: total * question.gpus,
        breakdown: breakdown(&estimate),
        parts: parts(&estimate),
        devices: estimate
            .devices
            .iter()
            .map(|device| DeviceRow {
                weights_bytes: device.weights,
                cache_bytes: device.cache,
                prefill_peak_bytes: device.prefill,
                decode_peak_bytes: device.decode,
            })
            .collect(),
        cards,
        sharing: question.sharing.take(),
        fits_on_gpu: estimate.fit != Fit::DoesNotFit,
        verdict: verdict(estimate.fit),
        failure: estimate.failure.clone(),
        memory_utilization_percent: percent(total, question.card.usable.expected),
        budget_utilization_percent: percent(total, estimate.budget),
        max_supported_batch_size: room.sequences,
        max_context_len: room.length,
        fewest_gpus: room.gpus,
        most_gpu_layers: match &question.job.engine {
            Engine::LlamaCpp(options) => Some(llama_cpp::most_layers(&question.job, options)),
            _ => None,
        },
        estimated_throughput_tokens_per_sec: throughput(&question, &estimate),
        speed: speed::speed(&question, &estimate, room.sequences),
        kv_pool_gb: pool_bytes.to_gib(),
        kv_pool_tokens: estimate.pool.as_ref().map_or(fit_tokens, |pool| pool.tokens),
        max_concurrency: estimate
            .pool
            .as_ref()
            .map_or(room.sequences as f64, |pool| pool.max_concurrency),
        pool: estimate.pool.as_ref().map(|pool| Pool {
            bytes: range(pool.bytes),
            tokens: pool.tokens,
            max_concurrency: pool.max_concurrency,
        }),
        start_up: estimate.start_up.clone(),
        host: super::super::host::serving(&estimate.ledger.host),
        meters: Meters {
            allocated: range(estimate.allocated),
            reserved: range(estimate.reserved),
            device: range(estimate.device),
        },
        need: range(estimate.need),
        budget_bytes: estimate.budget,
        capacity: capacity_of(&question.card),
        gpus_used: question.gpus,
        replicas: question.gpus / per_copy.max(1),
        components: components(&estimate),
        instants: instants_of(&estimate.ledger, binding),
        ledger: rows_of(&estimate.ledger, binding),
        model: model_summary(&question.model),
        engine: match question.engine {
            ServerId::Huggingface => "transformers",
            other => other.key(),
        },
        validation: Validation::NOT_VALIDATED,
        assumed: question.assumed,
        warnings: warnings(question.warnings, &estimate),
    })
}

/// The fewest GPUs that hold one copy with the asked requests, by tensor parallelism.
pub fn fewest(question: &Question) -> Option<u64> {
    let network = &question.job.network;
    let division = Division::of(&question.job, Some(question.engine));
    let estimate = evaluate(&question.job);
    // The longest sequence is not asked for, and two tokens are found at once.
    capacity(&question.job, &estimate, Some(2), |size| {
        division.among(size).refused(network).is_none()
    })
    .gpus
}

/// Tokens of one sequence in the cache: the last one of the answer is never cached.
const fn cached_tokens(question: &Question) -> u64 {
    question.job.length().saturating_sub(1)
}

fn part(estimate: &Estimate, id: PartId) -> Bytes {
    estimate
        .parts
        .iter()
        .filter(|part| part.id == id)
        .map(|part| part.bytes.expected)
        .sum()
}

/// What an engine without a pool leaves for the cache of more sequences, and what the asked ones take.
fn spare_cache(estimate: &Estimate) -> Bytes {
    part(estimate, PartId::KvCache) + estimate.budget.saturating_sub(estimate.need.expected)
}

/// The four groups; what is not weights, cache or temporaries is overhead, so that they add up to the need.
pub fn breakdown(estimate: &Estimate) -> InferenceBreakdown {
    let weights = part(estimate, PartId::Weights);
    let cache = part(estimate, PartId::KvCache) + part(estimate, PartId::State);
    let activations = part(estimate, PartId::Activations);
    let overhead = estimate
        .need
        .expected
        .saturating_sub(weights + cache + activations);
    InferenceBreakdown {
        model_params_gb: weights.to_gib(),
        model_params_bytes: weights,
        kv_cache_gb: cache.to_gib(),
        kv_cache_bytes: cache,
        activations_gb: activations.to_gib(),
        activations_bytes: activations,
        overhead_gb: overhead.to_gib(),
        overhead_bytes: overhead,
    }
}

fn parts(estimate: &Estimate) -> Vec<PartRow> {
    estimate
        .parts
        .iter()
        .map(|part| PartRow {
            id: part.id.key(),
            label: part.id.label(),
            bytes: range(part.bytes),
            source: part.source.to_string(),
        })
        .collect()
}

/// What is alive at the binding instant, and the parts that are in no ledger.
fn components(estimate: &Estimate) -> Vec<Component> {
    let mut found = components_of(&estimate.ledger);
    for component in &mut found {
        let entry = estimate
            .ledger
            .entries
            .iter()
            .find(|entry| entry.id == component.id);
        for (place, symbol) in entry.iter().flat_map(|entry| &entry.symbols).enumerate() {
            let with = if place == 0 { "; " } else { ", " };
            component
                .formula
                .push_str(&format!("{with}{} = {}", symbol.name, symbol.value));
        }
    }
    let listed: Bytes = found.iter().map(|component| component.bytes).sum();
    for part in &estimate.parts {
        if matches!(part.id, PartId::Graphs | PartId::NonTorch | PartId::Context)
            && part.bytes.high > Bytes::ZERO
        {
            found.push(Component {
                id: part.id.key().to_string(),
                label: part.id.label().to_string(),
                group: "overhead",
                bytes: part.bytes.expected,
                formula: format!(
                    "{:.2} - {:.2} GiB",
                    part.bytes.low.to_gib(),
                    part.bytes.high.to_gib()
                ),
                source: part.source.to_string(),
            });
        }
    }
    let all: Bytes = found.iter().map(|component| component.bytes).sum();
    let rest = estimate.need.expected.saturating_sub(all);
    if rest > Bytes::ZERO && listed > Bytes::ZERO {
        found.push(Component {
            id: "rest".to_string(),
            label: "what is in no single tensor".to_string(),
            group: "overhead",
            bytes: rest,
            formula: "expected need - what is listed".to_string(),
            source: "derived".to_string(),
        });
    }
    found
}

/// The bound that memory sets on decoding: every step reads the weights of the active parameters and the cache once
/// (roofline model). The arithmetic bound is that of the card's bf16 rate at two operations per active parameter.
fn throughput(question: &Question, estimate: &Estimate) -> Option<f64> {
    let gpu = &question.card.gpu;
    let bandwidth = gpu.bandwidth_gb_per_s? * 1e9;
    let arithmetic = gpu.bf16_tflops? * 1e12;
    let read = (part(estimate, PartId::Weights) + part(estimate, PartId::KvCache)).get() as f64;
    let sequences = question.job.sequences as f64;
    let active = question.job.network.active_parameters().get() as f64;
    let ranks = question.gpus_per_copy().max(1) as f64;
    let by_memory = read / bandwidth;
    let by_arithmetic = 2.0 * active * sequences / ranks / arithmetic;
    let step = by_memory.max(by_arithmetic);
    let copies = question.gpus as f64 / ranks;
    (step > 0.0).then_some(sequences * copies / step)
}

fn warnings(mut warnings: Vec<Issue>, estimate: &Estimate) -> Vec<Issue> {
    if estimate.unvalidated {
        warnings.push(Issue::warning(
            "not_validated",
            "inference",
            "A part of this question has neither a measured run nor a trace behind it: the interval is wide.",
        ));
    }
    warnings
}
