//! The arguments of SGLang after defaults: tokens of a chunk, captured batches, share of the free memory, page size,
//! attention backend (kvcache-ai/sglang @04653fa `server_args.py`; older rows of `assets/engines/sglang.json`).

use super::super::super::job::InferenceJob;
use super::Options;
use super::release::Reserve;
use crate::model::{Mixer, Network};
use crate::units::Bytes;

/// The kernels of attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// FlashInfer.
    FlashInfer,
    /// Triton.
    Triton,
    /// torch's own.
    Torch,
    /// FlashAttention 3 (Hopper).
    Fa3,
    /// FlashMLA (Hopper, latent attention).
    FlashMla,
    /// NVIDIA's TRT-LLM kernels (Blackwell).
    TrtLlm,
    /// AITER (AMD).
    Aiter,
}

impl Backend {
    /// The value of the argument.
    pub const fn key(self) -> &'static str {
        match self {
            Self::FlashInfer => "flashinfer",
            Self::Triton => "triton",
            Self::Torch => "torch",
            Self::Fa3 => "fa3",
            Self::FlashMla => "flashmla",
            Self::TrtLlm => "trtllm",
            Self::Aiter => "aiter",
        }
    }
}

/// How tokens are drafted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speculation {
    /// The model's own next-token layers, or a head of one layer on its hidden states (EAGLE, NEXTN).
    Eagle,
    /// A model of its own (STANDALONE).
    Standalone,
    /// Looked up in what was said (NGRAM): no weights.
    Ngram,
}

/// The arguments after defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Tokens of a prefill that are computed at once.
    pub chunk: u64,
    /// Batches that are captured.
    pub captured: u64,
    /// The largest of them.
    pub largest: u64,
    /// Lengths of prefill that are captured piecewise.
    pub piecewise: u64,
    /// `mem_fraction_static`.
    pub fraction: f64,
    /// Tokens of a page.
    pub page: u64,
    /// `context_length`.
    pub context: u64,
    /// Ranks among which attention is divided.
    pub attention_ranks: u64,
    /// The kernels of attention.
    pub backend: Backend,
}

/// `max_prefill_tokens` where nothing is given.
const PREFILL: u64 = 16_384;

impl Settings {
    /// The defaults of the release for what was not given.
    pub fn of(asked: &InferenceJob, options: &Options) -> Self {
        let release = options.release;
        let mib = asked.device.driver.to_gib() * 1024.0;
        let tier = release
            .tiers
            .iter()
            .find(|tier| mib >= tier.from_gib * 1024.0)
            .or(release.tiers.last());
        let chunk = options.chunk.or(tier.map(|tier| tier.chunk)).unwrap_or(4096);
        let largest = options.largest_graph.or(tier.map(|tier| match asked.tensor {
            0..=3 => tier.few,
            _ => tier.many,
        }));
        let largest = largest.unwrap_or(160);
        let prefill = match chunk {
            0 => options.prefill.unwrap_or(PREFILL),
            chunk => chunk,
        };
        let latent = has_latent(&asked.network);
        let compressed = asked.network.model_type == "deepseek_v4";
        let piecewise = match options.piecewise.unwrap_or(release.piecewise) && !options.eager {
            true => piecewise_sizes(if latent { prefill.min(2048) } else { prefill }),
            false => 0,
        };
        let backend = options.backend.unwrap_or_else(|| backend(asked, options, latent));
        let attention_ranks = match options.attention_copies {
            0 | 1 => asked.tensor,
            copies => (asked.tensor / copies).max(1),
        };
        let own = asked.network.max_positions.unwrap_or(0);
        let mut settings = Self {
            chunk: prefill,
            captured: match options.eager {
                true => 0,
                false => sizes(largest, release.fine_sizes, options.speculation.is_some()),
            },
            largest,
            piecewise,
            fraction: 0.0,
            page: options.page.unwrap_or(match (backend, compressed) {
                (_, true) => 256,
                (Backend::FlashMla | Backend::TrtLlm, _) => 64,
                _ => 1,
            }),
            context: options.context.unwrap_or(own).max(asked.length()),
            attention_ranks,
            backend,
        };
        let share = options
            .fraction
            .unwrap_or_else(|| settings.default_fraction(asked, options, mib));
        settings.fraction = match backend {
            Backend::Aiter if settings.context > 8192 => share * release.aiter_share,
            _ => share,
        };
        // Ranks that hold attention of their own share a chunk.
        settings.chunk = (settings.chunk / options.attention_copies.max(1)).max(1);
        settings
    }

    /// `mem_fraction_static`: a share by ranks up to 0.4.6, what a rule leaves of the card from then on; less for models
    /// with a vision tower.
    fn default_fraction(&self, asked: &InferenceJob, options: &Options, mib: f64) -> f64 {
        let ranks = asked.tensor.saturating_mul(asked.pipeline);
        let release = options.release;
        let by_ranks = release.fractions.iter().find(|(from, _)| asked.tensor >= *from);
        let share = match by_ranks {
            Some((_, share)) => *share,
            None if mib <= 0.0 => 0.88,
            None => {
                let by_size = release.reserves.iter().find(|row| mib >= row.from_gib * 1024.0);
                let reserve = match by_size {
                    Some(row) => reserve_by_size(*row, ranks, options),
                    None => self.reserve(options, ranks, mib),
                };
                let drafting = match options.speculation {
                    Some(Speculation::Standalone) => 6144.0,
                    Some(Speculation::Eagle) => 2048.0,
                    _ => 0.0,
                };
                ((mib - reserve - drafting) / mib * 1000.0).round() / 1000.0
            }
        };
        let share = share * tower_factor(&asked.network, release.tower_by_size);
        share.clamp(0.0, 1.0)
    }

    /// MiB that are left free for chunks, captured batches and ranks.
    fn reserve(&self, options: &Options, ranks: u64, mib: f64) -> f64 {
        let largest = self.largest as f64;
        let mut reserve = 512.0 + 1.5 * self.chunk.max(2048) as f64 + 2.0 * largest + 128.0 * ranks as f64;
        if options.attention_copies > 1 {
            let each = if self.largest > 300 { 4.5 } else { 3.0 };
            reserve += each * largest * options.attention_copies as f64;
        }
        reserve += 8.0 * self.piecewise as f64;
        if mib > 60.0 * 1024.0 {
            reserve = reserve.max(10_240.0);
        }
        reserve
    }
}

/// MiB that are left free by size of the card: a part for each rank, and more beside attention with copies.
fn reserve_by_size(row: Reserve, ranks: u64, options: &Options) -> f64 {
    let copies = if options.attention_copies > 1 { 4.0 } else { 0.0 };
    (row.gib + row.per_rank * ranks as f64 + copies) * 1024.0
}

/// Layers and width of towers that belong to a model and whose tensors are not counted (`vision_config` of
/// moonshotai/Kimi-K2.5).
const UNCOUNTED: [(&str, u64, u64); 1] = [("kimi_k25", 27, 1152)];

/// What is left of the share beside a vision tower: 0.95, and less for larger towers. The blocks of a tower are counted by
/// their norms' width, which is the tower's hidden size.
fn tower_factor(network: &Network, by_size: bool) -> f64 {
    if let Some((_, layers, width)) = UNCOUNTED.iter().find(|(kind, ..)| *kind == network.model_type) {
        return if by_size {
            factor_by_size(*layers, *width)
        } else {
            0.95
        };
    }
    let Some(tower) = network.towers.iter().find(|tower| !tower.tensors.is_empty()) else {
        return 1.0;
    };
    let norms: Vec<(u64, u64)> = tower
        .tensors
        .iter()
        .filter(|tensor| tensor.name.contains("norm1.weight"))
        .filter_map(|tensor| Some((tensor.copies.max(1), *tensor.shape.first()?)))
        .collect();
    let Some((_, width)) = norms.first().filter(|_| by_size) else {
        return 0.95;
    };
    let layers: u64 = norms
        .iter()
        .filter(|(_, other)| other == width)
        .map(|(copies, _)| copies)
        .sum();
    factor_by_size(layers, *width)
}

fn factor_by_size(layers: u64, width: u64) -> f64 {
    let width = width as f64;
    let relative = layers as f64 * width * width / (24.0 * 1024.0 * 1024.0);
    0.95 * (1.0 - 0.1 * (relative - 1.0)).clamp(0.8, 1.05)
}

/// Whether a layer has latent attention.
pub fn has_latent(network: &Network) -> bool {
    network
        .kinds
        .iter()
        .any(|layer| matches!(layer.mixer, Mixer::Latent(_)))
}

fn latent_heads(network: &Network) -> u64 {
    let heads = network.kinds.iter().map(|layer| match &layer.mixer {
        Mixer::Latent(latent) => latent.heads,
        _ => 0,
    });
    heads.max().unwrap_or(0)
}

/// The kernels that a release chooses: FlashInfer, and from 0.5 on what suits the architecture.
fn backend(asked: &InferenceJob, options: &Options, latent: bool) -> Backend {
    let card = &asked.device;
    match card.capability {
        // AITER's latent attention knows 16 and 128 heads only (0.5.23 `arg_groups/model_override_base.py`).
        _ if !card.nvidia
            && latent
            && !matches!(latent_heads(&asked.network) / asked.tensor.max(1), 16 | 128) =>
        {
            Backend::Triton
        }
        _ if !card.nvidia => Backend::Aiter,
        _ if !options.release.native_backends => Backend::FlashInfer,
        90..=99 => Backend::Fa3,
        100..=109 => Backend::TrtLlm,
        120.. if latent => Backend::Triton,
        0..75 => Backend::Triton,
        _ => Backend::FlashInfer,
    }
}

/// How many numbers of a range there are in steps, both ends included.
const fn count(from: u64, to: u64, step: u64) -> u64 {
    if to < from { 0 } else { (to - from) / step + 1 }
}

/// Batches that are captured up to the largest.
pub fn sizes(largest: u64, fine: bool, drafts: bool) -> u64 {
    let upto = |to: u64| largest.min(to);
    if drafts && fine {
        return count(1, upto(8), 1)
            + count(10, upto(32), 2)
            + count(40, upto(64), 4)
            + count(72, upto(256), 8)
            + count(272, largest, 16);
    }
    let small: &[u64] = if fine { &[1, 2, 4, 8, 12] } else { &[1, 2, 4, 8] };
    let first = small.iter().filter(|size| **size <= largest).count() as u64;
    if fine {
        first + count(16, upto(256), 8) + count(272, upto(496), 16) + count(512, largest, 32)
    } else {
        first + count(16, upto(256), 8) + count(272, largest, 16)
    }
}

/// Lengths of prefill that are captured piecewise up to the largest.
pub fn piecewise_sizes(largest: u64) -> u64 {
    let upto = |to: u64| largest.min(to);
    count(4, upto(32), 4)
        + count(48, upto(256), 16)
        + count(288, upto(512), 32)
        + count(576, upto(1024), 64)
        + count(1280, upto(4096), 256)
        + count(4608, largest, 512)
}

/// The workspace of the attention kernels: what lies between the pools and the first captured graph.
pub fn workspace(backend: Backend, ranks: u64) -> (f64, f64, f64) {
    match backend {
        // sgl-001, 010, 016, 033, 037, 041, 082: 0.53 to 0.66.
        Backend::FlashInfer => (0.4, 0.55, 0.7),
        // sgl-043, 044.
        Backend::TrtLlm => (0.5, 1.12, 1.3),
        // sgl-032 with eight ranks, sgl-008 with one.
        Backend::Fa3 if ranks > 1 => (0.0, 0.05, 0.3),
        Backend::Fa3 | Backend::FlashMla => (0.0, 0.1, 0.4),
        // sgl-039.
        Backend::Triton | Backend::Torch => (0.0, 0.01, 0.2),
        // Its buffers follow from sizes, see `partitions`; 0.36 beside them (sgl-052).
        Backend::Aiter => (0.0, 0.2, 0.5),
    }
}

/// Partial results of AITER's attention: fp32 values and two fp32 sums for each head and part of 256 positions of each request
/// (`layers/attention/aiter_backend.py`).
pub fn partitions(heads: u64, head_dim: u64, context: u64, requests: u64) -> Bytes {
    let parts = requests
        .saturating_mul(heads)
        .saturating_mul(context.div_ceil(256));
    Bytes::new(parts.saturating_mul(head_dim.saturating_mul(4).saturating_add(8)))
}

/// GiB as an interval.
pub fn gib((low, expected, high): (f64, f64, f64)) -> crate::memory::Interval {
    crate::memory::Interval::new(
        Bytes::from_gib(low),
        Bytes::from_gib(expected),
        Bytes::from_gib(high),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captured_sizes_are_as_many_as_the_logs_print() {
        // sgl-010, 016: four; sgl-001: thirteen; sgl-011, 037: 23; sgl-043, 044: 52 and 74 piecewise.
        assert_eq!(sizes(8, false, false), 4);
        assert_eq!(sizes(80, false, false), 13);
        assert_eq!(sizes(160, false, false), 23);
        assert_eq!(sizes(512, false, false), 51);
        assert_eq!(sizes(8, true, false), 4);
        assert_eq!(sizes(512, true, false), 52);
        assert_eq!(piecewise_sizes(16_384), 74);
    }
}
