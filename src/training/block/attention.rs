//! Softmax attention: projections, norms on queries and keys, rotation, the kernel, the output projection.

use super::Layout;
use super::split::Group;
use crate::model::{Attention, QkNorm, Span};
use crate::training::ops::{Eager, Heads, Masking, Recorder};
use crate::training::tape::{Axis, Name, Rows, Shape, Storage, Var};
use crate::training::{AttentionKernel, FusedKernels, Projection, names};
use crate::units::DType;

impl Layout<'_> {
    pub(super) fn attention(&mut self, attention: &Attention, input: Var) -> Var {
        let query_width = attention.heads * attention.head_dim;
        let key_width = attention.kv_heads * attention.head_dim;
        let value_width = attention.kv_heads * attention.value_dim;
        let input = self.branch(input);
        let (query, key, value) = if attention.fused_qkv {
            self.fused_projection(input, [query_width, key_width, value_width])
        } else {
            let query = self.first(
                Group::Attention,
                input,
                (&names::QUERIES, query_width),
                &names::QUERY,
            );
            let key = self.first(Group::Attention, input, (&names::KEYS, key_width), &names::KEY);
            let value = if attention.shared_kv {
                key
            } else {
                self.first(
                    Group::Attention,
                    input,
                    (&names::VALUES, value_width),
                    &names::VALUE,
                )
            };
            (query, key, value)
        };
        let (key, value, kv_heads) = self.indexed(attention, key, value);
        let gate = attention.output_gate.then(|| {
            self.first(
                Group::Attention,
                input,
                (&names::QUERIES, query_width),
                &names::OUTPUT_GATE,
            )
        });
        let (query, key) = if self.setting.reference.norms_rotated {
            let (query, key) = self.rotate_both(attention, query, (key, kv_heads));
            self.norm_heads(attention, query, key)
        } else {
            let (query, key) = self.norm_heads(attention, query, key);
            self.rotate_both(attention, query, (key, kv_heads))
        };
        let concatenated = attention.rotary
            && (attention.rotary_dim < attention.head_dim || self.setting.reference.concatenates_rotary);
        let heads = self.heads(attention, kv_heads);
        let output = self.kernel(attention, [query, key, value], heads, concatenated);
        let output = match gate {
            Some(gate) => {
                let open = self.recorder.keeping_result(gate, &names::OUTPUT_GATE);
                self.recorder.multiply(output, open, &names::GATED_OUTPUT)
            }
            None => output,
        };
        self.last(Group::Attention, output, self.setting.hidden, Projection::Output)
    }

    const fn heads(&self, attention: &Attention, keys: u64) -> Heads {
        Heads {
            queries: attention.heads,
            keys,
            width: attention.head_dim,
            value_width: attention.value_dim,
            sequence: self.setting.sequence,
        }
    }

    /// Keys, values and how many heads of them there are, after Falcon's indexing; as they are elsewhere.
    fn indexed(&mut self, attention: &Attention, key: Var, value: Var) -> (Var, Var, u64) {
        let kv_heads = attention.kv_heads;
        if !self.setting.reference.indexed_keys || kv_heads == attention.heads {
            return (key, value, kv_heads);
        }
        let heads = self.heads(attention, kv_heads);
        let (key, value) = (
            self.recorder.indexed(key, heads),
            self.recorder.indexed(value, heads),
        );
        (key, value, if kv_heads == 1 { 1 } else { attention.heads })
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
        let whole = self.first(
            Group::Attention,
            input,
            (&names::QUERIES_KEYS_VALUES, query + key + value),
            name,
        );
        if self.setting.keeps_cache {
            self.recorder.tape.cache(whole.storage);
        }
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
        let (kind, of_query, of_key) = match attention.qk_norm {
            QkNorm::None => return (query, key),
            QkNorm::PerHead(kind) => (kind, attention.heads, attention.kv_heads),
            QkNorm::AllHeads(kind) => (kind, 1, 1),
        };
        let reference = self.setting.reference;
        let mut norm = |input, groups| {
            if reference.centred_norms {
                self.recorder.centred_norm(input, groups)
            } else if reference.bare_head_norms {
                self.recorder.bare_norm(input, groups)
            } else {
                self.recorder.norm(input, kind, groups)
            }
        };
        (norm(query, of_query), norm(key, of_key))
    }

    fn rotate_both(&mut self, attention: &Attention, query: Var, (key, kv_heads): (Var, u64)) -> (Var, Var) {
        if !attention.rotary {
            return (query, key);
        }
        let (rotated, whole) = (attention.rotary_dim, attention.head_dim);
        let query = self.with_tables(query, whole);
        (
            self.rotate(query, attention.heads, rotated, whole),
            self.rotate(key, kv_heads, rotated, whole),
        )
    }

    /// Keeps this layer's tables, where it has some of its own.
    fn with_tables(&mut self, query: Var, width: u64) -> Var {
        if !self.setting.reference.tables_per_layer {
            return query;
        }
        let shape = Shape {
            axis: &names::ROTATED_PART,
            width,
            rows: Rows::Tokens(self.setting.sequence),
        };
        let tape = &mut self.recorder.tape;
        let table = Storage::new(&names::ROTARY_TABLE, shape, DType::Fp32);
        let tables = [Some(tape.store(table)), Some(tape.store(table))];
        let node = tape.node(&[Recorder::same_gradient(query)], &tables, &[]);
        Var { node, ..query }
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
        let table = Some(self.setting.shared());
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
        let operands = match self.recorder.types.autocast {
            // Repeated by the kernel, not before it.
            Some(dtype) if self.setting.reference.indexed_keys => {
                operands.map(|operand| self.recorder.cast(operand, dtype, &names::ATTENTION_CAST))
            }
            _ => operands,
        };
        let package = self.setting.kernel == AttentionKernel::Package;
        let capped = attention.softcap && !package;
        let (operands, heads) = if package && self.setting.repeated_keys {
            let [query, key, value] = operands;
            let repeated = [
                query,
                self.recorder.expand(key, heads),
                self.recorder.expand(value, heads),
            ];
            (
                repeated,
                Heads {
                    keys: heads.queries,
                    ..heads
                },
            )
        } else {
            (operands, heads)
        };
        let eager = self.setting.kernel == AttentionKernel::Eager || capped || attention.sinks;
        if eager {
            let settings = Eager {
                softcap: attention.softcap,
                sinks: attention.sinks,
                fp32_softmax: !self.setting.reference.narrow_softmax,
                dropout: attention.dropout,
                mask: self.setting.shared(),
            };
            return self.recorder.eager_attention(operands, heads, settings);
        }
        let windowed = match attention.span {
            Span::Full => false,
            Span::Sliding(window) | Span::Chunked(window) => self.setting.sequence >= window,
        };
        let given = attention.rotary && self.setting.reference.dense_mask;
        let dense = (windowed || given) && !package;
        let masking = if dense || self.setting.kernel == AttentionKernel::Masked {
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
