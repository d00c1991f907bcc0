//! Attention between projections: torch's fused kernels with and without a mask, and plain matrix products.
//!
//! Read in PyTorch 2.15: aten/src/ATen/native/transformers/cuda/attention.cu, attention_backward.cu and
//! flash_attn/flash_api.cpp; transformers 5.23: integrations/sdpa_attention.py, models/*/modeling_*.py.

use super::{Recorder, names};
use crate::training::tape::{Edge, Name, Shape, Storage, Var};
use crate::units::DType;

/// Sizes of an attention.
#[derive(Clone, Copy, Debug)]
pub struct Heads {
    /// Query heads.
    pub queries: u64,
    /// Key and value heads.
    pub keys: u64,
    /// Width of a query and key head.
    pub width: u64,
    /// Width of a value head.
    pub value_width: u64,
    /// Tokens per sequence.
    pub sequence: u64,
}

/// How the kernel is told which positions count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Masking {
    /// By a flag: the fused causal kernels.
    Causal,
    /// By a dense mask, which each layer turns into a bias of its own.
    Dense,
}

impl Recorder {
    /// Keys or values repeated for every query head; nothing happens where there are as many. A single head is repeated as
    /// a view.
    pub fn expand(&mut self, input: Var, heads: Heads) -> Var {
        if heads.queries == heads.keys {
            return input;
        }
        let width = input.shape.width / heads.keys.max(1) * heads.queries;
        let shape = self.rows(&names::QUERIES, width);
        let edge = self.new_gradient(input, &names::EXPANDED);
        let node = self.tape.node(&[edge], &[], &[]);
        if heads.keys == 1 {
            return Var { node, shape, ..input };
        }
        self.output(&names::EXPANDED, shape, input.dtype, node)
    }

    /// Keys or values indexed out of their projection, which copies them, and repeated where there are several.
    pub fn indexed(&mut self, input: Var, heads: Heads) -> Var {
        if heads.keys != 1 {
            return self.expand(input, heads);
        }
        let edge = self.new_gradient(input, &names::QUERY_KEY_VALUE);
        let node = self.tape.node(&[edge], &[], &[]);
        self.output(&names::KEY, input.shape, input.dtype, node)
    }

    /// Torch's scaled dot product attention. Flash where there is no mask, the type has 16 bits, and all heads have one
    /// width of at most 256; the memory-efficient kernel otherwise. `copied`: the queries are laid out head by head, so
    /// flash's output is, too, and is copied into token order.
    pub fn fused_attention(
        &mut self,
        operands: [Var; 3],
        heads: Heads,
        masking: Masking,
        copied: bool,
    ) -> Var {
        let dtype = self.types.autocast.unwrap_or(
            operands
                .iter()
                .map(|operand| operand.dtype)
                .reduce(super::promoted)
                .unwrap_or(DType::Fp32),
        );
        let [query, mut key, mut value] = operands;
        let flash = masking == Masking::Causal
            && dtype != DType::Fp32
            && heads.width == heads.value_width
            && heads.width <= 256;
        if masking == Masking::Dense || heads.width != heads.value_width {
            key = self.expand(key, heads);
            value = self.expand(value, heads);
        }
        let [query, key, value] =
            [query, key, value].map(|operand| self.cast(operand, dtype, &names::ATTENTION_CAST));
        let output_shape = self.rows(&names::QUERIES, heads.queries * heads.value_width);
        let output = self
            .tape
            .store(Storage::new(&names::ATTENTION_OUTPUT, output_shape, dtype));
        let per_head = self.rows(&names::HEADS, heads.queries);
        let lse = self
            .tape
            .store(Storage::new(&names::LOG_SUM_EXP, per_head, DType::Fp32));
        let bias = (masking == Masking::Dense).then(|| {
            let shape = self.rows(&names::MASK_ROW, heads.sequence);
            self.tape
                .store(Storage::new(&names::ATTENTION_BIAS, shape, dtype))
        });
        let mut temporaries = vec![Storage::new(&names::LOG_SUM_EXP, per_head, DType::Fp32)];
        if dtype != DType::Fp32 {
            let width = heads.queries * heads.width.next_multiple_of(32);
            let shape = self.rows(&names::QUERIES, width);
            temporaries.push(Storage::new(&names::ATTENTION_ACCUMULATOR, shape, DType::Fp32));
        }
        if key.shape.width / heads.width.max(1) < heads.queries {
            let shape = self.rows(&names::QUERIES, heads.queries * heads.width);
            temporaries.extend([Storage::gradient(&names::EXPANDED, shape, dtype); 2]);
        }
        temporaries.extend(self.ring([query, key, value], dtype, heads));
        let edges = [(query, &names::QUERY), (key, &names::KEY), (value, &names::VALUE)]
            .map(|(operand, name)| self.new_gradient(operand, name));
        let saved = [
            query.storage,
            key.storage,
            value.storage,
            Some(output),
            Some(lse),
            bias,
        ];
        let node = self.tape.node(&edges, &saved, &temporaries);
        self.tape.keep(Some(output));
        self.tape.keep(Some(lse));
        let result = Var {
            storage: Some(output),
            node,
            shape: output_shape,
            dtype,
        };
        if flash && copied {
            self.copy(result, &names::ATTENTION_COPY)
        } else {
            result
        }
    }

    /// What the backward of ring attention holds beside its kernel's (torch 2.15, distributed/tensor/experimental/
    /// _context_parallel/_attention.py, `_templated_ring_attention_backward`): keys and values of all ranks, gathered at once
    /// (the default of torchtitan), their own side by side, the sums of all gradients in fp32, and those of keys and values
    /// on their way from rank to rank.
    fn ring(&self, [query, key, value]: [Var; 3], dtype: DType, heads: Heads) -> Vec<Storage> {
        let (ranks, repeated) = self.ring;
        if ranks <= 1 {
            return Vec::new();
        }
        let times = if repeated {
            heads.queries / heads.keys.max(1)
        } else {
            1
        };
        let pair = (key.shape.width.saturating_add(value.shape.width)).saturating_mul(times.max(1));
        let of = |name, width: u64, dtype| Storage::new(name, self.rows(&names::KEYS, width), dtype);
        vec![
            of(&names::RING_GATHERED, pair.saturating_mul(ranks), dtype),
            of(&names::RING_GATHERED, pair, dtype),
            of(
                &names::RING_SUMS,
                query.shape.width.saturating_add(pair),
                DType::Fp32,
            ),
            of(&names::RING_SUMS, pair.saturating_mul(2), DType::Fp32),
        ]
    }

    /// A copy in another layout; its gradient is a view.
    fn copy(&mut self, input: Var, name: &'static Name) -> Var {
        let node = self.tape.node(&[Self::same_gradient(input)], &[], &[]);
        self.output(name, input.shape, input.dtype, node)
    }

    /// A batch of matrices is reshaped for its product: with more than one sequence a view of a larger tensor, or of a
    /// smaller one that is repeated, is copied, so that it no longer holds that one (aten/src/ATen/native/LinearAlgebra.cpp, `_matmul_impl`).
    fn own(&mut self, operand: Var, heads: Heads) -> Var {
        let whole = operand
            .storage
            .and_then(|id| self.tape.storages().get(id as usize))
            .map_or(0, |storage| storage.shape.elements());
        if self.tokens > heads.sequence && whole != operand.shape.elements() {
            self.copy(operand, &names::VALUE)
        } else {
            operand
        }
    }

    /// A product of two batches of matrices, both kept; runs in autocast's type.
    fn batched_product(&mut self, one: Var, other: Var, shape: Shape, name: &'static Name) -> Var {
        let dtype = self
            .types
            .autocast
            .unwrap_or(super::promoted(one.dtype, other.dtype));
        let one = self.cast(one, dtype, &names::ATTENTION_CAST);
        let other = self.cast(other, dtype, &names::ATTENTION_CAST);
        let edges: [Edge; 2] = [self.new_gradient(one, name), self.new_gradient(other, name)];
        let node = self.tape.node(&edges, &[one.storage, other.storage], &[]);
        self.output(name, shape, dtype, node)
    }

    /// Plain attention: scores, scaling, optional soft-cap, mask, softmax, dropout, product with the values, copied into
    /// token order. `fp32_softmax`: the probabilities are computed in fp32 and cast back (all but GPT-2's kin).
    pub fn eager_attention(&mut self, [query, key, value]: [Var; 3], heads: Heads, settings: Eager) -> Var {
        let key = self.expand(key, heads);
        let value = self.expand(value, heads);
        let [query, key, value] = [query, key, value].map(|operand| self.own(operand, heads));
        let row = heads.queries * heads.sequence + if settings.sinks { heads.queries } else { 0 };
        let scores_shape = self.rows(&names::SCORE_ROW, heads.queries * heads.sequence);
        let mut scores = self.batched_product(query, key, scores_shape, &names::SCORES);
        scores = self.scale(scores, None, &names::SCORES);
        if settings.softcap {
            scores = self.scale(scores, None, &names::SCORES);
            scores = self.keeping_result(scores, &names::SCORES);
            scores = self.scale(scores, None, &names::SCORES);
        }
        scores = self.offset(scores, settings.mask, &names::SCORES);
        if settings.sinks {
            let shape = self.rows(&names::SCORE_ROW, row);
            scores = self.concatenate(&[scores], shape, &names::SCORES);
            scores = self.copy(scores, &names::SCORES);
        }
        let wide = if settings.fp32_softmax || self.types.autocast.is_some() {
            DType::Fp32
        } else {
            scores.dtype
        };
        let probabilities = self.softmax(scores, wide, [&names::SCORES, &names::PROBABILITIES]);
        let back = if settings.fp32_softmax {
            query.dtype
        } else {
            value.dtype
        };
        let mut weights = self.cast(probabilities, back, &names::PROBABILITIES);
        if settings.sinks {
            weights = self.slice(
                weights,
                &names::SCORE_ROW,
                heads.queries * heads.sequence,
                &names::PROBABILITIES,
            );
        }
        let weights = self.dropout(weights, settings.dropout);
        let shape = self.rows(&names::QUERIES, heads.queries * heads.value_width);
        let output = self.batched_product(weights, value, shape, &names::ATTENTION_OUTPUT);
        self.copy(output, &names::ATTENTION_COPY)
    }

    /// Softmax into a type: keeps its result. fp16 is widened inside the kernel, bf16 by a cast before it
    /// (aten/src/ATen/native/SoftMax.cpp); backward first makes the product of gradient and result
    /// (aten/src/ATen/native/cuda/SoftMax.cu).
    pub fn softmax(&mut self, input: Var, dtype: DType, [scores, probabilities]: [&'static Name; 2]) -> Var {
        let input = if input.dtype == DType::Fp16 {
            input
        } else {
            self.cast(input, dtype, scores)
        };
        let storage = Storage::new(probabilities, input.shape, dtype);
        let result = self.tape.store(storage);
        let edge = self.new_gradient(input, scores);
        let product = Storage {
            gradient: true,
            ..storage
        };
        let node = self.tape.node(&[edge], &[Some(result)], &[product]);
        Var {
            storage: Some(result),
            node,
            shape: input.shape,
            dtype,
        }
    }
}

/// Settings of plain attention.
#[derive(Clone, Copy, Debug)]
pub struct Eager {
    /// Logits are soft-capped.
    pub softcap: bool,
    /// One learned sink per head joins the scores.
    pub sinks: bool,
    /// Softmax in fp32.
    pub fp32_softmax: bool,
    /// Dropout probability.
    pub dropout: f64,
    /// Type of the mask that is added: that of the hidden states.
    pub mask: DType,
}
