//! Weights, gradients and optimizer states as tensors: how many bytes they take on one rank, whole or sharded along their
//! first axis. Sums over exact tensor lists; when they are alive is decided by the engines.

use super::sheet::Item;
use super::{Optimizer, OptimizerImplementation};
use crate::cite::{Citation, Evidence};
use crate::memory::allocator::{self, BLOCK};
use crate::memory::{Group, Symbol};
use crate::model::{Role, Tensor};
use crate::units::{Bytes, DType};

/// bitsandbytes keeps the states of smaller tensors in fp32 (optim/optimizer.py, `min_8bit_size`).
const MIN_8BIT: u64 = 4096;
/// bitsandbytes pages the states of tensors with this many elements and more (optim/optimizer.py, `get_state_buffer`).
const MIN_PAGED: u64 = 100_000;
/// Elements that share one fp32 scale in bitsandbytes' block-wise quantisation.
const BLOCK_8BIT: u64 = 256;

const SHARD: Citation = Citation::new(
    Evidence::Source,
    "torch 2.15 distributed/fsdp/_fully_shard/_fsdp_param.py: chunks along axis 0, padded to equal sizes",
);
const WHOLE: Citation = Citation::new(
    Evidence::Source,
    "the model's weight tensors, each rounded up to 512 B",
);
const OPTIMIZER: Citation = Citation::new(
    Evidence::Source,
    "torch 2.15 optim/adam.py and sgd.py; bitsandbytes optim/optimizer.py (blocks of 256, fp32 under 4,096 elements)",
);

/// Elements of a tensor that the first rank of `ranks` holds: whole slices along the first axis, the last ones padded.
/// Experts are stored together, so their first axis counts experts.
pub fn local_elements(tensor: &Tensor, ranks: u64) -> u64 {
    let all = tensor.elements().get();
    let first = if tensor.role == Role::RoutedExpert && tensor.copies > 1 {
        tensor.copies
    } else {
        tensor
            .shape
            .first()
            .copied()
            .unwrap_or(1)
            .saturating_mul(tensor.copies)
    };
    if ranks <= 1 || first == 0 {
        return all;
    }
    (all / first).saturating_mul(first.div_ceil(ranks))
}

/// Tensors of one piece of the network: a layer, the embedding, the head.
#[derive(Clone, Debug, Default)]
pub struct Piece {
    /// Elements of each tensor on this rank.
    local: Vec<u64>,
    /// Elements of each tensor when gathered: the local ones of every rank.
    gathered: Vec<u64>,
    /// Elements of all tensors, unpadded.
    pub elements: u64,
    /// Rows and columns of those that are matrices.
    factors: Vec<Option<(u64, u64)>>,
    /// Whether they are shards cut out of whole tensors.
    cut: bool,
}

impl Piece {
    /// Of these tensors on `ranks` ranks.
    pub fn new<'a>(tensors: impl IntoIterator<Item = &'a Tensor>, ranks: u64) -> Self {
        let mut piece = Self {
            cut: ranks > 1,
            ..Self::default()
        };
        for tensor in tensors {
            let local = local_elements(tensor, ranks);
            piece.local.push(local);
            piece.gathered.push(local.saturating_mul(ranks));
            piece.factors.push(factors(tensor, ranks));
            piece.elements = piece.elements.saturating_add(tensor.elements().get());
        }
        piece
    }

    /// Of these tensors as one flat parameter, padded to a multiple of the ranks (torch FSDP1, _flat_param.py).
    pub fn flat<'a>(tensors: impl IntoIterator<Item = &'a Tensor>, ranks: u64) -> Self {
        let elements: u64 = tensors.into_iter().map(|tensor| tensor.elements().get()).sum();
        let local = elements.div_ceil(ranks.max(1));
        Self {
            local: vec![local],
            gathered: vec![local.saturating_mul(ranks.max(1))],
            factors: vec![None],
            elements,
            cut: ranks > 1,
        }
    }

    /// Elements of each tensor on this rank.
    pub fn local_sizes(&self) -> &[u64] {
        &self.local
    }

    /// The same, divided among tensor-parallel ranks before. What a whole tensor leaves behind has room for the gradient
    /// and the two moments of a shard where there are four ranks or more; with fewer, these get segments of their own.
    #[must_use]
    pub const fn cut_before(mut self, ranks: u64) -> Self {
        self.cut = self.cut || ranks >= 4;
        self
    }

    /// Tensors.
    pub fn tensors(&self) -> u64 {
        self.local.len() as u64
    }

    /// Bytes of this rank's part in a type.
    pub fn local(&self, dtype: DType) -> Bytes {
        self.local
            .iter()
            .map(|elements| self.block(*elements, dtype))
            .sum()
    }

    /// Bytes of the whole in a type, as gathered from all ranks.
    pub fn whole(&self, dtype: DType) -> Bytes {
        self.gathered
            .iter()
            .map(|elements| self.block(*elements, dtype))
            .sum()
    }

    /// Bytes of each tensor in a type: this rank's part, or the whole.
    fn by_tensor(&self, sharded: bool, dtype: DType) -> Vec<Bytes> {
        let elements = if sharded { &self.local } else { &self.gathered };
        elements
            .iter()
            .map(|elements| self.block(*elements, dtype))
            .collect()
    }

    /// Bytes of the optimizer's states on this rank.
    #[cfg(test)]
    pub fn states(
        &self,
        optimizer: Optimizer,
        implementation: OptimizerImplementation,
        dtype: DType,
    ) -> Bytes {
        let each = self.states_by_tensor(optimizer, implementation, dtype);
        each.into_iter().sum()
    }

    /// Bytes of the optimizer's states on this rank, by tensor.
    fn states_by_tensor(
        &self,
        optimizer: Optimizer,
        implementation: OptimizerImplementation,
        dtype: DType,
    ) -> Vec<Bytes> {
        let one = |(place, elements): (usize, u64)| match optimizer {
            Optimizer::AdamW => {
                let state = self.block(elements, dtype);
                let step = match implementation {
                    OptimizerImplementation::Fused => Bytes::new(BLOCK),
                    OptimizerImplementation::Foreach | OptimizerImplementation::Loop => Bytes::ZERO,
                };
                state * 2 + step
            }
            Optimizer::BitsAndBytes {
                states,
                eight_bit,
                paged,
            } => self.quantised_state(elements, eight_bit, paged) * states,
            Optimizer::Sgd { momentum: true } => self.block(elements, dtype),
            Optimizer::Sgd { momentum: false } => Bytes::ZERO,
            Optimizer::Adafactor => match self.factors.get(place).copied().flatten() {
                Some((rows, columns)) => self.block(rows, dtype) + self.block(columns, dtype),
                None => self.block(elements, dtype),
            },
        };
        self.local.iter().copied().enumerate().map(one).collect()
    }

    /// One state of bitsandbytes: fp32 for small tensors, else a byte per element and a scale per block; paged states of
    /// large tensors are not in the allocator, their scales are.
    fn quantised_state(&self, elements: u64, eight_bit: bool, paged: bool) -> Bytes {
        let elsewhere = paged && elements >= MIN_PAGED;
        if !eight_bit || elements < MIN_8BIT {
            return if elsewhere {
                Bytes::ZERO
            } else {
                self.block(elements, DType::Fp32)
            };
        }
        let scales = self.block(elements.div_ceil(BLOCK_8BIT), DType::Fp32);
        if elsewhere {
            scales
        } else {
            self.block(elements, DType::Int8) + scales
        }
    }

    /// The largest tensor of this rank in a type.
    pub fn largest(&self, dtype: DType) -> Bytes {
        self.block(self.local.iter().copied().max().unwrap_or(0), dtype)
    }

    /// The block of one tensor. Shards are cut from what the whole tensors leave behind, so nothing of a segment stays with
    /// them; whole tensors get segments of their own.
    fn block(&self, elements: u64, dtype: DType) -> Bytes {
        let bytes = Bytes::new(elements.saturating_mul(dtype.bits()).div_ceil(8));
        if self.cut {
            bytes.align_up(BLOCK)
        } else {
            allocator::block(bytes)
        }
    }

    fn symbols(&self, dtype: DType, ranks: u64) -> Vec<Symbol> {
        let mut symbols = vec![
            Symbol {
                name: "β",
                meaning: "bytes per element",
                value: dtype.bits() / 8,
            },
            Symbol {
                name: "n",
                meaning: "weights",
                value: self.elements,
            },
        ];
        if ranks > 1 {
            symbols.push(Symbol {
                name: "N",
                meaning: "ranks that share them",
                value: ranks,
            });
        }
        symbols
    }

    /// The entry of something that has one value per weight.
    pub fn item(&self, kind: Kind, dtype: DType, ranks: u64) -> Item {
        let sharded = ranks > 1 && kind.sharded;
        let terms = self.by_tensor(kind.sharded, dtype);
        Item {
            id: kind.id,
            label: kind.label,
            group: kind.group,
            dtype: Some(dtype),
            unit: if kind.sharded {
                self.local(dtype)
            } else {
                self.whole(dtype)
            },
            formula: match (sharded, ranks > 1) {
                (true, _) => "Σ β·⌈d₀/N⌉·n/d₀ over the tensors",
                (false, true) => "Σ β·N·⌈d₀/N⌉·n/d₀ over the tensors",
                (false, false) => "Σ β·n over the tensors",
            },
            symbols: self.symbols(dtype, ranks),
            terms,
            citation: if ranks > 1 { SHARD } else { WHOLE },
        }
    }

    /// The entry of the optimizer's states.
    pub fn states_item(
        &self,
        optimizer: Optimizer,
        implementation: OptimizerImplementation,
        dtype: DType,
        ranks: u64,
    ) -> Item {
        let terms = self.states_by_tensor(optimizer, implementation, dtype);
        Item {
            id: "optimizer.states",
            label: "optimizer states",
            group: Group::OptimizerStates,
            dtype: match optimizer {
                Optimizer::BitsAndBytes { eight_bit: true, .. } => Some(DType::Int8),
                Optimizer::BitsAndBytes { eight_bit: false, .. } => Some(DType::Fp32),
                _ => Some(dtype),
            },
            unit: terms.iter().copied().sum(),
            formula: match optimizer {
                Optimizer::AdamW => "Σ 2·β·n/N over the tensors (first and second moment)",
                Optimizer::BitsAndBytes {
                    states: 1,
                    eight_bit: true,
                    ..
                } => "Σ (n + 4·⌈n/256⌉)/N over the tensors",
                Optimizer::BitsAndBytes { eight_bit: true, .. } => "Σ 2·(n + 4·⌈n/256⌉)/N over the tensors",
                Optimizer::BitsAndBytes { states: 1, .. } => "Σ 4·n/N over the tensors",
                Optimizer::BitsAndBytes { states: 2, .. } => "Σ 2·4·n/N over the tensors",
                Optimizer::BitsAndBytes { .. } => "Σ 3·4·n/N over the tensors",
                Optimizer::Adafactor => "Σ β·(rows + columns) over matrices, β·n over vectors",
                Optimizer::Sgd { .. } => "Σ β·n/N over the tensors (momentum)",
            },
            symbols: self.symbols(dtype, ranks),
            terms,
            citation: OPTIMIZER,
        }
    }
}

/// What an entry with one value per weight is.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// Stable key.
    pub id: &'static str,
    /// For a person.
    pub label: &'static str,
    /// Group of the breakdown.
    pub group: Group,
    /// This rank's part, not the whole.
    pub sharded: bool,
}

/// Rows and columns of a matrix as Adafactor sees it: all but the last axis, and all but the one before it.
fn factors(tensor: &Tensor, ranks: u64) -> Option<(u64, u64)> {
    let local = local_elements(tensor, ranks);
    let [.., rows, columns] = tensor.shape.as_slice() else {
        return None;
    };
    let (rows, columns) = (*rows.max(&1), *columns.max(&1));
    Some((local / columns, local / rows))
}
