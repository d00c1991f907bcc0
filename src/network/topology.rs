//! Where ranks stand: nodes of so many GPUs, the wire inside a node and the one between nodes, and how a group of ranks lies on
//! them. Rates of wires are those that large collectives reach, as three cases are calculated one by one.

use crate::units::{BytesPerSecond, Seconds};

/// A wire as a GPU sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wire {
    /// What a large ring collective reaches in one direction, per GPU.
    pub rate: BytesPerSecond,
    /// Whether it is a switched link between GPUs (NVLink and the like); the host's bus otherwise.
    pub fabric: bool,
}

/// A cluster of equal nodes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cluster {
    /// GPUs of the job in a node.
    pub gpus_per_node: u64,
    /// Nodes of the job.
    pub nodes: u64,
    /// Inside a node.
    pub inside: Wire,
    /// Out of one node in one direction, all its ports together.
    pub between: BytesPerSecond,
    /// Extra time per hop between nodes beyond NCCL's own.
    pub hop: Seconds,
    /// Bus bandwidth of an all-reduce inside a node where the switch adds (NVLink SHARP), where it does.
    pub switch: Option<BytesPerSecond>,
    /// Whether the switches between nodes add (SHARP).
    pub fabric_reduces: bool,
}

impl Cluster {
    /// GPUs of the job.
    pub const fn gpus(&self) -> u64 {
        self.gpus_per_node.saturating_mul(self.nodes)
    }

    /// A group of `ranks` whose neighbours stand `stride` GPUs apart: as many of it as fit are on a node.
    pub fn group(&self, ranks: u64, stride: u64) -> Group {
        let ranks = ranks.max(1);
        let fit = (self.gpus_per_node / stride.max(1)).max(1);
        Group {
            ranks,
            per_node: ranks.min(fit),
        }
    }

    /// What a GPU gets of its node's ports when all use them.
    pub fn port_share(&self) -> BytesPerSecond {
        self.between * (1.0 / self.gpus_per_node.max(1) as f64)
    }

    /// Bus bandwidth of a ring over a group while the other groups of its nodes do the same: the inner wire, or what the
    /// members on a node have of its ports, if that is less. On 4 nodes of 8 H200 with 8 x 400 Gbit/s each this is 365 GB/s, as
    /// measured (stas00/ml-engineering@744d01e network/README.md, EFA v3).
    pub fn ring(&self, group: Group) -> BytesPerSecond {
        if group.nodes() < 2 {
            return self.inside.rate;
        }
        let ports = self.port_share() * group.per_node as f64;
        if group.per_node > 1 {
            ports.min(self.inside.rate)
        } else {
            ports
        }
    }
}

/// Ranks that talk to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// How many.
    pub ranks: u64,
    /// How many of them on one node.
    pub per_node: u64,
}

impl Group {
    /// Nodes that it spans.
    pub const fn nodes(self) -> u64 {
        if self.per_node == 0 {
            1
        } else {
            self.ranks.div_ceil(self.per_node)
        }
    }
}
