//! Which elements of the weights a pipeline rank holds, by what they belong to. Tensor parallelism divides matrices along the
//! axis that the model names, experts are dealt out, and embedding and head have padded rows.

use super::Megatron;
use crate::model::{Layer, Network, Role, Split, Tensor};
use crate::training::parts::projection;
use crate::training::{Adapter, Projection};
use std::ops::Range;

/// Elements on a rank. Routed experts share their states among fewer ranks than the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Matrices of linear layers, but for routed experts.
    pub linear: u64,
    /// Routers, which are matrices that no recipe narrows.
    pub routers: u64,
    /// Routed experts.
    pub experts: u64,
    /// Everything else: embedding and head, positions, norms, biases.
    pub rest: u64,
}

impl Share {
    /// Everything.
    pub const fn all(&self) -> u64 {
        self.dense().saturating_add(self.experts)
    }

    /// Everything but routed experts.
    pub const fn dense(&self) -> u64 {
        self.linear.saturating_add(self.routers).saturating_add(self.rest)
    }

    /// Tensors that no linear layer multiplies with.
    pub const fn other(rest: u64) -> Self {
        Self {
            linear: 0,
            routers: 0,
            experts: 0,
            rest,
        }
    }

    /// Both together.
    pub const fn and(self, other: Self) -> Self {
        Self {
            linear: self.linear.saturating_add(other.linear),
            routers: self.routers.saturating_add(other.routers),
            experts: self.experts.saturating_add(other.experts),
            rest: self.rest.saturating_add(other.rest),
        }
    }
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
        let part = match tensor.role {
            Role::RoutedExpert => &mut share.experts,
            Role::Router => &mut share.routers,
            _ if tensor.is_linear_weight() => &mut share.linear,
            _ => &mut share.rest,
        };
        *part = part.saturating_add(elements);
    }
    share
}

/// Elements of a layer that predicts a further token: two norms and the final one, the projection of hidden state and embedding
/// side by side, and a layer like the last (NVIDIA/Megatron-LM core/transformer/multi_token_prediction.py).
pub fn of_further(network: &Network, settings: &Megatron) -> Share {
    let Some(layer) = network.layers().next_back() else {
        return Share::default();
    };
    let hidden = network.hidden_size;
    let norms = beside_head(network, settings).saturating_mul(3);
    Share {
        linear: hidden
            .saturating_mul(hidden)
            .saturating_mul(2)
            .div_ceil(settings.tensor.max(1)),
        ..Share::other(norms)
    }
    .and(of_layer(layer, settings))
}

/// Elements of every tensor of some layers, one by one, with whether each is a routed expert's: Muon deals them out whole.
pub fn tensors(network: &Network, layers: &Range<u64>, settings: &Megatron) -> Vec<(u64, Kind)> {
    let mut found = Vec::new();
    for layer in layers.clone() {
        let kind = usize::try_from(layer).ok().and_then(|at| network.order.get(at));
        let Some(layer) = kind.and_then(|kind| network.kinds.get(*kind)) else {
            continue;
        };
        for tensor in &layer.tensors {
            let kind = match tensor.role {
                Role::RoutedExpert => Kind::Expert,
                _ if tensor.is_linear_weight() => Kind::Matrix,
                _ => Kind::Vector,
            };
            found.push((of_tensor(tensor, settings), kind));
        }
    }
    found
}

/// What Muon makes of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A matrix of a linear layer or a router: one momentum.
    Matrix,
    /// The same of routed experts.
    Expert,
    /// Everything else: two moments of Adam.
    Vector,
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
        share = share.and(one);
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

/// A linear layer that an adapter targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adapted {
    inputs: u64,
    outputs: u64,
    copies: u64,
    split: Split,
    expert: bool,
    /// Whether the adapter has a first matrix of its own here: Megatron has one projection for queries, keys and values, and one
    /// for gate and up.
    pub own_input: bool,
}

/// How an adapter lies beside a tensor; `None` where it does not.
pub fn adapted(tensor: &Tensor, adapter: Adapter) -> Option<Adapted> {
    let expert = tensor.role == Role::RoutedExpert;
    let linear = expert || matches!(tensor.role, Role::Mixer | Role::FeedForward | Role::SharedExpert);
    let place = projection(&tensor.name);
    let wanted = linear && tensor.is_linear_weight() && adapter.targets.has(place);
    let mut sizes = tensor.shape.iter().rev();
    let (inputs, outputs) = (*sizes.next()?, *sizes.next()?);
    let stacked = sizes.fold(1, |product: u64, size| product.saturating_mul(*size));
    let split = match tensor.split {
        // Axes before the last two count experts.
        Split::Axis(axis) => {
            Split::Axis(axis.saturating_sub(u8::try_from(tensor.shape.len()).ok()?.saturating_sub(2)))
        }
        Split::Replicated => Split::Replicated,
    };
    let latent = tensor.name.contains("_a_") || tensor.name.contains("_b_");
    wanted.then_some(Adapted {
        inputs,
        outputs,
        copies: tensor.copies.saturating_mul(stacked),
        split,
        expert,
        own_input: latent || !matches!(place, Projection::Key | Projection::Value | Projection::Gate),
    })
}

impl Adapted {
    const fn ranks(&self, settings: &Megatron) -> u64 {
        let ranks = if self.expert {
            settings.expert_tensor
        } else {
            settings.tensor
        };
        if ranks == 0 { 1 } else { ranks }
    }

    /// Inputs on a rank.
    pub const fn inputs(&self, settings: Megatron) -> u64 {
        match self.split {
            Split::Axis(1) => self.inputs.div_ceil(self.ranks(&settings)),
            _ => self.inputs,
        }
    }

    /// Elements of both matrices on a rank: the one at the divided side is divided with it.
    const fn elements(&self, rank: u64, settings: &Megatron) -> u64 {
        let outputs = match self.split {
            Split::Axis(0) => self.outputs.div_ceil(self.ranks(settings)),
            _ => self.outputs,
        };
        let first = if self.own_input { self.inputs(*settings) } else { 0 };
        let copies = if self.expert {
            self.copies
                .div_ceil(if settings.expert == 0 { 1 } else { settings.expert })
        } else {
            self.copies
        };
        rank.saturating_mul(first.saturating_add(outputs))
            .saturating_mul(copies)
    }
}

/// Elements of the adapters beside some layers.
pub fn of_adapters(network: &Network, layers: &Range<u64>, settings: &Megatron, adapter: Adapter) -> Share {
    let of = |layer: &Layer| {
        let mut share = Share::default();
        for tensor in &layer.tensors {
            if let Some(shape) = adapted(tensor, adapter) {
                let part = if shape.expert {
                    &mut share.experts
                } else {
                    &mut share.linear
                };
                *part = part.saturating_add(shape.elements(adapter.rank, settings));
            }
        }
        share
    };
    let each: Vec<Share> = network.kinds.iter().map(of).collect();
    let at = |layer: u64| {
        let kind = usize::try_from(layer).ok().and_then(|at| network.order.get(at))?;
        each.get(*kind).copied()
    };
    layers.clone().filter_map(at).fold(Share::default(), Share::and)
}
