//! How long a collective takes: latency terms and volume over bandwidth, for each algorithm and protocol, as NCCL's own tuning
//! model estimates them (NVIDIA/nccl@5067397c src/graph/tuning.cc, `ncclTopoTuneModel`), on achieved instead of nominal rates.

use super::collective::Collective;
use super::topology::{Cluster, Group};
use crate::units::{BytesPerSecond, Seconds};

/// An algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Round and round; all bandwidth, latency with every rank.
    Ring,
    /// Two trees over the nodes; latency with the logarithm of the nodes.
    Tree,
    /// Reduce-scatter inside nodes, all-reduce across, all-gather inside.
    Hierarchical,
    /// Switches add (NVLink SHARP inside a node, SHARP between nodes).
    InNetwork,
    /// Each rank to each other.
    Direct,
}

impl Algorithm {
    /// The key in JSON.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::Tree => "tree",
            Self::Hierarchical => "hierarchical",
            Self::InNetwork => "in_network",
            Self::Direct => "direct",
        }
    }
}

/// Which algorithm all-reduces use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// The fastest of those that the fabric has, as NCCL chooses.
    #[default]
    Auto,
    /// Always this one.
    Only(Algorithm),
}

/// What one call costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// By which algorithm.
    pub algorithm: Algorithm,
    /// Start and hops.
    pub latency: Seconds,
    /// Bytes over bandwidth.
    pub volume: Seconds,
}

impl Cost {
    const NONE: Self = Self {
        algorithm: Algorithm::Ring,
        latency: Seconds::ZERO,
        volume: Seconds::ZERO,
    };

    /// Together.
    pub fn time(self) -> Seconds {
        self.latency + self.volume
    }
}

/// NCCL's protocols: microseconds of a start and a hop by wire (fabric, host bus, network) and what is left of the bandwidth,
/// for rings and trees (`baseLatencies`, `hwLatencies`, "model refinements").
struct Protocol {
    base: f64,
    hops: [f64; 3],
    ring: f64,
    tree_base: f64,
    tree_hops: [f64; 3],
    tree: f64,
}

/// Simple, LL128, LL; a tree has 0.92 of the ring's bandwidth before that.
const PROTOCOLS: [Protocol; 3] = [
    Protocol {
        base: 8.4,
        hops: [3.4, 5.7, 14.0],
        ring: 1.0,
        tree_base: 8.4,
        tree_hops: [4.0, 4.0, 14.0],
        tree: 0.92,
    },
    Protocol {
        base: 14.0,
        hops: [1.9, 2.5, 4.0],
        ring: 0.92,
        tree_base: 14.0,
        tree_hops: [1.25, 1.9, 8.5],
        tree: 0.92 * 120.0 / 128.0,
    },
    Protocol {
        base: 6.6,
        hops: [0.6, 1.0, 2.7],
        ring: 0.5,
        tree_base: 6.8,
        tree_hops: [0.6, 1.0, 5.0],
        tree: 0.92 / 3.8,
    },
];

/// Microseconds that posting a message to the network takes per step of a ring (`getNetOverhead`).
const POST: f64 = 1.0;
/// Microseconds of an all-reduce whose sums the switch makes (`hwLatencies`, NVLS).
const SWITCH: f64 = 25.0;
/// Microseconds of one whose sums switches between nodes make (`hwLatencies`, CollNet).
const FABRIC: f64 = 31.0;

/// The cost of one call with a payload over a group.
pub fn cost(collective: Collective, payload: f64, group: Group, cluster: &Cluster, choice: Choice) -> Cost {
    if group.ranks < 2 || payload <= 0.0 {
        return Cost::NONE;
    }
    match collective {
        Collective::AllReduce => all_reduce(payload, group, cluster, choice),
        Collective::AllGather | Collective::ReduceScatter => {
            fastest((0..PROTOCOLS.len()).map(|at| ring(collective, payload, group, cluster, at)))
        }
        Collective::Broadcast => {
            fastest((0..PROTOCOLS.len()).map(|at| ring(collective, payload, group, cluster, at)))
        }
        Collective::AllToAll => direct(payload, group, cluster),
        Collective::PointToPoint => point(payload, group, cluster),
    }
}

fn fastest(costs: impl Iterator<Item = Cost>) -> Cost {
    costs
        .min_by(|left, right| left.time().get().total_cmp(&right.time().get()))
        .unwrap_or(Cost::NONE)
}

fn all_reduce(payload: f64, group: Group, cluster: &Cluster, choice: Choice) -> Cost {
    let rings = || (0..PROTOCOLS.len()).map(|at| ring(Collective::AllReduce, payload, group, cluster, at));
    let trees = || (0..PROTOCOLS.len()).map(|at| tree(payload, group, cluster, at));
    let switched = switched(payload, group, cluster);
    match choice {
        Choice::Auto => fastest(rings().chain(trees()).chain(switched)),
        Choice::Only(Algorithm::Tree) => fastest(trees()),
        Choice::Only(Algorithm::Hierarchical) => hierarchical(payload, group, cluster),
        Choice::Only(Algorithm::InNetwork) => switched.unwrap_or_else(|| fastest(rings())),
        Choice::Only(Algorithm::Ring | Algorithm::Direct) => fastest(rings()),
    }
}

/// Which of the hop latencies of a protocol holds.
fn hop(hops: [f64; 3], between: bool, fabric: bool) -> f64 {
    let [nvlink, bus, network] = hops;
    match (between, fabric) {
        (true, _) => network,
        (false, true) => nvlink,
        (false, false) => bus,
    }
}

fn ring(collective: Collective, payload: f64, group: Group, cluster: &Cluster, at: usize) -> Cost {
    let Some(protocol) = PROTOCOLS.get(at) else {
        return Cost::NONE;
    };
    let (ranks, nodes) = (group.ranks as f64, group.nodes() as f64);
    let steps = match collective {
        Collective::AllReduce => 2.0 * (ranks - 1.0),
        _ => ranks - 1.0,
    };
    let crossings = match (group.nodes() > 1, collective) {
        (false, _) => 0.0,
        (true, Collective::AllReduce) => 2.0 * (nodes - 1.0),
        (true, _) => nodes - 1.0,
    };
    let posted = match (group.nodes() > 1, at) {
        (false, _) => 0.0,
        (true, 0) => 3.0 * POST,
        (true, _) => POST,
    };
    let within = hop(protocol.hops, false, cluster.inside.fabric).max(posted);
    // With one member per node latencies are fully exposed: NCCL takes the tree's.
    let network = if group.per_node == 1 {
        protocol.tree_hops
    } else {
        protocol.hops
    };
    let across = hop(network, true, true) + cluster.hop.get() * 1e6;
    Cost {
        algorithm: Algorithm::Ring,
        latency: Seconds::from_micros(protocol.base + (steps - crossings) * within + crossings * across),
        volume: (cluster.ring(group) * protocol.ring).time(collective.sent(payload, group)),
    }
}

fn tree(payload: f64, group: Group, cluster: &Cluster, at: usize) -> Cost {
    let Some(protocol) = PROTOCOLS.get(at) else {
        return Cost::NONE;
    };
    let within = hop(protocol.tree_hops, false, cluster.inside.fabric);
    let across = hop(protocol.tree_hops, true, true) + cluster.hop.get() * 1e6;
    let depth = f64::from(group.nodes().max(1).ilog2());
    let hops = (group.per_node as f64 - 1.0) * within + depth * across;
    Cost {
        algorithm: Algorithm::Tree,
        latency: Seconds::from_micros(protocol.tree_base + 2.0 * hops),
        volume: (cluster.ring(group) * protocol.tree).time(2.0 * payload),
    }
}

fn hierarchical(payload: f64, group: Group, cluster: &Cluster) -> Cost {
    let inner = Group {
        ranks: group.per_node,
        per_node: group.per_node,
    };
    let outer = Group {
        ranks: group.nodes(),
        per_node: 1,
    };
    let part = payload / group.per_node.max(1) as f64;
    let inside = |collective| cost(collective, payload, inner, cluster, Choice::Auto);
    let across = cost(Collective::AllReduce, part, outer, cluster, Choice::Auto);
    let parts = [
        inside(Collective::ReduceScatter),
        across,
        inside(Collective::AllGather),
    ];
    Cost {
        algorithm: Algorithm::Hierarchical,
        latency: parts.iter().map(|part| part.latency).sum(),
        volume: parts.iter().map(|part| part.volume).sum(),
    }
}

/// Sums made by switches: inside a node at the measured bus bandwidth; between nodes each node sends its part up and gets the
/// sum back once, where the fabric does that.
fn switched(payload: f64, group: Group, cluster: &Cluster) -> Option<Cost> {
    let rate = cluster.switch.filter(|_| cluster.inside.fabric);
    let within = |rate: BytesPerSecond| rate.time(payload * Collective::AllReduce.sent_share(group.per_node));
    if group.nodes() < 2 {
        // Measured on 8 GPUs and from 5 or 6 up, without effect on 4 (stas00/ml-engineering@744d01e network/README.md).
        let rate = rate.filter(|_| group.ranks > 4)?;
        return Some(Cost {
            algorithm: Algorithm::InNetwork,
            latency: Seconds::from_micros(SWITCH),
            volume: within(rate),
        });
    }
    if !cluster.fabric_reduces {
        return None;
    }
    let ports = cluster.port_share() * group.per_node as f64;
    let inner = within(rate.unwrap_or(cluster.inside.rate));
    Some(Cost {
        algorithm: Algorithm::InNetwork,
        latency: Seconds::from_micros(SWITCH + FABRIC) + cluster.hop,
        volume: ports.time(payload).max(inner),
    })
}

/// All-to-all by direct messages: what goes to other nodes over the ports, the rest inside, both at once; each message is
/// posted.
fn direct(payload: f64, group: Group, cluster: &Cluster) -> Cost {
    let (ranks, here) = (group.ranks as f64, group.per_node as f64);
    let inside = cluster.inside.rate.time(payload * (here - 1.0) / ranks);
    let across = cluster.port_share().time(payload * (ranks - here) / ranks);
    let start = if group.nodes() > 1 { 8.4 + 14.0 } else { 8.4 + 3.4 };
    Cost {
        algorithm: Algorithm::Direct,
        latency: Seconds::from_micros(start + (ranks - 1.0) * POST),
        volume: inside.max(across),
    }
}

/// From a rank to its neighbour: the faster of NCCL's protocols.
fn point(payload: f64, group: Group, cluster: &Cluster) -> Cost {
    let between = group.nodes() > 1;
    let rate = if between {
        cluster.port_share()
    } else {
        cluster.inside.rate
    };
    fastest(PROTOCOLS.iter().map(|protocol| Cost {
        algorithm: Algorithm::Direct,
        latency: Seconds::from_micros(protocol.base + hop(protocol.hops, between, cluster.inside.fabric)),
        volume: (rate * protocol.ring).time(payload),
    }))
}
