//! The weights of one part of the network (a kind of layer, the embedding, the head, the towers) by how they are stored and
//! whether they train: plain, quantised, adapters.
//!
//! Formats were read in bitsandbytes (functional.py, nn/modules.py), AutoGPTQ (nn_modules/qlinear) and PEFT
//! (tuners/lora/layer.py).

use super::job::{Adapter, BaseFormat, Modules, Projection, Widened};
use super::plan::StateTypes;
use super::sheet::{Held, Item, Sheet};
use super::states::{Kind, Piece};
use super::{Engine, TrainingJob};
use crate::cite::{Citation, Evidence};
use crate::memory::allocator::block;
use crate::memory::{Group, Symbol};
use crate::model::{Role, Split, Tensor};
use crate::units::{Bytes, Count, DType};

/// The weights of a part.
#[derive(Clone, Debug)]
pub struct Part {
    /// Weights stored in the type of the arithmetic.
    pub plain: Piece,
    /// What gets gradients and optimizer states: the plain weights, or the adapters.
    pub trained: Piece,
    /// Type of what trains.
    pub dtype: DType,
    /// Whether what trains is whole on every rank although the frozen weights are sharded.
    pub whole: bool,
    /// Whether it lies outside the blocks, where whole modules train instead of adapters.
    outside_blocks: bool,
    /// Norms that are fp32 beside plain weights of another type.
    norms: Piece,
    /// Frozen matrices stored in few bits.
    quantised: Vec<Quantised>,
}

impl Default for Part {
    fn default() -> Self {
        Self {
            plain: Piece::default(),
            trained: Piece::default(),
            dtype: DType::Fp32,
            whole: false,
            outside_blocks: false,
            norms: Piece::default(),
            quantised: Vec::new(),
        }
    }
}

/// A matrix stored in few bits.
#[derive(Clone, Copy, Debug)]
struct Quantised {
    weights: u64,
    inputs: u64,
    outputs: u64,
}

/// Whether quantised matrices are buffers of their modules, which neither FSDP2 nor ZeRO stage 3 divides: GPTQ's and AWQ's are
/// (gptqmodel nn_modules/qlinear: register_buffer of qweight, qzeros, scales and g_idx). Under FSDP1 they are parameters, as
/// the runs behind it made them (foundation-model-stack/fms-acceleration, framework of accelerated-peft-gptq).
const fn buffers(job: &TrainingJob) -> bool {
    let Some(adapter) = job.adapter else {
        return false;
    };
    let packed = matches!(adapter.base, BaseFormat::Gptq { .. } | BaseFormat::Awq { .. });
    packed && !matches!(job.engine, Engine::Fsdp1 { .. })
}

const WEIGHTS: Kind = Kind {
    id: "weights",
    label: "weights",
    group: Group::ModelParams,
    sharded: true,
};
const NORMS: Kind = Kind {
    id: "weights.norms",
    label: "norms in fp32",
    group: Group::ModelParams,
    sharded: true,
};
const MODULES: Kind = Kind {
    id: "weights.modules",
    label: "trained copies of whole modules",
    group: Group::ModelParams,
    sharded: true,
};
const REFERENCE: Kind = Kind {
    id: "weights.reference",
    label: "weights of the reference model",
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
        let before = job.tensor.map_or(1, |tensor| tensor.division.ranks);
        let piece = |tensors: &[&Tensor]| match job.engine {
            Engine::Fsdp1 { original, .. } => {
                let flat = Piece::flat(tensors.iter().copied(), shards);
                if original {
                    flat.with_views(tensors.iter().copied())
                } else {
                    flat
                }
            }
            Engine::Single
            | Engine::Ddp { .. }
            | Engine::DeepSpeed(_)
            | Engine::Fsdp2 { .. }
            | Engine::Megatron(_) => of_experts(job, tensors, shards).unwrap_or_else(|| {
                Piece::new(tensors.iter().copied(), shards)
                    .cut_before(before)
                    .on_rank(tensors.iter().copied(), (shards, job.rank))
            }),
        };
        let tensors: Vec<&Tensor> = tensors.collect();
        let types = StateTypes::of(job);
        let Some(adapter) = job.adapter else {
            let plain = piece(&tensors);
            return Self {
                trained: plain.clone(),
                plain,
                dtype: types.trained,
                whole: false,
                outside_blocks: !blocks,
                norms: Piece::default(),
                quantised: Vec::new(),
            };
        };
        let low = |tensor: &Tensor| {
            let expert = matches!(tensor.role, Role::RoutedExpert | Role::Router);
            let stored = blocks && adapter.base.is_quantised() && tensor.is_linear_weight();
            stored && (adapter.quantised_experts || !expert)
        };
        let (matrices, rest): (Vec<&Tensor>, Vec<&Tensor>) = tensors.iter().partition(|tensor| low(tensor));
        let widened = adapter.widened == Widened::Norms;
        let (norms, rest): (Vec<&Tensor>, Vec<&Tensor>) = rest
            .iter()
            .partition(|tensor| widened && tensor.role == Role::Norm);
        let trained: Vec<Tensor> = tensors
            .iter()
            .flat_map(|tensor| {
                if blocks {
                    adapters(tensor, adapter)
                } else {
                    copies(tensor, adapter.modules, job.network.head.tied)
                }
            })
            .collect();
        let whole = blocks && job.adapters_outside();
        Self {
            plain: piece(&rest),
            trained: if whole {
                Piece::new(&trained, 1)
            } else {
                piece(&trained.iter().collect::<Vec<_>>())
            },
            whole,
            dtype: match (blocks, adapter.widened) {
                (true, _) if whole => job.precision.compute(),
                (true, _) => adapter.dtype,
                (false, Widened::Everything) => DType::Fp32,
                (false, _) => types.stored,
            },
            outside_blocks: !blocks,
            norms: piece(&norms),
            quantised: matrices.iter().map(|tensor| quantised(tensor)).collect(),
        }
    }

    /// Of frozen towers, which have no adapters. bitsandbytes replaces every linear layer of a model but its head, those of towers
    /// too (transformers 5.23 quantizers/base.py, `get_modules_to_not_convert`; integrations/bitsandbytes.py); published
    /// files in GPTQ and AWQ leave towers as they are.
    pub fn tower<'a>(job: &TrainingJob, tensors: impl Iterator<Item = &'a Tensor>, shards: u64) -> Self {
        let base = job.adapter.map_or(BaseFormat::Plain, |adapter| adapter.base);
        let replaced = matches!(base, BaseFormat::Nf4 { .. } | BaseFormat::Int8);
        let linear = |tensor: &Tensor| {
            let weight = tensor.name.ends_with(".weight") && !tensor.name.contains("embed");
            replaced && weight && tensor.shape.len() == 2
        };
        let (matrices, rest): (Vec<&Tensor>, Vec<&Tensor>) = tensors.partition(|tensor| linear(tensor));
        Self {
            quantised: matrices.iter().map(|tensor| quantised(tensor)).collect(),
            ..Self::new(job, rest.into_iter(), false, shards)
        }
    }

    /// Ranks among which what trains is shared, where frozen weights are shared among so many.
    pub const fn among(&self, shards: u64) -> u64 {
        if self.whole { 1 } else { shards }
    }

    /// Registers its weights as they are stored, and those of the reference model where it is a copy.
    pub fn weights(
        &self,
        job: &TrainingJob,
        (stored, shards): (DType, u64),
        place: &str,
        sheet: &mut Sheet,
    ) -> Held {
        let Some(adapter) = job.adapter else {
            let mut held = vec![(sheet.item(self.plain.item(WEIGHTS, stored, shards), place), 1)];
            if job.reference_weights() {
                held.push((sheet.item(self.plain.item(REFERENCE, stored, shards), place), 1));
            }
            return held;
        };
        let plain = if adapter.widened == Widened::Everything {
            DType::Fp32
        } else {
            stored
        };
        let mut held = vec![(sheet.item(self.plain.item(WEIGHTS, plain, shards), place), 1)];
        if adapter.widened == Widened::Norms {
            held.push((sheet.item(self.norms.item(NORMS, DType::Fp32, shards), place), 1));
        }
        let kind = if self.outside_blocks { MODULES } else { ADAPTERS };
        let adapters = self.trained.item(kind, self.dtype, self.among(shards));
        held.push((sheet.item(adapters, place), 1));
        if !self.quantised.is_empty() {
            let shards = if buffers(job) { 1 } else { shards };
            held.push((sheet.item(self.quantised_item(adapter.base, shards), place), 1));
        }
        held
    }

    /// Registers what is frozen as DeepSpeed holds it, whole on every rank: all that is not stored in few bits in the type of
    /// the arithmetic (runtime/engine.py, `_configure_distributed_model`: the module is cast).
    pub fn frozen(&self, base: BaseFormat, low: DType, place: &str, sheet: &mut Sheet) -> Held {
        let mut held = vec![
            (sheet.item(self.plain.item(WEIGHTS, low, 1), place), 1),
            (sheet.item(self.norms.item(NORMS, low, 1), place), 1),
        ];
        if !self.quantised.is_empty() {
            held.push((sheet.item(self.quantised_item(base, 1), place), 1));
        }
        held
    }

    /// Packed matrices as a flat parameter of FSDP1 gathers them, without their scales, which are whole on every rank.
    pub fn packed_item(&self, job: &TrainingJob) -> Option<Item> {
        let base = job
            .adapter
            .filter(|_| !buffers(job))
            .map(|adapter| adapter.base)?;
        let terms: Vec<Bytes> = self.quantised.iter().map(|matrix| matrix.packed(base)).collect();
        (!terms.is_empty()).then(|| Item {
            id: "fsdp.gathered_packed",
            label: "gathered packed weights",
            group: Group::ModelParams,
            dtype: Some(DType::Int4),
            unit: terms.iter().copied().sum(),
            formula: "Σ n·b/8 over the matrices",
            symbols: vec![
                Symbol {
                    name: "n",
                    meaning: "weights, and zeros of their groups",
                    value: self.quantised.iter().map(|matrix| matrix.weights).sum(),
                },
                Symbol {
                    name: "b",
                    meaning: "bits per weight",
                    value: base.bits(),
                },
            ],
            terms,
            citation: Citation::new(
                Evidence::Source,
                "bitsandbytes nn/modules.py (bnb_4bit_quant_storage); torch distributed/fsdp/_flat_param.py",
            ),
        })
    }

    /// Elements of the packed matrices as they are stored: 16 bits each, in the type of the arithmetic
    /// (`bnb_4bit_quant_storage`), which is what divides and gathers them like other weights.
    pub fn packed_elements(&self, job: &TrainingJob) -> u64 {
        let Some(base) = job.adapter.filter(|_| !buffers(job)).map(|adapter| adapter.base) else {
            return 0;
        };
        self.quantised
            .iter()
            .map(|matrix| matrix.packed(base).get() / 2)
            .sum()
    }

    /// Elements of the packed matrices that have at most so many.
    pub fn small_packed(&self, job: &TrainingJob, threshold: u64) -> u64 {
        let Some(base) = job.adapter.filter(|_| !buffers(job)).map(|adapter| adapter.base) else {
            return 0;
        };
        let sizes = self.quantised.iter().map(|matrix| matrix.packed(base).get() / 2);
        sizes.filter(|elements| *elements <= threshold).sum()
    }

    /// The scales of packed matrices, which are no parameters and stay whole on every rank; all of matrices that are buffers.
    pub fn scales(&self, (job, base): (&TrainingJob, BaseFormat), place: &str, sheet: &mut Sheet) -> Held {
        if buffers(job) && !self.quantised.is_empty() {
            return vec![(sheet.item(self.quantised_item(base, 1), place), 1)];
        }
        let scales = |matrix: &Quantised| {
            let all = matrix.bytes(base, 1);
            all.saturating_sub(block(matrix.packed(base)))
        };
        let terms: Vec<Bytes> = self.quantised.iter().map(scales).collect();
        if terms.is_empty() {
            return Held::new();
        }
        let item = Item {
            id: "weights.scales",
            label: "scales of quantised weights",
            unit: terms.iter().copied().sum(),
            formula: match base {
                BaseFormat::Nf4 { double: true } => "Σ n/64 + 4·n/16384 over the matrices",
                _ => "Σ 4·n/64 over the matrices",
            },
            dtype: None,
            terms,
            ..self.quantised_item(base, 1)
        };
        vec![(sheet.item(item, place), 1)]
    }

    fn quantised_item(&self, base: BaseFormat, shards: u64) -> Item {
        let bytes = |matrix: &Quantised| matrix.bytes(base, shards);
        let terms: Vec<Bytes> = self.quantised.iter().map(bytes).collect();
        Item {
            id: "weights.quantised",
            label: "quantised weights with their scales",
            group: Group::ModelParams,
            dtype: Some(match base {
                BaseFormat::Int8 | BaseFormat::Gptq { bits: 8, .. } => DType::Int8,
                _ => DType::Int4,
            }),
            unit: terms.iter().copied().sum(),
            formula: match base {
                BaseFormat::Nf4 { double: true } => "Σ n/2/N + n/64 + 4·n/16384 over the matrices",
                BaseFormat::Nf4 { double: false } => "Σ n/2/N + 4·n/64 over the matrices",
                BaseFormat::Int8 => "Σ n/N + 4·out over the matrices",
                BaseFormat::Gptq { bits: 8, .. } => {
                    "Σ (n + n/g)/N + 2·n/g + 4·in over the matrices, g weights to a group"
                }
                BaseFormat::Gptq { .. } => {
                    "Σ (n/2 + n/g/2)/N + 2·n/g + 4·in over the matrices, g weights to a group"
                }
                BaseFormat::Awq { .. } => "Σ (n/2 + n/g/2)/N + 2·n/g over the matrices, g weights to a group",
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

/// Tensors of which those of routed experts are dealt out to expert ranks first: what is gathered of them is a rank's part, and
/// they are divided among the ranks that hold the same part (pytorch/torchtitan distributed/parallel_dims.py: the mesh of
/// their shards is that of all shards over the expert ranks).
fn of_experts(job: &TrainingJob, tensors: &[&Tensor], shards: u64) -> Option<Piece> {
    let ranks = job.composed.expert;
    let routed = |tensor: &&&Tensor| tensor.role == Role::RoutedExpert;
    if ranks <= 1 || !tensors.iter().any(|tensor| routed(&tensor)) {
        return None;
    }
    let own: Vec<Tensor> = tensors
        .iter()
        .filter(routed)
        .map(|tensor| {
            let mut own = (**tensor).clone();
            match own.shape.first_mut() {
                Some(experts) if own.copies == 1 => *experts = experts.div_ceil(ranks),
                _ => own.copies = own.copies.div_ceil(ranks),
            }
            own
        })
        .collect();
    let others = tensors.iter().filter(|tensor| !routed(tensor)).copied();
    let experts = Piece::new(&own, (shards / ranks).max(1));
    Some(Piece::new(others, shards).and(experts))
}

impl Quantised {
    /// Packed weights of all ranks, with the zeros of their groups.
    fn packed(self, base: BaseFormat) -> Bytes {
        let zeros = match base {
            BaseFormat::Gptq { group, .. } | BaseFormat::Awq { group } => {
                self.weights.checked_div(group).unwrap_or(self.outputs)
            }
            BaseFormat::Plain | BaseFormat::Nf4 { .. } | BaseFormat::Int8 => 0,
        };
        let values = self.weights.saturating_add(zeros);
        Bytes::new(values.saturating_mul(base.bits()).div_ceil(8))
    }

    /// Packed weights and zeros of groups, divided among the ranks, and their fp16 scales.
    fn grouped(self, bits: u64, group: u64, shards: u64) -> Bytes {
        let weights = self.weights;
        let groups = weights.checked_div(group).unwrap_or(self.outputs);
        let packed = |values: u64| values.saturating_mul(bits).div_ceil(8);
        let divided = packed(weights)
            .saturating_add(packed(groups))
            .div_ceil(shards.max(1));
        block(Bytes::new(divided)) + block(Bytes::new(groups.saturating_mul(2)))
    }

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
            BaseFormat::Int8 => whole(n.div_ceil(shards.max(1))) + whole(self.outputs.saturating_mul(4)),
            BaseFormat::Gptq { bits, group } => {
                self.grouped(u64::from(bits), group, shards) + whole(self.inputs.saturating_mul(4))
            }
            BaseFormat::Awq { group } => self.grouped(4, group, shards),
        }
    }
}

fn quantised(tensor: &Tensor) -> Quantised {
    let rows = tensor.shape.iter().rev().skip(1).product::<u64>();
    Quantised {
        outputs: rows.saturating_mul(tensor.copies),
        weights: tensor.elements().get(),
        inputs: tensor.shape.last().copied().unwrap_or(0),
    }
}

/// The two matrices beside a linear layer that the adapter targets: rank × in and out × rank, and with DoRA the lengths of
/// the rows. Experts and routers are no
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
    let make = |suffix: &str, shape: &[u64]| Tensor {
        copies: tensor.copies,
        ..Tensor::new(
            format!("{}.{suffix}", tensor.name),
            shape,
            tensor.role,
            Split::Replicated,
        )
    };
    let mut made = vec![
        make("lora_A", &[adapter.rank, *inputs]),
        make("lora_B", &[*out, adapter.rank]),
    ];
    if adapter.decomposed {
        made.push(make("lora_magnitude_vector", &[*out]));
    }
    made
}

/// The copies of a tensor outside the blocks that train (PEFT, utils/other.py, `ModulesToSaveWrapper`): a tied embedding is
/// copied once as the embedding and once as the head.
fn copies(tensor: &Tensor, modules: Modules, tied: bool) -> Vec<Tensor> {
    let times = match tensor.role {
        Role::Embedding => usize::from(modules.embedding) + usize::from(tied && modules.head),
        Role::Head => usize::from(modules.head),
        _ => 0,
    };
    vec![tensor.clone(); times]
}

/// The place of a linear layer in its block, by the name that the reference class gives it.
pub fn projection(name: &str) -> Projection {
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

/// Parameters that train: all of the network, or the adapters with the copies of whole modules.
pub fn trained_parameters(job: &TrainingJob) -> Count {
    let network = &job.network;
    let Some(adapter) = job.adapter else {
        return network.total_parameters();
    };
    let sum = |tensors: Vec<Tensor>| -> Count { tensors.iter().map(Tensor::elements).sum() };
    let layers: Count = network
        .layers()
        .flat_map(|layer| &layer.tensors)
        .map(|tensor| sum(adapters(tensor, adapter)))
        .sum();
    let ends: Count = network
        .input_tensors
        .iter()
        .chain(&network.output_tensors)
        .map(|tensor| sum(copies(tensor, adapter.modules, network.head.tied)))
        .sum();
    layers + ends
}
