//! Dense feed-forwards: gated with separate or fused projections, or a plain pair of linear layers.

use super::Layout;
use super::split::Group;
use crate::model::Dense;
use crate::training::tape::{Axis, Var};
use crate::training::{FusedKernels, Projection, names};

impl Layout<'_> {
    pub(super) fn dense(&mut self, dense: &Dense, input: Var) -> Var {
        let input = self.branch(input);
        self.dense_of(Group::Dense, dense, input, &names::INNER)
    }

    /// One kernel that keeps gate and up and writes their gradients over them (Liger ops/swiglu.py), and the down projection.
    fn fused_gate(&mut self, group: Group, gate: Var, up: Var, width: u64) -> Var {
        let edges = [
            self.recorder.new_gradient(gate, &names::GATE),
            self.recorder.new_gradient(up, &names::UP),
        ];
        let node = self.recorder.tape.node(&edges, &[gate.storage, up.storage], &[]);
        self.recorder.tape.write_in_place(node);
        let product = self
            .recorder
            .output(&names::PRODUCT, gate.shape, gate.dtype, node);
        self.last(group, product, width, Projection::Down)
    }

    /// With the inner width named by this axis.
    pub(super) fn dense_of(&mut self, group: Group, dense: &Dense, input: Var, axis: &'static Axis) -> Var {
        let width = dense.width;
        let inner = if !dense.gated {
            let up = self.first(group, input, (axis, width), &names::UP);
            self.recorder.activation(up, &dense.activation, &names::ACTIVATED)
        } else if dense.fused_gate_up {
            let both = self.first(group, input, (&names::INNER_PAIR, 2 * width), &names::GATE_UP);
            let both = self.recorder.split(both, &names::GATE_UP);
            let gate = self.recorder.part(both, axis, width);
            let up = self.recorder.part(both, axis, width);
            let activated = self
                .recorder
                .activation(gate, &dense.activation, &names::ACTIVATED);
            self.recorder.multiply(up, activated, &names::PRODUCT)
        } else {
            let gate = self.first(group, input, (axis, width), &names::GATE);
            if self.setting.kernels == FusedKernels::NormRotaryActivation {
                let up = self.first(group, input, (axis, width), &names::UP);
                return self.fused_gate(group, gate, up, input.shape.width);
            }
            let activated = self
                .recorder
                .activation(gate, &dense.activation, &names::ACTIVATED);
            let up = self.first(group, input, (axis, width), &names::UP);
            self.recorder.multiply(activated, up, &names::PRODUCT)
        };
        self.last(group, inner, input.shape.width, Projection::Down)
    }
}
