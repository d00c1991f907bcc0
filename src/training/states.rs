//! Weights, gradients and optimizer states as tensors: how many bytes they take on one rank, whole or sharded along their
//! first axis. Sums over exact tensor lists; when they are alive is decided by the engines.

use super::sheet::Item;
use super::{Optimizer, OptimizerImplementation};
use crate::cite::{Citation, Evidence};
use crate::memory::allocator::{self, BLOCK};
use crate::memory::{Group, Symbol};
use crate::model::{Role, Tensor};
use crate::parallel::chunk;
use crate::units::{Bytes, DType};

/// bitsandbytes keeps the states of smaller tensors in fp32 (optim/optimizer.py, `min_8bit_size`).
const MIN_8BIT: u64 = 4096;
/// bitsandbytes pages the states of tensors with this many elements and more (optim/optimizer.py, `get_state_buffer`).
const MIN_PAGED: u64 = 100_000;
/// Elements that share one fp32 scale in torchao's 4-bit states (torchao 0.18 optim/adam.py, `AdamW4bit`).
const BLOCK_TORCHAO_4BIT: u64 = 128;
/// Elements that share one fp32 scale in the 8-bit states of bitsandbytes (functional.py, `quantize_blockwise`) and torchao
/// (optim/adam.py, `AdamW8bit`).
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
const MUON: Citation = Citation::new(
    Evidence::Traced,
    "torch 2.15 optim/_muon.py and adam.py; tests/measured/options-trace.jsonl",
);
const GALORE: Citation = Citation::new(
    Evidence::Traced,
    "galore_torch 1.0 adamw.py and galore_projector.py; tests/measured/options-trace.jsonl",
);
const SCHEDULE_FREE: Citation = Citation::new(
    Evidence::Traced,
    "schedulefree 1.4 adamw_schedulefree.py; tests/measured/options-trace.jsonl",
);
const ADAFACTOR: Citation = Citation::new(
    Evidence::Traced,
    "torch 2.15 optim/_adafactor.py; transformers 5.23 optimization.py; tests/measured/options-trace.jsonl",
);
const TORCHAO: Citation = Citation::new(
    Evidence::Traced,
    "torchao 0.18 optim/adam.py and subclass_8bit.py, subclass_4bit.py, subclass_fp8.py; tests/measured/options-trace.jsonl",
);

/// Length of the axis along which a tensor is divided. Experts are stored together, so their first axis counts experts.
pub fn first_axis(tensor: &Tensor) -> u64 {
    if tensor.role == Role::RoutedExpert && tensor.copies > 1 {
        return tensor.copies;
    }
    let first = tensor.shape.first().copied().unwrap_or(1);
    first.saturating_mul(tensor.copies)
}

/// Elements of a tensor that a rank of `ranks` has room for: whole slices along the first axis, the last ones padded.
pub fn local_elements(tensor: &Tensor, ranks: u64) -> u64 {
    rank_elements(tensor, ranks, 0)
}

/// Elements of a tensor that are a rank's own, without padding: the last ranks have fewer or none.
pub fn rank_elements(tensor: &Tensor, ranks: u64, rank: u64) -> u64 {
    let (all, first) = (tensor.elements().get(), first_axis(tensor));
    if ranks <= 1 || first == 0 {
        return all;
    }
    (all / first).saturating_mul(chunk(first, ranks, rank))
}

/// The ranks, beside the first one, from which on a rank holds less of one of these lengths than the one before it.
pub fn steps(lengths: impl IntoIterator<Item = u64>, ranks: u64) -> Vec<u64> {
    let mut steps: Vec<u64> = lengths
        .into_iter()
        .flat_map(|length| {
            let piece = length.div_ceil(ranks.max(1)).max(1);
            [length / piece, length.div_ceil(piece)]
        })
        .filter(|rank| (1..ranks).contains(rank))
        .collect();
    steps.sort_unstable();
    steps.dedup();
    steps
}

/// Tensors of one piece of the network: a layer, the embedding, the head.
#[derive(Clone, Debug, Default)]
pub struct Piece {
    /// Elements of each tensor on this rank, padded.
    local: Vec<u64>,
    /// The same without padding, of which optimizers make states.
    own: Vec<u64>,
    /// Elements of each tensor when gathered: the local ones of every rank.
    gathered: Vec<u64>,
    /// Elements of all tensors, unpadded.
    pub elements: u64,
    /// Rows and columns of those that are matrices.
    factors: Vec<Option<(u64, u64)>>,
    /// Rows and columns of those that are matrices of a layer, two axes and no more: what Muon and GaLore treat apart.
    hidden: Vec<Option<(u64, u64)>>,
    /// Whether they are shards cut out of whole tensors.
    cut: bool,
    /// Elements of the largest part of one tensor that a rank has of a flat one, where the optimizer sees those parts.
    largest_view: Option<u64>,
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
            piece.own.push(local);
            piece.gathered.push(local.saturating_mul(ranks));
            piece.factors.push(factors(tensor, ranks, 0));
            piece.hidden.push(hidden(tensor));
            piece.elements = piece.elements.saturating_add(tensor.elements().get());
        }
        piece
    }

    /// What a later rank than the first holds of the same tensors.
    #[must_use]
    pub fn on_rank<'a>(
        mut self,
        tensors: impl IntoIterator<Item = &'a Tensor>,
        (ranks, rank): (u64, u64),
    ) -> Self {
        if rank > 0 && ranks > 1 {
            let tensors: Vec<&Tensor> = tensors.into_iter().collect();
            let own = tensors.iter().map(|tensor| rank_elements(tensor, ranks, rank));
            self.own = own.collect();
            let factors = tensors.iter().map(|tensor| factors(tensor, ranks, rank));
            self.factors = factors.collect();
        }
        self
    }

    /// With the tensors of another piece after its own.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.local.extend(other.local);
        self.own.extend(other.own);
        self.gathered.extend(other.gathered);
        self.factors.extend(other.factors);
        self.hidden.extend(other.hidden);
        self.elements = self.elements.saturating_add(other.elements);
        self.cut |= other.cut;
        self.largest_view = self.largest_view.max(other.largest_view);
        self
    }

    /// Of these tensors as one flat parameter, padded to a multiple of the ranks (torch FSDP1, _flat_param.py).
    pub fn flat<'a>(tensors: impl IntoIterator<Item = &'a Tensor>, ranks: u64) -> Self {
        let elements: u64 = tensors.into_iter().map(|tensor| tensor.elements().get()).sum();
        let local = elements.div_ceil(ranks.max(1));
        Self {
            local: vec![local],
            own: vec![local],
            gathered: vec![local.saturating_mul(ranks.max(1))],
            factors: vec![None],
            hidden: vec![None],
            elements,
            cut: ranks > 1,
            largest_view: None,
        }
    }

    /// The same where the optimizer sees the original tensors as views of the flat one (`use_orig_params`): of each the part
    /// that lies on the rank. On the rank that has the largest part.
    #[must_use]
    pub fn with_views<'a>(mut self, tensors: impl IntoIterator<Item = &'a Tensor>) -> Self {
        let each = self.local.first().copied().unwrap_or(0).max(1);
        let (mut begin, mut largest) = (0_u64, 0);
        for tensor in tensors {
            let (all, copies) = (tensor.elements().get(), tensor.copies.max(1));
            let end = begin.saturating_add(all);
            let (first, last) = (begin / each, end.saturating_sub(1) / each);
            let part = if copies > 1 {
                (all / copies).min(each)
            } else if first == last {
                all
            } else if last - first > 1 {
                each
            } else {
                let border = last.saturating_mul(each);
                border.saturating_sub(begin).max(end.saturating_sub(border))
            };
            largest = largest.max(part);
            begin = end;
        }
        self.largest_view = Some(largest);
        self
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
        let step = match implementation {
            OptimizerImplementation::Fused => Bytes::new(BLOCK),
            OptimizerImplementation::Foreach | OptimizerImplementation::Loop => Bytes::ZERO,
        };
        let whole = |elements| self.block(elements, dtype);
        let one = |(place, elements): (usize, u64)| match optimizer {
            Optimizer::AdamW => whole(elements) * 2 + step,
            Optimizer::ScheduleFree => whole(elements) * 2,
            Optimizer::BitsAndBytes {
                states,
                eight_bit,
                paged,
            } => self.quantised_state(elements, eight_bit, paged) * states,
            Optimizer::TorchAo { bits, tabled } => self.torchao_state(elements, dtype, (bits, tabled)) * 2,
            Optimizer::Sgd { momentum: true } => whole(elements),
            Optimizer::Sgd { momentum: false } => Bytes::ZERO,
            Optimizer::Adafactor => self.factored_state(place, elements, dtype),
            Optimizer::AdafactorFp32 => self.factored_state(place, elements, DType::Fp32),
            Optimizer::Muon => match self.matrix(place) {
                Some(_) => whole(elements),
                None => whole(elements) * 2 + Bytes::new(BLOCK),
            },
            Optimizer::GaLore { rank } => match self.matrix(place) {
                Some(shape) => self.projected_state(shape, rank, dtype),
                None => whole(elements) * 2,
            },
        };
        self.own.iter().copied().enumerate().map(one).collect()
    }

    /// A row and a column of a matrix, all of a vector.
    fn factored_state(&self, place: usize, elements: u64, dtype: DType) -> Bytes {
        match self.factors.get(place).copied().flatten() {
            Some((rows, columns)) => self.block(rows, dtype) + self.block(columns, dtype),
            None => self.block(elements, dtype),
        }
    }

    /// GaLore's projected moments, and the projector: its rows where the matrix is tall, else its columns. In fp32 the
    /// projector is a view that keeps all singular vectors alive; other types are copied out of it.
    fn projected_state(&self, (rows, columns): (u64, u64), rank: u64, dtype: DType) -> Bytes {
        let (long, short) = (rows.max(columns), rows.min(columns));
        let rank = rank.min(short);
        let vectors = if dtype == DType::Fp32 { short } else { rank };
        self.block(long.saturating_mul(rank), dtype) * 2 + self.block(vectors.saturating_mul(short), dtype)
    }

    /// One state of torchao: codes, an fp32 scale per block of 256 (128 in 4 bits), and the table of the codes' values; in
    /// the type of the weight for small tensors and those that no number of blocks fills.
    fn torchao_state(&self, elements: u64, dtype: DType, (bits, tabled): (u64, bool)) -> Bytes {
        let size = if bits == 4 { BLOCK_TORCHAO_4BIT } else { BLOCK_8BIT };
        if elements < MIN_8BIT || !elements.is_multiple_of(size) {
            return self.block(elements, dtype);
        }
        let codes = if bits == 4 { elements / 2 } else { elements };
        let table = if tabled {
            self.block(1 << bits, DType::Fp32)
        } else {
            Bytes::ZERO
        };
        self.block(codes, DType::Int8) + self.block(elements / size, DType::Fp32) + table
    }

    /// Rows and columns of a tensor that is a matrix of a layer.
    fn matrix(&self, place: usize) -> Option<(u64, u64)> {
        self.hidden.get(place).copied().flatten()
    }

    /// Local elements of each tensor, with rows and columns of those that are matrices of a layer.
    pub fn weights(&self) -> impl Iterator<Item = (u64, Option<(u64, u64)>)> + '_ {
        self.own
            .iter()
            .enumerate()
            .map(|(place, elements)| (*elements, self.matrix(place)))
    }

    /// Whether the tensors are shards of whole ones.
    pub const fn is_cut(&self) -> bool {
        self.cut
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
        let largest = self.largest_view.or_else(|| self.local.iter().copied().max());
        self.block(largest.unwrap_or(0), dtype)
    }

    /// The largest tensor of this rank by itself.
    pub fn largest_alone(&self) -> Self {
        if let Some(part) = self.largest_view {
            return Self {
                local: vec![part],
                own: vec![part],
                gathered: vec![part],
                elements: part,
                ..self.clone()
            };
        }
        let place = self
            .local
            .iter()
            .enumerate()
            .max_by_key(|(_, elements)| **elements)
            .map(|(place, _)| place);
        let only = |list: &[u64]| place.and_then(|at| list.get(at).copied()).into_iter().collect();
        let shape =
            |list: &[Option<(u64, u64)>]| place.and_then(|at| list.get(at).copied()).into_iter().collect();
        Self {
            local: only(&self.local),
            own: only(&self.own),
            gathered: only(&self.gathered),
            elements: place.and_then(|at| self.local.get(at).copied()).unwrap_or(0),
            factors: shape(&self.factors),
            hidden: shape(&self.hidden),
            cut: self.cut,
            largest_view: None,
        }
    }

    /// The block of one tensor. Shards are cut from what the whole tensors leave behind, so nothing of a segment stays with
    /// them; whole tensors get segments of their own.
    pub fn block(&self, elements: u64, dtype: DType) -> Bytes {
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

    fn state_symbols(&self, optimizer: Optimizer, dtype: DType, ranks: u64) -> Vec<Symbol> {
        let mut symbols = self.symbols(dtype, ranks);
        if let Optimizer::GaLore { rank } = optimizer {
            symbols.push(Symbol {
                name: "r",
                meaning: "rank of the projection; max and min are the sides of a matrix",
                value: rank,
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
                Optimizer::TorchAo { bits: 4, .. } => Some(DType::Int4),
                Optimizer::TorchAo { .. } => Some(DType::Int8),
                Optimizer::BitsAndBytes { eight_bit: false, .. } | Optimizer::AdafactorFp32 => {
                    Some(DType::Fp32)
                }
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
                Optimizer::AdafactorFp32 => "Σ 4·(rows + columns) over matrices, 4·n over vectors",
                Optimizer::Muon => {
                    "Σ β·n/N over the layers' matrices (momentum), 2·β·n/N over other tensors (AdamW)"
                }
                Optimizer::GaLore { .. } => {
                    "Σ β·r·(2·max + min) over the layers' matrices (in fp32 min² for the projector), 2·β·n over other tensors"
                }
                Optimizer::ScheduleFree => "Σ 2·β·n/N over the tensors (second moment, averaged sequence)",
                Optimizer::TorchAo { bits: 4, .. } => "Σ 2·(n/2 + 4·n/128 + table)/N over the tensors",
                Optimizer::TorchAo { .. } => "Σ 2·(n + 4·n/256 + table)/N over the tensors",
                Optimizer::Sgd { .. } => "Σ β·n/N over the tensors (momentum)",
            },
            symbols: self.state_symbols(optimizer, dtype, ranks),
            terms,
            citation: match optimizer {
                Optimizer::AdamW | Optimizer::Sgd { .. } | Optimizer::BitsAndBytes { .. } => OPTIMIZER,
                Optimizer::Adafactor | Optimizer::AdafactorFp32 => ADAFACTOR,
                Optimizer::Muon => MUON,
                Optimizer::GaLore { .. } => GALORE,
                Optimizer::ScheduleFree => SCHEDULE_FREE,
                Optimizer::TorchAo { .. } => TORCHAO,
            },
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
fn factors(tensor: &Tensor, ranks: u64, rank: u64) -> Option<(u64, u64)> {
    let local = rank_elements(tensor, ranks, rank);
    let [.., rows, columns] = tensor.shape.as_slice() else {
        return None;
    };
    let (rows, columns) = (*rows.max(&1), *columns.max(&1));
    Some((local / columns, local / rows))
}

/// Rows and columns of a matrix of a layer. Stacked experts have three axes and are none.
fn hidden(tensor: &Tensor) -> Option<(u64, u64)> {
    let stacked = tensor.role == Role::RoutedExpert && tensor.copies > 1;
    let inside = matches!(
        tensor.role,
        Role::Mixer | Role::FeedForward | Role::SharedExpert | Role::RoutedExpert | Role::Router
    );
    match tensor.shape.as_slice() {
        [rows, columns] if inside && !stacked => Some((*rows, *columns)),
        _ => None,
    }
}
