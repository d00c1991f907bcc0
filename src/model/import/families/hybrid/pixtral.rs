//! The tower of Mistral 3: Pixtral, a patch merger and two matrices.

use super::keys::Keys;
use super::sheet::times;
use super::tower::Tower as Writer;
use super::towers::projections;
use crate::model::Tower;

/// Mistral 3: Pixtral, a patch merger and two matrices.
pub fn towers(keys: &Keys<'_>, text_width: u64) -> Vec<Tower> {
    let Some(vision) = keys.section("vision_config") else {
        return Vec::new();
    };
    let hidden = vision.count_or("hidden_size", 1024);
    let inner = vision.count_or("intermediate_size", 4096);
    let channels = vision.count_or("num_channels", 3);
    let patch = vision.count_or("patch_size", 16);
    vision.known(&[
        "num_attention_heads",
        "hidden_act",
        "head_dim",
        "image_size",
        "rope_theta",
        "vocab_size",
    ]);
    let mut tower = Writer::default();
    let name = |piece: &str| format!("model.vision_tower.{piece}");
    tower.add(name("patch_conv.weight"), &[hidden, channels, patch, patch]);
    tower.add(name("ln_pre.weight"), &[hidden]);
    tower.repeat(vision.small("num_hidden_layers", 24), |tower| {
        let name = |piece: &str| format!("model.vision_tower.transformer.layers.{piece}");
        tower.add(name("attention_norm.weight"), &[hidden]);
        for (piece, out, input) in [
            ("gate_proj", inner, hidden),
            ("up_proj", inner, hidden),
            ("down_proj", hidden, inner),
        ] {
            tower.linear(&name(&format!("feed_forward.{piece}")), out, input, false);
        }
        projections(
            tower,
            &name("attention"),
            ["k_proj", "v_proj", "q_proj", "o_proj"],
            hidden,
            false,
        );
        tower.add(name("ffn_norm.weight"), &[hidden]);
    });
    let merge = keys.count_or("spatial_merge_size", 2);
    let bias = keys.flag("multimodal_projector_bias", false);
    keys.known(&["projector_hidden_act", "vision_feature_layer"]);
    let mut projector = Writer::default();
    let name = |piece: &str| format!("model.multi_modal_projector.{piece}");
    projector.add(name("norm.weight"), &[hidden]);
    let merger = name("patch_merger.merging_layer");
    projector.linear(&merger, hidden, times(&[hidden, merge, merge]), false);
    projector.linear(&name("linear_1"), text_width, hidden, bias);
    projector.linear(&name("linear_2"), text_width, text_width, bias);
    vec![tower.finish("vision tower"), projector.finish("projector")]
}
