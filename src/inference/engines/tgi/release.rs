//! What differs between releases of Text Generation Inference: the margin of its warm-up and of what it is a share, attention
//! kernels with blocks of their own, the default of prefill tokens. The facts stand in `assets/engines/tgi.json`.

use std::sync::OnceLock;

use serde::Deserialize;

use super::super::super::release::{Releases, Row, Version};

/// How the tokens of a prefill follow where they are not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Prefill {
    /// 4096.
    Fixed,
    /// The longest prompt and 50.
    Input,
    /// What card and model afford.
    Card,
}

/// Of which tokens a prefill of the warm-up computes logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Logits {
    /// Of all tokens, with their log-softmax beside them.
    Copied,
    /// Of all tokens; the log-softmax takes their place.
    InPlace,
    /// Of the last token of each request.
    Last,
}

/// The facts of one release and of those after it up to the next row.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// First version.
    pub from: String,
    /// What is taken of the free memory, or of the card.
    pub wiggle: f64,
    /// Whether the margin is a share of the card; before it was one of the free memory.
    pub of_card: bool,
    /// Whether the pool is inferred; before the limit that was given was allocated.
    pub inferred: bool,
    /// The default of prefill tokens.
    pub prefill: Prefill,
    /// Whether FlashInfer and flash-decoding exist, with blocks of their own.
    pub kernels: bool,
    /// The logits of the warm-up's prefill.
    pub logits: Logits,
    /// Whether each request of the warm-up has room for the longest request; before for two tokens more than its prompt.
    pub reserves: bool,
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
    ALL.get_or_init(|| Releases::read(include_str!("../../../../assets/engines/tgi.json")))
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
        assert!(versions.len() > 6 && versions.is_sorted(), "{versions:?}");
        assert!(all.releases.iter().all(|row| !row.source.is_empty()));
        assert_eq!(release(Version(2, 2, 0)).map(|row| row.wiggle), Some(0.95));
        assert!(release(Version(0, 8, 0)).is_none());
    }
}
