//! Which elements of the weights a pipeline rank holds, by what they belong to. Tensor parallelism divides matrices along the
//! axis that the model names, experts are dealt out, and embedding and head have padded rows.

use super::Megatron;
use crate::model::{Layer, Network, Role, Split, Tensor};
use std::ops::Range;

/// Elements on a rank. Routed experts share their states among fewer ranks than the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Everything but routed experts.
    pub dense: u64,
    /// Routed experts.
    pub experts: u64,
}

/// Elements of a tensor on a rank, but for embedding and head.
fn of_tensor(tensor: &Tensor, settings: &Megatron) -> u64 {
    let ranks = if tensor.role == Role::RoutedExpert {
        settings.expert_tensor
    } else {
        settings.tensor
    };
    let all = tensor.elements().get();
    let divided = match tensor.split {
        Split::Axis(_) => all.div_ceil(ranks.max(1)),
        Split::Replicated => all,
    };
    if tensor.role == Role::RoutedExpert {
        divided.div_ceil(settings.expert.max(1))
    } else {
        divided
    }
}

/// Elements of a layer on a rank.
pub fn of_layer(layer: &Layer, settings: &Megatron) -> Share {
    let mut share = Share::default();
    for tensor in &layer.tensors {
        let elements = of_tensor(tensor, settings);
        let part = if tensor.role == Role::RoutedExpert {
            &mut share.experts
        } else {
            &mut share.dense
        };
        *part = part.saturating_add(elements);
    }
    share
}

/// Elements of some layers of a network.
pub fn of_layers(network: &Network, layers: &Range<u64>, settings: &Megatron) -> Share {
    let each: Vec<Share> = network
        .kinds
        .iter()
        .map(|layer| of_layer(layer, settings))
        .collect();
    let mut share = Share::default();
    for layer in layers.clone() {
        let kind = usize::try_from(layer).ok().and_then(|at| network.order.get(at));
        let one = kind.and_then(|kind| each.get(*kind)).copied().unwrap_or_default();
        share.dense = share.dense.saturating_add(one.dense);
        share.experts = share.experts.saturating_add(one.experts);
    }
    share
}

/// Elements of a matrix over the padded vocabulary.
pub const fn over_vocabulary(network: &Network, settings: &Megatron) -> u64 {
    let rows = settings.padded(network.vocabulary) / if settings.tensor == 0 { 1 } else { settings.tensor };
    rows.saturating_mul(network.hidden_size)
}

/// Elements before the layers but for the embedding: positions and norms.
pub fn beside_embedding(network: &Network, settings: &Megatron) -> u64 {
    sum(network.input_tensors.iter(), settings)
}

/// Elements after the layers but for the head: the final norm.
pub fn beside_head(network: &Network, settings: &Megatron) -> u64 {
    sum(network.output_tensors.iter(), settings)
}

fn sum<'a>(tensors: impl Iterator<Item = &'a Tensor>, settings: &Megatron) -> u64 {
    tensors
        .filter(|tensor| !matches!(tensor.role, Role::Embedding | Role::Head))
        .map(|tensor| of_tensor(tensor, settings))
        .fold(0, u64::saturating_add)
}
