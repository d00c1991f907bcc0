//! What a rank saves beside ordinary layers: the part of a layer for further tokens that comes before its transformer layer,
//! and the outputs of adapters.
//!
//! Read in NVIDIA/Megatron-LM core/transformer/multi_token_prediction.py, modelscope/ms-swift swift/megatron/tuners/lora.py and
//! NVIDIA-NeMo/Megatron-Bridge peft/lora.py.

use super::saved::{Part, Saved, Setting};
use super::share;
use crate::model::{Layer, Role};

impl Setting {
    /// Norms of hidden state and embedding with their inputs, both side by side as the input of one projection.
    pub fn further(&self) -> Vec<Saved> {
        let one = |id, label, part| self.stream(id, label, part);
        let before = vec![
            one("norm.input", "input of a norm", Part::Stream),
            one("norm.input", "input of a norm", Part::Stream),
            Saved {
                width: self.hidden.saturating_mul(2),
                meaning: "twice the hidden size",
                ..one(
                    "further.side_by_side",
                    "hidden state and embedding of the next token, normalised, side by side",
                    Part::Stream,
                )
            },
        ];
        self.narrowed(before)
    }

    /// The low-rank outputs of adapters, and their dropped inputs with masks where there is dropout.
    pub fn adapters(&self, layer: &Layer) -> Vec<Saved> {
        let Some(adapter) = self.adapter else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for tensor in &layer.tensors {
            let Some(shape) = share::adapted(tensor, adapter) else {
                continue;
            };
            let expert = tensor.role == Role::RoutedExpert;
            let part = if expert { Part::Experts } else { Part::Stream };
            let rows = match layer.moe() {
                Some(moe) if expert => self.routed(moe),
                _ => self.tokens,
            };
            let of = |id, label, bytes, width, meaning| Saved {
                id,
                label,
                bytes,
                width,
                meaning,
                rows,
                row: if expert {
                    "routed rows on the rank"
                } else {
                    "tokens per micro-batch"
                },
                part,
            };
            if shape.own_input {
                found.push(of(
                    "adapter.hidden",
                    "low-rank output of an adapter",
                    self.bytes,
                    adapter.rank,
                    "rank of the adapter",
                ));
                if adapter.dropout > 0.0 {
                    let inputs = shape.inputs(self.settings);
                    found.push(of(
                        "adapter.input",
                        "input of an adapter after dropout",
                        self.bytes,
                        inputs,
                        "inputs",
                    ));
                    found.push(of(
                        "adapter.mask",
                        "dropout mask of an adapter",
                        1,
                        inputs,
                        "inputs",
                    ));
                }
            }
        }
        found
    }
}
