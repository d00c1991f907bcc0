//! Softmax attention: projections, norms on queries and keys, rotation, the kernel, the output projection.

use super::Layout;
use crate::model::{Attention, QkNorm, Span};
use crate::training::ops::{Eager, Heads, Masking};
use crate::training::tape::{Axis, Name, Shape, Var};
use crate::training::{AttentionKernel, FusedKernels, Projection, names};

impl Layout<'_> {
    pub(super) fn attention(&mut self, attention: &Attention, input: Var) -> Var {
        let query_width = attention.heads * attention.head_dim;
        let key_width = attention.kv_heads * attention.head_dim;
        let value_width = attention.kv_heads * attention.value_dim;
        let (query, key, value) = if attention.fused_qkv {
            self.fused_projection(input, [query_width, key_width, value_width])
        } else {
            let query = self.project(input, &names::QUERIES, query_width, &names::QUERY);
            let key = self.project(input, &names::KEYS, key_width, &names::KEY);
            let value = if attention.shared_kv {
                key
            } else {
                self.project(input, &names::VALUES, value_width, &names::VALUE)
            };
            (query, key, value)
        };
        let gate = attention
            .output_gate
            .then(|| self.project(input, &names::QUERIES, query_width, &names::OUTPUT_GATE));
        let (query, key) = self.norm_heads(attention, query, key);
        let (query, key) = if attention.rotary {
            let (rotated, whole) = (attention.rotary_dim, attention.head_dim);
            (
                self.rotate(query, attention.heads, rotated, whole),
                self.rotate(key, attention.kv_heads, rotated, whole),
            )
        } else {
            (query, key)
        };
        let concatenated = attention.rotary
            && (attention.rotary_dim < attention.head_dim || self.setting.reference.concatenates_rotary);
        let heads = Heads {
            queries: attention.heads,
            keys: attention.kv_heads,
            width: attention.head_dim,
            value_width: attention.value_dim,
            sequence: self.setting.sequence,
        };
        let output = self.kernel(attention, [query, key, value], heads, concatenated);
        let output = match gate {
            Some(gate) => {
                let open = self.recorder.keeping_result(gate, &names::OUTPUT_GATE);
                self.recorder.multiply(output, open, &names::GATED_OUTPUT)
            }
            None => output,
        };
        let shape = self.hidden();
        self.recorder
            .linear(output, shape, &names::BLOCK_OUTPUT, Projection::Output)
    }

    pub(super) fn project(
        &mut self,
        input: Var,
        axis: &'static Axis,
        width: u64,
        name: &'static Name,
    ) -> Var {
        let shape = self.recorder.rows(axis, width);
        self.recorder.linear(input, shape, name, projection(name))
    }

    fn fused_projection(&mut self, input: Var, [query, key, value]: [u64; 3]) -> (Var, Var, Var) {
        let name = &names::QUERY_KEY_VALUE;
        let whole = self.project(input, &names::QUERIES_KEYS_VALUES, query + key + value, name);
        if self.setting.reference.slices_projection {
            return (
                self.recorder.slice(whole, &names::QUERIES, query, name),
                self.recorder.slice(whole, &names::KEYS, key, name),
                self.recorder.slice(whole, &names::VALUES, value, name),
            );
        }
        let whole = self.recorder.split(whole, name);
        (
            self.recorder.part(whole, &names::QUERIES, query),
            self.recorder.part(whole, &names::KEYS, key),
            self.recorder.part(whole, &names::VALUES, value),
        )
    }

    fn norm_heads(&mut self, attention: &Attention, query: Var, key: Var) -> (Var, Var) {
        match attention.qk_norm {
            QkNorm::None => (query, key),
            QkNorm::PerHead(kind) => (
                self.recorder.norm(query, kind, attention.heads),
                self.recorder.norm(key, kind, attention.kv_heads),
            ),
            QkNorm::AllHeads(kind) => (
                self.recorder.norm(query, kind, 1),
                self.recorder.norm(key, kind, 1),
            ),
        }
    }

    /// `x·cos + rotate_half(x)·sin`, where the tables have the type of the hidden states; on a part of each head the
    /// rotated and the other part are concatenated.
    pub(super) fn rotate(&mut self, input: Var, heads: u64, rotated: u64, whole: u64) -> Var {
        if self.setting.kernels != FusedKernels::None {
            // Rotated in place, forwards and backwards.
            return input;
        }
        let part = heads * rotated;
        if rotated < whole || self.setting.reference.concatenates_rotary {
            let turning = self
                .recorder
                .slice(input, &names::ROTATED_PART, part, &names::ROTARY);
            let passing = self.recorder.slice(
                input,
                &names::ROTATED_PART,
                input.shape.width - part,
                &names::ROTARY,
            );
            let turned = self.turn(turning);
            let parts = if rotated < whole {
                vec![turned, passing]
            } else {
                vec![turned]
            };
            return self.recorder.concatenate(&parts, input.shape, &names::ROTATED);
        }
        self.turn(input)
    }

    fn turn(&mut self, input: Var) -> Var {
        let table = Some(self.setting.stream());
        let half = input.shape.width / 2;
        let straight = self.recorder.scale(input, table, &names::ROTARY);
        let first = self.recorder.slice(input, input.shape.axis, half, &names::ROTARY);
        let second = self.recorder.slice(input, input.shape.axis, half, &names::ROTARY);
        let negative = self.recorder.scale(second, None, &names::ROTARY);
        let crossed = self
            .recorder
            .concatenate(&[negative, first], input.shape, &names::ROTARY);
        let crossed = self.recorder.scale(crossed, table, &names::ROTARY);
        self.recorder.add(straight, crossed, &names::ROTATED)
    }

    /// The kernel that the reference class takes: soft-capping and sinks exist in plain attention only, and a window that
    /// is not longer than the sequence is a dense mask (transformers 5.23, masking_utils.py, `_ignore_causal_mask_sdpa`).
    pub(super) fn kernel(
        &mut self,
        attention: &Attention,
        operands: [Var; 3],
        heads: Heads,
        copied: bool,
    ) -> Var {
        let eager = self.setting.kernel == AttentionKernel::Eager || attention.softcap || attention.sinks;
        if eager {
            let settings = Eager {
                softcap: attention.softcap,
                sinks: attention.sinks,
                fp32_softmax: !self.setting.reference.narrow_softmax,
                dropout: attention.dropout,
                mask: self.setting.stream(),
            };
            return self.recorder.eager_attention(operands, heads, settings);
        }
        let windowed = match attention.span {
            Span::Full => false,
            Span::Sliding(window) | Span::Chunked(window) => self.setting.sequence >= window,
        };
        let masking = if windowed || self.setting.kernel == AttentionKernel::Masked {
            Masking::Dense
        } else {
            Masking::Causal
        };
        self.recorder.fused_attention(operands, heads, masking, copied)
    }

    /// A shape with one row per token.
    pub(super) fn shape(&self, axis: &'static Axis, width: u64) -> Shape {
        self.recorder.rows(axis, width)
    }
}

/// The place of a projection by what it makes.
fn projection(name: &'static Name) -> Projection {
    let makes = |other: &'static Name| std::ptr::eq(name, other);
    if makes(&names::QUERY) {
        Projection::Query
    } else if makes(&names::KEY) || makes(&names::LATENT) {
        Projection::Key
    } else if makes(&names::VALUE) {
        Projection::Value
    } else if makes(&names::QUERY_KEY_VALUE) {
        Projection::QueryKeyValue
    } else if makes(&names::GATE) {
        Projection::Gate
    } else if makes(&names::UP) || makes(&names::GATE_UP) {
        Projection::Up
    } else {
        Projection::Other
    }
}
