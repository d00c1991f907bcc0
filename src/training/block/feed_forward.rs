//! Dense feed-forwards: gated with separate or fused projections, or a plain pair of linear layers.

use super::Layout;
use crate::model::Dense;
use crate::training::tape::{Axis, Var};
use crate::training::{FusedKernels, Projection, names};

impl Layout<'_> {
    pub(super) fn dense(&mut self, dense: &Dense, input: Var) -> Var {
        self.dense_of(dense, input, &names::INNER)
    }

    /// One kernel that keeps gate and up and writes their gradients over them (Liger ops/swiglu.py), and the down projection.
    fn fused_gate(&mut self, gate: Var, up: Var) -> Var {
        let edges = [
            self.recorder.new_gradient(gate, &names::GATE),
            self.recorder.new_gradient(up, &names::UP),
        ];
        let node = self.recorder.tape.node(&edges, &[gate.storage, up.storage], &[]);
        self.recorder.tape.write_in_place(node);
        let product = self
            .recorder
            .output(&names::PRODUCT, gate.shape, gate.dtype, node);
        let shape = self.hidden();
        self.recorder
            .linear(product, shape, &names::BLOCK_OUTPUT, Projection::Down)
    }

    /// With the inner width named by this axis.
    pub(super) fn dense_of(&mut self, dense: &Dense, input: Var, axis: &'static Axis) -> Var {
        let width = dense.width;
        let inner = if !dense.gated {
            let up = self.project(input, axis, width, &names::UP);
            self.recorder.activation(up, &dense.activation, &names::ACTIVATED)
        } else if dense.fused_gate_up {
            let both = self.project(input, &names::INNER_PAIR, 2 * width, &names::GATE_UP);
            let both = self.recorder.split(both, &names::GATE_UP);
            let gate = self.recorder.part(both, axis, width);
            let up = self.recorder.part(both, axis, width);
            let activated = self
                .recorder
                .activation(gate, &dense.activation, &names::ACTIVATED);
            self.recorder.multiply(up, activated, &names::PRODUCT)
        } else {
            let gate = self.project(input, axis, width, &names::GATE);
            if self.setting.kernels == FusedKernels::NormRotaryActivation {
                let up = self.project(input, axis, width, &names::UP);
                return self.fused_gate(gate, up);
            }
            let activated = self
                .recorder
                .activation(gate, &dense.activation, &names::ACTIVATED);
            let up = self.project(input, axis, width, &names::UP);
            self.recorder.multiply(activated, up, &names::PRODUCT)
        };
        let shape = self.recorder.rows(&names::WIDTH, input.shape.width);
        self.recorder
            .linear(inner, shape, &names::BLOCK_OUTPUT, Projection::Down)
    }
}
