//! Low-rank adapters beside linear layers, as PEFT computes them (tuners/lora/layer.py): the input in the adapter's type,
//! dropout, two small products, and the sum with the base's output.

use super::{Recorder, names};
use crate::training::job::Adapter;
use crate::training::tape::{Name, Shape, Var};
use crate::units::DType;

/// A weight matrix as a product sees it.
#[derive(Clone, Copy, Debug)]
pub struct Matrix {
    /// Weights.
    pub weights: u64,
    /// Type in which they are stored.
    pub dtype: DType,
    /// Whether they get a gradient.
    pub trained: bool,
    /// Whether they are stored in few bits and expanded for each product.
    pub quantised: bool,
    /// What they are.
    pub name: &'static Name,
}

impl Matrix {
    /// Trained weights of a type.
    pub const fn trained(weights: u64, dtype: DType, name: &'static Name) -> Self {
        Self {
            weights,
            dtype,
            trained: true,
            quantised: false,
            name,
        }
    }
}

impl Recorder {
    /// `base + B(A(dropout(x)))·scale`, back in the base's type.
    pub(super) fn adapted(&mut self, input: Var, base: Var, adapter: Adapter) -> Var {
        let wide = self.cast(input, adapter.dtype, &names::ADAPTER_INPUT);
        let dropped = self.dropout(wide, adapter.dropout);
        let inner = Shape {
            axis: &names::RANK,
            width: adapter.rank,
            rows: input.shape.rows,
        };
        let down = self.small_product(dropped, inner, adapter);
        let up = self.small_product(down, base.shape, adapter);
        let scaled = self.scale(up, None, &names::ADAPTER_OUTPUT);
        let sum = self.add(base, scaled, &names::ADAPTER_OUTPUT);
        self.cast(sum, base.dtype, &names::ADAPTER_OUTPUT)
    }

    fn small_product(&mut self, input: Var, shape: Shape, adapter: Adapter) -> Var {
        let weights = input.shape.width.saturating_mul(shape.width);
        let matrix = Matrix::trained(weights, adapter.dtype, &names::ADAPTER);
        let output = self.multiply_matrix(input, matrix, shape, &names::ADAPTER_OUTPUT);
        if self.tape.count_product() {
            self.tape.keep(output.storage);
        }
        output
    }
}
