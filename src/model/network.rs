//! A whole network: the distinct layers, their order, both ends, towers and next-token layers, with its counts.
//!
//! Equal layers are stored once (`kinds`) and referred to by `order`, so a network of 126 equal layers costs as much to
//! evaluate as one of a single layer.

use serde::Serialize;

use super::layer::{Layer, Mixer, Norm};
use super::tensor::{Role, Split, Tensor};
use super::vision::Vision;
use crate::units::Count;

/// Index of a distinct layer in [`Network::kinds`].
pub type LayerKind = usize;

/// The output projection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Head {
    /// Whether it is the embedding matrix.
    pub tied: bool,
    /// Whether the final logits are soft-capped (Gemma 2).
    pub softcap: bool,
}

/// A vision or audio tower with its projector.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Tower {
    /// What it is: "vision tower", "audio tower", "projector".
    pub name: String,
    /// Its weight tensors.
    pub tensors: Vec<Tensor>,
    /// How it computes, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vision: Option<Vision>,
}

/// An encoder, whose layers are the first of the network; the others are a decoder's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Encoder {
    /// Its layers.
    pub layers: u64,
    /// Tokens of a sequence of the decoder; those of the encoder are the training's sequence length.
    pub decoder_tokens: u64,
}

/// A network as the reference implementation of its family builds it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Network {
    /// `model_type` of the text stack; of the whole model where that has a tower whose tensors are not counted.
    pub model_type: String,
    /// Width of the residual stream.
    pub hidden_size: u64,
    /// Rows of the embedding.
    pub vocabulary: u64,
    /// Longest context that the configuration states.
    pub max_positions: Option<u64>,
    /// The distinct layers.
    pub kinds: Vec<Layer>,
    /// For each depth the index of its layer in `kinds`.
    pub order: Vec<LayerKind>,
    /// Tensors before the first layer (embedding, learned positions, embedding norm).
    pub input_tensors: Vec<Tensor>,
    /// Tensors after the last layer (final norm, head when it is not tied, head bias).
    pub output_tensors: Vec<Tensor>,
    /// The norm before the head.
    pub final_norm: Option<Norm>,
    /// The head.
    pub head: Head,
    /// Dropout probability on the embedding output.
    pub embedding_dropout: f64,
    /// Vision and audio towers.
    pub towers: Vec<Tower>,
    /// Weights of next-token-prediction layers, which are not part of the total.
    pub next_token_tensors: Vec<Tensor>,
    /// The encoder, where there is one before a decoder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoder: Option<Encoder>,
}

impl Network {
    /// The layers in order.
    pub fn layers(&self) -> impl DoubleEndedIterator<Item = &Layer> {
        self.order.iter().filter_map(|kind| self.kinds.get(*kind))
    }

    /// Whether some layer has experts.
    pub fn has_experts(&self) -> bool {
        self.layers().any(|layer| layer.moe().is_some())
    }

    /// Whether some layer keeps a recurrent state.
    pub fn has_states(&self) -> bool {
        fn has(mixer: &Mixer) -> bool {
            match mixer {
                Mixer::Several(parts) => parts.iter().any(has),
                Mixer::None | Mixer::Attention(_) | Mixer::Latent(_) => false,
                _ => true,
            }
        }
        self.kinds.iter().any(|layer| has(&layer.mixer))
    }

    /// The network with a head of one row in place of that over the vocabulary, without bias and soft cap: one number per token
    /// (transformers 5.23 modeling_layers.py, `GenericForSequenceClassification` with one label).
    pub fn with_one_row(&self) -> Self {
        let mut own = self.clone();
        own.head = Head::default();
        own.output_tensors
            .retain(|tensor| !matches!(tensor.role, Role::Head | Role::Bias));
        let shape = [1, self.hidden_size];
        own.output_tensors
            .push(Tensor::new("score.weight", &shape, Role::Head, Split::Replicated));
        own
    }

    /// Rows of the head: those of the vocabulary, or one.
    pub fn head_rows(&self) -> u64 {
        let mut heads = self
            .output_tensors
            .iter()
            .filter(|tensor| tensor.role == Role::Head);
        if heads.any(|head| head.shape.first() == Some(&1)) {
            1
        } else {
            self.vocabulary
        }
    }

    /// Number of layers.
    pub fn depth(&self) -> u64 {
        self.order.len() as u64
    }

    /// How many layers are of this kind.
    pub fn layers_of(&self, kind: LayerKind) -> u64 {
        self.order.iter().filter(|index| **index == kind).count() as u64
    }

    /// The parameters that `select` accepts, over layers, ends and towers.
    pub fn parameters_where(&self, select: impl Fn(&Tensor) -> bool) -> Count {
        let layers: Count = self
            .kinds
            .iter()
            .enumerate()
            .map(|(kind, layer)| layer.parameters_where(&select) * self.layers_of(kind))
            .sum();
        let ends = self.input_tensors.iter().chain(&self.output_tensors);
        let towers = self.towers.iter().flat_map(|tower| &tower.tensors);
        layers
            + ends
                .chain(towers)
                .filter(|tensor| select(tensor))
                .map(Tensor::elements)
                .sum()
    }

    /// The token embedding alone; positions and other tables beside it are not counted.
    pub fn embedding_parameters(&self) -> Count {
        self.input_tensors
            .iter()
            .filter(|tensor| tensor.role == Role::Embedding)
            .map(Tensor::elements)
            .sum()
    }

    /// The head beyond the embedding: zero when it is tied and has no bias.
    pub fn head_parameters(&self) -> Count {
        self.output_tensors
            .iter()
            .filter(|tensor| matches!(tensor.role, Role::Head | Role::Bias) && !tensor.name.contains("norm"))
            .map(Tensor::elements)
            .sum()
    }

    /// The routed experts of all layers; shared experts and routers are not among them.
    pub fn routed_expert_parameters(&self) -> Count {
        self.parameters_where(|tensor| tensor.role == Role::RoutedExpert)
    }

    /// The vision and audio towers with their projectors.
    pub fn tower_parameters(&self) -> Count {
        self.towers
            .iter()
            .flat_map(|tower| &tower.tensors)
            .map(Tensor::elements)
            .sum()
    }

    /// The next-token-prediction layers, which are not part of the total.
    pub fn next_token_parameters(&self) -> Count {
        self.next_token_tensors.iter().map(Tensor::elements).sum()
    }

    /// Elements of buffers that checkpoints store beside the parameters (router correction biases).
    pub fn buffer_elements(&self) -> Count {
        self.layers().map(|layer| layer.buffers).sum()
    }

    /// Parameters of each layer, in order.
    pub fn layer_parameters(&self) -> Vec<Count> {
        let sizes: Vec<Count> = self.kinds.iter().map(Layer::parameters).collect();
        self.order
            .iter()
            .filter_map(|kind| sizes.get(*kind).copied())
            .collect()
    }

    /// All parameters: a tied head once, towers included, next-token layers and buffers not.
    pub fn total_parameters(&self) -> Count {
        self.parameters_where(|_| true)
    }

    /// Parameters that one token uses: everything but the towers and the routed experts that it does not visit;
    /// embedding and head included.
    pub fn active_parameters(&self) -> Count {
        let idle: Count = self
            .kinds
            .iter()
            .enumerate()
            .filter_map(|(kind, layer)| {
                let moe = layer.moe()?;
                let routed = layer
                    .parameters_where(|tensor| tensor.role == Role::RoutedExpert)
                    .get();
                // Choices that cost nothing are taken in proportion.
                let choices = u128::from(moe.experts.saturating_add(moe.zero_experts).max(1));
                let used = u128::from(routed) * u128::from(moe.top_k) / choices;
                let idle = routed.saturating_sub(u64::try_from(used).unwrap_or(routed));
                Some(Count::new(idle) * self.layers_of(kind))
            })
            .sum();
        self.parameters_where(|tensor| tensor.role != Role::Tower)
            .saturating_sub(idle)
    }
}
