//! The tower of Gemma 3: SigLIP, with or without its pooling head, and one matrix to the width of the text.

use super::keys::Keys;
use super::sheet::times;
use super::tower::Tower as Writer;
use super::towers::projections;
use crate::model::{Tower, Vision, VisionClass};

/// Gemma 3: SigLIP, and one matrix to the width of the text.
pub fn towers(keys: &Keys<'_>, text_width: u64) -> Vec<Tower> {
    let Some(vision) = keys.section("vision_config") else {
        return Vec::new();
    };
    let hidden = vision.count_or("hidden_size", 768);
    let inner = vision.count_or("intermediate_size", 3072);
    let channels = vision.count_or("num_channels", 3);
    let patch = vision.count_or("patch_size", 16);
    let side = vision.count_or("image_size", 224) / patch;
    let mut tower = Writer::default();
    let name = |piece: &str| format!("model.vision_tower.{piece}");
    tower.add(
        name("embeddings.patch_embedding.weight"),
        &[hidden, channels, patch, patch],
    );
    tower.add(name("embeddings.patch_embedding.bias"), &[hidden]);
    tower.add(
        name("embeddings.position_embedding.weight"),
        &[times(&[side, side]), hidden],
    );
    tower.repeat(vision.small("num_hidden_layers", 12), |tower| {
        let name = |piece: &str| format!("model.vision_tower.encoder.layers.{piece}");
        tower.layer_norm(&name("layer_norm1"), hidden);
        projections(
            tower,
            &name("self_attn"),
            ["k_proj", "v_proj", "q_proj", "out_proj"],
            hidden,
            true,
        );
        tower.layer_norm(&name("layer_norm2"), hidden);
        tower.linear(&name("mlp.fc1"), inner, hidden, true);
        tower.linear(&name("mlp.fc2"), hidden, inner, true);
    });
    tower.layer_norm(&name("post_layernorm"), hidden);
    if vision.flag("vision_use_head", true) {
        tower.add(name("head.probe"), &[1, 1, hidden]);
        tower.add(
            name("head.attention.in_proj_weight"),
            &[hidden.saturating_mul(3), hidden],
        );
        tower.add(name("head.attention.in_proj_bias"), &[hidden.saturating_mul(3)]);
        tower.linear(&name("head.attention.out_proj"), hidden, hidden, true);
        tower.layer_norm(&name("head.layernorm"), hidden);
        tower.linear(&name("head.mlp.fc1"), inner, hidden, true);
        tower.linear(&name("head.mlp.fc2"), hidden, inner, true);
    }
    let described = Vision {
        class: VisionClass::Siglip,
        hidden,
        inner,
        heads: vision.count_or("num_attention_heads", 12),
        depth: vision.small("num_hidden_layers", 12),
        activation: vision.activation("gelu_pytorch_tanh"),
        patch,
        values: times(&[channels, patch, patch]),
        merge: side / keys.count_or("mm_tokens_per_image", 256).isqrt().max(1),
        side: Some(vision.count_or("image_size", 224)),
        also_merged: Vec::new(),
        positions: side.saturating_mul(side),
    };
    let headed = vision.flag("vision_use_head", true);
    let mut projector = Writer::default();
    let name = |piece: &str| format!("model.multi_modal_projector.{piece}");
    projector.add(name("mm_input_projection_weight"), &[hidden, text_width]);
    projector.add(name("mm_soft_emb_norm.weight"), &[hidden]);
    let tower = if headed {
        tower.finish("vision tower")
    } else {
        tower.computed(described)
    };
    vec![tower, projector.finish("projector")]
}
