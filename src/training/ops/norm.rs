//! Norms. What they keep follows from how the reference class writes them: as single operations in fp32 (RMSNorm), or as
//! one fused operation (LayerNorm).

use super::{Recorder, names};
use crate::model::NormKind;
use crate::training::FusedKernels;
use crate::training::tape::{Edge, Rows, Shape, Storage, Target, Var};
use crate::units::DType;

impl Recorder {
    /// A norm over rows of `input`, with `groups` separately normalised pieces per row (heads; 1 for the residual stream).
    pub fn norm(&mut self, input: Var, kind: NormKind, groups: u64) -> Var {
        match kind {
            NormKind::Layer => self.layer_norm(input, groups),
            NormKind::Rms | NormKind::RmsPlusOne if self.kernels != FusedKernels::None => {
                self.fused_rms_norm(input, groups)
            }
            NormKind::Rms => self.rms_norm(input, groups),
            NormKind::RmsPlusOne => self.rms_norm_plus_one(input, groups),
        }
    }

    fn small(&mut self, input: Var, groups: u64) -> (Option<u32>, Shape) {
        let shape = Shape {
            axis: &names::ONE,
            width: groups,
            rows: input.shape.rows,
        };
        let storage = self
            .tape
            .store(Storage::new(&names::NORM_SCALE, shape, DType::Fp32));
        (Some(storage), shape)
    }

    /// One kernel that keeps its input and the reciprocal root (Liger ops/rms_norm.py).
    fn fused_rms_norm(&mut self, input: Var, groups: u64) -> Var {
        let (scale, _) = self.small(input, groups);
        let edge = self.new_gradient(input, &names::NORM_OUTPUT);
        let node = self.tape.node(&[edge], &[input.storage, scale], &[]);
        let dtype = super::promoted(input.dtype, self.types.weights);
        self.output(&names::NORM_OUTPUT, input.shape, dtype, node)
    }

    /// `native_layer_norm`: keeps its input, mean and reciprocal deviation; runs in fp32 under autocast.
    fn layer_norm(&mut self, input: Var, groups: u64) -> Var {
        let input = match self.types.autocast {
            Some(_) => self.cast(input, DType::Fp32, &names::NORM_INPUT),
            None => input,
        };
        let (mean, _) = self.small(input, groups);
        let (deviation, _) = self.small(input, groups);
        let edge = self.new_gradient(input, &names::NORM_OUTPUT);
        // Its own weights need the same, although no gradient flows on.
        let alone = input.node.is_none() && self.adapter.is_none() && !self.frozen;
        let own = if alone {
            let shape = Shape {
                axis: &names::WEIGHTS,
                width: input.shape.width / groups.max(1),
                rows: Rows::One,
            };
            Edge {
                target: Target::Summed,
                made: Some(Storage::gradient(&names::NORM_OUTPUT, shape, input.dtype)),
            }
        } else {
            super::NO_GRADIENT
        };
        let node = self
            .tape
            .node(&[edge, own], &[input.storage, mean, deviation], &[]);
        self.output(&names::NORM_OUTPUT, input.shape, input.dtype, node)
    }

    /// `x.float()`, and `x · rsqrt(mean(x²) + ε)`.
    fn normalise(&mut self, input: Var, groups: u64) -> Var {
        let wide = self.cast(input, DType::Fp32, &names::NORM_INPUT);
        self.scaled_to_one(wide, wide, groups)
    }

    /// `y · rsqrt(mean(x²) + ε)`: the square, its mean and the product are nodes of their own.
    fn scaled_to_one(&mut self, squared: Var, wide: Var, groups: u64) -> Var {
        let full = Storage::gradient(&names::NORM_INPUT, wide.shape, DType::Fp32);
        let to_squared = self.new_gradient(squared, &names::NORM_INPUT);
        let to_input = self.new_gradient(wide, &names::NORM_INPUT);
        let square = self.tape.node(&[to_squared], &[squared.storage], &[full]);
        let to = |node: Option<u32>, storage| {
            node.map_or(super::NO_GRADIENT, |node| Edge {
                target: Target::Node(node),
                made: Some(storage),
            })
        };
        let to_square = to(
            square,
            Storage::gradient(&names::NORM_SQUARE, wide.shape, DType::Fp32),
        );
        let mean = self.tape.node(&[to_square], &[], &[]);
        let (scale, small) = self.small(wide, groups);
        let to_mean = to(mean, Storage::gradient(&names::NORM_SCALE, small, DType::Fp32));
        let root = self.tape.node(&[to_mean], &[scale], &[]);
        let to_scale = to(root, Storage::gradient(&names::NORM_SCALE, small, DType::Fp32));
        let node = self
            .tape
            .node(&[to_input, to_scale], &[wide.storage, scale], &[full]);
        self.output(&names::NORM_NORMALISED, wide.shape, DType::Fp32, node)
    }

    /// Multiplication by a vector. A trained one keeps the input, and its gradient exists at full size before it is summed.
    fn weigh(&mut self, input: Var, dtype: DType) -> Var {
        if self.adapter.is_some() || self.frozen {
            let edge = self.new_gradient(input, &names::NORM_NORMALISED);
            let node = self.tape.node(&[edge], &[], &[]);
            return self.output(&names::NORM_OUTPUT, input.shape, dtype, node);
        }
        let full = Edge {
            target: Target::Summed,
            made: Some(Storage::gradient(&names::NORM_NORMALISED, input.shape, dtype)),
        };
        let edge = self.new_gradient(input, &names::NORM_NORMALISED);
        let node = self.tape.node(&[edge, full], &[input.storage], &[]);
        self.output(&names::NORM_OUTPUT, input.shape, dtype, node)
    }

    /// Llama's: normalised in fp32, cast back, multiplied by the weight in the weight's type.
    fn rms_norm(&mut self, input: Var, groups: u64) -> Var {
        let normalised = self.normalise(input, groups);
        let back = self.cast(normalised, input.dtype, &names::NORM_NORMALISED);
        let dtype = super::promoted(input.dtype, self.types.norms);
        self.weigh(back, dtype)
    }

    /// Gemma's: multiplied by (1 + weight) in fp32, cast last.
    fn rms_norm_plus_one(&mut self, input: Var, groups: u64) -> Var {
        let normalised = self.normalise(input, groups);
        let weighed = self.weigh(normalised, DType::Fp32);
        self.cast(weighed, input.dtype, &names::NORM_OUTPUT)
    }

    /// Cohere's: a LayerNorm without bias whose operations are written out, where the mean is subtracted once for the
    /// variance and once for the product.
    pub fn centred_norm(&mut self, input: Var, groups: u64) -> Var {
        let wide = self.cast(input, DType::Fp32, &names::NORM_INPUT);
        let squared = self.offset(wide, DType::Fp32, &names::NORM_INPUT);
        let centred = self.offset(wide, DType::Fp32, &names::NORM_INPUT);
        let normalised = self.scaled_to_one(squared, centred, groups);
        let weighed = self.weigh(normalised, DType::Fp32);
        self.cast(weighed, input.dtype, &names::NORM_OUTPUT)
    }

    /// An RMSNorm without a weight.
    pub fn bare_norm(&mut self, input: Var, groups: u64) -> Var {
        let normalised = self.normalise(input, groups);
        self.cast(normalised, input.dtype, &names::NORM_OUTPUT)
    }
}
