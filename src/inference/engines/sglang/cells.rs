//! What a token and a request keep under SGLang: bytes of a cell by kind of attention, bytes of a slot of states
//! (kvcache-ai/sglang @04653fa `model_executor/model_runner_kv_cache_mixin.py` get_cell_size_per_token,
//! calculate_mla_kv_cache_dim; `configs/mamba_utils.py`; `model_executor/memory_profiler.py` for compressed attention).

use super::super::super::job::{CacheType, InferenceJob};
use super::Options;
use super::settings::Settings;
use crate::model::{Attention, Latent, Layer, Mixer, Network, Span};

/// Bytes on one rank.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cells {
    /// Per token of layers that keep everything.
    pub full: u64,
    /// How many they are.
    pub full_layers: u64,
    /// Per token of layers with a window and a pool of their own.
    pub window: u64,
    /// The longest of their windows.
    pub longest_window: u64,
    /// Per request of layers with a state.
    pub slot: u64,
    /// Per token of compressed attention, which has pools of its own kind.
    pub compressed: Option<f64>,
    /// Per token of the layers that draft.
    pub draft: u64,
}

impl Cells {
    /// Per token of all layers with keys and values.
    pub const fn all(&self) -> u64 {
        self.full.saturating_add(self.window)
    }
}

/// The cells of the layers at `range`.
pub fn cells(
    asked: &InferenceJob,
    options: &Options,
    settings: &Settings,
    range: std::ops::Range<usize>,
) -> Cells {
    let network = &asked.network;
    let of = Kept {
        asked,
        options,
        settings,
        window_pool: window_pool(network, options),
    };
    let mut cells = Cells::default();
    for kind in network.order.get(range).unwrap_or_default() {
        if let Some(layer) = network.kinds.get(*kind) {
            of.add(&layer.mixer, &mut cells);
        }
    }
    if network.model_type == "deepseek_v4" {
        cells.compressed = Some(compressed(asked, options));
    }
    cells
}

/// Bytes per token of a drafter's layers on a rank.
pub fn drafter(asked: &InferenceJob, options: &Options, settings: &Settings, network: &Network) -> u64 {
    let of = Kept {
        asked,
        options,
        settings,
        window_pool: false,
    };
    let mut cells = Cells::default();
    for layer in network.layers() {
        of.add(&layer.mixer, &mut cells);
    }
    cells.all()
}

/// Bytes per token of one more layer like the model's fullest.
pub fn one_layer(asked: &InferenceJob, options: &Options, settings: &Settings) -> u64 {
    let of = Kept {
        asked,
        options,
        settings,
        window_pool: false,
    };
    let each = asked.network.kinds.iter().map(|layer| {
        let mut cells = Cells::default();
        of.add(&layer.mixer, &mut cells);
        cells.all()
    });
    each.max().unwrap_or(0)
}

/// Whether layers with a window have a pool of their own.
fn window_pool(network: &Network, options: &Options) -> bool {
    let listed = options
        .release
        .window_pools
        .iter()
        .any(|start| network.model_type.starts_with(start.as_str()));
    listed && !options.whole_windows
}

struct Kept<'a> {
    asked: &'a InferenceJob,
    options: &'a Options,
    settings: &'a Settings,
    window_pool: bool,
}

impl Kept<'_> {
    fn add(&self, mixer: &Mixer, cells: &mut Cells) {
        match mixer {
            Mixer::Attention(attention) => {
                let bytes = self.attention(attention);
                match attention.span {
                    Span::Sliding(window) | Span::Chunked(window) if self.window_pool => {
                        cells.window = cells.window.saturating_add(bytes);
                        cells.longest_window = cells.longest_window.max(window);
                    }
                    _ => {
                        cells.full = cells.full.saturating_add(bytes);
                        cells.full_layers = cells.full_layers.saturating_add(1);
                    }
                }
            }
            Mixer::Latent(latent) => {
                cells.full = cells.full.saturating_add(self.latent(latent));
                cells.full_layers = cells.full_layers.saturating_add(1);
            }
            Mixer::Several(parts) => parts.iter().for_each(|part| self.add(part, cells)),
            other => cells.slot = cells.slot.saturating_add(self.state(other)),
        }
    }

    /// Bytes of so many cached values; 4-bit floats have a byte of scale per 16.
    fn values(&self, elements: u64) -> u64 {
        match self.asked.cache {
            CacheType::Fp8 => elements,
            CacheType::Fp4 => elements.saturating_mul(9) / 16,
            CacheType::Compute | CacheType::Grouped(_) => {
                elements.saturating_mul((self.asked.compute.bits() / 8).max(1))
            }
        }
    }

    fn attention(&self, attention: &Attention) -> u64 {
        let heads = (attention.kv_heads / self.settings.attention_ranks.max(1)).max(1);
        let width = attention.head_dim.saturating_add(attention.value_dim);
        self.values(heads.saturating_mul(width))
    }

    /// The latent and the rotated key, whole on every rank; the key of an indexer is one byte per value and an fp32 scale
    /// per 128.
    fn latent(&self, latent: &Latent) -> u64 {
        let plain = latent.kv_rank.saturating_add(latent.rope_dim);
        let Some((_, index)) = latent.indexer else {
            return self.values(plain);
        };
        // TRT-LLM's kernels on Blackwell keep the plain layout; FlashMLA's has scales and a rotated key in 16 bits.
        let trtllm = self.settings.backend == super::settings::Backend::TrtLlm;
        let vector = match self.asked.cache {
            CacheType::Fp8 if !trtllm => latent
                .kv_rank
                .saturating_add((latent.kv_rank / 128).saturating_mul(4))
                .saturating_add(latent.rope_dim.saturating_mul(2)),
            _ => self.values(plain),
        };
        vector.saturating_add(index.saturating_add((index / 128).saturating_mul(4)))
    }

    /// Columns of the convolution in 16 bits, and the recurrent state.
    fn state(&self, mixer: &Mixer) -> u64 {
        let ranks = self.settings.attention_ranks.max(1);
        let share = |elements: u64| elements.div_ceil(ranks);
        let state = |elements: u64| share(elements).saturating_mul(self.options.state_bytes);
        let columns = |conv: u64, width: u64| {
            conv.saturating_sub(1)
                .saturating_mul(share(width))
                .saturating_mul(2)
        };
        match *mixer {
            Mixer::GatedDelta {
                key_heads,
                value_heads,
                key_dim,
                value_dim,
                conv,
            } => {
                let keys = key_heads.saturating_mul(key_dim).saturating_mul(2);
                let width = keys.saturating_add(value_heads.saturating_mul(value_dim));
                let recurrent = value_heads.saturating_mul(value_dim).saturating_mul(key_dim);
                columns(conv, width).saturating_add(state(recurrent))
            }
            Mixer::Mamba2 {
                heads,
                head_dim,
                groups,
                state: size,
                conv,
            } => {
                let inner = heads.saturating_mul(head_dim);
                let groups = groups.div_ceil(ranks).saturating_mul(ranks);
                let width = inner.saturating_add(groups.saturating_mul(size).saturating_mul(2));
                columns(conv, width).saturating_add(state(inner.saturating_mul(size)))
            }
            Mixer::Mamba1 {
                inner,
                state: size,
                conv,
                ..
            } => columns(conv, inner).saturating_add(state(inner.saturating_mul(size))),
            Mixer::Lightning { heads, head_dim } => {
                share(heads.saturating_mul(head_dim).saturating_mul(head_dim)).saturating_mul(4)
            }
            Mixer::ShortConvolution { width, conv } => columns(conv, width),
            Mixer::None | Mixer::Attention(_) | Mixer::Latent(_) | Mixer::Several(_) => 0,
        }
    }
}

/// How a layer of compressed attention reads what lies before its window.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    Window,
    Fourth,
    Heavy,
}

fn reach(layer: &Layer) -> Reach {
    let has = |part: &str| layer.tensors.iter().any(|tensor| tensor.name.contains(part));
    if has("compressor.indexer") {
        Reach::Fourth
    } else if has("compressor") {
        Reach::Heavy
    } else {
        Reach::Window
    }
}

/// Bytes per full token of DeepSeek-V4: a window of a share of the tokens in every layer, a stream compressed 4-fold with its
/// indexer or 128-fold, and the rings in which the compressors gather (memory_profiler.py, DSv4MemoryCalculator).
fn compressed(asked: &InferenceJob, options: &Options) -> f64 {
    let network = &asked.network;
    let mut counts = [0_u64; 3];
    for layer in network.layers() {
        let place = match reach(layer) {
            Reach::Window => 0,
            Reach::Fourth => 1,
            Reach::Heavy => 2,
        };
        if let Some(count) = counts.get_mut(place) {
            *count += 1;
        }
    }
    let [window, fourth, heavy] = counts;
    let entries = window + fourth + heavy + u64::from(!network.next_token_tensors.is_empty());
    // Before Ada everything is kept in 16 bits.
    let (kept, index) = match asked.device.capability {
        0..89 => (1024.0, 256.0),
        _ => (584.0, 132.0),
    };
    let rings = if options.speculation.is_some() { 2.0 } else { 1.0 };
    let share = options.window_share.unwrap_or(0.1);
    let (all, fourth, heavy) = (entries as f64, fourth as f64, heavy as f64);
    share * kept * all
        + kept / 4.0 * fourth
        + kept / 128.0 * heavy
        + index / 4.0 * fourth
        + share * (8.0 * rings / 128.0) * (8192.0 + 2048.0) * fourth
        + share * rings * 4096.0 * heavy
}
