//! What each kind of layer computes and holds, and sums over the network: calculated once for a network, a sequence length and a
//! way of computing, and used for every way of dividing the work.

use super::flops::{LayerWork, head_flops};
use super::traffic::model::{blocks, keys_and_values};
use super::workload::Workload;
use crate::model::{Layer, Role, Tensor};

/// One kind of layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KindWork {
    /// What it computes per token.
    pub work: LayerWork,
    /// Parameters but for routed experts.
    pub dense: f64,
    /// Parameters of routed experts.
    pub routed: f64,
    /// Blocks after which tensor-parallel ranks talk.
    pub blocks: f64,
    /// One where it has routed experts.
    pub experts: f64,
}

/// All kinds of layers, and what is the same for every way of dividing them.
#[derive(Clone, Debug, PartialEq)]
pub struct Kinds {
    /// In the order of the network's kinds.
    pub each: Vec<KindWork>,
    /// Parameters of the network.
    pub total: f64,
    /// Parameters of the embedding.
    pub embedding: f64,
    /// Parameters before and after the layers.
    pub ends: [f64; 2],
    /// Operations of the head per token.
    pub head: f64,
    /// Elements of keys and values per token and layer, in the mean.
    pub keys_and_values: f64,
    /// Elements that a token sends to its experts in a layer that has some, in the mean; nothing where there are none.
    pub routed: Option<f64>,
}

impl Kinds {
    /// Of a workload; how it is divided does not matter.
    pub fn of(work: &Workload) -> Self {
        let network = &work.network;
        let each = network
            .kinds
            .iter()
            .map(|layer| {
                let experts = layer
                    .parameters_where(|tensor| tensor.role == Role::RoutedExpert)
                    .get() as f64;
                KindWork {
                    work: LayerWork::of(
                        layer,
                        network.hidden_size,
                        work.sequence,
                        work.kernels,
                        work.activation_bytes,
                    ),
                    dense: layer.parameters().get() as f64 - experts,
                    routed: experts,
                    blocks: blocks(layer),
                    experts: f64::from(u8::from(layer.moe().is_some())),
                }
            })
            .collect();
        let ends =
            |tensors: &[Tensor]| -> f64 { tensors.iter().map(|tensor| tensor.elements().get() as f64).sum() };
        let layers = network.depth().max(1) as f64;
        let (mut routed, mut with_experts) = (0.0, 0.0);
        for moe in network.layers().filter_map(Layer::moe) {
            routed += (moe.top_k * moe.model_width) as f64;
            with_experts += 1.0;
        }
        Self {
            each,
            total: network.total_parameters().get().max(1) as f64,
            embedding: network.embedding_parameters().get() as f64,
            ends: [ends(&network.input_tensors), ends(&network.output_tensors)],
            head: head_flops(network),
            keys_and_values: network
                .layers()
                .map(|layer| keys_and_values(&layer.mixer))
                .sum::<f64>()
                / layers,
            routed: (with_experts > 0.0).then(|| routed / with_experts),
        }
    }

    /// The share of the parameters that train.
    pub fn trained(&self, work: &Workload) -> f64 {
        work.trained
            .map_or(1.0, |trained| (trained / self.total).min(1.0))
    }
}
