//! Dense feed-forwards: gated with separate or fused projections, or a plain pair of linear layers.

use super::Layout;
use crate::model::Dense;
use crate::training::tape::{Axis, Var};
use crate::training::{Projection, names};

impl Layout<'_> {
    pub(super) fn dense(&mut self, dense: &Dense, input: Var) -> Var {
        self.dense_of(dense, input, &names::INNER)
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
