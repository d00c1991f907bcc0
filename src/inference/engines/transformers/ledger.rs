//! From weights, cache and temporaries to the ledger of the fullest GPU, and from that to the estimate.

use std::sync::Arc;

use super::super::super::cache::layer_cache;
use super::super::super::estimate::{DeviceEstimate, Estimate, Part, PartId};
use super::super::super::job::InferenceJob;
use super::super::super::weights::{Quantisation, Shard, Stored, WeightFormat};
use super::beside::{dropped, masks, rotary};
use super::shape::Pass;
use super::store::LayerStore;
use super::{Attention, CacheKind, Options, decode, prefill, stage, store};
use crate::cite::{Citation, Evidence};
use crate::memory::allocator::{BLOCK, block};
use crate::memory::meters::{self, Pattern};
use crate::memory::{Entry, Group, Instant, InstantId, Interval, Ledger};
use crate::model::{Layer, Network};
use crate::units::Bytes;

const CLASSES: Citation = Citation::new(
    Evidence::Source,
    "huggingface/transformers 5.23.0 models/*/modeling_*.py, traced in tests/measured/transformers-inference-trace.jsonl",
);
const CACHES: Citation = Citation::new(Evidence::Source, "huggingface/transformers 5.23.0 cache_utils.py");
const GENERATION: Citation = Citation::new(
    Evidence::Source,
    "huggingface/transformers 5.23.0 generation/utils.py",
);

/// The instants of both phases.
const INSTANTS: [(InstantId, &str); 6] = [
    (InstantId::Load, "weights are loaded"),
    (
        InstantId::PrefillAttention,
        "prompt: attention of the fullest layer",
    ),
    (
        InstantId::PrefillFeedForward,
        "prompt: feed-forward of the fullest layer",
    ),
    (InstantId::PrefillHead, "prompt: head and first token"),
    (InstantId::DecodeLayer, "last token: the fullest layer"),
    (InstantId::DecodeHead, "last token: head and choice"),
];

/// The estimate of the fullest GPU.
pub fn estimate(job: &InferenceJob, options: &Options) -> Estimate {
    let all: Vec<Filled> = stage::shards(job)
        .iter()
        .map(|shard| device(job, options, shard))
        .collect();
    let devices: Vec<DeviceEstimate> = all.iter().map(Filled::summary).collect();
    let fullest = all
        .into_iter()
        .max_by_key(|device| device.ledger.peak().map_or(Bytes::ZERO, |(_, bytes)| bytes))
        .unwrap_or_default();
    finish(job, options, fullest, devices)
}

/// What one device holds.
#[derive(Default)]
struct Filled {
    ledger: Ledger,
    weights: Bytes,
    /// Cache in decoding at its largest, and at the end.
    cache: (Bytes, Bytes),
    state: Bytes,
}

impl Filled {
    fn summary(&self) -> DeviceEstimate {
        let most = |instants: &[InstantId]| {
            let peaks = instants.iter().map(|instant| self.ledger.allocated_at(*instant));
            peaks.max().unwrap_or(Bytes::ZERO)
        };
        DeviceEstimate {
            weights: self.weights,
            cache: self.cache.1 + self.state,
            prefill: most(&[
                InstantId::PrefillAttention,
                InstantId::PrefillFeedForward,
                InstantId::PrefillHead,
            ]),
            decode: most(&[InstantId::DecodeLayer, InstantId::DecodeHead]),
        }
    }
}

/// Collects entries.
struct Sheet {
    ledger: Ledger,
}

impl Sheet {
    fn add(
        &mut self,
        id: &'static str,
        label: &'static str,
        group: Group,
        citation: Citation,
        formula: &'static str,
        at: &[(InstantId, u64)],
    ) {
        let Some(unit) = at.iter().map(|(_, bytes)| *bytes).find(|bytes| *bytes > 0) else {
            return;
        };
        // One entry per size: equal sizes at several instants are one tensor that lives through them.
        let mut held = [0; InstantId::ALL.len()];
        for (instant, bytes) in at {
            if *bytes == unit
                && let Some(place) = held.get_mut(instant.index())
            {
                *place = 1;
            }
        }
        self.ledger.entries.push(Entry {
            id,
            label,
            group,
            dtype: None,
            place: String::new(),
            unit: Bytes::new(unit).align_up(BLOCK),
            held,
            formula,
            symbols: Vec::new(),
            terms: Vec::new(),
            citation,
        });
        let rest: Vec<(InstantId, u64)> = at
            .iter()
            .copied()
            .filter(|(_, bytes)| *bytes > 0 && *bytes != unit)
            .collect();
        if !rest.is_empty() {
            self.add(id, label, group, citation, formula, &rest);
        }
    }
}

fn device(job: &InferenceJob, options: &Options, shard: &Shard) -> Filled {
    let mut sheet = Sheet {
        ledger: Ledger {
            entries: Vec::new(),
            instants: INSTANTS
                .iter()
                .map(|(id, label)| Instant {
                    id: *id,
                    label: (*label).to_string(),
                })
                .collect(),
            host: Vec::new(),
        },
    };
    let weights = weigh(job, shard, &mut sheet);
    let layers: Vec<&Layer> = layers_of(&job.network, shard);
    let stores: Vec<LayerStore> = layers
        .iter()
        .map(|layer| store::layer(job, options, layer))
        .collect();
    let cache_prefill: Bytes = stores.iter().map(|store| store.prefill).sum();
    let cache_end: Bytes = stores.iter().map(|store| store.end).sum();
    let state: Bytes = stores.iter().map(|store| store.state).sum();
    let exact: Bytes = stores.iter().map(|store| store.exact).sum();
    let one = |of: fn(&LayerStore) -> Bytes| stores.iter().map(of).max().unwrap_or(Bytes::ZERO);
    // Offloaded: the layer at work, and in decoding the next one, which is fetched ahead.
    let (cache_prefill, exact, held) = match options.cache {
        CacheKind::Offloaded => {
            let end = one(|store| store.end);
            (one(|store| store.prefill), one(|store| store.exact), end * 2)
        }
        _ => (
            cache_prefill,
            exact,
            decode_cache(options, cache_prefill, cache_end),
        ),
    };
    let phases = |before: u64, after: u64| {
        [
            (InstantId::PrefillAttention, before),
            (InstantId::PrefillFeedForward, before),
            (InstantId::PrefillHead, before),
            (InstantId::DecodeLayer, after),
            (InstantId::DecodeHead, after),
        ]
    };
    sheet.add(
        "kv_cache",
        "keys and values",
        Group::Cache,
        CACHES,
        "2·w·kv·B·length, summed over layers",
        &phases(cache_prefill.get(), held.get()),
    );
    sheet.add(
        "state",
        "states of recurrent mixers",
        Group::Cache,
        CACHES,
        "B·(convolution + state), summed over layers",
        &phases(state.get(), state.get()),
    );
    if let Some(network) = &options.assistant {
        assist(job, options, network, &mut sheet);
    }
    let chunk = options.chunk.unwrap_or(job.prompt).min(job.prompt).max(1);
    let pass = Pass::new(job, options, chunk, job.prompt);
    let last = job.length().saturating_sub(1);
    let step = Pass::new(
        job,
        options,
        if options.cache == CacheKind::None { last } else { 1 },
        last,
    );
    sheet.add(
        "ids",
        "token ids, positions, mask of the prompt",
        Group::Activations,
        GENERATION,
        "32·B·length",
        &phases(
            pass.rows.saturating_mul(job.prompt).saturating_mul(32),
            step.rows
                .saturating_mul(last)
                .saturating_mul(if options.beams > 1 { 90 } else { 40 }),
        ),
    );
    let (mask, masked) = masks(job, options, pass);
    let tables = rotary(&layers, pass);
    // Only what the layers use: both are gone when the head computes.
    let layers_only = |before: u64, after: u64| {
        [
            (InstantId::PrefillAttention, before),
            (InstantId::PrefillFeedForward, before),
            (InstantId::DecodeLayer, after),
        ]
    };
    let recomputed = options.cache == CacheKind::None;
    let (tables_after, mask_after) = if recomputed {
        (rotary(&layers, step), masks(job, options, step).0)
    } else {
        (0, 0)
    };
    sheet.add(
        "rotary",
        "rotary tables",
        Group::Activations,
        CLASSES,
        "2·w·d·T",
        &layers_only(tables, tables_after),
    );
    sheet.add(
        "mask",
        "masks over pairs of positions",
        Group::Activations,
        CLASSES,
        "B·S² per kind of layer",
        &layers_only(mask, mask_after),
    );
    let format = stage::replaced(&job.network, &job.weights);
    let most = |of: &dyn Fn(&Layer) -> u64| layers.iter().map(|layer| of(layer)).max().unwrap_or(0);
    let attention = most(&|layer| prefill::attention(job, options, layer, pass, masked));
    let norm = most(&|layer| prefill::norm(layer, pass));
    let feed = most(&|layer| prefill::feed_forward(job, options, &format, layer, pass)).max(norm);
    // A later device gets its input from the one before, which keeps the residual.
    let lent = if shard.input { 0 } else { pass.each(pass.h) };
    let (attention, feed) = (attention.saturating_sub(lent), feed.saturating_sub(lent));
    let decode_layer = if recomputed {
        most(&|layer| {
            prefill::feed_forward(job, options, &format, layer, step)
                .max(prefill::attention(job, options, layer, step, masked))
                .max(prefill::norm(layer, step))
        })
    } else {
        layers
            .iter()
            .zip(&stores)
            .map(|(layer, store)| decode::layer(job, options, layer, *store, step))
            .max()
            .unwrap_or(0)
            .max(dropped(job, options, &layers))
    };
    sheet.add(
        "scores",
        "fp32 scores of the step before",
        Group::Activations,
        GENERATION,
        "4·V·B",
        &[InstantId::DecodeLayer, InstantId::DecodeHead].map(|instant| {
            (
                instant,
                if shard.output {
                    decode::referenced(job, options, step)
                } else {
                    0
                },
            )
        }),
    );
    let (first_head, last_head) = if shard.output {
        (
            prefill::head(job, options, pass),
            decode::head(job, options, step),
        )
    } else {
        (0, 0)
    };
    for (id, label, instant, bytes) in [
        (
            "attention",
            "temporaries of attention",
            InstantId::PrefillAttention,
            attention,
        ),
        (
            "feed_forward",
            "temporaries of the feed-forward",
            InstantId::PrefillFeedForward,
            feed,
        ),
        (
            "head",
            "logits and the choice of the token",
            InstantId::PrefillHead,
            first_head,
        ),
        (
            "decode_layer",
            "temporaries of one step",
            InstantId::DecodeLayer,
            decode_layer,
        ),
        (
            "decode_head",
            "logits and the choice of the token",
            InstantId::DecodeHead,
            last_head,
        ),
    ] {
        sheet.add(
            id,
            label,
            Group::Activations,
            CLASSES,
            "see the documentation of the engine",
            &[(instant, bytes)],
        );
    }
    Filled {
        ledger: sheet.ledger,
        weights,
        cache: (cache_prefill.max(held), exact),
        state,
    }
}

/// The weights and the cache of the model that drafts (transformers 5.23.0 `generation/candidate_generator.py`: it stays
/// loaded, in the compute type, and keeps a cache of its own for the same tokens).
fn assist(job: &InferenceJob, options: &Options, network: &Arc<Network>, sheet: &mut Sheet) {
    let draft = InferenceJob {
        network: Arc::clone(network),
        weights: Quantisation::none(),
        tensor: 1,
        pipeline: 1,
        ..job.clone()
    };
    let stored = stage::stored(network, &draft.weights, draft.compute, &Shard::whole(network));
    let weights: Bytes = stored.iter().map(|one| block(one.bytes) * one.copies).sum();
    let cache: Bytes = network
        .layers()
        .map(|layer| {
            let kept = store::layer(&draft, options, layer);
            kept.prefill.max(kept.end) + kept.state
        })
        .sum();
    let always = |bytes: Bytes| INSTANTS.map(|(instant, _)| (instant, bytes.get()));
    sheet.add(
        "assistant_weights",
        "weights of the assistant model",
        Group::ModelParams,
        GENERATION,
        "w·elements",
        &always(weights),
    );
    sheet.add(
        "assistant_cache",
        "cache of the assistant model",
        Group::Cache,
        GENERATION,
        "2·w·kv·B·length, summed over its layers",
        &always(cache),
    );
}

/// The cache that is alive in decoding.
fn decode_cache(options: &Options, prefill: Bytes, end: Bytes) -> Bytes {
    match options.cache {
        // Layers with a window give back the prompt's cache only with the first step.
        // Beam search copies the caches of its beams, which leaves the views behind.
        CacheKind::Dynamic if options.beams <= 1 => prefill.max(end),
        _ => end,
    }
}

fn layers_of<'a>(network: &'a Network, shard: &Shard) -> Vec<&'a Layer> {
    let (first, end) = shard.layers;
    network
        .layers()
        .enumerate()
        .filter(|(depth, _)| {
            let depth = *depth as u64;
            depth >= first && depth < end
        })
        .map(|(_, layer)| layer)
        .collect()
}

/// Adds the weights and tells their bytes before rounding to segments.
fn weigh(job: &InferenceJob, shard: &Shard, sheet: &mut Sheet) -> Bytes {
    let stored: Vec<Stored> = stage::stored(&job.network, &job.weights, job.compute, shard);
    let quantised: Bytes = stored
        .iter()
        .filter(|one| one.quantised)
        .map(|one| block(one.bytes) * one.copies)
        .sum();
    let plain: Bytes = stored
        .iter()
        .filter(|one| !one.quantised)
        .map(|one| block(one.bytes) * one.copies)
        .sum();
    let always = |bytes: Bytes| INSTANTS.map(|(instant, _)| (instant, bytes.get()));
    sheet.add(
        "weights",
        "weights in the compute type",
        Group::ModelParams,
        CLASSES,
        "w·elements, each tensor in a block of the allocator",
        &always(plain),
    );
    sheet.add(
        "weights_quantised",
        "quantised weights with their scales",
        Group::ModelParams,
        CLASSES,
        "bytes of the format, each tensor in a block of the allocator",
        &always(quantised),
    );
    stored.iter().map(|one| one.bytes * one.copies).sum()
}

/// Whether a part has no trace behind it: kernels of flash-attn, drafting, weights that other kernels than torch's and
/// bitsandbytes' multiply, recurrent mixers, whose temporaries are only bounded.
fn unvalidated(job: &InferenceJob, options: &Options) -> bool {
    let traced = matches!(
        job.weights.format,
        WeightFormat::Plain | WeightFormat::Int8Channel | WeightFormat::BitsAndBytes4 { .. }
    );
    let kinds = &job.network.kinds;
    options.attention == Attention::Flash
        || options.assistant.is_some()
        || !traced
        || kinds.iter().any(|layer| layer_cache(layer, 1).has_state())
}

fn finish(job: &InferenceJob, options: &Options, device: Filled, devices: Vec<DeviceEstimate>) -> Estimate {
    let peak = device.ledger.peak().map_or(Bytes::ZERO, |(_, bytes)| bytes);
    let unvalidated = unvalidated(job, options);
    let (below, above) = if unvalidated { (0.1, 0.5) } else { (0.03, 0.03) };
    let allocated = Interval::new(peak.scaled(1.0 - below), peak, peak.scaled(1.0 + above));
    let reserved = meters::reserved(allocated, Pattern::Single, false);
    let context = meters::context();
    let need = meters::need(allocated, context);
    let temporaries = peak.saturating_sub(device.weights + device.cache.0 + device.state);
    let exact = Interval::exact;
    let parts = vec![
        Part {
            id: PartId::Weights,
            bytes: exact(device.weights),
            source: "every tensor of the class, in its format",
        },
        Part {
            id: PartId::KvCache,
            bytes: exact(device.cache.0),
            source: CACHES.source,
        },
        Part {
            id: PartId::State,
            bytes: exact(device.state),
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
        ledger: device.ledger,
        devices,
        parts,
        allocated,
        reserved,
        device: reserved + context,
        need,
        budget: job.device.usable,
        pool: None,
        fit: meters::fit(need, job.device.usable),
        failure: None,
        start_up: Vec::new(),
        unvalidated,
    }
}
