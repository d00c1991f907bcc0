//! The architecture fields as a network has them, whatever its family calls them.

use serde_json::Value;

use crate::model::{Attention, Dense, FeedForward, Latent, Layer, Mixer, Moe, Network, NormKind, Span};
use crate::request::InputId;

/// The value of an input in a network; `None` where the network has no such field.
pub fn observe(network: &Network, id: InputId) -> Option<Value> {
    let whole = |value: u64| Some(Value::from(value));
    match id {
        InputId::NumLayers => whole(network.depth()),
        InputId::HiddenSize => whole(network.hidden_size),
        InputId::VocabSize => whole(network.vocabulary),
        InputId::MaxSeqLen => whole(network.max_positions?),
        InputId::TieWordEmbeddings => Some(Value::from(network.head.tied)),
        InputId::Norm => Some(Value::from(match network.final_norm?.kind {
            NormKind::Rms | NormKind::RmsPlusOne => "rms",
            NormKind::Layer => "layer",
        })),
        InputId::NumAttentionHeads => attention(network)
            .map(|attention| attention.heads)
            .or_else(|| latent(network).map(|latent| latent.heads))
            .map(Value::from),
        InputId::NumKeyValueHeads => whole(attention(network)?.kv_heads),
        InputId::HeadDim => whole(attention(network)?.head_dim),
        InputId::SlidingWindow => {
            network
                .layers()
                .find_map(|layer| match find_attention(&layer.mixer)?.span {
                    Span::Sliding(window) => Some(Value::from(window)),
                    Span::Full | Span::Chunked(_) => None,
                })
        }
        InputId::QLoraRank => whole(latent(network)?.query_rank?),
        InputId::KvLoraRank => whole(latent(network)?.kv_rank),
        InputId::QkNopeHeadDim => whole(latent(network)?.nope_dim),
        InputId::QkRopeHeadDim => whole(latent(network)?.rope_dim),
        InputId::VHeadDim => whole(latent(network)?.value_dim),
        InputId::IntermediateSize => whole(dense(network)?.width),
        InputId::MlpGated => dense(network)
            .map(|dense| dense.gated)
            .or_else(|| moe(network).map(|moe| moe.gated))
            .map(Value::from),
        InputId::HiddenAct => dense(network)
            .map(|dense| dense.activation.clone())
            .or_else(|| moe(network).map(|moe| moe.activation.clone()))
            .map(Value::from),
        InputId::MoeEnabled => Some(Value::from(moe(network).is_some())),
        InputId::NumExperts => whole(moe(network)?.experts),
        InputId::TopK => whole(moe(network)?.top_k),
        InputId::ExpertIntermediateSize => whole(moe(network)?.width),
        InputId::SharedExpertIntermediateSize => whole(moe(network)?.shared.as_ref()?.width),
        InputId::FirstKDenseReplace => {
            moe(network)?;
            whole(network.layers().take_while(|layer| layer.moe().is_none()).count() as u64)
        }
        _ => None,
    }
}

fn find_attention(mixer: &Mixer) -> Option<&Attention> {
    match mixer {
        Mixer::Attention(attention) => Some(attention),
        Mixer::Several(parts) => parts.iter().find_map(find_attention),
        _ => None,
    }
}

fn attention(network: &Network) -> Option<&Attention> {
    network.layers().find_map(|layer| find_attention(&layer.mixer))
}

fn latent(network: &Network) -> Option<&Latent> {
    fn find(mixer: &Mixer) -> Option<&Latent> {
        match mixer {
            Mixer::Latent(latent) => Some(latent),
            Mixer::Several(parts) => parts.iter().find_map(find),
            _ => None,
        }
    }
    network.layers().find_map(|layer| find(&layer.mixer))
}

fn dense(network: &Network) -> Option<&Dense> {
    fn find(part: &FeedForward) -> Option<&Dense> {
        match part {
            FeedForward::Dense(dense) => Some(dense),
            FeedForward::Moe(moe) => moe.dense.as_ref(),
            FeedForward::Several(parts) => parts.iter().find_map(find),
            FeedForward::None => None,
        }
    }
    network.layers().find_map(|layer| find(&layer.feed_forward))
}

fn moe(network: &Network) -> Option<&Moe> {
    network.layers().find_map(Layer::moe)
}
