//! One link of a node, a cluster, a host or a disk: nominal rate, what it delivers, latency, how far it reaches.

use serde::{Deserialize, Serialize};

/// What a link joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum LinkKind {
    /// GPUs of a node or rack.
    ScaleUp,
    /// Nodes.
    ScaleOut,
    /// A GPU and the CPU or its memory.
    Host,
    /// A node and its disks.
    Storage,
}

/// One link. Missing figures are unknown, never zero.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Link {
    /// Stable key: `nvlink-4-h100-h200-h20`.
    pub id: String,
    /// What it joins.
    pub kind: LinkKind,
    /// Name with the product it is on; "per node" rows give the node's sum.
    pub name: String,
    /// Links or lanes per GPU or port, in words where they are not plain.
    pub lanes: Option<String>,
    /// One link or lane in one direction, 10^9 B/s.
    pub lane_gb_per_s: Option<f64>,
    /// Per GPU or port in one direction, 10^9 B/s, nominal.
    pub one_direction_gb_per_s: Option<f64>,
    /// Both directions added, 10^9 B/s, nominal.
    pub both_directions_gb_per_s: Option<f64>,
    /// What a large collective or copy delivers in one direction, 10^9 B/s.
    pub achievable_gb_per_s: Option<f64>,
    /// Bus bandwidth of a large all-reduce whose sums the switch makes, 10^9 B/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub switch_gb_per_s: Option<f64>,
    /// Port to port, microseconds, in words.
    pub latency_us: Option<String>,
    /// How many devices it joins, in words.
    pub domain: Option<String>,
    /// Sources.
    pub sources: Vec<String>,
    /// What a reader must know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
}
