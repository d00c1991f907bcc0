//! Tensor parallelism of PyTorch's engines: the plan, what it can be combined with, and what must divide what.

use std::sync::Arc;

use serde_json::Value;

use super::super::given::Given;
use super::{EngineChoice, Mesh, Model, Report, Step};
use crate::model::{Dense, FeedForward, Mixer, Network, Role, Split, Tensor};
use crate::parallel::{Division, Plan, PlanKind, Unplanned, Way};
use crate::request::{EngineId, InputId};
use crate::training::{Adapter, Engine, FusedKernels, LossKind, TensorParallel};
use crate::warn::Issue;

/// The network as the first rank computes it, with how it is divided.
pub struct Divided {
    /// The network of one rank.
    pub network: Arc<Network>,
    /// The network that was divided.
    pub whole: Arc<Network>,
    /// How it is divided.
    pub tensor: Option<TensorParallel>,
}

/// Divides the network where the mesh asks for it.
pub fn divide(
    given: &Given,
    engine: (EngineChoice, Engine),
    (mesh, model, sequence): (Mesh, &Model, u64),
    (step, adapter): (&Step, Option<Adapter>),
    report: &mut Report,
) -> Divided {
    let whole = Divided {
        network: model.network.clone(),
        whole: model.network.clone(),
        tensor: None,
    };
    let by_plan = [EngineId::PytorchDdp, EngineId::Fsdp, EngineId::Deepspeed];
    if mesh.tensor <= 1 || !by_plan.contains(&engine.0.id) {
        return whole;
    }
    refuse_engine(engine.1, report);
    if given.differs_from_default(InputId::Objective) {
        let objective = given.choice(InputId::Objective).unwrap_or_default();
        report.unproven(InputId::Objective, objective, "tensor parallelism");
        if given.toggle(InputId::LossParallel) == Some(true) {
            refuse(
                report,
                InputId::LossParallel,
                "Loss parallelism divides the cross entropy; log-probabilities of preferences are gathered from whole rows (torch 2.15 distributed/tensor/parallel/loss.py).",
                "Switch it off.",
            );
        }
    }
    let found = match engine.0.id {
        // DeepSpeed 0.19.8 takes the plan of the family in transformers where there is one (runtime/engine.py,
        // `_apply_autotp_partitioning`).
        EngineId::Deepspeed => {
            let size = mesh.tensor.to_string();
            if model.network.head.tied {
                report.unproven(InputId::TensorParallelSize, &size, "a tied head under DeepSpeed");
            }
            if given.integer(InputId::ZeroStage) == Some(3) {
                report.unproven(InputId::TensorParallelSize, &size, "engine.zero_stage=3");
            }
            Some((PlanKind::Transformers, false, false))
        }
        _ => kind(given, report),
    };
    let Some((kind, sequence_parallel, loss)) = found else {
        return whole;
    };
    refuse_step(kind, (sequence_parallel, loss), (step, adapter), report);
    if kind == PlanKind::Transformers && engine.0.transformers < (5, 0) {
        let version = format!("{}.{}", engine.0.transformers.0, engine.0.transformers.1);
        report.unproven(InputId::TransformersVersion, &version, "tensor parallelism");
    }
    let network = match kind {
        PlanKind::Torch => untied(&model.network, report),
        PlanKind::Transformers => model.network.clone(),
    };
    let plan = match Plan::of(kind, &network) {
        Ok(plan) if engine.0.id == EngineId::Deepspeed => converted(plan, &network, report),
        Ok(plan) => plan,
        Err(why) => {
            report.add(unplanned(why, &network.model_type));
            return whole;
        }
    };
    let division = Division {
        plan,
        ranks: mesh.tensor,
        rank: 0,
    };
    divisible(division, &network, sequence_parallel.then_some(sequence), report);
    Divided {
        network: Arc::new(division.local(&network)),
        whole: network,
        tensor: Some(TensorParallel {
            division,
            sequence: sequence_parallel,
            loss,
        }),
    }
}

/// The plan of transformers as DeepSpeed takes it: a token embedding of its own stays whole, and styles that it does not know
/// invalidate the plan (DeepSpeed 0.19.8 module_inject/tp_plan_converter.py, `SUPPORTED_STYLES`, `TPPlanConverter.convert`). A
/// tied one is divided with the head (auto_tp.py, `_create_vocab_parallel_layer`).
fn converted(plan: Plan, network: &Network, report: &mut Report) -> Plan {
    let experts = network
        .layers()
        .any(|layer| matches!(layer.feed_forward, FeedForward::Moe(_)));
    if experts {
        // They are divided where the configuration writes its own partition_config.
        report.unproven(InputId::TensorParallelSize, "above 1", "experts under DeepSpeed");
    }
    if plan.attention == Way::Gathered || plan.dense == Way::Gathered {
        refuse(
            report,
            InputId::TensorParallelSize,
            "transformers' plan of this model has styles that DeepSpeed does not know (outputs that are gathered and cut again), for which it rejects the whole plan.",
            "Write tensor_parallel.partition_config yourself, or take FSDP2 with tensor parallelism.",
        );
    }
    match network.head.tied {
        true => plan,
        false => Plan {
            embedding: Way::Whole,
            ..plan
        },
    }
}

fn refuse(report: &mut Report, id: InputId, message: &str, hint: &str) {
    report.add(Issue::error("unsupported_combination", id.key(), message).with_hint(hint));
}

/// DTensors go with FSDP2 or alone.
fn refuse_engine(engine: Engine, report: &mut Report) {
    match engine {
        Engine::Ddp { .. } => refuse(
            report,
            InputId::TensorParallelSize,
            "DDP's buckets hold plain tensors: tensor parallelism is answered alone or with FSDP2.",
            "Take the engine fsdp, or as many GPUs as the tensor parallel size.",
        ),
        Engine::Fsdp1 { .. } => refuse(
            report,
            InputId::TensorParallelSize,
            "FSDP1 flattens parameters, so the shards of tensor parallelism are lost in them.",
            "Take FSDP version 2.",
        ),
        _ => {}
    }
}

/// The plan, whether the sequence is divided, and whether the loss is.
fn kind(given: &Given, report: &mut Report) -> Option<(PlanKind, bool, bool)> {
    let on = |id| given.toggle(id).unwrap_or(false);
    let (sequence, loss) = (on(InputId::SequenceParallel), on(InputId::LossParallel));
    let kind = match given.choice(InputId::TensorParallelPlan) {
        Some("torch") => PlanKind::Torch,
        Some(_) => PlanKind::Transformers,
        None => {
            let (word, kind) = if sequence || loss {
                ("torch", PlanKind::Torch)
            } else {
                ("transformers", PlanKind::Transformers)
            };
            report.assume(
                InputId::TensorParallelPlan,
                Value::from(word),
                "by sequence and loss parallelism",
            );
            kind
        }
    };
    let divided = [
        (InputId::SequenceParallel, sequence),
        (InputId::LossParallel, loss),
    ];
    for (id, on) in divided {
        if on && kind == PlanKind::Transformers {
            refuse(
                report,
                id,
                "The plans of transformers keep hidden states whole and gather the logits.",
                "Take torchtitan's plan, or switch it off.",
            );
            return None;
        }
    }
    Some((kind, sequence, loss))
}

/// What the plans have no place for, or what was not derived with them.
fn refuse_step(
    kind: PlanKind,
    (sequence, loss): (bool, bool),
    (step, adapter): (&Step, Option<Adapter>),
    report: &mut Report,
) {
    match adapter {
        None => {}
        Some(_) if kind == PlanKind::Torch => refuse(
            report,
            InputId::Adapter,
            "torchtitan's plan names the model's own linear layers, not the adapters beside them.",
            "Take the plan of transformers, train all weights, or take no tensor parallelism.",
        ),
        Some(adapter) if adapter.decomposed || adapter.base.is_quantised() => refuse(
            report,
            InputId::Adapter,
            "PEFT divides the matrices of plain LoRA beside plain weights only (peft 0.21 tuners/lora/tp_layer.py).",
            "Take LoRA over a plain base, or no tensor parallelism.",
        ),
        Some(_) => report.unproven(InputId::Adapter, "lora", "tensor parallelism"),
    }
    match step.loss {
        LossKind::FusedLinear | LossKind::Chunked { .. } => refuse(
            report,
            InputId::Loss,
            "This loss multiplies with the head's whole matrix, which tensor parallelism divides.",
            "Take the plain loss.",
        ),
        LossKind::FusedInPlace if loss => refuse(
            report,
            InputId::Loss,
            "The in-place kernel wants all logits, which loss parallelism divides.",
            "Take the plain loss, or switch loss parallelism off.",
        ),
        LossKind::FusedInPlace | LossKind::Plain => {}
    }
    if sequence && kind == PlanKind::Torch && step.kernels != FusedKernels::None {
        refuse(
            report,
            InputId::FusedKernels,
            "Fused norm kernels take plain tensors; sequence parallelism makes DTensors of the norms' inputs.",
            "Take none, or switch sequence parallelism off.",
        );
    }
}

fn unplanned(why: Unplanned, model_type: &str) -> Issue {
    let (code, message) = match why {
        Unplanned::Refused => (
            "unsupported_combination",
            format!(
                "The class of {model_type} has no plan for tensor parallelism, and transformers refuses it."
            ),
        ),
        Unplanned::Unread => (
            "not_available_yet",
            format!("The plan of {model_type} in transformers is not among those that were read."),
        ),
        Unplanned::Misses => (
            "unsupported_combination",
            format!(
                "torchtitan's plan for Llama names two RMSNorms, separate projections and a dense gated feed-forward; layers of {model_type} are others."
            ),
        ),
    };
    Issue::error(code, InputId::TensorParallelPlan.key(), message)
        .with_hint("Take the other plan, or a tensor parallel size of 1.")
}

/// `parallelize_module` gives every module parameters of its own, so a tied head is tied no longer.
fn untied(network: &Arc<Network>, report: &mut Report) -> Arc<Network> {
    if !network.head.tied {
        return network.clone();
    }
    report.warn(
        "tie_is_lost",
        InputId::TensorParallelPlan,
        "Embedding and head are tied, but parallelize_module gives each a parameter of its own: both are counted.",
    );
    let mut own = (**network).clone();
    own.head.tied = false;
    let shape = [own.vocabulary, own.hidden_size];
    own.output_tensors
        .push(Tensor::new("lm_head.weight", &shape, Role::Head, Split::Axis(0)));
    Arc::new(own)
}

/// Heads must be whole on every rank; torch's own styles also want equal widths and tokens.
fn divisible(division: Division, network: &Network, sequence: Option<u64>, report: &mut Report) {
    let ranks = division.ranks;
    let mut first: Option<String> = None;
    let mut want = |count: u64, what: &str| {
        if !count.is_multiple_of(ranks) && first.is_none() {
            first = Some(format!("{count} {what} cannot be divided by {ranks}."));
        }
    };
    let torch = division.plan.kind == PlanKind::Torch;
    for layer in &network.kinds {
        match &layer.mixer {
            Mixer::Attention(attention) if division.plan.attention == Way::Divided => {
                want(attention.heads, "attention heads");
                want(
                    attention.kv_heads,
                    "key/value heads, which the plan divides and never copies,",
                );
            }
            Mixer::Latent(latent) if division.plan.attention == Way::Divided => {
                want(latent.heads, "attention heads");
            }
            _ => {}
        }
        if let FeedForward::Dense(Dense { width, .. }) = &layer.feed_forward
            && torch
        {
            want(*width, "columns of the feed-forward");
        }
    }
    if let Some(message) = first {
        report.error("not_divisible", InputId::TensorParallelSize, message);
    }
    if let Some(length) = sequence.filter(|length| !length.is_multiple_of(ranks)) {
        report.error(
            "not_divisible",
            InputId::SequenceParallel,
            format!("A sequence of {length} tokens cannot be divided by {ranks}."),
        );
    }
}
