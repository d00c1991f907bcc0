//! The operations that blocks are made of, each with what autograd keeps for it and what its backward makes, under the
//! rules of torch's type promotion and autocast. `attention` and `norm` hold the larger ones.
//!
//! Read in PyTorch 2.15: tools/autograd/derivatives.yaml (what is saved), torch/csrc/autograd/FunctionsManual.cpp (what
//! backward makes), aten/src/ATen/autocast_mode.h (which operations run in which type).

mod activation;
mod adapter;
mod attention;
mod distributed;
mod norm;

pub use adapter::Matrix;
pub use attention::{Eager, Heads, Masking};

use super::job::{Adapter, BaseFormat, FusedKernels, Projection};
use super::names;
use super::tape::{Axis, Edge, Name, NodeId, Rows, Shape, Storage, Tape, Target, Var};
use crate::units::DType;

/// Types of the arithmetic.
#[derive(Clone, Copy, Debug)]
pub struct Types {
    /// Type of the weights that operations see.
    pub weights: DType,
    /// Type of matrix products under autocast; `None` without autocast.
    pub autocast: Option<DType>,
    /// Type in which quantised weights are multiplied.
    pub low: DType,
    /// Type of the norms' weights.
    pub norms: DType,
}

/// A tape being recorded.
pub struct Recorder {
    /// The tape.
    pub tape: Tape,
    /// Types.
    pub types: Types,
    /// Tokens per micro-batch.
    pub tokens: u64,
    /// Which kernels replace operations.
    pub kernels: FusedKernels,
    /// Adapters beside frozen weights; `None` where all weights train.
    pub adapter: Option<Adapter>,
    /// Whether 8-bit products hold their inputs beside what autograd saves, so that recomputation cannot free them.
    pub outside: bool,
    /// Sequences of the micro-batch.
    pub sequences: u64,
    /// Whether every matrix product takes a workspace of 32 MiB and gives it back (torch 2.15 on Hopper and later,
    /// aten/src/ATen/cuda/CublasHandlePool.cpp).
    pub passing_workspace: bool,
    /// Ranks among which keys and values go round, and whether they are repeated for all heads before.
    pub ring: (u64, bool),
    /// Whether rows are patches of images, not tokens.
    pub of_patches: bool,
    /// Whether no weight trains.
    pub frozen: bool,
}

/// The edge to an operand that wants no gradient: none is computed.
const NO_GRADIENT: Edge = Edge {
    target: Target::Discarded,
    made: None,
};

/// The wider of two types.
pub fn promoted(one: DType, other: DType) -> DType {
    if one.bits() >= other.bits() { one } else { other }
}

impl Recorder {
    /// A shape with one row per token, or per patch.
    pub const fn rows(&self, axis: &'static Axis, width: u64) -> Shape {
        Shape {
            axis,
            width,
            rows: if self.of_patches {
                Rows::Patches(self.tokens)
            } else {
                Rows::Tokens(self.tokens)
            },
        }
    }

    /// A new tensor made by a node.
    pub fn output(&mut self, name: &'static Name, shape: Shape, dtype: DType, node: Option<NodeId>) -> Var {
        let storage = self.tape.store(Storage::new(name, shape, dtype));
        Var {
            storage: Some(storage),
            node,
            shape,
            dtype,
        }
    }

    /// The edge to an operand that gets a new gradient of its own shape and type.
    pub fn new_gradient(&self, operand: Var, name: &'static Name) -> Edge {
        operand.node.map_or(NO_GRADIENT, |node| Edge {
            target: Target::Node(node),
            made: Some(Storage::gradient(name, operand.shape, operand.dtype)),
        })
    }

    /// The edge to an operand that gets the incoming gradient itself.
    pub fn same_gradient(operand: Var) -> Edge {
        Edge {
            target: operand.node.map_or(Target::Discarded, Target::Node),
            made: None,
        }
    }

    /// A copy in another type; the tensor itself where it has that type.
    pub fn cast(&mut self, input: Var, dtype: DType, name: &'static Name) -> Var {
        if input.dtype == dtype {
            return input;
        }
        let edge = self.new_gradient(input, name);
        let node = self.tape.node(&[edge], &[], &[]);
        self.output(name, input.shape, dtype, node)
    }

    /// The type in which a matrix product of this input runs.
    pub fn product_type(&self, input: DType) -> DType {
        self.types.autocast.unwrap_or(promoted(input, self.types.weights))
    }

    /// A linear layer, with its adapter where it has one. Op-level recomputation keeps the output of every second product.
    pub fn linear(&mut self, input: Var, shape: Shape, name: &'static Name, projection: Projection) -> Var {
        let weights = input.shape.width.saturating_mul(shape.width);
        let base = self.product(input, weights, shape, name);
        self.tape.keep_product(base.storage);
        match self.adapter {
            Some(adapter) if adapter.targets.has(projection) => self.adapted(input, base, adapter),
            _ => base,
        }
    }

    /// A product with base weights, whose number is told: grouped products of experts are not kept by op-level
    /// recomputation.
    pub fn product(&mut self, input: Var, weights: u64, shape: Shape, name: &'static Name) -> Var {
        let matrix = match self.adapter {
            None => Matrix {
                trained: !self.frozen,
                ..Matrix::trained(weights, self.types.weights, &names::WEIGHT)
            },
            Some(adapter) if adapter.modules.head && std::ptr::eq(name, &names::LOGITS) => {
                Matrix::trained(weights, self.types.weights, &names::WEIGHT)
            }
            Some(adapter) if adapter.base.is_quantised() && self.stored_low(name, adapter) => {
                match adapter.base {
                    BaseFormat::Int8 => return self.product_in_int8(input, weights, shape, name),
                    BaseFormat::Awq { .. } => return self.product_in_awq(input, weights, shape, name),
                    _ => {}
                }
                // Computed in 16 bits, and given back in the input's type.
                let matrix = Matrix {
                    trained: false,
                    quantised: true,
                    ..Matrix::trained(weights, self.types.low, &names::WEIGHT)
                };
                let narrow = self.cast(input, self.types.low, &names::LINEAR_INPUT);
                let output = self.multiply_matrix(narrow, matrix, shape, name);
                return self.cast(output, input.dtype, name);
            }
            Some(_) => Matrix {
                trained: false,
                ..Matrix::trained(weights, self.types.weights, &names::WEIGHT)
            },
        };
        self.multiply_matrix(input, matrix, shape, name)
    }

    /// Whether the matrix of a product is stored in few bits: not the head, and experts not always.
    fn stored_low(&self, name: &'static Name, adapter: Adapter) -> bool {
        let makes = |other: &'static Name| std::ptr::eq(name, other);
        let expert = makes(&names::ROUTED_GATE_UP) || makes(&names::ROUTED_OUTPUT);
        !makes(&names::LOGITS) && (adapter.quantised_experts || !expert)
    }

    /// A product with a matrix. It keeps its input where the matrix trains, and the copy of the matrix that autocast made
    /// where a gradient flows on. Quantised weights are expanded for the product, forwards and backwards.
    pub(super) fn multiply_matrix(
        &mut self,
        input: Var,
        matrix: Matrix,
        shape: Shape,
        name: &'static Name,
    ) -> Var {
        let dtype = self.types.autocast.unwrap_or(promoted(input.dtype, matrix.dtype));
        let input = self.cast(input, dtype, &names::LINEAR_INPUT);
        let all = Shape {
            axis: &names::WEIGHTS,
            width: matrix.weights,
            rows: Rows::One,
        };
        let gradient = |dtype| Storage::gradient(matrix.name, all, dtype);
        let (copy, weight) = if dtype == matrix.dtype || matrix.quantised {
            let made = Edge {
                target: Target::Weight,
                made: Some(gradient(dtype)),
            };
            (None, if matrix.trained { made } else { NO_GRADIENT })
        } else {
            let leaf = Edge {
                target: Target::Weight,
                made: Some(gradient(matrix.dtype)),
            };
            let leaf = if matrix.trained { leaf } else { NO_GRADIENT };
            let node = self.tape.node(&[leaf], &[], &[]);
            let copy = self.tape.store(Storage::new(&names::WEIGHT_CAST, all, dtype));
            let made = node.map_or(NO_GRADIENT, |node| Edge {
                target: Target::Node(node),
                made: Some(gradient(dtype)),
            });
            (Some(copy), made)
        };
        let edge = self.new_gradient(input, &names::LINEAR_INPUT);
        let kept_input = input.storage.filter(|_| matrix.trained);
        let kept_copy = copy.filter(|_| input.node.is_some());
        let expanded = [Storage::new(&names::EXPANDED_WEIGHT, all, dtype)];
        let temporaries: &[Storage] = if matrix.quantised { &expanded } else { &[] };
        let node = self
            .tape
            .node(&[edge, weight], &[kept_input, kept_copy], temporaries);
        self.output(name, shape, dtype, node)
    }

    /// An element-wise product of two tensors; each is kept where the other wants a gradient.
    pub fn multiply(&mut self, one: Var, other: Var, name: &'static Name) -> Var {
        let dtype = promoted(one.dtype, other.dtype);
        let edges = [self.new_gradient(one, name), self.new_gradient(other, name)];
        let kept = [
            one.storage.filter(|_| other.node.is_some()),
            other.storage.filter(|_| one.node.is_some()),
        ];
        let node = self.tape.node(&edges, &kept, &[]);
        self.output(name, one.shape, dtype, node)
    }

    /// An element-wise product with something that needs no gradient: a number, or a table in `table`'s type.
    pub fn scale(&mut self, input: Var, table: Option<DType>, name: &'static Name) -> Var {
        let dtype = table.map_or(input.dtype, |table| promoted(table, input.dtype));
        let edge = self.new_gradient(input, name);
        let node = if dtype == input.dtype {
            self.tape.node(&[edge], &[], &[])
        } else {
            let wide = Storage::gradient(name, input.shape, dtype);
            self.tape.node(&[edge], &[], &[wide])
        };
        self.output(name, input.shape, dtype, node)
    }

    /// A residual addition: keeps nothing; its gradient is handed on as it is where the type agrees.
    pub fn add(&mut self, one: Var, other: Var, name: &'static Name) -> Var {
        let dtype = promoted(one.dtype, other.dtype);
        let edge = |operand: Var| {
            if operand.dtype == dtype {
                Self::same_gradient(operand)
            } else {
                self.new_gradient(operand, name)
            }
        };
        let edges = [edge(one), edge(other)];
        let node = self.tape.node(&edges, &[], &[]);
        self.output(name, one.shape, dtype, node)
    }

    /// Addition of something without a gradient in this type (an attention mask).
    pub fn offset(&mut self, input: Var, other: DType, name: &'static Name) -> Var {
        let dtype = promoted(input.dtype, other);
        let edge = if dtype == input.dtype {
            Self::same_gradient(input)
        } else {
            self.new_gradient(input, name)
        };
        let node = self.tape.node(&[edge], &[], &[]);
        self.output(name, input.shape, dtype, node)
    }

    /// Dropout: keeps a mask of one byte per element.
    pub fn dropout(&mut self, input: Var, probability: f64) -> Var {
        if probability <= 0.0 {
            return input;
        }
        let mask = self
            .tape
            .store(Storage::new(&names::DROPOUT_MASK, input.shape, DType::Int8));
        let edge = self.new_gradient(input, &names::DROPOUT_OUTPUT);
        let node = self.tape.node(&[edge], &[Some(mask)], &[]);
        self.output(&names::DROPOUT_OUTPUT, input.shape, input.dtype, node)
    }

    /// A part of each row as a view whose gradient is a tensor of zeros of the whole with the part filled in.
    pub fn slice(&mut self, input: Var, axis: &'static Axis, width: u64, name: &'static Name) -> Var {
        let edge = self.new_gradient(input, name);
        let node = self.tape.node(&[edge], &[], &[]);
        Var {
            node,
            shape: Shape {
                axis,
                width,
                ..input.shape
            },
            ..input
        }
    }

    /// The node behind several views of a tensor whose gradients are concatenated when all have come (`split`, `chunk`).
    pub fn split(&mut self, input: Var, name: &'static Name) -> Var {
        let edge = self.new_gradient(input, name);
        let node = self.tape.node(&[edge], &[], &[]);
        self.tape.collect(node);
        Var { node, ..input }
    }

    /// One of the views behind [`Self::split`].
    pub fn part(&self, whole: Var, axis: &'static Axis, width: u64) -> Var {
        Var {
            shape: Shape {
                axis,
                width,
                ..whole.shape
            },
            ..whole
        }
    }

    /// A concatenation along the rows: keeps nothing; gradients are views.
    pub fn concatenate(&mut self, parts: &[Var], shape: Shape, name: &'static Name) -> Var {
        let dtype = parts
            .iter()
            .map(|part| part.dtype)
            .reduce(promoted)
            .unwrap_or(self.types.weights);
        let edges: Vec<Edge> = parts.iter().map(|part| Self::same_gradient(*part)).collect();
        let node = self.tape.node(&edges, &[], &[]);
        self.output(name, shape, dtype, node)
    }
}
