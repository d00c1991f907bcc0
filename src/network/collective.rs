//! The collectives: how many bytes each rank sends and how many leave a node, by closed forms. How long they take is in `cost`.
//!
//! "Payload" is what NVIDIA/nccl-tests (doc/PERFORMANCE.md) calls the size of a collective: the buffer that is reduced or
//! broadcast, the gathered buffer of an all-gather, the whole input of a reduce-scatter, the send buffer of a rank in an
//! all-to-all.

use super::topology::Group;

/// A pattern of communication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Collective {
    /// Sum on every rank.
    AllReduce,
    /// Every rank's part to every rank.
    AllGather,
    /// Sum, each rank its part.
    ReduceScatter,
    /// From each rank a part to each other.
    AllToAll,
    /// From one rank to another.
    PointToPoint,
    /// From one rank to all.
    Broadcast,
}

impl Collective {
    /// Every one.
    pub const ALL: [Self; 6] = [
        Self::AllReduce,
        Self::AllGather,
        Self::ReduceScatter,
        Self::AllToAll,
        Self::PointToPoint,
        Self::Broadcast,
    ];

    /// The key in JSON.
    pub const fn key(self) -> &'static str {
        match self {
            Self::AllReduce => "all_reduce",
            Self::AllGather => "all_gather",
            Self::ReduceScatter => "reduce_scatter",
            Self::AllToAll => "all_to_all",
            Self::PointToPoint => "point_to_point",
            Self::Broadcast => "broadcast",
        }
    }

    /// How often its payload a rank of `ranks` sends, over a ring or directly.
    pub fn sent_share(self, ranks: u64) -> f64 {
        let n = ranks.max(1) as f64;
        match self {
            Self::AllReduce => 2.0 * (n - 1.0) / n,
            Self::AllGather | Self::ReduceScatter | Self::AllToAll | Self::Broadcast => (n - 1.0) / n,
            Self::PointToPoint => {
                if ranks > 1 {
                    1.0
                } else {
                    0.0
                }
            }
        }
    }

    /// The factor in words.
    pub const fn factor(self) -> &'static str {
        match self {
            Self::AllReduce => "2(n-1)/n",
            Self::AllGather | Self::ReduceScatter | Self::AllToAll | Self::Broadcast => "(n-1)/n",
            Self::PointToPoint => "1",
        }
    }

    /// Bytes that a rank sends for a payload.
    pub fn sent(self, payload: f64, group: Group) -> f64 {
        payload * self.sent_share(group.ranks)
    }

    /// Bytes that a group sends in all. Messages of a pipeline go from each rank to the next.
    pub fn on_wires(self, payload: f64, group: Group) -> f64 {
        let senders = match self {
            Self::PointToPoint => group.ranks.saturating_sub(1),
            _ => group.ranks,
        };
        self.sent(payload, group) * senders as f64
    }

    /// Bytes that a group sends from node to node in all. A ring leaves each node once, whatever the number of its members
    /// there; direct exchanges send what is meant for other nodes; a chain crosses each border once.
    pub fn between_nodes(self, payload: f64, group: Group) -> f64 {
        let nodes = group.nodes();
        if nodes < 2 {
            return 0.0;
        }
        match self {
            Self::AllReduce | Self::AllGather | Self::ReduceScatter => {
                self.sent(payload, group) * nodes as f64
            }
            Self::AllToAll => payload * (group.ranks as f64 - group.per_node.max(1) as f64).max(0.0),
            Self::PointToPoint | Self::Broadcast => payload * (nodes as f64 - 1.0),
        }
    }
}
