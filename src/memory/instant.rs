//! Instants of a training step, or of a generation, at which the peak can lie. A peak is the maximum over instants, never a sum.

use serde::Serialize;

/// A named instant, in the order of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum InstantId {
    /// Weights are on the device, nothing else.
    Load,
    /// Between two steps: gradients freed, optimizer states kept.
    Rest,
    /// The vision tower runs forward, before the layers.
    TowerForward,
    /// The root's weights are copied out of their all-gather and the first layer's are gathered.
    ForwardStart,
    /// All layers have run forward; the head has not.
    ForwardEnd,
    /// The loss is being computed from the logits.
    LossForward,
    /// The reference of preference training runs through its layers, where it gathers weights of its own.
    ReferenceLayers,
    /// The reference of preference training computes its log-probabilities.
    ReferenceForward,
    /// The root's weights are gathered anew, before anything else of backward.
    BackwardStart,
    /// The gradient of the logits is being computed.
    LossBackward,
    /// The head's weight gradient is being computed.
    HeadBackward,
    /// Backward of the last layer.
    BackwardLast,
    /// Backward of the layer at which the backward pass is tightest, where that is neither the last nor the first.
    BackwardTightest,
    /// Backward of the first layer.
    BackwardFirst,
    /// Backward of the vision tower, at its tightest.
    TowerBackward,
    /// Backward of the embedding, and the last reduction of gradients.
    BackwardEnd,
    /// Gradient clipping.
    Clip,
    /// The optimizer's step (second and later: its states exist).
    OptimizerStep,
    /// Inference: the attention of the layer in which the prompt's pass is tightest.
    PrefillAttention,
    /// Inference: the feed-forward of that layer.
    PrefillFeedForward,
    /// Inference: the head and the choice of the first token.
    PrefillHead,
    /// Inference: a layer of the last step of the answer.
    DecodeLayer,
    /// Inference: the head and the choice of the last token.
    DecodeHead,
    /// Evaluation between steps: the layer in which the pass over the batch is tightest.
    EvaluationForward,
    /// Evaluation between steps: the loss over all positions.
    EvaluationLoss,
    /// Evaluation between steps: answers are generated.
    EvaluationGeneration,
    /// A checkpoint is being saved.
    CheckpointSave,
}

impl InstantId {
    /// Every instant in the order of time.
    pub const ALL: [Self; 27] = [
        Self::Load,
        Self::Rest,
        Self::TowerForward,
        Self::ForwardStart,
        Self::ForwardEnd,
        Self::LossForward,
        Self::ReferenceLayers,
        Self::ReferenceForward,
        Self::BackwardStart,
        Self::LossBackward,
        Self::HeadBackward,
        Self::BackwardLast,
        Self::BackwardTightest,
        Self::BackwardFirst,
        Self::TowerBackward,
        Self::BackwardEnd,
        Self::Clip,
        Self::OptimizerStep,
        Self::PrefillAttention,
        Self::PrefillFeedForward,
        Self::PrefillHead,
        Self::DecodeLayer,
        Self::DecodeHead,
        Self::EvaluationForward,
        Self::EvaluationLoss,
        Self::EvaluationGeneration,
        Self::CheckpointSave,
    ];

    /// Its place in [`Self::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The key used in JSON.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Rest => "rest",
            Self::TowerForward => "tower_forward",
            Self::ForwardStart => "forward_start",
            Self::ForwardEnd => "forward_end",
            Self::LossForward => "loss_forward",
            Self::ReferenceLayers => "reference_layers",
            Self::ReferenceForward => "reference_forward",
            Self::BackwardStart => "backward_start",
            Self::LossBackward => "loss_backward",
            Self::HeadBackward => "head_backward",
            Self::BackwardLast => "backward_last",
            Self::BackwardTightest => "backward_tightest",
            Self::BackwardFirst => "backward_first",
            Self::TowerBackward => "tower_backward",
            Self::BackwardEnd => "backward_end",
            Self::Clip => "clip",
            Self::OptimizerStep => "optimizer_step",
            Self::PrefillAttention => "prefill_attention",
            Self::PrefillFeedForward => "prefill_feed_forward",
            Self::PrefillHead => "prefill_head",
            Self::DecodeLayer => "decode_layer",
            Self::DecodeHead => "decode_head",
            Self::EvaluationForward => "evaluation_forward",
            Self::EvaluationLoss => "evaluation_loss",
            Self::EvaluationGeneration => "evaluation_generation",
            Self::CheckpointSave => "checkpoint_save",
        }
    }
}

/// An instant with a label that names the layer where there is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Instant {
    /// Which instant.
    pub id: InstantId,
    /// For a person: "backward of layer 31 of 32".
    pub label: String,
}
