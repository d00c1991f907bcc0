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

/// Fused attention by its generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttentionKernels {
    /// FlashAttention, also as Triton had it at first.
    First,
    /// FlashAttention-2, which is torch's and the flash-attn package's.
    Second,
    /// FlashAttention-3 or cuDNN's, which Transformer Engine calls; FlashAttention-2 where the card has no such kernel.
    Third,
}

impl AttentionKernels {
    /// Shares of the card's rate over forward and backward together, in which backward multiplies two and a half times as much:
    /// fast, expected, slow.
    ///
    /// On A100 FlashAttention reaches 30 to 50 % forward and 25 to 35 % backward, FlashAttention-2 50 to 73 % forward and up to
    /// 63 % backward (arXiv 2307.08691 sections 1 and 4.1). On H100 FlashAttention-2 reaches 309 to 370 TFLOP/s of 989 forward at
    /// head dimension 128, 208 to 298 at 256, cuDNN 497 to 617 and FlashAttention-3 467 to 648 forward, both less where causal sequences are
    /// short and in backward (arXiv 2407.08608 figures 5 and 6). That the first generation loses as much on H100 as the second is assumed, and so are
    /// the cards after it.
    const fn shares(self, capability: Option<u16>) -> [f64; 3] {
        match (capability, self) {
            (Some(80..90), Self::First) => [0.38, 0.32, 0.26],
            (Some(80..90), Self::Second | Self::Third) => [0.65, 0.55, 0.45],
            (Some(90..100), Self::First) => [0.24, 0.2, 0.16],
            (Some(90..100), Self::Second) => [0.37, 0.35, 0.28],
            (Some(90..100), Self::Third) => [0.6, 0.45, 0.33],
            (Some(100..), _) => [0.6, 0.45, 0.33],
            (_, Self::First) => [0.38, 0.3, 0.2],
            (_, Self::Second | Self::Third) => [0.5, 0.4, 0.25],
        }
    }
}

/// What a card reaches; a typed share of products holds in all cases.
///
/// Products: the best measured matrix product of the card (stas00/ml-engineering@744d01e compute/accelerator); a quick
/// search over shapes of a model's widths finds 80 to 90 % of that (compute/accelerator/benchmarks/README.md). Attention: see
/// [`AttentionKernels`]. Memory: 80 % is what aiconfigurator calculates with
/// (ai-dynamo/aiconfigurator@095f58a51), copies of large tensors reach over 90 %.
pub fn efficiency(gpu: &Gpu, typed: Option<f64>, kernels: AttentionKernels) -> Efficiency {
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
    let attention = kernels.shares(gpu.capability_times_ten());
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
    /// The share of communication beside arithmetic that is really hidden. Kernels of both share the card: NCCL's take 24
    /// channels, a multiprocessor each, of the 108 of an A100 (NVIDIA/nccl-tests issue 100), and 20 of the 132 of an H100 were
    /// set aside for DeepSeek-V3 (arXiv 2412.19437 section 3.2.2): arithmetic is slower by that while something is sent. On
    /// the slow side three tenths stay visible, as both use the memory too (assumed).
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
            hidden: share([1.0, 0.8, 0.7]),
            choice: self.choice,
            host_link: self.host.0,
            host_memory: self.host.1,
        }
    }
}
