//! Mixers whose cost grows linearly with the sequence: state spaces, gated delta rule, lightning attention, short
//! convolutions, with the fused kernels of their authors, which recompute their interior in backward.
//!
//! What is kept was read in state-spaces/mamba (mamba_ssm/ops/triton/ssd_combined.py) and fla-org/flash-linear-attention
//! (fla/ops/gated_delta_rule/chunk.py); no measured run covers these mixers yet, and answers with them say so.

use super::Layout;
use crate::model::{Mixer, NormKind};
use crate::training::tape::{Storage, Var};
use crate::training::{Projection, names};
use crate::units::DType;

/// Tokens that the chunked kernels treat together (fla/ops/gated_delta_rule/chunk.py: `chunk_size`).
const CHUNK: u64 = 64;

/// Sizes of such a mixer, per token.
struct Sizes {
    /// Elements of the input projections together.
    projected: u64,
    /// Elements that the kernel keeps beside them.
    mixed: u64,
    /// fp32 elements (gates, steps) that it keeps.
    gates: u64,
    /// Elements of the output before the last projection.
    output: u64,
}

impl Layout<'_> {
    pub(super) fn linear_time(&mut self, mixer: &Mixer, input: Var) -> Var {
        let Some(sizes) = sizes(mixer) else {
            return input;
        };
        let projected = self.project(
            input,
            &names::STATE_ROW,
            sizes.projected,
            &names::STATE_PROJECTION,
        );
        let mixed_shape = self.shape(&names::STATE_ROW, sizes.mixed);
        let gates_shape = self.shape(&names::STATE_ROW, sizes.gates);
        let output_shape = self.shape(&names::STATE_ROW, sizes.output);
        let tape = &mut self.recorder.tape;
        let mixed = tape.store(Storage::new(&names::STATE_MIXED, mixed_shape, projected.dtype));
        let gates = tape.store(Storage::new(&names::STATE_MIXED, gates_shape, DType::Fp32));
        let output = tape.store(Storage::new(&names::STATE_OUTPUT, output_shape, projected.dtype));
        let again = Storage::new(&names::STATE_MIXED, mixed_shape, DType::Fp32);
        let edge = self.recorder.new_gradient(projected, &names::STATE_PROJECTION);
        let saved = [projected.storage, Some(mixed), Some(gates), Some(output)];
        let node = self.recorder.tape.node(&[edge], &saved, &[again]);
        let output = Var {
            storage: Some(output),
            node,
            shape: output_shape,
            dtype: projected.dtype,
        };
        let output = match mixer {
            Mixer::Mamba2 { .. } | Mixer::GatedDelta { .. } | Mixer::Lightning { .. } => {
                self.recorder.norm(output, NormKind::Rms, 1)
            }
            _ => output,
        };
        let shape = self.hidden();
        self.recorder
            .linear(output, shape, &names::BLOCK_OUTPUT, Projection::Output)
    }
}

fn sizes(mixer: &Mixer) -> Option<Sizes> {
    Some(match mixer {
        Mixer::Mamba1 {
            inner,
            state,
            step_rank,
            ..
        } => Sizes {
            projected: 2 * inner,
            mixed: 2 * inner + step_rank + 2 * state,
            gates: 0,
            output: *inner,
        },
        Mixer::Mamba2 {
            heads,
            head_dim,
            groups,
            state,
            ..
        } => {
            let inner = heads * head_dim;
            Sizes {
                projected: 2 * inner + 2 * groups * state + heads,
                mixed: inner,
                gates: 2 * heads,
                output: inner,
            }
        }
        Mixer::GatedDelta {
            key_heads,
            value_heads,
            key_dim,
            value_dim,
            ..
        } => {
            let (keys, values) = (key_heads * key_dim, value_heads * value_dim);
            Sizes {
                projected: 2 * keys + 2 * values + 2 * value_heads,
                mixed: 2 * keys + values + CHUNK * value_heads,
                gates: 2 * value_heads,
                output: values,
            }
        }
        Mixer::Lightning { heads, head_dim } => Sizes {
            projected: 4 * heads * head_dim,
            mixed: 0,
            gates: 0,
            output: heads * head_dim,
        },
        Mixer::ShortConvolution { width, .. } => Sizes {
            projected: 3 * width,
            mixed: 2 * width,
            gates: 0,
            output: *width,
        },
        Mixer::None | Mixer::Attention(_) | Mixer::Latent(_) | Mixer::Several(_) => return None,
    })
}
