//! Weights, main gradients, master weights and moments of a pipeline rank: contiguous buffers, allocated from the start. The
//! distributed optimizer divides what the step alone needs.
//!
//! Read in NVIDIA/Megatron-LM core/distributed/param_and_grad_buffer.py, core/optimizer/distrib_optimizer.py and
//! docs/user-guide/features/dist_optimizer.md.

use super::Megatron;
use super::share::Share;
use crate::cite::{Citation, Evidence};
use crate::memory::{Group, Symbol};
use crate::training::sheet::{Held, Item, Sheet};
use crate::training::{Optimizer, Precision, TrainingJob};
use crate::units::{Bytes, DType};

/// Bytes per parameter of what is kept.
#[derive(Clone, Copy, Debug)]
pub struct Recipe {
    /// Weights.
    pub weights: u64,
    /// Main gradients, from the start on.
    pub gradients: u64,
    /// fp32 master weights, where the weights are narrower.
    pub master: u64,
    /// fp32 copies of fp16 gradients, from the step of one iteration to the forward pass of the next.
    pub copies: u64,
    /// Moments.
    pub moments: u64,
}

impl Recipe {
    /// Of a job: 2 + 4 + 4 + 8 in bf16, 2 + 2 + 4 + 4 + 8 in fp16, 4 + 4 + 8 in fp32 (dist_optimizer.md).
    pub fn of(job: &TrainingJob) -> Self {
        let moments = match job.optimizer {
            Optimizer::Sgd { momentum: false } => 0,
            Optimizer::Sgd { momentum: true } => 4,
            _ => 8,
        };
        match job.precision {
            Precision::Pure(DType::Fp32) | Precision::Autocast(_) | Precision::ShardedMixed { .. } => Self {
                weights: 4,
                gradients: 4,
                master: 0,
                copies: 0,
                moments,
            },
            Precision::Pure(dtype) | Precision::Master(dtype) => {
                let narrow = dtype == DType::Fp16;
                Self {
                    weights: 2,
                    gradients: if narrow { 2 } else { 4 },
                    master: 4,
                    copies: if narrow { 4 } else { 0 },
                    moments,
                }
            }
        }
    }
}

/// Entries of the states.
pub struct States {
    /// What never goes away.
    pub always: Held,
    /// What the first step makes.
    pub optimizer: Held,
    /// fp32 copies of fp16 gradients.
    pub copies: Held,
    /// Workspaces of cuBLAS and Transformer Engine.
    pub workspaces: Held,
}

const SOURCE: Citation = Citation::new(
    Evidence::Source,
    "NVIDIA/Megatron-LM core/distributed/param_and_grad_buffer.py, core/optimizer/distrib_optimizer.py",
);

/// Ranks among which the optimizer's states of dense weights and of routed experts are divided.
pub const fn sharing(job: &TrainingJob, settings: &Megatron) -> (u64, u64) {
    if !settings.distributed_optimizer {
        return (1, 1);
    }
    let dense = job.data_parallel.saturating_mul(settings.context);
    let within = settings.expert.saturating_mul(settings.expert_tensor);
    let experts = dense.saturating_mul(settings.tensor) / if within == 0 { 1 } else { within };
    (dense, if experts == 0 { 1 } else { experts })
}

impl States {
    /// Registers them for parts of the model, each at its place.
    pub fn new(
        (job, settings): (&TrainingJob, &Megatron),
        parts: &[(&'static str, Share)],
        sheet: &mut Sheet,
    ) -> Self {
        let recipe = Recipe::of(job);
        let (dense_ranks, expert_ranks) = sharing(job, settings);
        let mut states = Self {
            always: Held::new(),
            optimizer: Held::new(),
            copies: Held::new(),
            workspaces: workspaces(job, settings, sheet),
        };
        for (place, share) in parts {
            for (elements, ranks, kind) in [
                (share.dense, dense_ranks, ""),
                (share.experts, expert_ranks, "routed experts of the "),
            ] {
                if elements == 0 {
                    continue;
                }
                let at = format!("{kind}{place}");
                let mut add = |held: &mut Held, what: &What, each: u64, among: u64| {
                    if each > 0 {
                        held.push((sheet.item(what.item(elements, each, among), &at), 1));
                    }
                };
                add(&mut states.always, &WEIGHTS, recipe.weights, 1);
                add(&mut states.always, &GRADIENTS, recipe.gradients, 1);
                add(&mut states.always, &MASTER, recipe.master, ranks);
                add(&mut states.optimizer, &MOMENTS, recipe.moments, ranks);
                add(&mut states.copies, &COPIES, recipe.copies, ranks);
            }
        }
        states
    }
}

struct What {
    id: &'static str,
    label: &'static str,
    group: Group,
}

const WEIGHTS: What = What {
    id: "weights",
    label: "weights",
    group: Group::ModelParams,
};
const GRADIENTS: What = What {
    id: "gradients",
    label: "main gradients",
    group: Group::Gradients,
};
const MASTER: What = What {
    id: "optimizer.master",
    label: "fp32 master weights",
    group: Group::OptimizerStates,
};
const MOMENTS: What = What {
    id: "optimizer.states",
    label: "moments",
    group: Group::OptimizerStates,
};
const COPIES: What = What {
    id: "gradients.fp32_copy",
    label: "fp32 copies of the gradients",
    group: Group::Gradients,
};

impl What {
    fn item(&self, elements: u64, each: u64, ranks: u64) -> Item {
        let bytes = each.saturating_mul(elements.div_ceil(ranks.max(1)));
        Item {
            id: self.id,
            label: self.label,
            group: self.group,
            dtype: None,
            // Views of contiguous buffers: what is rounded is the buffer alone.
            unit: Bytes::new(bytes),
            formula: "β·⌈P/D⌉",
            symbols: vec![
                Symbol::new("β", "bytes per parameter", each),
                Symbol::new("P", "parameters on the rank", elements),
                Symbol::new("D", "ranks that share them", ranks),
            ],
            terms: Vec::new(),
            citation: SOURCE,
        }
    }
}

/// Workspaces that stay: that of cuBLAS for the forward thread's handle and for autograd's (up to torch 2.14), in deterministic
/// mode as large as `CUBLAS_WORKSPACE_CONFIG=:4096:8` says; and Transformer Engine's, with four more for grouped products
/// (pytorch/cpp_extensions/gemm.py, `get_cublas_workspace_size_bytes` and `_NUM_MAX_UB_STREAMS`; module/base.py,
/// `get_multi_stream_cublas_workspace`).
pub fn workspaces(job: &TrainingJob, settings: &Megatron, sheet: &mut Sheet) -> Held {
    let modern = job.compute_capability >= super::saved::HOPPER;
    let mut held = Held::new();
    if job.torch_version < (2, 15) {
        let large = settings.deterministic || job.compute_capability == super::saved::HOPPER;
        let unit = if large { 33_554_432 } else { 8_519_680 };
        let item = workspace(
            ("cublas.workspace", "cuBLAS workspaces"),
            (unit, if large { "32 MiB" } else { "8,519,680" }),
            "pytorch aten/src/ATen/cuda/CublasHandlePool.cpp: 32 MiB on compute capability 9.0, else 4096:2:16:8; CUBLAS_WORKSPACE_CONFIG=:4096:8 is 32 MiB",
        );
        held.push((sheet.item(item, ""), 2));
    }
    let (unit, formula) = if modern {
        (33_554_432, "32 MiB")
    } else {
        (4_194_304, "4 MiB")
    };
    let item = workspace(
        ("transformer_engine.workspace", "workspaces of Transformer Engine"),
        (unit, formula),
        "NVIDIA/TransformerEngine transformer_engine/pytorch/module/base.py: 32 MiB from compute capability 9 on, else 4 MiB; one per stream of grouped products",
    );
    held.push((sheet.item(item, ""), if settings.grouped_experts { 5 } else { 1 }));
    held
}

fn workspace(
    (id, label): (&'static str, &'static str),
    (unit, formula): (u64, &'static str),
    source: &'static str,
) -> Item {
    Item {
        id,
        label,
        group: Group::Overhead,
        dtype: None,
        unit: Bytes::new(unit),
        formula,
        symbols: Vec::new(),
        terms: Vec::new(),
        citation: Citation::new(Evidence::Source, source),
    }
}
