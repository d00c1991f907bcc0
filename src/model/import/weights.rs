//! A list of weight tensors under construction: one call per module of the reference class. Knows shapes and splits, no
//! configuration.

use crate::model::{Role, Split, Tensor};

/// How tensor parallelism cuts a linear layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// By output columns: the weight and the bias along the output.
    Column,
    /// By input rows: the weight along the input, the bias whole.
    Row,
    /// Not at all.
    Whole,
}

impl Cut {
    const fn splits(self) -> (Split, Split) {
        match self {
            Self::Column => (Split::Axis(0), Split::Axis(0)),
            Self::Row => (Split::Axis(1), Split::Replicated),
            Self::Whole => (Split::Replicated, Split::Replicated),
        }
    }
}

/// The tensors so far.
#[derive(Clone, Debug, Default)]
pub struct Weights(Vec<Tensor>);

impl Weights {
    /// No tensors.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The finished list.
    pub fn into_tensors(self) -> Vec<Tensor> {
        self.0
    }

    /// Any tensor.
    pub fn push(&mut self, tensor: Tensor) {
        self.0.push(tensor);
    }

    /// A tensor of this name, shape, role and split.
    pub fn tensor(&mut self, name: impl Into<String>, shape: &[u64], role: Role, split: Split) {
        self.0.push(Tensor::new(name, shape, role, split));
    }

    /// A linear layer: `name.weight` (out, in) and, where there is one, `name.bias`.
    pub fn linear(&mut self, name: &str, (out, input): (u64, u64), bias: bool, role: Role, cut: Cut) {
        let (weight, small) = cut.splits();
        self.tensor(format!("{name}.weight"), &[out, input], role, weight);
        if bias {
            self.tensor(format!("{name}.bias"), &[out], Role::Bias, small);
        }
    }

    /// A linear layer that stores its weight as (in, out), as GPT-2 does.
    pub fn conv1d(&mut self, name: &str, (out, input): (u64, u64), role: Role, cut: Cut) {
        let (weight, small) = cut.splits();
        let weight = match weight {
            Split::Axis(axis) => Split::Axis(1 - axis.min(1)),
            Split::Replicated => Split::Replicated,
        };
        self.tensor(format!("{name}.weight"), &[input, out], role, weight);
        self.tensor(format!("{name}.bias"), &[out], Role::Bias, small);
    }

    /// A norm with a weight and, where it has one, a bias.
    pub fn norm(&mut self, name: &str, width: u64, bias: bool) {
        self.vector(&format!("{name}.weight"), width);
        if bias {
            self.vector(&format!("{name}.bias"), width);
        }
    }

    /// A replicated vector: a norm's weight, a scale.
    pub fn vector(&mut self, name: &str, width: u64) {
        self.tensor(name, &[width], Role::Norm, Split::Replicated);
    }

    /// The tensors of several equal modules as one entry.
    pub fn copies(&mut self, copies: u64, build: impl FnOnce(&mut Self)) {
        let mut part = Self::new();
        build(&mut part);
        for mut tensor in part.0 {
            tensor.copies = tensor.copies.saturating_mul(copies);
            self.0.push(tensor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_follow_the_cut() {
        let mut weights = Weights::new();
        weights.linear("a", (8, 4), true, Role::Mixer, Cut::Column);
        weights.linear("b", (4, 8), true, Role::Mixer, Cut::Row);
        weights.conv1d("c", (4, 8), Role::Mixer, Cut::Row);
        let splits: Vec<_> = weights
            .into_tensors()
            .into_iter()
            .map(|t| (t.shape, t.split))
            .collect();
        assert_eq!(
            splits,
            [
                (vec![8, 4], Split::Axis(0)),
                (vec![8], Split::Axis(0)),
                (vec![4, 8], Split::Axis(1)),
                (vec![4], Split::Replicated),
                (vec![8, 4], Split::Axis(0)),
                (vec![4], Split::Replicated),
            ]
        );
    }
}
