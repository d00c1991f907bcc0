//! Plans of tensor parallelism: which matrices of a family are divided among the ranks, and whether what they make is
//! gathered at once.
//!
//! Read in transformers 5.23 (`base_model_tp_plan` in models/*/configuration_*.py, `_tp_plan` of the heads,
//! distributed/mixin.py, which adds the embedding; styles in distributed/tensor_parallel.py) and in torchtitan
//! (models/llama3/parallelize.py, `apply_tp`).

use crate::model::{Dense, FeedForward, Mixer, Network, NormKind, QkNorm, Residual};

/// Whose plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanKind {
    /// The plan of the family in transformers (`tp_plan="auto"`).
    Transformers,
    /// torchtitan's plan by torch's `parallelize_module`.
    Torch,
}

/// How a group of linear layers is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Not at all: every rank computes all of it.
    Whole,
    /// The first by columns, the last by rows (`colwise`, `rowwise`): what lies between them is divided.
    Divided,
    /// Stored divided, what the first makes is gathered and cut again before the last (`colwise_gather_output`,
    /// `rowwise_split_input`): what lies between them is whole.
    Gathered,
}

/// A plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Whose.
    pub kind: PlanKind,
    /// Projections of attention.
    pub attention: Way,
    /// Dense feed-forwards.
    pub dense: Way,
    /// Routed experts, each of which is divided.
    pub experts: Way,
    /// Shared experts.
    pub shared: Way,
    /// The token embedding, by rows.
    pub embedding: Way,
    /// The head, by columns.
    pub head: Way,
}

/// Why there is no plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unplanned {
    /// The class has none, and transformers refuses it.
    Refused,
    /// Its plan is not among those that were read.
    Unread,
    /// torchtitan's plan names modules that the layers do not have.
    Misses,
}

impl Plan {
    const fn transformers(attention: Way, dense: Way) -> Self {
        Self {
            kind: PlanKind::Transformers,
            attention,
            dense,
            experts: Way::Divided,
            shared: Way::Divided,
            embedding: Way::Divided,
            head: Way::Divided,
        }
    }

    /// The plan for a network.
    ///
    /// # Errors
    ///
    /// Where the family has none, or none that was read.
    pub fn of(kind: PlanKind, network: &Network) -> Result<Self, Unplanned> {
        match kind {
            PlanKind::Transformers => by_family(&network.model_type),
            PlanKind::Torch if network.kinds.iter().all(named) => Ok(Self {
                kind,
                experts: Way::Whole,
                shared: Way::Whole,
                ..Self::transformers(Way::Divided, Way::Divided)
            }),
            PlanKind::Torch => Err(Unplanned::Misses),
        }
    }
}

/// The plan of a `model_type` in transformers 5.23.
fn by_family(model_type: &str) -> Result<Plan, Unplanned> {
    use Way::{Divided, Gathered, Whole};
    let plan = Plan::transformers;
    Ok(match model_type {
        "custom" | "llama" | "mistral" | "ministral" | "ministral3" | "qwen2" | "qwen3" | "gemma"
        | "gemma2" | "gemma3_text" | "cohere" | "cohere2" | "granite" | "helium" | "internlm3" | "olmo"
        | "seed_oss" | "smollm3" | "vaultgemma" | "cwm" | "ernie4_5" | "exaone4" | "arcee" | "jais2"
        | "nemotron" | "apertus" | "phi" | "starcoder2" | "qwen3_moe" | "mixtral" | "glm4_moe" | "dots1"
        | "ernie4_5_moe" | "deepseek_v2" => plan(Divided, Divided),
        "glm" | "glm4" => plan(Divided, Gathered),
        "phi3" => plan(Gathered, Gathered),
        "olmo2" | "olmo3" | "olmoe" | "flex_olmo" | "minimax_m2" => plan(Gathered, Divided),
        "deepseek_v3" => plan(Whole, Divided),
        "hunyuan_v1_moe" | "phimoe" | "granitemoe" => Plan {
            shared: Whole,
            ..plan(Whole, Whole)
        },
        "qwen2_moe" => Plan {
            shared: Whole,
            ..plan(Divided, Divided)
        },
        // The embedding of this class is not called `embed_tokens`, and its plan does not name it.
        "gpt_neox" => Plan {
            embedding: Whole,
            ..plan(Divided, Divided)
        },
        "gpt2" | "gpt_bigcode" | "gptj" | "gpt_neo" | "falcon" | "bloom" | "opt" | "mpt" | "codegen"
        | "persimmon" | "stablelm" | "bitnet" | "diffllama" | "dbrx" | "hunyuan_v1_dense" | "lfm2"
        | "bamba" | "falcon_h1" | "zamba2" | "mamba" | "mamba2" | "gpt_oss" => {
            return Err(Unplanned::Refused);
        }
        _ => return Err(Unplanned::Unread),
    })
}

/// Whether a layer is what torchtitan's plan for Llama names: two RMSNorms, attention with separate projections, a gated
/// feed-forward with three matrices.
fn named(layer: &crate::model::Layer) -> bool {
    let attention = matches!(
        &layer.mixer,
        Mixer::Attention(attention)
            if !attention.fused_qkv
                && !attention.shared_kv
                && !attention.output_gate
                && !attention.sinks
                && !matches!(attention.qk_norm, QkNorm::AllHeads(_))
    );
    let dense = matches!(
        &layer.feed_forward,
        FeedForward::Dense(Dense {
            gated: true,
            fused_gate_up: false,
            ..
        })
    );
    let norms = layer.norms.len() == 2 && layer.norms.iter().all(|norm| norm.kind == NormKind::Rms);
    attention && dense && norms && layer.residual == Residual::Sequential
}
