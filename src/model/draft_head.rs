//! Heads that draft tokens from the hidden states of a model: EAGLE, EAGLE-3 and DFlash. They share the model's embedding, and the
//! first and the last its head, so that they are a few dense layers and the matrix that joins what they are given (vllm
//! `model_executor/models/llama_eagle.py`, `llama_eagle3.py`, `qwen3_dflash.py`). What a draft model of its own holds is not here.

use serde_json::json;

use super::import::network_from_config;
use super::{FeedForward, Mixer, Network, Role, Split, Tensor};

/// Rows of the head that EAGLE-3 has for the commonest tokens (`draft_vocab_size` of
/// yuhuili/EAGLE3-LLaMA3.1-Instruct-8B).
const DRAFT_VOCABULARY: u64 = 32_000;
/// Hidden states of so many layers of the model are joined for EAGLE-3 (`llama_eagle3.py`, fc).
const JOINED: u64 = 3;
/// Layers of DFlash where they are not written (the cards of chutesai/Qwen3-32B-FP8-DFLASH and asf0/Qwen3.8-27B-DFlash).
const BLOCK_LAYERS: u64 = 5;

/// The kind of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Embedding and the last hidden state joined, then one layer.
    Eagle,
    /// Three hidden states joined, one layer that reads the embedding beside them, a head of its own.
    Eagle3,
    /// A block of tokens at once from the hidden states of as many layers as it has.
    DFlash,
}

impl Kind {
    /// The word of `--speculative-config`.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Eagle => "eagle",
            Self::Eagle3 => "eagle3",
            Self::DFlash => "dflash",
        }
    }
}

/// A head as it is written: `eagle3`, or with layers and width of the feed-forward as in `dflash:5x12288`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DraftHead {
    /// The kind.
    pub kind: Kind,
    layers: u64,
    width: Option<u64>,
}

impl DraftHead {
    /// Reads a head; `None` where the words name none.
    pub fn read(text: &str) -> Option<Self> {
        let (name, sizes) = match text.split_once(':') {
            Some((name, sizes)) => (name, Some(sizes)),
            None => (text, None),
        };
        let (kind, usual) = match name.trim().to_ascii_lowercase().as_str() {
            "eagle" => (Kind::Eagle, 1),
            "eagle3" | "eagle-3" => (Kind::Eagle3, 1),
            "dflash" => (Kind::DFlash, BLOCK_LAYERS),
            _ => return None,
        };
        let (layers, width) = match sizes {
            None => (usual, None),
            Some(sizes) => match sizes.split_once('x') {
                None => (sizes.trim().parse().ok()?, None),
                Some((layers, width)) => (layers.trim().parse().ok()?, Some(width.trim().parse().ok()?)),
            },
        };
        let sensible = (1..=64).contains(&layers) && width.is_none_or(|width| (1..=1 << 20).contains(&width));
        sensible.then_some(Self { kind, layers, width })
    }

    /// The head as a network of its own, with the heads and widths of a model; or why these do not follow.
    ///
    /// # Errors
    ///
    /// For a model without keys and values per head, or with experts and no width written.
    pub fn network(self, model: &Network) -> Result<Network, &'static str> {
        let attention = model.kinds.iter().find_map(|layer| match &layer.mixer {
            Mixer::Attention(attention) => Some(attention),
            _ => None,
        });
        let attention =
            attention.ok_or("The model has no heads of keys and values that a head could repeat.")?;
        let dense = model.kinds.iter().find_map(|layer| match &layer.feed_forward {
            FeedForward::Dense(dense) => Some(dense.width),
            _ => None,
        });
        let width = self.width.or(dense).ok_or(
            "The model has experts only, so the width of the head's feed-forward does not follow: write it as in eagle3:1x12288.",
        )?;
        let vocabulary = match self.kind {
            Kind::Eagle3 => model.vocabulary.min(DRAFT_VOCABULARY),
            Kind::Eagle | Kind::DFlash => model.vocabulary,
        };
        let config = json!({
            "model_type": if self.kind == Kind::DFlash { "qwen3" } else { "llama" },
            "hidden_size": model.hidden_size,
            "intermediate_size": width,
            "num_hidden_layers": self.layers,
            "num_attention_heads": attention.heads,
            "num_key_value_heads": attention.kv_heads,
            "head_dim": attention.head_dim,
            "vocab_size": vocabulary,
            "max_position_embeddings": model.max_positions.unwrap_or(4096),
            "tie_word_embeddings": false,
        });
        let mut network = network_from_config(&config)
            .map_err(|_| "The sizes of the model make no head.")?
            .network;
        self.shared(&mut network, model);
        Ok(network)
    }

    /// Leaves out what the model lends, and adds what joins the hidden states.
    fn shared(self, network: &mut Network, model: &Network) {
        let hidden = model.hidden_size;
        let joined = match self.kind {
            Kind::Eagle => 2,
            Kind::Eagle3 => JOINED,
            Kind::DFlash => self.layers,
        };
        let shape = [hidden, hidden.saturating_mul(joined)];
        network.input_tensors = vec![Tensor::new("fc.weight", &shape, Role::Mixer, Split::Replicated)];
        if self.kind != Kind::Eagle3 {
            network.output_tensors.retain(|tensor| tensor.role != Role::Head);
        }
        if self.kind == Kind::Eagle {
            network.output_tensors.clear();
        } else {
            let norm = Tensor::new("hidden_norm.weight", &[hidden], Role::Norm, Split::Replicated);
            network.output_tensors.push(norm);
        }
        if self.kind != Kind::Eagle3 {
            return;
        }
        // Queries, keys and values read the embedding beside the hidden state.
        let tensors = network.kinds.iter_mut().flat_map(|layer| &mut layer.tensors);
        let reading = tensors.filter(|tensor| {
            ["q_proj.weight", "k_proj.weight", "v_proj.weight"]
                .iter()
                .any(|name| tensor.name.ends_with(name))
        });
        for tensor in reading {
            if let Some(inputs) = tensor.shape.get_mut(1) {
                *inputs = inputs.saturating_mul(2);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::catalogue;

    fn parameters(model: &str, head: &str) -> Result<u64, &'static str> {
        let model = catalogue::find(model)
            .and_then(catalogue::Entry::network)
            .expect("a model");
        let network = DraftHead::read(head).expect("a head").network(&model)?;
        Ok(network.total_parameters().get())
    }

    /// By hand, with the sizes of Llama 3.1 8B: queries and output of 4096, keys and values of 1024, 14,336 in the feed-forward.
    #[test]
    fn heads_by_hand() {
        let (hidden, keys, inner) = (4096_u64, 1024_u64, 14_336_u64);
        let feed_forward = 3 * hidden * inner;
        let layer = 2 * hidden * hidden + 2 * hidden * keys + feed_forward;
        assert_eq!(
            parameters("llama-3.1-8b", "eagle"),
            Ok(layer + 2 * hidden * hidden + 2 * hidden)
        );
        let wide = 3 * hidden * hidden + 4 * hidden * keys + feed_forward;
        // Three hidden states joined, a head of 32,000 rows, norms of the layer, of the hidden state and of the end.
        assert_eq!(
            parameters("llama-3.1-8b", "EAGLE3"),
            Ok(wide + 3 * hidden * hidden + 32_000 * hidden + 4 * hidden)
        );
        // Five layers with norms on queries and keys.
        assert_eq!(
            parameters("llama-3.1-8b", "dflash"),
            Ok(5 * (layer + 2 * hidden + 2 * 128) + 5 * hidden * hidden + 2 * hidden)
        );
    }

    #[test]
    fn sizes_are_written_where_they_do_not_follow() {
        assert!(parameters("qwen3-30b-a3b", "eagle3").is_err());
        assert!(parameters("qwen3-30b-a3b", "eagle3:1x6144").is_ok());
        assert!(parameters("deepseek-v3", "eagle3").is_err());
        for text in ["eagle3:0", "eagle3:x", "dflash:99", "qwen3-8b", ""] {
            assert_eq!(DraftHead::read(text), None, "{text}");
        }
    }
}
