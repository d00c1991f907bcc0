//! What tensor parallelism puts between operations: collectives on activations, forwards and backwards, each with the
//! tensors it makes.
//!
//! Read in PyTorch 2.15: distributed/tensor/placement_types.py (`Shard`, `_Partial`), distributed/tensor/_api.py
//! (`from_local`, `to_local`), distributed/_functional_collectives.py (every collective makes its output;
//! `_chunk_or_narrow_cat` copies where pieces are not contiguous), and in transformers 5.23,
//! distributed/tensor_parallel.py.

use super::{Recorder, names};
use crate::training::tape::{Edge, Name, Rows, Shape, Storage, Target, Var};

impl Recorder {
    fn to(input: Var, storage: Storage) -> Edge {
        Edge {
            target: input.node.map_or(Target::Discarded, Target::Node),
            made: input.node.map(|_| storage),
        }
    }

    /// A whole tensor enters a matrix that is divided by columns: each rank computes a part of its gradient, and the sum
    /// over the ranks is a tensor of its own.
    pub fn entering(&mut self, input: Var, name: &'static Name) -> Var {
        let edge = self.new_gradient(input, name);
        let node = self.tape.node(&[edge], &[], &[]);
        Var { node, ..input }
    }

    /// The sum over the ranks of what a matrix divided by rows makes: a new tensor, whose gradient is handed on.
    pub fn summed(&mut self, input: Var, name: &'static Name) -> Var {
        let node = self.tape.node(&[Self::same_gradient(input)], &[], &[]);
        self.output(name, input.shape, input.dtype, node)
    }

    /// Columns gathered from all ranks; of the gradient each rank copies its own out.
    pub fn gathered_columns(&mut self, input: Var, shape: Shape, name: &'static Name) -> Var {
        let edge = self.new_gradient(input, name);
        let node = self.tape.node(&[edge], &[], &[]);
        self.output(name, shape, input.dtype, node)
    }

    /// This rank's columns copied out of a whole tensor. The gradient is gathered, and concatenated from the pieces.
    pub fn own_columns(&mut self, input: Var, width: u64, name: &'static Name) -> Var {
        let shape = Shape { width, ..input.shape };
        let whole = Storage::gradient(name, input.shape, input.dtype);
        let edge = self.new_gradient(input, name);
        let node = self.tape.node(&[edge], &[], &[whole]);
        self.output(name, shape, input.dtype, node)
    }

    /// All tokens gathered from the ranks that hold a part of them. Its gradient is copied into one piece per rank, and
    /// summed where each rank keeps its own. The gathered tensor is a DTensor.
    pub fn gathered_rows(&mut self, input: Var) -> Var {
        let shape = Shape {
            rows: Rows::Tokens(self.tokens),
            ..input.shape
        };
        let before = self.tape.distribute(true);
        let pieces = Storage::gradient(&names::GATHERED, shape, input.dtype);
        let own = Storage::gradient(&names::NORM_OUTPUT, input.shape, input.dtype);
        let node = self.tape.node(&[Self::to(input, own)], &[], &[pieces]);
        let output = self.output(&names::GATHERED, shape, input.dtype, node);
        self.tape.distribute(before);
        output
    }

    /// The sum over the ranks of what a matrix divided by rows makes, of which each rank keeps its tokens. The gradient
    /// is gathered; with several sequences its pieces are concatenated.
    pub fn scattered_rows(&mut self, input: Var, rows: u64, several: bool, name: &'static Name) -> Var {
        let shape = Shape {
            rows: Rows::Tokens(rows),
            ..input.shape
        };
        let whole = Storage::gradient(&names::GATHERED, input.shape, input.dtype);
        let pieces = [whole];
        let temporaries: &[Storage] = if several { &pieces } else { &[] };
        let node = self.tape.node(&[Self::to(input, whole)], &[], temporaries);
        self.output(name, shape, input.dtype, node)
    }
}
