//! Constants that a model's modules hold as buffers, whole on every rank and at every moment: causal masks and tables of
//! positions of the older classes. Later classes make masks per step (`training::pass`) and hold a frequency per pair, a few
//! hundred bytes.

use super::{Held, Plan, Sheet};
use crate::cite::{Citation, Evidence};
use crate::memory::allocator::block;
use crate::memory::{Group, Symbol};
use crate::model::Mixer;
use crate::training::sheet::Item;
use crate::units::{Bytes, DType};

/// The buffers of a plan's model.
pub fn buffers(plan: &Plan<'_>, sheet: &mut Sheet) -> Held {
    let Some(positions) = plan.network.max_positions else {
        return Held::new();
    };
    let (depth, version) = (plan.network.depth(), plan.job.transformers_version);
    let model = plan.network.model_type.as_str();
    let masks = match model {
        "gpt_bigcode" => 1,
        "gpt_neo" => depth,
        "gpt2" if version < (5, 0) => depth,
        "gpt_neox" if version < (4, 49) => depth,
        _ => 0,
    };
    let rotated = plan
        .network
        .layers()
        .find_map(|layer| match &layer.mixer {
            Mixer::Attention(attention) => Some(attention.rotary_dim),
            _ => None,
        })
        .filter(|_| model == "gptj")
        .unwrap_or(0);
    let source = Citation::new(
        Evidence::Source,
        "transformers 4.45 to 5.23, models/gpt_bigcode, gpt_neo, gptj; 4.45 to 4.55 gpt2; 4.45 to 4.48 gpt_neox",
    );
    if masks > 0 {
        let item = Item {
            id: "buffers.causal_mask",
            label: "causal mask over all positions, a buffer of the model",
            group: Group::Overhead,
            dtype: Some(DType::Int8),
            unit: block(Bytes::new(positions.saturating_mul(positions))),
            formula: "p·p",
            symbols: vec![Symbol::new("p", "longest context", positions)],
            terms: Vec::new(),
            citation: source,
        };
        return vec![(sheet.item(item, ""), masks)];
    }
    if rotated == 0 {
        return Held::new();
    }
    let item = Item {
        id: "buffers.positions",
        label: "sines and cosines of all positions, a buffer of each layer",
        group: Group::Overhead,
        dtype: Some(DType::Fp32),
        unit: block(Bytes::new(positions.saturating_mul(rotated).saturating_mul(4))),
        formula: "4·p·d_r",
        symbols: vec![
            Symbol::new("p", "longest context", positions),
            Symbol::new("d_r", "rotated part of a head", rotated),
        ],
        terms: Vec::new(),
        citation: source,
    };
    vec![(sheet.item(item, ""), depth)]
}
