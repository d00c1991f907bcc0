//! The architecture fields of a finished network: what holds, whatever key it came from.

use super::field::Field;
use crate::model::{Attention, Dense, FeedForward, Latent, Mixer, Moe, Network, Role, Span};

/// The value of a field, where the network shows it.
pub fn observe(network: &Network, field: Field) -> Option<u64> {
    let attention = || attention(network);
    let latent = || latent(network);
    let sparse = || sparse(network);
    match field {
        Field::NumLayers => Some(network.depth()),
        Field::HiddenSize => Some(network.hidden_size),
        Field::VocabSize => Some(network.vocabulary),
        Field::MaxSeqLen => network.max_positions,
        Field::TieWordEmbeddings => Some(u64::from(network.head.tied)),
        Field::NumAttentionHeads => attention().map(|a| a.heads).or_else(|| latent().map(|l| l.heads)),
        Field::NumKeyValueHeads => attention().map(|a| a.kv_heads),
        Field::HeadDim => attention().map(|a| a.head_dim),
        Field::IntermediateSize => dense(network).map(|dense| dense.width),
        Field::MlpGated => dense(network)
            .map(|dense| dense.gated)
            .or_else(|| sparse().map(|moe| moe.gated))
            .map(u64::from),
        Field::MoeEnabled => Some(u64::from(sparse().is_some())),
        Field::NumExperts => sparse().map(|moe| moe.experts),
        Field::TopK => sparse().map(|moe| moe.top_k),
        Field::ExpertIntermediateSize => sparse().map(|moe| moe.width),
        Field::SharedExpertIntermediateSize => {
            sparse().map(|moe| moe.shared.as_ref().map_or(0, |shared| shared.width))
        }
        Field::FirstKDenseReplace => {
            sparse().map(|_| network.layers().take_while(|layer| layer.moe().is_none()).count() as u64)
        }
        Field::SlidingWindow => attention().map(|_| window(network)),
        Field::KvLoraRank => latent().map(|l| l.kv_rank),
        Field::QLoraRank => latent().map(|l| l.query_rank.unwrap_or(0)),
        Field::QkRopeHeadDim => latent().map(|l| l.rope_dim),
        Field::QkNopeHeadDim => latent().map(|l| l.nope_dim),
        Field::VHeadDim => latent().map(|l| l.value_dim),
        Field::AttentionBias => {
            (attention().is_some() || latent().is_some()).then(|| u64::from(bias(network)))
        }
        Field::NumSharedExperts | Field::NumNextnPredictLayers | Field::MoeLayerFreq => None,
    }
}

fn mixers(network: &Network) -> impl Iterator<Item = &Mixer> {
    network.kinds.iter().flat_map(|layer| match &layer.mixer {
        Mixer::Several(parts) => parts.iter().collect::<Vec<_>>(),
        one => vec![one],
    })
}

fn attention(network: &Network) -> Option<&Attention> {
    mixers(network).find_map(|mixer| match mixer {
        Mixer::Attention(attention) => Some(attention),
        _ => None,
    })
}

fn latent(network: &Network) -> Option<&Latent> {
    mixers(network).find_map(|mixer| match mixer {
        Mixer::Latent(latent) => Some(latent),
        _ => None,
    })
}

fn sparse(network: &Network) -> Option<&Moe> {
    network.kinds.iter().find_map(|layer| layer.moe())
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
    network.kinds.iter().find_map(|layer| find(&layer.feed_forward))
}

/// The window or chunk of the first layer that has one; 0 for none.
fn window(network: &Network) -> u64 {
    let width = mixers(network).find_map(|mixer| match mixer {
        Mixer::Attention(attention) => match attention.span {
            Span::Sliding(width) | Span::Chunked(width) => Some(width),
            Span::Full => None,
        },
        _ => None,
    });
    width.unwrap_or(0)
}

/// Whether the projections into attention have biases.
fn bias(network: &Network) -> bool {
    const INTO: [&str; 8] = [
        "q_proj",
        "qkv",
        "query_key_value",
        "c_attn",
        "W_pack",
        "q_a_proj",
        "kv_a_proj",
        "Wqkv",
    ];
    let mut tensors = network.kinds.iter().flat_map(|layer| &layer.tensors);
    tensors.any(|tensor| tensor.role == Role::Bias && INTO.iter().any(|name| tensor.name.contains(name)))
}
