//! What an optimizer's step needs beside weights, gradients and states: lists as large as a state, or tensors of the size of
//! the weight at hand. Bytes of the tightest moment of the step; when it happens is told by the engines.

use super::states::Piece;
use super::{Optimizer, OptimizerImplementation};
use crate::cite::{Citation, Evidence};
use crate::units::{Bytes, DType};

/// The temporaries of a step.
#[derive(Clone, Debug)]
pub struct Temporaries {
    /// Bytes.
    pub bytes: Bytes,
    /// The tensors that they are, which add up to them.
    pub terms: Vec<Bytes>,
    /// Their formula.
    pub formula: &'static str,
    /// Its source.
    pub citation: Citation,
}

impl Temporaries {
    /// These tensors.
    fn new(mut terms: Vec<Bytes>, formula: &'static str, citation: Citation) -> Self {
        terms.retain(|term| *term > Bytes::ZERO);
        Self {
            bytes: sum(&terms),
            terms,
            formula,
            citation,
        }
    }
}

fn sum(terms: &[Bytes]) -> Bytes {
    terms.iter().copied().sum()
}

const ADAM: Citation = Citation::new(
    Evidence::Source,
    "torch 2.15 optim/adam.py: _multi_tensor_adam, _single_tensor_adam",
);

/// A piece of the network on this rank, with the type of what trains of it, and how often it occurs.
pub type Weights<'a> = (&'a Piece, DType, u64);

/// The pieces of the network, in the order in which the optimizer has them.
type Pieces<'a> = &'a [Weights<'a>];

/// A tensor with its piece and type: local elements, and rows and columns of a matrix of a layer.
type Weight<'a> = (&'a Piece, DType, u64, Option<(u64, u64)>);

/// The temporaries of a step over these pieces; `None` where there are none. A matrix
/// product needs the cuBLAS workspace given, where that does not stay allocated anyway.
pub fn temporaries(
    optimizer: Optimizer,
    implementation: OptimizerImplementation,
    pieces: Pieces<'_>,
    workspace: Bytes,
) -> Option<Temporaries> {
    let largest = || {
        let each = pieces.iter().map(|(piece, dtype, _)| piece.largest(*dtype));
        each.max().unwrap_or_default()
    };
    let all = || -> Vec<Bytes> {
        let each = |(piece, dtype, count): &Weights<'_>| {
            vec![piece.local(*dtype); usize::try_from(*count).unwrap_or(0)]
        };
        pieces.iter().flat_map(each).collect()
    };
    Some(match (optimizer, implementation) {
        (Optimizer::AdamW, OptimizerImplementation::Foreach) => Temporaries::new(
            all(),
            "Σ β·n/N over the tensors (square roots of the second moment)",
            ADAM,
        ),
        (Optimizer::AdamW, OptimizerImplementation::Loop) => {
            Temporaries::new(vec![largest(); 2], "2·β·n of the largest tensor", ADAM)
        }
        (Optimizer::Adafactor, _) => Temporaries::new(
            vec![largest()],
            "β·n of the largest tensor",
            Citation::new(Evidence::Traced, "torch 2.15 optim/_adafactor.py"),
        ),
        (Optimizer::AdafactorFp32, _) => adafactor(pieces),
        (Optimizer::ScheduleFree, implementation) => {
            let citation = Citation::new(
                Evidence::Traced,
                "schedulefree 1.4 adamw_schedulefree.py: the denominators; tests/measured/options-trace.jsonl",
            );
            match implementation {
                OptimizerImplementation::Foreach => {
                    Temporaries::new(all(), "Σ β·n/N over the tensors (denominators)", citation)
                }
                OptimizerImplementation::Fused | OptimizerImplementation::Loop => {
                    Temporaries::new(vec![largest()], "β·n of the largest tensor", citation)
                }
            }
        }
        (Optimizer::Muon, _) => return muon(pieces, workspace),
        (Optimizer::GaLore { rank }, _) => galore(pieces, rank, workspace),
        (Optimizer::AdamW, OptimizerImplementation::Fused)
        | (Optimizer::Sgd { .. } | Optimizer::BitsAndBytes { .. } | Optimizer::TorchAo { .. }, _) => {
            return None;
        }
    })
}

/// Transformers' Adafactor: fp32 copies of gradient and weight where those are narrower, the update, and its negative.
fn adafactor(pieces: Pieces<'_>) -> Temporaries {
    let wide = pieces.iter().all(|(_, dtype, _)| *dtype == DType::Fp32);
    let of = |(piece, dtype, _): &Weights<'_>| {
        vec![piece.largest(DType::Fp32); if *dtype == DType::Fp32 { 2 } else { 4 }]
    };
    Temporaries::new(
        pieces
            .iter()
            .map(of)
            .max_by_key(|terms| sum(terms))
            .unwrap_or_default(),
        if wide {
            "2·4·n of the largest tensor"
        } else {
            "4·4·n of the largest tensor"
        },
        Citation::new(
            Evidence::Traced,
            "transformers 5.23 optimization.py, Adafactor.step; tests/measured/options-trace.jsonl",
        ),
    )
}

/// Muon, one matrix after another: the look-ahead update in the gradient's type, the 16-bit matrix before and after an
/// iteration, and two Gram matrices of its short side; sharded, the Gram matrix exists before and after its reduction.
fn muon(pieces: Pieces<'_>, workspace: Bytes) -> Option<Temporaries> {
    let one = |(piece, dtype): (&Piece, DType), elements: u64, (rows, columns): (u64, u64)| {
        let short = rows.min(columns);
        let grams = if piece.is_cut() { 3 } else { 2 };
        let mut terms = vec![piece.block(elements, dtype)];
        terms.extend([piece.block(elements, DType::Bf16); 2]);
        terms.extend(vec![piece.block(short.saturating_mul(short), DType::Bf16); grams]);
        terms
    };
    let mut terms = pieces
        .iter()
        .flat_map(|(piece, dtype, _)| {
            piece
                .weights()
                .filter_map(move |(elements, matrix)| Some(one((piece, *dtype), elements, matrix?)))
        })
        .max_by_key(|terms| sum(terms))?;
    terms.push(workspace);
    Some(Temporaries::new(
        terms,
        "(β + 2·2)·n/N + 2·2·min² of the matrix that needs most; 3·2·min² where it is sharded; a cuBLAS workspace",
        Citation::new(
            Evidence::Traced,
            "torch 2.15 optim/_muon.py, _zeropower_via_newtonschulz; tests/measured/options-trace.jsonl",
        ),
    ))
}

/// GaLore's loop, which drops the denominator and the normalised gradient of one tensor only when those of the next are
/// there: first the tensors that are not projected, then the matrices, whose projector is decomposed anew every 200 steps,
/// the first one included. Of the decomposition the fp32 copies and the singular vectors are counted; cuSOLVER's own
/// workspace is not known.
fn galore(pieces: Pieces<'_>, rank: u64, workspace: Bytes) -> Temporaries {
    let ordered: Vec<Weight<'_>> = pieces
        .iter()
        .flat_map(|(piece, dtype, _)| {
            piece
                .weights()
                .map(move |(elements, matrix)| (*piece, *dtype, elements, matrix))
        })
        .collect();
    let mut most: Vec<Bytes> = Vec::new();
    let mut moment = |terms: &[Bytes]| {
        if terms.iter().copied().sum::<Bytes>() > most.iter().copied().sum() {
            most = terms.to_vec();
        }
    };
    let (mut denominator, mut normalised) = (Bytes::ZERO, Bytes::ZERO);
    for (piece, dtype, elements, _) in ordered.iter().filter(|(.., matrix)| matrix.is_none()) {
        let own = piece.block(*elements, *dtype);
        moment(&[own, denominator, normalised]);
        moment(&[own, own, normalised]);
        (denominator, normalised) = (own, own);
    }
    for (piece, dtype, elements, matrix) in &ordered {
        let Some((rows, columns)) = matrix else { continue };
        let (long, short) = ((*rows).max(*columns), (*rows).min(*columns));
        let low = piece.block(long.saturating_mul(rank.min(short)), *dtype);
        let full = piece.block(*elements, *dtype);
        let wide = piece.block(*elements, DType::Fp32);
        let vectors = piece.block(short.saturating_mul(short), DType::Fp32);
        let copy = if *dtype == DType::Fp32 { Bytes::ZERO } else { wide };
        moment(&[denominator, normalised, copy, wide, wide, vectors, vectors]);
        moment(&[denominator, normalised, low, workspace]);
        moment(&[denominator, normalised, low, low]);
        moment(&[low, low, low, full, workspace]);
        moment(&[low, low, low, full, full]);
        (denominator, normalised) = (low, full);
    }
    Temporaries::new(
        most,
        "2·β·n of the largest tensor, or the largest matrix in fp32 with its singular vectors",
        Citation::new(
            Evidence::Traced,
            "galore_torch 1.0 adamw.py and galore_projector.py; tests/measured/options-trace.jsonl",
        ),
    )
}
