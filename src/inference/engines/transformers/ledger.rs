//! From what each device holds to the ledger of the fullest one, and from that to the estimate.

use super::super::super::cache::layer_cache;
use super::super::super::estimate::{DeviceEstimate, Estimate, Part, PartId};
use super::super::super::job::{CacheType, InferenceJob};
use super::super::super::weights::WeightFormat;
use super::held::{CACHES, CLASSES, Held, INSTANTS, Item, held};
use super::prepared::Prepared;
use super::{Attention, CacheKind, Options, Sampling};
use crate::memory::allocator::BLOCK;
use crate::memory::meters::{self, Fit, Pattern};
use crate::memory::{Entry, Instant, InstantId, Interval, Ledger};
use crate::units::Bytes;

/// The estimate of the fullest GPU.
pub fn estimate(job: &InferenceJob, options: &Options) -> Estimate {
    let prepared = Prepared::new(job, options);
    let all: Vec<Held> = prepared
        .devices
        .iter()
        .map(|device| held(job, options, &prepared, device))
        .collect();
    let devices = all.iter().map(summary).collect();
    let fullest = all.iter().max_by_key(|device| device.peak());
    finish(job, options, fullest, devices)
}

fn summary(held: &Held) -> DeviceEstimate {
    DeviceEstimate {
        weights: held.weights,
        cache: held.exact + held.state,
        prefill: held.most(1..4),
        decode: held.most(4..INSTANTS.len()),
    }
}

/// The rows of a device.
fn ledger(held: &Held) -> Ledger {
    let mut entries = Vec::with_capacity(held.items.len());
    for item in &held.items {
        rows(item, &mut entries);
    }
    Ledger {
        entries,
        instants: INSTANTS
            .iter()
            .map(|(id, label)| Instant {
                id: *id,
                label: (*label).to_string(),
            })
            .collect(),
        host: Vec::new(),
    }
}

/// One row per size: equal sizes at several instants are one tensor that lives through them.
fn rows(item: &Item, entries: &mut Vec<Entry>) {
    for (place, unit) in item.at.iter().enumerate().filter(|(_, bytes)| **bytes > 0) {
        if item.at.iter().take(place).any(|earlier| earlier == unit) {
            continue;
        }
        let mut held = [0; InstantId::ALL.len()];
        for ((instant, _), bytes) in INSTANTS.iter().zip(item.at) {
            if bytes == *unit
                && let Some(slot) = held.get_mut(instant.index())
            {
                *slot = 1;
            }
        }
        entries.push(Entry {
            id: item.id,
            label: item.label,
            group: item.group,
            dtype: None,
            place: String::new(),
            unit: Bytes::new(*unit).align_up(BLOCK),
            held,
            formula: item.formula,
            symbols: Vec::new(),
            terms: Vec::new(),
            citation: item.citation,
        });
    }
}

/// The peak with its bounds, what the verdict judges, and the verdict.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// `max_memory_allocated`.
    pub allocated: Interval,
    /// Peak and context, the allocator under pressure.
    pub need: Interval,
    /// The verdict.
    pub fit: Fit,
}

/// Shares of a peak by which it can be lower and higher.
pub fn bounds(job: &InferenceJob, options: &Options) -> (f64, f64) {
    if unvalidated(job, options) {
        (0.1, 0.5)
    } else {
        (0.03, 0.03)
    }
}

/// A peak judged on the card of a job.
pub fn judge(peak: Bytes, bounds: (f64, f64), usable: Bytes) -> Judged {
    let (below, above) = bounds;
    let allocated = Interval::new(peak.scaled(1.0 - below), peak, peak.scaled(1.0 + above));
    let need = meters::need(allocated, meters::context());
    Judged {
        allocated,
        need,
        fit: meters::fit(need, usable),
    }
}

/// Whether a part has no trace behind it: kernels of flash-attn, drafting that samples or whose cache is not plain, weights that other kernels than torch's and
/// bitsandbytes' multiply, recurrent mixers, whose temporaries are only bounded.
fn unvalidated(job: &InferenceJob, options: &Options) -> bool {
    let traced = matches!(
        job.weights.format,
        WeightFormat::Plain | WeightFormat::Int8Channel | WeightFormat::BitsAndBytes4 { .. }
    );
    let kinds = &job.network.kinds;
    let traced_drafting = options.sampling == Sampling::Greedy
        && options.cache == CacheKind::Dynamic
        && job.cache == CacheType::Compute
        && !options.output_scores;
    options.attention == Attention::Flash
        || options.assistant.is_some() && !traced_drafting
        || !traced
        || kinds.iter().any(|layer| layer_cache(layer, 1).has_state())
}

fn finish(
    job: &InferenceJob,
    options: &Options,
    device: Option<&Held>,
    devices: Vec<DeviceEstimate>,
) -> Estimate {
    let peak = device.map_or(Bytes::ZERO, Held::peak);
    let (weights, cache, state) = device.map_or((Bytes::ZERO, Bytes::ZERO, Bytes::ZERO), |device| {
        (device.weights, device.cache, device.state)
    });
    let bounds = bounds(job, options);
    let (below, above) = bounds;
    let Judged { allocated, need, fit } = judge(peak, bounds, job.device.usable);
    let reserved = meters::reserved(allocated, (Bytes::ZERO, Bytes::ZERO), Pattern::Generated, false);
    let context = meters::context();
    let temporaries = peak.saturating_sub(weights + cache + state);
    let exact = Interval::exact;
    let parts = vec![
        Part {
            id: PartId::Weights,
            bytes: exact(weights),
            source: "every tensor of the class, in its format",
        },
        Part {
            id: PartId::KvCache,
            bytes: exact(cache),
            source: CACHES.source,
        },
        Part {
            id: PartId::State,
            bytes: exact(state),
            source: CACHES.source,
        },
        Part {
            id: PartId::Activations,
            bytes: Interval::new(
                temporaries.scaled(1.0 - below),
                temporaries,
                temporaries.scaled(1.0 + above),
            ),
            source: CLASSES.source,
        },
        Part {
            id: PartId::Context,
            bytes: context,
            source: "measured: nvidia-smi less max_memory_allocated where the pool was nearly full",
        },
    ];
    Estimate {
        ledger: device.map(ledger).unwrap_or_default(),
        devices,
        parts,
        allocated,
        reserved,
        device: reserved + context,
        need,
        budget: job.device.usable,
        pool: None,
        fit,
        failure: None,
        start_up: Vec::new(),
        loaded: Vec::new(),
        unvalidated: unvalidated(job, options),
    }
}
