//! Multi-head latent attention: compressed queries, keys and values (transformers 5.23, DeepSeek-V2 and V3).

use super::Layout;
use super::split::Group;
use crate::model::{Attention, Latent, NormKind, QkNorm, Span};
use crate::training::ops::Heads;
use crate::training::tape::Var;
use crate::training::{Projection, names};

impl Layout<'_> {
    pub(super) fn latent(&mut self, latent: &Latent, input: Var) -> Var {
        let (heads, width) = (latent.heads, latent.nope_dim + latent.rope_dim);
        let query_source = match latent.query_rank {
            Some(rank) => {
                let compressed = self.project(input, &names::QUERY_RANK, rank, &names::LATENT);
                self.recorder.norm(compressed, NormKind::Rms, 1)
            }
            None => input,
        };
        let query = self.first(
            Group::Attention,
            query_source,
            (&names::QUERIES, heads * width),
            &names::QUERY,
        );
        let query = self.recorder.split(query, &names::QUERY);
        let query_plain = self
            .recorder
            .part(query, &names::QUERIES, heads * latent.nope_dim);
        let query_rotary = self
            .recorder
            .part(query, &names::ROTATED_PART, heads * latent.rope_dim);

        let row = latent.kv_rank + latent.rope_dim;
        let compressed = self.project(input, &names::LATENT_ROW, row, &names::LATENT);
        if self.setting.chosen.latent {
            self.recorder.tape.keep_chosen(compressed.storage);
        }
        let compressed = self.recombined(compressed);
        let compressed = self.recorder.split(compressed, &names::LATENT);
        let key_latent = self.recorder.part(compressed, &names::KEY_RANK, latent.kv_rank);
        let key_rotary = self
            .recorder
            .part(compressed, &names::ROTATED_PART, latent.rope_dim);
        let key_latent = self.recorder.norm(key_latent, NormKind::Rms, 1);

        let query_rotary = self.rotate_pairs(query_rotary);
        let key_rotary = self.rotate_pairs(key_rotary);
        let shape = self.shape(&names::QUERIES, heads * width);
        let query = self
            .recorder
            .concatenate(&[query_plain, query_rotary], shape, &names::ROTATED);

        let expanded = heads * (latent.nope_dim + latent.value_dim);
        let keys_values = self.first(
            Group::Attention,
            key_latent,
            (&names::KEYS_VALUES, expanded),
            &names::QUERY_KEY_VALUE,
        );
        let keys_values = self.recorder.split(keys_values, &names::QUERY_KEY_VALUE);
        let key_plain = self
            .recorder
            .part(keys_values, &names::KEYS, heads * latent.nope_dim);
        let value = self
            .recorder
            .part(keys_values, &names::VALUES, heads * latent.value_dim);
        let key = self
            .recorder
            .concatenate(&[key_plain, key_rotary], shape, &names::KEY);

        let sizes = Heads {
            queries: heads,
            keys: heads,
            width,
            value_width: latent.value_dim,
            sequence: self.setting.sequence,
        };
        let attention = Attention {
            heads,
            kv_heads: heads,
            head_dim: width,
            value_dim: latent.value_dim,
            span: Span::Full,
            rotary: true,
            rotary_dim: latent.rope_dim,
            fused_qkv: false,
            qk_norm: QkNorm::None,
            softcap: false,
            sinks: false,
            shared_kv: false,
            output_gate: false,
            dropout: 0.0,
        };
        let output = self.kernel(&attention, [query, key, value], sizes, true);
        self.last(Group::Attention, output, self.setting.hidden, Projection::Output)
    }

    /// Pairs rotated as complex numbers in fp32 (V2), or as even and odd slices (V3).
    fn rotate_pairs(&mut self, input: Var) -> Var {
        if self.setting.reference.complex_rotary {
            let dtype = input.dtype;
            let wide = self
                .recorder
                .cast(input, crate::units::DType::Fp32, &names::ROTARY);
            let turned = self.recorder.scale(wide, None, &names::ROTARY);
            return self.recorder.cast(turned, dtype, &names::ROTARY);
        }
        let table = Some(self.setting.shared());
        let half = input.shape.width / 2;
        let even = self.recorder.slice(input, input.shape.axis, half, &names::ROTARY);
        let odd = self.recorder.slice(input, input.shape.axis, half, &names::ROTARY);
        let mut halves = Vec::with_capacity(2);
        for (one, other) in [(even, odd), (odd, even)] {
            let straight = self.recorder.scale(one, table, &names::ROTARY);
            let crossed = self.recorder.scale(other, table, &names::ROTARY);
            halves.push(self.recorder.add(straight, crossed, &names::ROTARY));
        }
        self.recorder.concatenate(&halves, input.shape, &names::ROTARY)
    }
}
