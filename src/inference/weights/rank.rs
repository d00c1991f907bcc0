//! The weight tensors of one rank, as the reference class names them: each with its pieces in the format, divided among the
//! ranks of tensor parallelism along its axis, for the layers of one pipeline stage. Engines that fuse or pad matrices make
//! lists of their own from `format`.

use super::quantisation::Quantisation;
use crate::memory::allocator::BLOCK;
use crate::model::{LayerKind, Network, Role, Split, Tensor};
use crate::units::{Bytes, Count, DType};

/// Where a tensor stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Before the layers.
    Input,
    /// In every layer of this kind.
    Layers(LayerKind),
    /// After the layers.
    Output,
    /// In a tower.
    Tower,
}

/// The part of a model that a rank holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Ranks that share each matrix.
    pub tensor: u64,
    /// First layer, and the one after the last.
    pub layers: (u64, u64),
    /// Whether it has what stands before the layers.
    pub input: bool,
    /// Whether it has what stands after them.
    pub output: bool,
    /// Whether the token embedding is divided, too.
    pub vocabulary: bool,
    /// Whether head and embedding are one tensor although the stage has both only in part: a tied head on another stage
    /// than the embedding is a copy.
    pub copied_head: bool,
}

impl Shard {
    /// The whole model.
    pub fn whole(network: &Network) -> Self {
        Self {
            tensor: 1,
            layers: (0, network.depth()),
            input: true,
            output: true,
            vocabulary: false,
            copied_head: false,
        }
    }
}

/// Equal stored tensors of a rank.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// Where.
    pub place: Place,
    /// Name below the layer, as the reference class has it.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// Whether it is in the quantised format.
    pub quantised: bool,
    /// Elements on this rank.
    pub elements: Count,
    /// Bytes of one, scales included, each piece rounded up to a block of the allocator.
    pub bytes: Bytes,
    /// How many.
    pub copies: u64,
}

/// Every weight tensor of a rank.
pub fn weights_on_rank(
    network: &Network,
    format: &Quantisation,
    compute: DType,
    shard: &Shard,
) -> Vec<Stored> {
    let mut found = Vec::new();
    let mut add = |tensors: &[Tensor], place: Place, times: u64| {
        if times > 0 {
            found.extend(
                tensors
                    .iter()
                    .map(|tensor| stored(tensor, place, times, format, compute, shard)),
            );
        }
    };
    if shard.input {
        add(&network.input_tensors, Place::Input, 1);
        for tower in &network.towers {
            add(&tower.tensors, Place::Tower, 1);
        }
    }
    let (first, end) = shard.layers;
    for (kind, layer) in network.kinds.iter().enumerate() {
        let range = network.order.iter().enumerate().filter(|(depth, of)| {
            let depth = *depth as u64;
            **of == kind && depth >= first && depth < end
        });
        add(&layer.tensors, Place::Layers(kind), range.count() as u64);
    }
    if shard.output {
        add(&network.output_tensors, Place::Output, 1);
        if shard.copied_head && network.head.tied && !shard.input {
            let embedding: Vec<Tensor> = network
                .input_tensors
                .iter()
                .filter(|tensor| tensor.role == Role::Embedding)
                .cloned()
                .collect();
            add(&embedding, Place::Output, 1);
        }
    }
    found
}

/// The bytes of all of them.
pub fn total(stored: &[Stored]) -> Bytes {
    stored.iter().map(|one| one.bytes * one.copies).sum()
}

fn stored(
    tensor: &Tensor,
    place: Place,
    times: u64,
    format: &Quantisation,
    compute: DType,
    shard: &Shard,
) -> Stored {
    let shape = shape_on_rank(tensor, shard);
    let quantised = format.covers(tensor);
    let bytes = if quantised {
        quantised_bytes(&shape, format, compute)
    } else {
        compute.bytes_of(Count::of_shape(&shape)).align_up(BLOCK)
    };
    Stored {
        place,
        name: tensor.name.clone(),
        role: tensor.role,
        quantised,
        elements: Count::of_shape(&shape),
        bytes,
        copies: tensor.copies.saturating_mul(times),
    }
}

/// A matrix, or a stack of them: pieces of a stack are one tensor each.
fn quantised_bytes(shape: &[u64], format: &Quantisation, compute: DType) -> Bytes {
    let (stack, rows, columns) = match *shape {
        [rows, columns] => (1, rows, columns),
        [stack, rows, columns] => (stack, rows, columns),
        _ => return compute.bytes_of(Count::of_shape(shape)).align_up(BLOCK),
    };
    format
        .format
        .pieces(rows, columns, compute)
        .iter()
        .map(|piece| (piece.bytes * stack).align_up(BLOCK))
        .sum()
}

/// The shape of a tensor on a rank: the axis of tensor parallelism divided, rounded up.
pub fn shape_on_rank(tensor: &Tensor, shard: &Shard) -> Vec<u64> {
    let mut shape = tensor.shape.clone();
    let embedding = matches!(tensor.role, Role::Embedding | Role::PositionEmbedding);
    if let Split::Axis(axis) = tensor.split
        && shard.tensor > 1
        && (shard.vocabulary || !embedding)
        && let Some(length) = shape.get_mut(usize::from(axis))
    {
        *length = length.div_ceil(shard.tensor);
    }
    shape
}
