//! How fast a copy of a model can serve: a roofline of the pass over a prompt and of a step of the answer, by memory, arithmetic
//! and network. What the memory holds is told by `inference`; here its bytes come as numbers.

use std::sync::Arc;

use super::collective::Collective;
use super::cost::cost;
use super::flops::{LayerWork, head_flops, used_share};
use super::machine::{Case, Rates};
use super::topology::Group;
use super::workload::Kernels;
use crate::model::{Layer, Network};
use crate::units::{Flops, Seconds};

/// What binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Reading weights and cache.
    Bandwidth,
    /// Arithmetic.
    Compute,
    /// Sums between GPUs.
    Network,
}

impl Bound {
    /// The word in JSON.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Bandwidth => "bandwidth",
            Self::Compute => "compute",
            Self::Network => "network",
        }
    }
}

/// One copy of a model as it serves.
#[derive(Clone, Debug, PartialEq)]
pub struct Serving {
    /// The network.
    pub network: Arc<Network>,
    /// Bytes of weights on one GPU.
    pub weights: f64,
    /// Bytes of a cached token of one sequence on one GPU.
    pub cache_per_token: f64,
    /// Bytes of fixed state of one sequence on one GPU.
    pub state: f64,
    /// Tokens of a prompt.
    pub prompt: f64,
    /// Of these, tokens that are cached already.
    pub cached: f64,
    /// Tokens of an answer.
    pub new_tokens: f64,
    /// GPUs that share each matrix.
    pub tensor: u64,
    /// GPUs among which whole layers are divided.
    pub pipeline: u64,
    /// Engines of their own that share the experts of each layer (data parallelism); one where there is none.
    pub engines: u64,
    /// Bytes of an element of activations.
    pub element: f64,
}

/// A time with what binds it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounded {
    /// How long.
    pub time: Seconds,
    /// What binds.
    pub bound: Bound,
}

/// Kernels of a layer in a step: norms, projections, attention, feed-forward.
const KERNELS: f64 = 8.0;
/// Microseconds that a kernel takes beside its bytes: aiconfigurator calculates with 3 (ai-dynamo/aiconfigurator@095f58a51);
/// from 1 where graphs leave no gap to 5 (assumed).
const START: [f64; 3] = [1.0, 3.0, 5.0];

const FUSED: Kernels = Kernels {
    flash: true,
    fused: true,
    fused_activation: true,
    fused_loss: true,
};

impl Serving {
    fn layers(&self) -> f64 {
        self.network.depth() as f64
    }

    /// Sums between tensor-parallel ranks: two per layer of so many rows.
    fn sums(&self, rows: f64, rates: &Rates) -> Seconds {
        let group = Group {
            ranks: self.tensor,
            per_node: self.tensor.min(rates.cluster.gpus_per_node.max(1)),
        };
        let payload = rows * self.network.hidden_size as f64 * self.element;
        let one = cost(
            Collective::AllReduce,
            payload,
            group,
            &rates.cluster,
            rates.choice,
        );
        one.time() * (2.0 * self.layers()) + self.exchanged(payload, rates)
    }

    /// Engines that share experts gather each other's rows before the experts of every layer and add up the outputs after
    /// (vllm 0.33.0 `config/parallel.py`, all2all_backend `allgather_reducescatter`, its default).
    fn exchanged(&self, payload: f64, rates: &Rates) -> Seconds {
        if self.engines < 2 {
            return Seconds::ZERO;
        }
        let network = &self.network;
        let kinds = network.kinds.iter().enumerate();
        let layers: u64 = kinds
            .filter(|(_, layer)| layer.moe().is_some())
            .map(|(kind, _)| network.layers_of(kind))
            .sum();
        let ranks = self.engines;
        let group = Group {
            ranks,
            per_node: ranks.min((rates.cluster.gpus_per_node / self.tensor.max(1)).max(1)),
        };
        let of = |collective| {
            let all = payload * ranks as f64;
            cost(collective, all, group, &rates.cluster, rates.choice).time()
        };
        (of(Collective::AllGather) + of(Collective::ReduceScatter)) * layers as f64
    }

    fn starts(&self, case: Case) -> Seconds {
        Seconds::from_micros(case.of(START) * KERNELS * self.layers())
    }

    /// The share of the weights that a pass of so many rows reads: experts that no row visits and an embedding that is only
    /// looked up stay.
    fn read_share(&self, rows: f64) -> f64 {
        let network = &self.network;
        let total = network.total_parameters().get().max(1) as f64;
        let routed = network.routed_expert_parameters().get() as f64;
        let share = network.layers().find_map(Layer::moe).map_or(1.0, used_share);
        let all = rows.max(1.0) * self.engines.max(1) as f64;
        let visited = 1.0 - (1.0 - share).max(0.0).powf(all);
        let looked_up = if network.head.tied {
            0.0
        } else {
            network.embedding_parameters().get() as f64
        };
        ((total - looked_up - routed * (1.0 - visited)) / total).clamp(0.0, 1.0)
    }

    /// The pass over one prompt.
    pub fn prefill(&self, rates: &Rates, case: Case) -> Bounded {
        let rows = (self.prompt - self.cached).max(1.0);
        let tensor = self.tensor.max(1) as f64;
        let (mut products, mut scores, mut bytes) = (0.0, 0.0, 0.0);
        for (kind, layer) in self.network.kinds.iter().enumerate() {
            let times = self.network.layers_of(kind) as f64;
            let work = LayerWork::of(layer, self.network.hidden_size, self.prompt, FUSED, self.element);
            products += times * work.products;
            scores += times * work.scores;
            bytes += times * (work.stream_bytes + work.inner_bytes / tensor);
        }
        let compute = rates
            .products
            .time(Flops::new((rows * products + head_flops(&self.network)) / tensor))
            + rates.attention.time(Flops::new(rows * scores / tensor));
        // All stages read their part in turn.
        let weights = self.weights * self.pipeline.max(1) as f64 * self.read_share(rows);
        let memory = rates.memory.time(weights);
        let network = self.sums(rows, rates);
        let rest = rates.memory.time(rows * bytes) + self.starts(case);
        bounded(memory, compute, network, rest)
    }

    /// One step of the answer for so many sequences, in the middle of their answers.
    pub fn step(&self, sequences: f64, rates: &Rates, case: Case) -> Bounded {
        let stages = self.pipeline.max(1) as f64;
        let rows = (sequences / stages).max(1.0);
        let tensor = self.tensor.max(1) as f64;
        let context = self.prompt + self.new_tokens / 2.0;
        let mut flops = head_flops(&self.network);
        for (kind, layer) in self.network.kinds.iter().enumerate() {
            let work = LayerWork::of(layer, self.network.hidden_size, context, FUSED, self.element);
            flops += self.network.layers_of(kind) as f64 * (work.products + work.whole_scores);
        }
        let read =
            self.weights * self.read_share(rows) + rows * (context * self.cache_per_token + 2.0 * self.state);
        let memory = rates.memory.time(read) * stages;
        let compute = rates.products.time(Flops::new(rows * flops / tensor));
        bounded(memory, compute, self.sums(rows, rates), self.starts(case))
    }

    /// New tokens per second over all sequences while so many are served all the time: each is read in once and stepped to its
    /// end.
    pub fn output_rate(&self, sequences: f64, rates: &Rates, case: Case) -> f64 {
        let stages = self.pipeline.max(1) as f64;
        let reading = self.prefill(rates, case).time * (sequences / stages);
        let stepping = self.step(sequences, rates, case).time * self.new_tokens.max(1.0);
        sequences * self.new_tokens.max(1.0) / (reading + stepping).get().max(1e-9)
    }
}

/// Memory and arithmetic run beside each other, sums and starts do not.
fn bounded(memory: Seconds, compute: Seconds, network: Seconds, rest: Seconds) -> Bounded {
    let bound = if network > memory.max(compute) {
        Bound::Network
    } else if compute > memory {
        Bound::Compute
    } else {
        Bound::Bandwidth
    };
    Bounded {
        time: memory.max(compute) + network + rest,
        bound,
    }
}
