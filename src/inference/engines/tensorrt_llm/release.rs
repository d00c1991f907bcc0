//! What differs between releases of TensorRT-LLM: default backend, tokens of a block, limits of a build. The facts stand in
//! `assets/engines/tensorrt_llm.json`, so that a new release is a row there.

use std::sync::OnceLock;

use serde::Deserialize;

use super::super::super::release::{Releases, Row, Version};

/// The facts of one release and of those after it up to the next row.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// First version.
    pub from: String,
    /// Whether the PyTorch backend is the default; before it was an engine that TensorRT builds.
    pub pytorch: bool,
    /// Tokens of a block of the cache.
    pub block: u64,
    /// `max_batch_size`.
    pub batch: u64,
    /// `max_num_tokens`; zero where a build takes all prompts of a batch at once.
    pub tokens: u64,
    /// `max_input_len`; zero where a prompt may be as long as a request.
    #[serde(default)]
    pub input: u64,
    /// `max_output_len`; zero where a request may be as long as the model's positions.
    #[serde(default)]
    pub output: u64,
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
    ALL.get_or_init(|| Releases::read(include_str!("../../../../assets/engines/tensorrt_llm.json")))
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
        assert!(versions.len() > 4 && versions.is_sorted(), "{versions:?}");
        assert!(all.releases.iter().all(|row| !row.source.is_empty()));
        assert_eq!(release(Version(1, 2, 1)).map(|row| row.block), Some(32));
        assert!(release(Version(0, 4, 0)).is_none());
    }
}
