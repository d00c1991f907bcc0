//! The weights of one part of the network (a kind of layer, the embedding, the head, the towers) by how they are stored and
//! whether they train: plain, quantised, adapters.
//!
//! Formats were read in bitsandbytes (functional.py, nn/modules.py), AutoGPTQ (nn_modules/qlinear) and PEFT
//! (tuners/lora/layer.py).

use super::job::{Adapter, BaseFormat, Projection};
use super::sheet::{Held, Item, Sheet};
use super::states::{Kind, Piece};
use super::{Engine, TrainingJob};
use crate::cite::{Citation, Evidence};
use crate::memory::allocator::block;
use crate::memory::{Group, Symbol};
use crate::model::{Role, Split, Tensor};
use crate::units::{Bytes, DType};

/// The weights of a part.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// Weights stored in the type of the arithmetic.
    pub plain: Piece,
    /// What gets gradients and optimizer states: the plain weights, or the adapters.
    pub trained: Piece,
    /// Frozen matrices stored in few bits.
    quantised: Vec<Quantised>,
}

/// A matrix stored in few bits.
#[derive(Clone, Copy, Debug)]
struct Quantised {
    weights: u64,
    inputs: u64,
}

const WEIGHTS: Kind = Kind {
    id: "weights",
    label: "weights",
    group: Group::ModelParams,
    sharded: true,
};
const ADAPTERS: Kind = Kind {
    id: "adapters",
    label: "adapters",
    group: Group::ModelParams,
    sharded: true,
};

impl Part {
    /// Of these tensors; `blocks`: they belong to the layers, where matrices can be quantised and have adapters.
    pub fn new<'a>(
        job: &TrainingJob,
        tensors: impl Iterator<Item = &'a Tensor>,
        blocks: bool,
        shards: u64,
    ) -> Self {
        let piece = |tensors: &[&Tensor]| match job.engine {
            Engine::Fsdp1 { .. } => Piece::flat(tensors.iter().copied(), shards),
            Engine::Single | Engine::Ddp { .. } | Engine::DeepSpeed(_) | Engine::Fsdp2 { .. } => {
                Piece::new(tensors.iter().copied(), shards)
            }
        };
        let tensors: Vec<&Tensor> = tensors.collect();
        let Some(adapter) = job.adapter else {
            let plain = piece(&tensors);
            return Self {
                trained: plain.clone(),
                plain,
                quantised: Vec::new(),
            };
        };
        let low = blocks && adapter.base.is_quantised();
        let (matrices, rest): (Vec<&Tensor>, Vec<&Tensor>) = tensors
            .iter()
            .partition(|tensor| low && tensor.is_linear_weight());
        let adapters: Vec<Tensor> = tensors
            .iter()
            .filter(|_| blocks)
            .flat_map(|tensor| adapters(tensor, adapter))
            .collect();
        Self {
            plain: piece(&rest),
            trained: piece(&adapters.iter().collect::<Vec<_>>()),
            quantised: matrices.iter().map(|tensor| quantised(tensor)).collect(),
        }
    }

    /// Registers its weights as they are stored.
    pub fn weights(
        &self,
        job: &TrainingJob,
        (stored, shards): (DType, u64),
        place: &str,
        sheet: &mut Sheet,
    ) -> Held {
        let Some(adapter) = job.adapter else {
            return vec![(sheet.item(self.plain.item(WEIGHTS, stored, shards), place), 1)];
        };
        let plain = if adapter.prepared { DType::Fp32 } else { stored };
        let mut held = vec![(sheet.item(self.plain.item(WEIGHTS, plain, shards), place), 1)];
        let adapters = self.trained.item(ADAPTERS, adapter.dtype, shards);
        held.push((sheet.item(adapters, place), 1));
        if !self.quantised.is_empty() {
            held.push((sheet.item(self.quantised_item(adapter.base, shards), place), 1));
        }
        held
    }

    fn quantised_item(&self, base: BaseFormat, shards: u64) -> Item {
        let bytes = |matrix: &Quantised| matrix.bytes(base, shards);
        let terms: Vec<Bytes> = self.quantised.iter().map(bytes).collect();
        Item {
            id: "weights.quantised",
            label: "quantised weights with their scales",
            group: Group::ModelParams,
            dtype: Some(DType::Int4),
            unit: terms.iter().copied().sum(),
            formula: match base {
                BaseFormat::Nf4 { double: true } => "Σ n/2/N + n/64 + 4·n/16384 over the matrices",
                BaseFormat::Nf4 { double: false } => "Σ n/2/N + 4·n/64 over the matrices",
                BaseFormat::Gptq4 => "Σ (n/2 + n/256)/N + 2·n/128 + 4·in over the matrices",
                BaseFormat::Plain => "0",
            },
            symbols: vec![
                Symbol {
                    name: "n",
                    meaning: "weights",
                    value: self.quantised.iter().map(|matrix| matrix.weights).sum(),
                },
                Symbol {
                    name: "N",
                    meaning: "ranks that share the packed weights; the scales are whole on every rank",
                    value: shards,
                },
            ],
            terms,
            citation: Citation::new(
                Evidence::Source,
                "bitsandbytes functional.py (blocks of 64, scales in blocks of 256); AutoGPTQ qlinear (groups of 128)",
            ),
        }
    }
}

impl Quantised {
    /// Packed weights, divided among the ranks, and scales, which stay whole (measured: fms-acceleration records).
    fn bytes(self, base: BaseFormat, shards: u64) -> Bytes {
        let n = self.weights;
        let whole = |bytes: u64| block(Bytes::new(bytes));
        match base {
            BaseFormat::Plain => Bytes::ZERO,
            BaseFormat::Nf4 { double } => {
                let blocks = n.div_ceil(64);
                let scales = if double {
                    whole(blocks) + whole(blocks.div_ceil(256) * 4)
                } else {
                    whole(blocks * 4)
                };
                whole(n.div_ceil(2).div_ceil(shards.max(1))) + scales
            }
            BaseFormat::Gptq4 => {
                let groups = n.div_ceil(128);
                whole((n.div_ceil(2) + groups.div_ceil(2)).div_ceil(shards.max(1)))
                    + whole(groups * 2)
                    + whole(self.inputs * 4)
            }
        }
    }
}

fn quantised(tensor: &Tensor) -> Quantised {
    Quantised {
        weights: tensor.elements().get(),
        inputs: tensor.shape.last().copied().unwrap_or(0),
    }
}

/// The two matrices beside a linear layer that the adapter targets: rank × in and out × rank. Experts and routers are no
/// linear modules in transformers 5 and have none.
fn adapters(tensor: &Tensor, adapter: Adapter) -> Vec<Tensor> {
    let linear = matches!(tensor.role, Role::Mixer | Role::FeedForward | Role::SharedExpert)
        && tensor.is_linear_weight()
        && tensor.shape.len() == 2;
    let (Some(out), Some(inputs)) = (tensor.shape.first(), tensor.shape.get(1)) else {
        return Vec::new();
    };
    if !linear || !adapter.targets.has(projection(&tensor.name)) {
        return Vec::new();
    }
    let make = |suffix: &str, shape: [u64; 2]| Tensor {
        copies: tensor.copies,
        ..Tensor::new(
            format!("{}.{suffix}", tensor.name),
            &shape,
            tensor.role,
            Split::Replicated,
        )
    };
    vec![
        make("lora_A", [adapter.rank, *inputs]),
        make("lora_B", [*out, adapter.rank]),
    ]
}

/// The place of a linear layer in its block, by the name that the reference class gives it.
fn projection(name: &str) -> Projection {
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    if has(&["qkv", "query_key_value", "c_attn", "Wqkv"]) {
        Projection::QueryKeyValue
    } else if has(&["q_proj", "q_a_proj", "q_b_proj"]) {
        Projection::Query
    } else if has(&["k_proj", "kv_a_proj", "kv_b_proj"]) {
        Projection::Key
    } else if has(&["v_proj"]) {
        Projection::Value
    } else if has(&[
        "gate_up_proj",
        "up_proj",
        "c_fc",
        "fc1",
        "dense_h_to_4h",
        "fc_in",
        "w3",
    ]) {
        Projection::Up
    } else if has(&["gate_proj", "w1"]) {
        Projection::Gate
    } else if has(&["down_proj", "mlp.c_proj", "fc2", "dense_4h_to_h", "fc_out", "w2"]) {
        Projection::Down
    } else if has(&["o_proj", "out_proj", "dense", "c_proj"]) {
        Projection::Output
    } else {
        Projection::Other
    }
}
