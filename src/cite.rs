//! A citation: where an equation, a constant or a datum comes from.

use serde::Serialize;

/// What kind of evidence stands behind a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// Read in the engine's source code.
    Source,
    /// Measured on real hardware and published.
    Measured,
    /// Traced: the framework's own code run with the real caching allocator, kernels left out.
    Traced,
    /// Derived by arithmetic from sourced facts.
    Derived,
    /// Stated by a vendor or a paper.
    Published,
    /// Believed, not verified.
    Believed,
}

impl Evidence {
    /// For a person.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Source => "read in the source",
            Self::Measured => "measured",
            Self::Traced => "traced",
            Self::Derived => "derived",
            Self::Published => "published",
            Self::Believed => "believed, not verified",
        }
    }
}

/// Where something comes from, in words that a reader can follow up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Citation {
    /// What kind of evidence it is.
    pub evidence: Evidence,
    /// Repository and file with version, paper and table, or measured record.
    pub source: &'static str,
}

impl Citation {
    /// Evidence and source.
    pub const fn new(evidence: Evidence, source: &'static str) -> Self {
        Self { evidence, source }
    }
}
