//! The sheet of a vision or audio tower. Its tensors are named, shaped and counted; blocks that repeat are written once
//! with as many copies. Engines replicate towers, so nothing is split.

use crate::model::{Role, Split, Tensor, Tower as Finished, Vision};

/// A tower under construction.
#[derive(Clone, Debug, Default)]
pub struct Tower {
    tensors: Vec<Tensor>,
}

impl Tower {
    /// Any tensor.
    pub fn add(&mut self, name: impl Into<String>, shape: &[u64]) {
        self.tensors
            .push(Tensor::new(name, shape, Role::Tower, Split::Replicated));
    }

    /// A linear layer.
    pub fn linear(&mut self, name: &str, output: u64, input: u64, bias: bool) {
        self.add(format!("{name}.weight"), &[output, input]);
        if bias {
            self.add(format!("{name}.bias"), &[output]);
        }
    }

    /// Weight and bias of a layer norm.
    pub fn layer_norm(&mut self, name: &str, width: u64) {
        self.add(format!("{name}.weight"), &[width]);
        self.add(format!("{name}.bias"), &[width]);
    }

    /// The same tensors so many times.
    pub fn repeat(&mut self, times: u64, block: impl FnOnce(&mut Self)) {
        if times == 0 {
            return;
        }
        let mut part = Self::default();
        block(&mut part);
        self.tensors.extend(part.tensors.into_iter().map(|mut tensor| {
            tensor.copies = tensor.copies.saturating_mul(times);
            tensor
        }));
    }

    /// The finished tower.
    pub fn finish(self, name: &str) -> Finished {
        Finished {
            name: name.to_owned(),
            tensors: self.tensors,
            vision: None,
        }
    }

    /// The finished vision tower, of which is known how it computes.
    pub fn computed(self, vision: Vision) -> Finished {
        Finished {
            vision: Some(vision),
            ..self.finish("vision tower")
        }
    }
}
