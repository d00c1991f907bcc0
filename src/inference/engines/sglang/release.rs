//! What differs between releases of SGLang: the share of the card, tiers by size of the GPU, graphs, pools of window layers.
//! The facts stand in `assets/engines/sglang.json`, so that a new release is a row there.

use std::sync::OnceLock;

use serde::Deserialize;

use super::super::super::release::{Releases, Row, Version};

/// Defaults for GPUs from a size on.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// Least total memory as the driver reports it.
    pub from_gib: f64,
    /// `chunked_prefill_size`.
    pub chunk: u64,
    /// Largest batch that is captured with fewer than four tensor parallel ranks.
    pub few: u64,
    /// The same with four or more.
    pub many: u64,
}

/// What is left free of GPUs from a size on.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reserve {
    /// Least total memory as the driver reports it.
    pub from_gib: f64,
    /// GiB.
    pub gib: f64,
    /// GiB more for each rank.
    pub per_rank: f64,
}

/// The facts of one release and of those after it up to the next row.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// First version.
    pub from: String,
    /// `mem_fraction_static` from so many tensor parallel ranks on, the most ranks first; empty where it follows from a rule.
    pub fractions: Vec<(u64, f64)>,
    /// What is left free by size of the GPU, the largest first; empty where it follows from chunks and captured batches.
    #[serde(default)]
    pub reserves: Vec<Reserve>,
    /// Defaults by size of the GPU, the largest first.
    pub tiers: Vec<Tier>,
    /// Whether captured batches have the finer list of sizes.
    pub fine_sizes: bool,
    /// Whether prefill is captured piecewise by default.
    pub piecewise: bool,
    /// Beginnings of the model types whose window layers have a pool of their own.
    pub window_pools: Vec<String>,
    /// Whether the request table has a row more than requests.
    pub extra_row: bool,
    /// Whether what is left beside a vision tower follows from its size; before it was 0.95 of the share.
    pub tower_by_size: bool,
    /// Whether the attention backend follows the architecture of the GPU; before it was FlashInfer everywhere.
    pub native_backends: bool,
    /// What AITER's kernels leave of a share, given or not, at contexts of more than 8192 tokens.
    pub aiter_share: f64,
    /// Where this was read.
    pub source: String,
}

impl Row for Release {
    fn from(&self) -> &str {
        &self.from
    }
}

/// All rows with their changelog.
pub fn releases() -> &'static Releases<Release> {
    static ALL: OnceLock<Releases<Release>> = OnceLock::new();
    ALL.get_or_init(|| Releases::read(include_str!("../../../../assets/engines/sglang.json")))
}

/// The row of a version: the newest that is not after it.
pub fn release(version: Version) -> Option<&'static Release> {
    releases().at(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_order_and_cite_what_was_read() {
        let all = releases();
        assert!(!all.changelog.is_empty());
        let versions: Vec<_> = all.releases.iter().map(|row| Version::parse(&row.from)).collect();
        assert!(versions.len() > 3 && versions.is_sorted(), "{versions:?}");
        assert!(
            all.releases
                .iter()
                .all(|row| !row.source.is_empty() && !row.tiers.is_empty())
        );
        assert_eq!(
            release(Version(0, 4, 1)).map(|row| row.from.as_str()),
            Some("0.4.0")
        );
        assert!(release(Version(0, 2, 9)).is_none());
    }
}
