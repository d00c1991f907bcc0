//! Rates of a card and of what is around it, in three cases: what the best runs reach, what is expected, and what is usual at
//! the low end. Shares of nominal rates are stated with their sources; none is fitted to runs that are compared.

use super::cost::Choice;
use super::topology::Cluster;
use crate::hardware::Gpu;
use crate::units::{BytesPerSecond, FlopsPerSecond};

/// Which of the three cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// The best that is seen.
    Fast,
    /// Expected.
    Expected,
    /// The low end of what is usual.
    Slow,
}

impl Case {
    /// Fast, expected, slow.
    pub const ALL: [Self; 3] = [Self::Fast, Self::Expected, Self::Slow];

    /// The value of three for this case.
    pub const fn of(self, [fast, expected, slow]: [f64; 3]) -> f64 {
        match self {
            Self::Fast => fast,
            Self::Expected => expected,
            Self::Slow => slow,
        }
    }
}

/// Shares of nominal rates that are reached: fast, expected, slow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Efficiency {
    /// Matrix products, of the card's rate.
    pub products: [f64; 3],
    /// Attention, of the card's rate.
    pub attention: [f64; 3],
    /// Reading and writing memory, of its bandwidth.
    pub memory: [f64; 3],
    /// Where the share of products comes from.
    pub source: &'static str,
}

/// What a card reaches; a typed share of products holds in all cases.
///
/// Products: the best measured matrix product of the card (stas00/ml-engineering@744d01e compute/accelerator); a quick
/// search over shapes of a model's widths finds 80 to 90 % of that (compute/accelerator/benchmarks/README.md). Attention:
/// FlashAttention-2 reaches 73 % forward and 63 % backward on A100 (arXiv 2307.08691) but 35 % on H100, where
/// FlashAttention-3 reaches 75 % forward (arXiv 2407.08608). Memory: 80 % is what aiconfigurator calculates with
/// (ai-dynamo/aiconfigurator@095f58a51), copies of large tensors reach over 90 %.
pub fn efficiency(gpu: &Gpu, typed: Option<f64>) -> Efficiency {
    let best = gpu.best_product_share();
    let (products, source) = match (typed, best) {
        (Some(share), _) => ([share; 3], "typed"),
        (None, Some(best)) => (
            [best, best * 0.85, best * 0.8],
            "best measured product of this card, 80 to 100 % of it",
        ),
        (None, None) => {
            let best = if gpu.vendor == "AMD" { 0.51 } else { 0.8 };
            (
                [best, best * 0.85, best * 0.7],
                "assumed: no product of this card was measured",
            )
        }
    };
    let attention = match gpu.capability_times_ten() {
        Some(80..90) => [0.65, 0.55, 0.45],
        Some(90..) => [0.6, 0.45, 0.33],
        _ => [0.5, 0.4, 0.25],
    };
    Efficiency {
        products,
        attention,
        memory: [0.92, 0.85, 0.8],
        source,
    }
}

/// A card and its surroundings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Machine {
    /// Rate of the card for the arithmetic of the job.
    pub peak: FlopsPerSecond,
    /// Rate by which utilization is stated: that of dense bf16.
    pub stated_peak: FlopsPerSecond,
    /// Bandwidth of its memory.
    pub memory: BytesPerSecond,
    /// What is reached.
    pub efficiency: Efficiency,
    /// Its nodes and wires, for each case.
    pub clusters: [Cluster; 3],
    /// Which algorithm all-reduces use.
    pub choice: Choice,
    /// Between a GPU and the host's memory, and the memory of the host per GPU.
    pub host: (BytesPerSecond, BytesPerSecond),
}

/// Rates of one case.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Matrix products.
    pub products: FlopsPerSecond,
    /// Attention.
    pub attention: FlopsPerSecond,
    /// Memory.
    pub memory: BytesPerSecond,
    /// Nodes and wires.
    pub cluster: Cluster,
    /// The share of communication beside arithmetic that is really hidden. Kernels of both share the card; on the slow side
    /// three tenths stay visible (assumed).
    pub hidden: f64,
    /// Which algorithm all-reduces use.
    pub choice: Choice,
    /// Between a GPU and the host's memory.
    pub host_link: BytesPerSecond,
    /// Memory of the host per GPU.
    pub host_memory: BytesPerSecond,
}

impl Machine {
    /// The rates of a case.
    pub fn rates(&self, case: Case) -> Rates {
        let share = |shares: [f64; 3]| case.of(shares);
        let [fast, expected, slow] = self.clusters;
        Rates {
            products: self.peak * share(self.efficiency.products),
            attention: self.peak * share(self.efficiency.attention),
            memory: self.memory * share(self.efficiency.memory),
            cluster: match case {
                Case::Fast => fast,
                Case::Expected => expected,
                Case::Slow => slow,
            },
            hidden: share([1.0, 1.0, 0.7]),
            choice: self.choice,
            host_link: self.host.0,
            host_memory: self.host.1,
        }
    }
}
