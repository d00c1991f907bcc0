//! What a device holds at each instant of a question: the bytes of every item, from which ledger and peaks are made alike.

use super::super::super::job::InferenceJob;
use super::assisted::{self, Drafting, drafting, tokens, with_draft};
use super::beside::{dropped, masks, rotary};
use super::prepared::{Device, Prepared};
use super::shape::{Kind, Pass};
use super::store::LayerStore;
use super::{CacheKind, Options, decode, prefill, store};
use crate::cite::{Citation, Evidence};
use crate::memory::allocator::BLOCK;
use crate::memory::{Group, InstantId};
use crate::units::Bytes;

/// Where the classes are.
pub const CLASSES: Citation = Citation::new(
    Evidence::Source,
    "huggingface/transformers 5.23.0 models/*/modeling_*.py, traced in tests/measured/transformers-inference-trace.jsonl",
);
/// Where the caches are.
pub const CACHES: Citation =
    Citation::new(Evidence::Source, "huggingface/transformers 5.23.0 cache_utils.py");
const GENERATION: Citation = Citation::new(
    Evidence::Source,
    "huggingface/transformers 5.23.0 generation/utils.py",
);

/// The instants of both phases.
pub const INSTANTS: [(InstantId, &str); 6] = [
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

/// One item, and its bytes at each of the [`INSTANTS`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Item {
    /// Stable key.
    pub id: &'static str,
    /// For a person.
    pub label: &'static str,
    /// Its group in the breakdown.
    pub group: Group,
    /// Where it comes from.
    pub citation: Citation,
    /// Its formula.
    pub formula: &'static str,
    /// Bytes at each instant.
    pub at: [u64; INSTANTS.len()],
}

/// What a device holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// The items, in the order of the ledger.
    pub items: [Item; 15],
    /// Weights before rounding to segments.
    pub weights: Bytes,
    /// Keys and values at their largest.
    pub cache: Bytes,
    /// Keys and values at the end, before rounding.
    pub exact: Bytes,
    /// States that do not grow.
    pub state: Bytes,
}

impl Held {
    /// Bytes at an instant, by its place in [`INSTANTS`].
    pub fn at(&self, place: usize) -> Bytes {
        self.items
            .iter()
            .map(|item| Bytes::new(item.at.get(place).copied().unwrap_or(0)).align_up(BLOCK))
            .sum()
    }

    /// The most at any of these instants.
    pub fn most(&self, places: std::ops::Range<usize>) -> Bytes {
        places.map(|place| self.at(place)).max().unwrap_or(Bytes::ZERO)
    }

    /// The most at any instant.
    pub fn peak(&self) -> Bytes {
        self.most(0..INSTANTS.len())
    }
}

/// Keys, values and states of one device.
struct Cache {
    prefill: Bytes,
    held: Bytes,
    exact: Bytes,
    state: Bytes,
}

fn cache(options: &Options, kinds: &[Kind<'_>], stores: &[LayerStore]) -> Cache {
    let all = |of: fn(&LayerStore) -> Bytes| -> Bytes {
        kinds
            .iter()
            .zip(stores)
            .map(|(kind, store)| of(store) * kind.count)
            .sum()
    };
    let one = |of: fn(&LayerStore) -> Bytes| stores.iter().map(of).max().unwrap_or(Bytes::ZERO);
    let state = all(|store| store.state);
    match options.cache {
        // Offloaded: the layer at work, and in decoding the next one, which is fetched ahead.
        CacheKind::Offloaded => Cache {
            prefill: one(|store| store.prefill),
            held: one(|store| store.end) * 2,
            exact: one(|store| store.exact),
            state,
        },
        _ => {
            let (prefill, end) = (all(|store| store.prefill), all(|store| store.end));
            let held = match options.cache {
                // Layers with a window give back the prompt's cache only with the first step.
                // Beam search copies the caches of its beams, which leaves the views behind.
                CacheKind::Dynamic if options.beams <= 1 => prefill.max(end),
                _ => end,
            };
            Cache {
                prefill,
                held,
                exact: all(|store| store.exact),
                state,
            }
        }
    }
}

/// What a device holds for the sequences and lengths of a job.
pub fn held(job: &InferenceJob, options: &Options, prepared: &Prepared<'_>, device: &Device<'_>) -> Held {
    let kinds = &device.kinds;
    let shard = &device.shard;
    // The assistant and what it writes are on the first device.
    let drafts = prepared
        .assistant
        .as_ref()
        .filter(|_| shard.input)
        .map_or(Drafting::default(), |assistant| drafting(job, options, assistant));
    // The model reads the first draft with the prompt.
    let draft = tokens(job, options);
    let drafted = with_draft(job, draft);
    let job = if draft > 0 { &drafted } else { job };
    let stores: Vec<LayerStore> = kinds
        .iter()
        .map(|kind| store::layer(job, options, kind.layer))
        .collect();
    let cache = cache(options, kinds, &stores);
    let chunk = match options.assistant {
        Some(_) => job.prompt,
        None => options.chunk.unwrap_or(job.prompt).min(job.prompt),
    };
    let chunk = chunk.max(1);
    let pass = Pass::new(job, options, chunk, job.prompt);
    let last = job.length().saturating_sub(1);
    let recomputed = options.cache == CacheKind::None;
    let several = recomputed || draft > 0;
    let at_once = if recomputed { last } else { draft.saturating_add(1) };
    let step = Pass::new(job, options, at_once, last);
    let (mask, masked) = masks(job, options, pass);
    let (tables_after, (mask_after, step_masked)) = if several {
        (rotary(kinds, step), masks(job, options, step))
    } else {
        (0, (0, false))
    };
    let most = |of: &dyn Fn(&Kind<'_>) -> u64| kinds.iter().map(of).max().unwrap_or(0);
    let format = &prepared.format;
    let attention = most(&|kind| prefill::attention(job, options, kind.layer, pass, masked));
    let feed = most(&|kind| {
        prefill::feed_forward(job, options, format, kind, pass).max(prefill::norm(kind.layer, pass))
    });
    // A later device gets its input from the one before, which keeps the residual.
    let lent = if shard.input { 0 } else { pass.each(pass.h) };
    let decode_layer = if several {
        let growing = kinds.iter().zip(&stores);
        most(&|kind| {
            prefill::feed_forward(job, options, format, kind, step)
                .max(prefill::attention(job, options, kind.layer, step, step_masked))
                .max(prefill::norm(kind.layer, step))
        })
        .max(
            growing
                .map(|(kind, store)| decode::growth(job, options, kind.layer, *store, step))
                .max()
                .unwrap_or(0),
        )
        .max(drafts.layer)
    } else {
        kinds
            .iter()
            .zip(&stores)
            .map(|(kind, store)| decode::layer(job, options, kind.layer, *store, step))
            .max()
            .unwrap_or(0)
            .max(dropped(job, options, kinds))
    };
    let (first_head, last_head, scores) = if draft > 0 {
        let logits = assisted::logits(job, draft, shard.output);
        (
            logits.first_head.saturating_add(pass.each(pass.h)),
            logits.last_head.max(drafts.last_head),
            logits.referenced.saturating_add(drafts.scores),
        )
    } else if shard.output {
        (
            prefill::head(job, options, pass),
            decode::head(job, options, step),
            decode::referenced(job, options, step),
        )
    } else {
        (0, 0, 0)
    };
    let ids_after = if options.beams > 1 { 90 } else { 40 };
    let always = |bytes: u64| [bytes; INSTANTS.len()];
    let phases = |before: u64, after: u64| [0, before, before, before, after, after];
    // Only what the layers use: both are gone when the head computes.
    let layers_only = |before: u64, after: u64| [0, before, before, 0, after, 0];
    let item = |id, label, group, citation, formula, at| Item {
        id,
        label,
        group,
        citation,
        formula,
        at,
    };
    let params = |id, label, citation, formula, bytes| {
        item(id, label, Group::ModelParams, citation, formula, always(bytes))
    };
    let kept = |id, label, citation, formula, at| item(id, label, Group::Cache, citation, formula, at);
    let beside =
        |id, label, citation, formula, at| item(id, label, Group::Activations, citation, formula, at);
    let moment = |id, label, place: usize, bytes| {
        let mut at = always(0);
        if let Some(slot) = at.get_mut(place) {
            *slot = bytes;
        }
        beside(id, label, CLASSES, "see the documentation of the engine", at)
    };
    let items = [
        params(
            "weights",
            "weights in the compute type",
            CLASSES,
            "w·elements, each tensor in a block of the allocator",
            device.plain.get(),
        ),
        params(
            "weights_quantised",
            "quantised weights with their scales",
            CLASSES,
            "bytes of the format, each tensor in a block of the allocator",
            device.quantised.get(),
        ),
        kept(
            "kv_cache",
            "keys and values",
            CACHES,
            "2·w·kv·B·length, summed over layers",
            phases(cache.prefill.get(), cache.held.get()),
        ),
        kept(
            "state",
            "states of recurrent mixers",
            CACHES,
            "B·(convolution + state), summed over layers",
            phases(cache.state.get(), cache.state.get()),
        ),
        params(
            "assistant_weights",
            "weights of the assistant model",
            GENERATION,
            "w·elements",
            drafts.weights,
        ),
        kept(
            "assistant_cache",
            "cache of the assistant model",
            GENERATION,
            "2·w·kv·B·length, summed over its layers",
            phases(drafts.first_cache, drafts.last_cache),
        ),
        beside(
            "ids",
            "token ids, positions, mask of the prompt",
            GENERATION,
            "32·B·length",
            phases(
                pass.rows.saturating_mul(job.prompt).saturating_mul(32),
                step.rows.saturating_mul(last).saturating_mul(ids_after),
            ),
        ),
        beside(
            "rotary",
            "rotary tables",
            CLASSES,
            "2·w·d·T",
            layers_only(rotary(kinds, pass), tables_after),
        ),
        beside(
            "mask",
            "masks over pairs of positions",
            CLASSES,
            "B·S² per kind of layer",
            layers_only(mask, mask_after),
        ),
        beside(
            "scores",
            "scores of the step or draft before",
            GENERATION,
            "4·V·B; with drafts of n tokens 4·V·n, and (w + 8)·V·(n + 1) in decoding",
            phases(drafts.scores, scores),
        ),
        moment(
            "attention",
            "temporaries of attention",
            1,
            attention.saturating_sub(lent),
        ),
        moment(
            "feed_forward",
            "temporaries of the feed-forward",
            2,
            feed.saturating_sub(lent),
        ),
        moment("head", "logits and the choice of the token", 3, first_head),
        moment("decode_layer", "temporaries of one step", 4, decode_layer),
        moment("decode_head", "logits and the choice of the token", 5, last_head),
    ];
    Held {
        items,
        weights: device.exact,
        cache: cache.prefill.max(cache.held),
        exact: cache.exact,
        state: cache.state,
    }
}
