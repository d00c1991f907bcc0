//! The cache of keys and values, latents and states: bytes per token, groups of layers that share blocks, and how many blocks,
//! tokens and sequences a pool gives (vllm `v1/kv_cache_interface.py`, `v1/core/kv_cache_utils.py`; V0 `worker/cache_engine.py`).

use super::job::{CacheFormat, Job, Settings};
use crate::model::{Attention, Latent, Mixer, Span};

/// What a layer keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Full,
    /// Full attention of a drafter with layers of its own.
    Drafter,
    Sliding(u64),
    Chunked(u64),
    State,
}

/// Layers that keep the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kept {
    kind: Kind,
    layers: u64,
    /// Bytes per token and layer; of a state its whole size.
    bytes: u64,
}

/// A group of layers with a block table of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Group {
    kind: Kind,
    groups: u64,
    block: u64,
}

/// How the pool is divided into blocks.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    groups: Vec<Group>,
    /// Bytes of one block of the pool on this rank.
    pub block_bytes: u64,
    /// Tokens of a block of full attention, raised where it must hold a state.
    pub block_size: u64,
    /// Bytes that one sequence's states take, outside any block (V0).
    pub state_per_sequence: u64,
    /// Layers of this stage with a cache per token.
    pub layers: u64,
    context: u64,
    batched: u64,
    /// States of one sequence.
    states: u64,
}

/// What a pool of so many bytes gives.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pool {
    /// Blocks.
    pub blocks: u64,
    /// "GPU KV cache size" as the release prints it.
    pub tokens: u64,
    /// "Maximum concurrency" at the longest context.
    pub concurrency: f64,
}

/// Bytes per token and layer of softmax attention.
fn attention_bytes(attention: &Attention, job: &Job<'_>) -> u64 {
    let heads = (attention.kv_heads / job.mesh.tensor.max(1)).max(1);
    let width = match attention.shared_kv {
        true => attention.head_dim,
        false => attention.head_dim.saturating_add(attention.value_dim),
    };
    // vllm 0.33.0 `v1/attention/backends/triton_attn.py` customize_spec, `utils/torch_utils.py` nvfp4_kv_cache_full_dim.
    let content = match job.cache {
        CacheFormat::PerHead(bits) => (width.saturating_mul(bits) / 8).saturating_add(2 * 4),
        CacheFormat::Fp4 => width.saturating_mul(9) / 16,
        _ => width.saturating_mul(cache_element(job)),
    };
    heads.saturating_mul(content)
}

fn cache_element(job: &Job<'_>) -> u64 {
    match job.cache {
        CacheFormat::Auto => job.element(),
        CacheFormat::Fp8 | CacheFormat::Fp8Latent | CacheFormat::PerHead(_) | CacheFormat::Fp4 => 1,
    }
}

/// Bytes per token and layer of latent attention; every rank holds all of it.
fn latent_bytes(latent: &Latent, job: &Job<'_>) -> u64 {
    if !job.release.latent_cache {
        let heads = (latent.heads / job.mesh.tensor.max(1)).max(1);
        let key = latent.nope_dim.saturating_add(latent.rope_dim);
        return heads
            .saturating_mul(key.saturating_mul(2))
            .saturating_mul(cache_element(job));
    }
    let vector = match job.cache {
        // 512 values, 16 bytes of scales and 64 rotated values in 16 bits.
        CacheFormat::Fp8Latent => latent
            .kv_rank
            .saturating_add(latent.kv_rank.div_ceil(128).saturating_mul(4))
            .saturating_add(latent.rope_dim.saturating_mul(2)),
        _ => latent
            .kv_rank
            .saturating_add(latent.rope_dim)
            .saturating_mul(cache_element(job)),
    };
    let page = match job.v1 {
        true => vector,
        false => {
            let multiple = job.release.latent_page_multiple.max(1);
            vector.div_ceil(multiple).saturating_mul(multiple)
        }
    };
    // One byte per value and a 4-byte scale per 128 of the indexer's key.
    let index = latent.indexer.map_or(0, |(_, width)| {
        width.saturating_add(width.div_ceil(128).saturating_mul(4))
    });
    page.saturating_add(index)
}

/// Bytes of one sequence's state in a layer; `None` where the layer has none.
fn state_bytes(mixer: &Mixer, job: &Job<'_>) -> Option<u64> {
    let ranks = job.mesh.tensor.max(1);
    let taps = |conv: u64| conv.saturating_sub(1).saturating_add(job.speculation.tokens);
    let element = job.element();
    let both = |conv: u64, width: u64, state: u64| {
        taps(conv)
            .saturating_mul(width.div_ceil(ranks))
            .saturating_mul(element)
            .saturating_add(state.saturating_mul(job.state_bytes))
    };
    match mixer {
        Mixer::GatedDelta {
            key_heads,
            value_heads,
            key_dim,
            value_dim,
            conv,
        } => {
            let width = key_heads.saturating_mul(*key_dim).saturating_mul(2);
            let width = width.saturating_add(value_heads.saturating_mul(*value_dim));
            let state = value_heads
                .div_ceil(ranks)
                .saturating_mul(*value_dim)
                .saturating_mul(*key_dim);
            Some(both(*conv, width, state))
        }
        Mixer::Mamba2 {
            heads,
            head_dim,
            groups,
            state,
            conv,
        } => {
            let inner = heads.saturating_mul(*head_dim);
            let groups = (*groups).max(ranks.min(*heads));
            let width = inner.saturating_add(groups.saturating_mul(*state).saturating_mul(2));
            let size = heads
                .div_ceil(ranks)
                .saturating_mul(*head_dim)
                .saturating_mul(*state);
            Some(both(*conv, width, size))
        }
        Mixer::Mamba1 {
            inner, state, conv, ..
        } => Some(both(*conv, *inner, inner.div_ceil(ranks).saturating_mul(*state))),
        Mixer::Lightning { heads, head_dim } => {
            let size = heads
                .div_ceil(ranks)
                .saturating_mul(*head_dim)
                .saturating_mul(*head_dim);
            Some(size.saturating_mul(4))
        }
        Mixer::ShortConvolution { width, conv } => Some(
            taps(*conv)
                .saturating_mul(width.div_ceil(ranks))
                .saturating_mul(element),
        ),
        _ => None,
    }
}

/// Everything that a mixer keeps, added to `all`.
fn keep(mixer: &Mixer, layers: u64, job: &Job<'_>, all: &mut Vec<Kept>) {
    let add = |all: &mut Vec<Kept>, kind: Kind, bytes: u64| match all
        .iter_mut()
        .find(|one| one.kind == kind && one.bytes == bytes)
    {
        Some(one) => one.layers = one.layers.saturating_add(layers),
        None => all.push(Kept { kind, layers, bytes }),
    };
    match mixer {
        Mixer::Attention(attention) => {
            let kind = match attention.span {
                _ if !(job.v1 && job.release.hybrid_manager) => Kind::Full,
                Span::Full => Kind::Full,
                Span::Sliding(window) => Kind::Sliding(window),
                Span::Chunked(chunk) => Kind::Chunked(chunk),
            };
            add(all, kind, attention_bytes(attention, job));
        }
        Mixer::Latent(latent) => add(all, Kind::Full, latent_bytes(latent, job)),
        Mixer::Several(parts) => {
            for part in parts {
                keep(part, layers, job, all);
            }
        }
        other => {
            if let Some(bytes) = state_bytes(other, job) {
                add(all, Kind::State, bytes);
            }
        }
    }
}

/// Bytes per token of all layers of a network, as a drafter of its own adds them to each block of the cache.
pub fn per_token(job: &Job<'_>) -> u64 {
    let mut kept: Vec<Kept> = Vec::new();
    for (kind, layer) in job.network.kinds.iter().enumerate() {
        let count = job.network.layers_of(kind);
        keep(&layer.mixer, count, job, &mut kept);
    }
    kept.iter()
        .filter(|one| one.kind != Kind::State)
        .map(|one| one.bytes.saturating_mul(one.layers))
        .fold(0, u64::saturating_add)
}

impl Layout {
    /// The layout of the layers at `range`, with drafts where `last`.
    pub fn of(job: &Job<'_>, settings: &Settings, range: std::ops::Range<usize>, last: bool) -> Self {
        let mut kept: Vec<Kept> = Vec::new();
        let order = job.network.order.get(range).unwrap_or_default();
        for (kind, layer) in job.network.kinds.iter().enumerate() {
            let count = order.iter().filter(|index| **index == kind).count() as u64;
            if count > 0 {
                keep(&layer.mixer, count, job, &mut kept);
            }
        }
        if last && job.draft_layers() > 0 {
            let full = kept
                .iter_mut()
                .filter(|one| one.kind != Kind::State)
                .max_by_key(|one| one.kind == Kind::Full);
            if let Some(full) = full {
                full.layers = full.layers.saturating_add(job.draft_layers());
            }
        }
        let layers = kept
            .iter()
            .filter(|one| one.kind != Kind::State)
            .map(|one| one.layers)
            .sum();
        let mut layout = Self {
            groups: Vec::new(),
            block_bytes: 0,
            block_size: settings.block_size.max(1),
            state_per_sequence: 0,
            layers,
            context: job.mesh.context.max(1),
            batched: settings.batched_tokens,
            states: job
                .speculation
                .tokens
                .saturating_add(1 + u64::from(job.aligned_states)),
        };
        if !(job.v1 && job.release.hybrid_manager) {
            layout.state_per_sequence = kept
                .iter()
                .filter(|one| one.kind == Kind::State)
                .map(|one| one.bytes.saturating_mul(one.layers))
                .fold(0, u64::saturating_add);
            kept.retain(|one| one.kind != Kind::State);
        }
        let mixed = kept
            .first()
            .is_some_and(|first| kept.iter().any(|one| one.kind != first.kind));
        let own = job.speculation.own_layers;
        if mixed && own > 0 {
            // Where layers keep several kinds, those of a drafter are a kind of their own.
            kept.push(Kept {
                kind: Kind::Drafter,
                layers: own,
                bytes: job.speculation.bytes_per_token / own,
            });
        }
        layout.arrange(job, &kept);
        if !(mixed && own > 0) {
            // Elsewhere each block is larger by theirs.
            let drafter = job.speculation.bytes_per_token.saturating_mul(layout.block_size);
            layout.block_bytes = layout.block_bytes.saturating_add(drafter);
        }
        layout
    }

    fn arrange(&mut self, job: &Job<'_>, kept: &[Kept]) {
        let largest = kept
            .iter()
            .filter(|one| one.kind != Kind::State)
            .map(|one| one.bytes)
            .max();
        let state = kept
            .iter()
            .filter(|one| one.kind == Kind::State)
            .map(|one| one.bytes)
            .max();
        if let (Some(state), Some(attention @ 1..)) = (state, largest) {
            let latent = job
                .network
                .kinds
                .iter()
                .any(|layer| matches!(layer.mixer, Mixer::Latent(_)));
            let step = if latent { 64 } else { 16 };
            let needed = state
                .div_ceil(attention.saturating_mul(step))
                .saturating_mul(step);
            self.block_size = self.block_size.max(needed);
        }
        let page = match (largest, state) {
            (Some(attention), _) => attention.saturating_mul(self.block_size),
            (None, state) => state.unwrap_or(0),
        };
        let mut kinds: Vec<(Kind, u64, u64)> = Vec::new();
        for one in kept {
            match kinds.iter_mut().find(|(kind, ..)| *kind == one.kind) {
                Some((_, layers, _)) => *layers = layers.saturating_add(one.layers),
                None => kinds.push((one.kind, one.layers, one.bytes)),
            }
        }
        if let [(kind, ..)] = kinds.as_slice() {
            let per_token = |one: &Kept| match one.kind {
                Kind::State => one.bytes.saturating_mul(one.layers),
                _ => one
                    .bytes
                    .saturating_mul(one.layers)
                    .saturating_mul(self.block_size),
            };
            self.block_bytes = kept.iter().map(per_token).fold(0, u64::saturating_add);
            self.groups = vec![Group {
                kind: *kind,
                groups: 1,
                block: self.block_size,
            }];
            return;
        }
        let least = kinds
            .iter()
            .map(|(_, layers, _)| *layers)
            .min()
            .unwrap_or(1)
            .max(1);
        let most = kinds
            .iter()
            .map(|(_, layers, _)| *layers)
            .max()
            .unwrap_or(1)
            .max(1);
        let size = if most.saturating_mul(2) < least.saturating_mul(3) {
            most
        } else {
            least
        };
        self.block_bytes = size.saturating_mul(page);
        self.groups = kinds
            .iter()
            .map(|(kind, layers, bytes)| Group {
                kind: *kind,
                groups: layers.div_ceil(size),
                block: match kind {
                    Kind::State => self.block_size,
                    _ => page / (*bytes).max(1),
                },
            })
            .collect();
    }

    /// Blocks that one sequence of so many tokens holds.
    pub fn blocks_per_sequence(&self, tokens: u64) -> u64 {
        let of = |group: &Group| {
            let block = group.block.max(1);
            let blocks = match group.kind {
                Kind::Full | Kind::Drafter => tokens.div_ceil(block.saturating_mul(self.context)),
                Kind::Sliding(window) => {
                    let seen = window.saturating_sub(1).saturating_add(self.batched).min(tokens);
                    seen.div_ceil(block).saturating_add(1)
                }
                Kind::Chunked(chunk) => chunk.saturating_add(self.batched).min(tokens).div_ceil(block),
                Kind::State => self.states,
            };
            blocks.saturating_mul(group.groups)
        };
        self.groups.iter().map(of).fold(0, u64::saturating_add).max(1)
    }

    /// Bytes that one sequence of so many tokens needs.
    pub fn bytes_per_sequence(&self, tokens: u64) -> u64 {
        self.blocks_per_sequence(tokens)
            .saturating_mul(self.block_bytes)
            .saturating_add(self.state_per_sequence)
    }

    /// What a pool gives at the longest context.
    pub fn pool(&self, bytes: u64, job: &Job<'_>) -> Pool {
        let blocks = bytes / self.block_bytes.max(1);
        let length = job.max_model_len.max(1);
        let concurrency = match job.v1 {
            true => blocks as f64 / self.blocks_per_sequence(length) as f64,
            false => blocks.saturating_mul(self.block_size) as f64 / length as f64,
        };
        Pool {
            blocks,
            tokens: self.tokens(blocks, concurrency, job),
            concurrency,
        }
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn tokens(&self, blocks: u64, concurrency: f64, job: &Job<'_>) -> u64 {
        if job.v1 && job.release.tokens_follow_concurrency {
            return (concurrency * job.max_model_len as f64) as u64;
        }
        let groups = self
            .groups
            .iter()
            .map(|group| group.groups)
            .fold(0, u64::saturating_add)
            .max(1);
        let smallest = self
            .groups
            .iter()
            .map(|group| group.block)
            .min()
            .unwrap_or(self.block_size);
        (blocks / groups)
            .saturating_mul(smallest)
            .saturating_mul(self.context)
    }

    /// Bytes of the pool per token that the log prints.
    pub fn bytes_per_token(&self, job: &Job<'_>) -> f64 {
        let many = self.block_bytes.max(1).saturating_mul(1 << 20);
        let pool = self.pool(many, job);
        many as f64 / pool.tokens.max(1) as f64
    }

    /// The longest sequence for which these blocks are enough.
    pub fn longest(&self, blocks: u64, limit: u64) -> u64 {
        let (mut low, mut high) = (0, limit);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            if self.blocks_per_sequence(middle) <= blocks {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        low
    }
}
