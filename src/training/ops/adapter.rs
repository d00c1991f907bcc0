//! Low-rank adapters beside linear layers, as PEFT computes them (tuners/lora/layer.py, bnb.py, gptq.py, dora.py): the input in
//! the adapter's type, dropout, two small products, and the sum with the base's output; and the products with frozen
//! matrices that are not a plain or expanded one (bitsandbytes 0.50 autograd/_functions.py, AutoAWQ modules/linear/gemm.py).

use super::{NO_GRADIENT, Recorder, names, promoted};
use crate::training::job::Adapter;
use crate::training::tape::{Edge, Name, Rows, Shape, Storage, StorageId, Target, Var};
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

/// So many elements that are no rows of tokens.
/// 32 MiB, in bytes.
const WORKSPACE: Shape = Shape {
    axis: &names::WORKSPACE_BYTES,
    width: 33_554_432,
    rows: Rows::One,
};

const fn matrix(elements: u64) -> Shape {
    Shape {
        axis: &names::WEIGHTS,
        width: elements,
        rows: Rows::One,
    }
}

impl Recorder {
    /// `base + B(A(dropout(x)))·scale`, back in the base's type. Beside a quantised base the input is cast only where
    /// autocast does not see to it, and the output is cast before the sum.
    pub(super) fn adapted(&mut self, input: Var, base: Var, adapter: Adapter) -> Var {
        let quantised = adapter.base.is_quantised();
        let own = if quantised && self.types.autocast.is_some() {
            input
        } else {
            self.cast(input, adapter.dtype, &names::ADAPTER_INPUT)
        };
        let dropped = if adapter.fused {
            self.dropped_without_mask(input, own, adapter.dropout)
        } else {
            self.dropout(own, adapter.dropout)
        };
        let added = if adapter.decomposed {
            let operands = [input.storage, own.storage, dropped.storage, base.storage];
            self.decomposed(dropped, base, operands, adapter)
        } else {
            let output = self.low_rank(dropped, base.shape, adapter);
            let operands = [input, own, dropped, base, output];
            let workspace = self.workspace();
            self.tape
                .pass(&operands.map(|operand| operand.storage), workspace.as_slice());
            self.scale(output, None, &names::ADAPTER_OUTPUT)
        };
        let added = if quantised && self.types.autocast.is_none() && !adapter.decomposed {
            self.cast(added, base.dtype, &names::ADAPTER_OUTPUT)
        } else {
            added
        };
        let sum = self.add(base, added, &names::ADAPTER_OUTPUT);
        if quantised && self.types.autocast.is_some() {
            return sum;
        }
        self.cast(sum, base.dtype, &names::ADAPTER_OUTPUT)
    }

    /// Dropout inside an operation that finds the mask again in what it keeps: its input as it came, and the dropped one.
    fn dropped_without_mask(&mut self, input: Var, own: Var, probability: f64) -> Var {
        let edge = self.new_gradient(own, &names::DROPOUT_OUTPUT);
        let node = self.tape.node(&[edge], &[input.storage], &[]);
        if probability <= 0.0 {
            return Var { node, ..own };
        }
        self.output(&names::DROPOUT_OUTPUT, own.shape, own.dtype, node)
    }

    fn low_rank(&mut self, input: Var, shape: Shape, adapter: Adapter) -> Var {
        let inner = Shape {
            axis: &names::RANK,
            width: adapter.rank,
            rows: input.shape.rows,
        };
        let down = self.small_product(input, inner, adapter);
        self.small_product(down, shape, adapter)
    }

    fn small_product(&mut self, input: Var, shape: Shape, adapter: Adapter) -> Var {
        let weights = input.shape.width.saturating_mul(shape.width);
        let matrix = Matrix::trained(weights, adapter.dtype, &names::ADAPTER);
        let output = self.multiply_matrix(input, matrix, shape, &names::ADAPTER_OUTPUT);
        self.tape.keep_product(output.storage);
        output
    }

    /// The workspace of a matrix product, where it is taken anew for each.
    fn workspace(&self) -> Option<Storage> {
        self.passing_workspace
            .then(|| Storage::new(&names::PRODUCT_WORKSPACE, WORKSPACE, DType::Int8))
    }

    /// `(m/‖W + BA‖ − 1)·Wx + m/‖W + BA‖·BAx·scale` (DoRA): the norm of each row is taken as a constant, its length `m`
    /// trains. With dropout `Wx` is computed anew from the dropped input, with a copy of the matrix in the input's type.
    fn decomposed(
        &mut self,
        input: Var,
        base: Var,
        operands: [Option<StorageId>; 4],
        adapter: Adapter,
    ) -> Var {
        let (inputs, elements) = (
            input.shape.width,
            input.shape.width.saturating_mul(base.shape.width),
        );
        let product = self.types.autocast.unwrap_or(input.dtype);
        let quantised = adapter.base.is_quantised();
        let copied = quantised || input.dtype != self.types.weights;
        let one = |elements, dtype| Storage::new(&names::DIRECTIONS, matrix(elements), dtype);
        // The identity of all inputs before autocast's copy of it is let go, and the product of both matrices.
        let squared = inputs.saturating_mul(inputs);
        let mut making = vec![one(squared, adapter.dtype), one(elements, product)];
        if product != adapter.dtype {
            making.push(one(squared, product));
        }
        making.extend(self.workspace());
        self.tape.pass(&operands, &making);
        // An identity of all inputs, the product of both matrices, it scaled, its sum with the matrix, and the copy of that.
        let mut moment = vec![one(squared, product)];
        moment.extend([one(elements, input.dtype); 3]);
        if copied {
            moment.push(Storage::new(
                &names::DECOMPOSED_WEIGHT,
                matrix(elements),
                input.dtype,
            ));
        }
        self.tape.pass(&operands, &moment);
        let lengthened = self.low_rank(input, base.shape, adapter);
        let plain = if adapter.dropout > 0.0 {
            self.product_of_copy(input, elements, base.shape, copied)
        } else {
            base
        };
        let plain = self.by_trained_row(plain, adapter.dtype);
        let lengthened = self.by_trained_row(lengthened, adapter.dtype);
        let lengthened = self.scale(lengthened, None, &names::ADAPTER_OUTPUT);
        self.add(plain, lengthened, &names::ADAPTER_OUTPUT)
    }

    /// A product with a copy of a frozen matrix, which autograd keeps where a gradient flows on.
    fn product_of_copy(&mut self, input: Var, elements: u64, shape: Shape, copied: bool) -> Var {
        let dtype = self.types.autocast.unwrap_or(input.dtype);
        let copied = copied || dtype != input.dtype;
        let input = self.cast(input, dtype, &names::LINEAR_INPUT);
        let copy = (copied && input.node.is_some()).then(|| {
            self.tape
                .store(Storage::new(&names::DECOMPOSED_WEIGHT, matrix(elements), dtype))
        });
        let edge = self.new_gradient(input, &names::LINEAR_INPUT);
        let node = self.tape.node(&[edge], &[copy], &[]);
        self.output(&names::ADAPTER_OUTPUT, shape, dtype, node)
    }

    /// A product with a trained row: keeps the input; the row's gradient exists at full size before it is summed.
    fn by_trained_row(&mut self, input: Var, row: DType) -> Var {
        let dtype = promoted(input.dtype, row);
        let full = Edge {
            target: Target::Summed,
            made: Some(Storage::gradient(&names::ADAPTER_OUTPUT, input.shape, dtype)),
        };
        let edge = self.new_gradient(input, &names::ADAPTER_OUTPUT);
        let node = self.tape.node(&[edge, full], &[input.storage], &[]);
        self.output(&names::ADAPTER_OUTPUT, input.shape, dtype, node)
    }

    /// LLM.int8: the input is kept as an attribute of the node, not as a saved tensor of autograd; backward expands the matrix
    /// in the input's type. The few outlier columns (at most seven features, Dettmers et al. 2022) depend on values.
    pub(super) fn product_in_int8(
        &mut self,
        input: Var,
        weights: u64,
        shape: Shape,
        name: &'static Name,
    ) -> Var {
        let expanded = [Storage::new(
            &names::EXPANDED_WEIGHT,
            matrix(weights),
            input.dtype,
        )];
        let kept = input.storage.filter(|_| input.node.is_some());
        if self.outside {
            self.tape.hold_outside(kept);
        }
        let saved = kept.filter(|_| !self.outside);
        let edge = self.new_gradient(input, &names::LINEAR_INPUT);
        let node = self.tape.node(&[edge], &[saved], &expanded);
        self.output(name, shape, input.dtype, node)
    }

    /// AWQ: the input is saved although the matrix is frozen, and backward repeats the expanded matrix for every sequence.
    pub(super) fn product_in_awq(
        &mut self,
        input: Var,
        weights: u64,
        shape: Shape,
        name: &'static Name,
    ) -> Var {
        let expanded = Storage::new(&names::EXPANDED_WEIGHT, matrix(weights), input.dtype);
        let repeated = Storage::new(
            &names::EXPANDED_WEIGHT,
            matrix(weights.saturating_mul(self.sequences)),
            input.dtype,
        );
        let edge = if input.node.is_some() {
            self.new_gradient(input, &names::LINEAR_INPUT)
        } else {
            NO_GRADIENT
        };
        let node = self.tape.node(&[edge], &[input.storage], &[expanded, repeated]);
        let output = self.output(name, shape, self.types.low, node);
        self.cast(output, input.dtype, name)
    }
}
