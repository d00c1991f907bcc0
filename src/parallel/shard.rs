//! Shards: how many rows or columns one rank holds, and a network cut to what one rank computes.

use super::plan::{Plan, Way};
use crate::model::{Attention, Dense, FeedForward, Latent, Layer, Mixer, Moe, Network, Role, Split, Tensor};

/// What one of so many ranks holds of a length by the rule of `torch.chunk`, which DTensor's `Shard` follows: pieces of
/// ⌈n/ranks⌉, the last ones shorter or empty (torch 2.15, distributed/tensor/placement_types.py, `Shard`).
pub fn chunk(length: u64, ranks: u64, rank: u64) -> u64 {
    let piece = length.div_ceil(ranks.max(1));
    length.saturating_sub(piece.saturating_mul(rank)).min(piece)
}

/// A division of a network among tensor-parallel ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Division {
    /// By which plan.
    pub plan: Plan,
    /// Among how many ranks.
    pub ranks: u64,
    /// Of which rank, from zero.
    pub rank: u64,
}

impl Division {
    /// What this rank holds of a length.
    pub fn part(&self, length: u64) -> u64 {
        chunk(length, self.ranks, self.rank)
    }

    /// Two matrices stored as one and divided each by itself (`packed_colwise`).
    fn packed(&self, length: u64) -> u64 {
        self.part(length / 2).saturating_mul(2)
    }

    /// The network as this rank holds and computes it.
    pub fn local(&self, network: &Network) -> Network {
        let tensors = |tensors: &[Tensor]| tensors.iter().map(|tensor| self.tensor(tensor)).collect();
        Network {
            kinds: network
                .kinds
                .iter()
                .map(|layer| Layer {
                    mixer: self.mixer(&layer.mixer),
                    feed_forward: self.feed_forward(&layer.feed_forward),
                    tensors: tensors(&layer.tensors),
                    ..layer.clone()
                })
                .collect(),
            input_tensors: tensors(&network.input_tensors),
            output_tensors: tensors(&network.output_tensors),
            ..network.clone()
        }
    }

    /// How a tensor is divided. Biases belong to the part that their name says.
    fn way(&self, tensor: &Tensor) -> Way {
        let named = |word: &str| tensor.name.contains(word);
        match tensor.role {
            Role::Embedding => self.plan.embedding,
            Role::Head => self.plan.head,
            Role::Mixer => self.plan.attention,
            Role::FeedForward => self.plan.dense,
            Role::RoutedExpert => self.plan.experts,
            Role::SharedExpert => self.plan.shared,
            Role::Bias if named("shared_expert") => self.plan.shared,
            Role::Bias if named("expert") => self.plan.experts,
            Role::Bias if named("attn") || named("attention") => self.plan.attention,
            Role::Bias if named("lm_head") => self.plan.head,
            Role::Bias => self.plan.dense,
            Role::PositionEmbedding | Role::Router | Role::Norm | Role::Tower => Way::Whole,
        }
    }

    fn tensor(&self, tensor: &Tensor) -> Tensor {
        let mut local = tensor.clone();
        let Split::Axis(axis) = tensor.split else {
            return local;
        };
        if self.way(tensor) == Way::Whole {
            return local;
        }
        let packed = tensor.role == Role::RoutedExpert && tensor.name.contains("gate_up");
        if let Some(length) = local.shape.get_mut(usize::from(axis)) {
            *length = if packed {
                self.packed(*length)
            } else {
                self.part(*length)
            };
        }
        local
    }

    fn mixer(&self, mixer: &Mixer) -> Mixer {
        if self.plan.attention != Way::Divided {
            return mixer.clone();
        }
        match mixer {
            Mixer::Attention(attention) => Mixer::Attention(Attention {
                heads: self.part(attention.heads),
                kv_heads: self.part(attention.kv_heads),
                ..attention.clone()
            }),
            Mixer::Latent(latent) => Mixer::Latent(Latent {
                heads: self.part(latent.heads),
                ..latent.clone()
            }),
            other => other.clone(),
        }
    }

    fn feed_forward(&self, part: &FeedForward) -> FeedForward {
        match part {
            FeedForward::None => FeedForward::None,
            FeedForward::Dense(dense) => FeedForward::Dense(self.dense(dense)),
            FeedForward::Moe(moe) => FeedForward::Moe(self.moe(moe)),
            FeedForward::Several(parts) => {
                FeedForward::Several(parts.iter().map(|part| self.feed_forward(part)).collect())
            }
        }
    }

    fn dense(&self, dense: &Dense) -> Dense {
        let mut local = dense.clone();
        if self.plan.dense == Way::Divided {
            local.width = self.part(dense.width);
        }
        local
    }

    fn moe(&self, moe: &Moe) -> Moe {
        let mut local = moe.clone();
        if self.plan.experts == Way::Divided {
            local.width = self.part(moe.width);
        }
        if let Some(shared) = local.shared.as_mut().filter(|_| self.plan.shared == Way::Divided) {
            shared.width = self.part(shared.width);
        }
        if let Some(dense) = local.dense.as_mut() {
            *dense = self.dense(dense);
        }
        local
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ranks_hold_less() {
        let held = |length, ranks| {
            (0..ranks)
                .map(|rank| chunk(length, ranks, rank))
                .collect::<Vec<_>>()
        };
        assert_eq!(held(8, 4), [2, 2, 2, 2]);
        assert_eq!(held(7, 4), [2, 2, 2, 1]);
        assert_eq!(held(5, 4), [2, 2, 1, 0]);
        assert_eq!(held(50_257, 2), [25_129, 25_128]);
        assert_eq!(chunk(0, 4, 0), 0);
        assert_eq!(chunk(9, 0, 0), 9);
    }
}
