//! What differs between releases of vLLM: defaults, sampler kernel, accounting and words of the log. The facts stand in
//! `assets/engines/vllm.json`, so that a new release is a row there.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Deserialize;

use super::super::release::{Row, Version, row};

/// The kernel that filters and samples: it decides the bytes per logit of the profile run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SamplerKernel {
    /// PyTorch's sort of every row.
    Sort,
    /// FlashInfer's rejection sampling.
    FlashInfer,
    /// vLLM's own Triton kernel (from 0.17).
    Triton,
}

/// How vLLM was started: the two have different defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EntryPoint {
    /// `vllm serve`.
    #[default]
    Server,
    /// The class `LLM`.
    Library,
}

/// Defaults of the scheduler for GPUs from a size on.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// Least total memory.
    pub from_gib: f64,
    /// Parts of device names to which it does not apply.
    pub excludes: Vec<String>,
    /// `max_num_batched_tokens` of the server.
    pub server: u64,
    /// `max_num_batched_tokens` of the class `LLM`.
    pub library: u64,
    /// `max_num_seqs`.
    pub sequences: u64,
}

/// The facts of one release and of those after it up to the next row.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// First version.
    pub from: String,
    /// Whether the engine V1 is the default.
    pub v1: bool,
    /// Default of `gpu_memory_utilization`.
    pub utilization: f64,
    /// Whether an estimate of the captured graphs is taken from the budget.
    pub graphs_in_budget: bool,
    /// Sampler kernel without an explicit setting.
    pub sampler: SamplerKernel,
    /// Sampler kernel in the official images, where they differ.
    pub sampler_of_images: Option<SamplerKernel>,
    /// Whether layers with windows and states have groups of their own.
    pub hybrid_manager: bool,
    /// Whether prefixes of models with recurrent states are cached unless that is switched off.
    #[serde(default)]
    pub hybrid_prefix: bool,
    /// Whether latent attention is cached as a latent.
    pub latent_cache: bool,
    /// Whether the projections of latent attention are kept multiplied with each other, too.
    #[serde(default)]
    pub latent_products: bool,
    /// To what a latent vector is rounded up by V0, in bytes.
    pub latent_page_multiple: u64,
    /// Whether "GPU KV cache size" is concurrency times length instead of blocks times block size.
    pub tokens_follow_concurrency: bool,
    /// Tokens per chunk of V0 where chunked prefill turns on by itself.
    pub chunk_tokens: u64,
    /// Decimals of the printed weights.
    pub printed_decimals: usize,
    /// Defaults of V1 by size of the GPU, the largest first.
    pub tiers: Vec<Tier>,
    /// Whether V1 subtracts from its budget everything that is held on the card, its own context and other programs
    /// included, and checks nothing before.
    #[serde(default)]
    pub counts_others: bool,
    /// Whether ranks connect before the first snapshot, so that what this takes is outside the budget.
    #[serde(default)]
    pub ranks_before_snapshot: bool,
    /// Whether V1's newer model runner is the default (`VLLM_USE_V2_MODEL_RUNNER`).
    #[serde(default)]
    pub newer_runner: bool,
    /// Which words its log has.
    pub words: String,
    /// How the line on loaded weights reads.
    pub weights_line: String,
    /// Where this was read.
    pub source: String,
}

/// How the lines on the cache and the errors of a start read. In braces: `{name:.2f}` has two decimals, `{name}` what
/// Python prints of a number that is rounded to two.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Words {
    /// On what is left for the cache; empty where V1 says nothing or V0 gives its account.
    pub available: String,
    /// On blocks, tokens and sequences.
    pub capacity: Vec<String>,
    /// Less memory is free than asked for.
    pub not_free: String,
    /// Nothing is left for the cache.
    pub no_blocks: String,
    /// The longest context does not fit.
    pub too_long: String,
    /// The part of it that names a length that would.
    pub estimate: String,
}

/// The file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Releases {
    /// What changed in the file, by date.
    pub changelog: Vec<String>,
    /// Words of logs, by the name under which releases refer to them; `v0` are those of V0 in every release.
    pub words: BTreeMap<String, Words>,
    /// The rows, the oldest first.
    pub releases: Vec<Release>,
}

/// All rows with their changelog.
pub fn releases() -> &'static Releases {
    static ALL: OnceLock<Releases> = OnceLock::new();
    ALL.get_or_init(|| {
        serde_json::from_str(include_str!("../../../assets/engines/vllm.json")).unwrap_or_default()
    })
}

/// The facts of a version: those of the newest row that is not newer. `None` before 0.6, which is not covered.
pub fn release(version: Version) -> Option<&'static Release> {
    row(&releases().releases, version)
}

impl Row for Release {
    fn from(&self) -> &str {
        &self.from
    }
}

impl Release {
    /// The words of its log under V1 or V0.
    pub fn log_words(&self, v1: bool) -> Option<&'static Words> {
        releases().words.get(if v1 { self.words.as_str() } else { "v0" })
    }
}

/// The newest row.
pub fn newest() -> Option<&'static Release> {
    releases().releases.last()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_order_and_cite_what_was_read() {
        let all = releases();
        assert!(!all.changelog.is_empty());
        let versions: Vec<_> = all.releases.iter().map(|row| Version::parse(&row.from)).collect();
        assert!(versions.len() > 5 && versions.is_sorted(), "{versions:?}");
        assert!(all.releases.iter().all(|row| row.source.contains("0.")));
        assert!(
            all.releases
                .iter()
                .all(|row| row.log_words(true).is_some() && row.log_words(false).is_some())
        );
    }

    #[test]
    fn a_version_follows_the_row_before_it() {
        let of = |text: &str| release(Version::parse(text).expect("a version")).map(|row| row.from.as_str());
        assert_eq!(of("0.10.1.1"), Some("0.9.1"));
        assert_eq!(of("0.40.0"), Some("0.33.0"));
        assert_eq!(of("0.5.5"), None);
    }
}
