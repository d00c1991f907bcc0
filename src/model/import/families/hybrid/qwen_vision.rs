//! The vision tower of Qwen3-VL, Qwen3.5 and Qwen3.6: blocks with one fused QKV, a patch merger, and for Qwen3-VL one
//! more merger per `deepstack_visual_indexes`.

use super::keys::Keys;
use super::sheet::times;
use super::tower::Tower as Writer;
use crate::model::{Tower, Vision, VisionClass};

/// The towers that `vision_config` describes; a file without that section gets none.
pub fn towers(keys: &Keys<'_>, deepstack: bool) -> Vec<Tower> {
    let Some(vision) = keys.section("vision_config") else {
        return Vec::new();
    };
    let hidden = vision.count_or("hidden_size", 1152);
    let inner = vision.count_or("intermediate_size", 4304);
    let channels = vision.count_or("in_channels", 3);
    let patch = vision.count_or("patch_size", 16);
    let frames = vision.count_or("temporal_patch_size", 2);
    let merge = vision.count_or("spatial_merge_size", 2);
    let output = vision.count_or("out_hidden_size", 3584);
    let rows = vision.count_or("num_position_embeddings", 2304);
    let depth = vision.small("depth", 27);
    let indexes = vision.naturals("deepstack_visual_indexes");
    let mut tower = Writer::default();
    tower.add(
        "model.visual.patch_embed.proj.weight",
        &[hidden, channels, frames, patch, patch],
    );
    tower.add("model.visual.patch_embed.proj.bias", &[hidden]);
    tower.add("model.visual.pos_embed.weight", &[rows, hidden]);
    tower.repeat(depth, |tower| {
        for norm in ["norm1", "norm2"] {
            tower.layer_norm(&format!("model.visual.blocks.{norm}"), hidden);
        }
        tower.linear(
            "model.visual.blocks.attn.qkv",
            hidden.saturating_mul(3),
            hidden,
            true,
        );
        tower.linear("model.visual.blocks.attn.proj", hidden, hidden, true);
        tower.linear("model.visual.blocks.mlp.linear_fc1", inner, hidden, true);
        tower.linear("model.visual.blocks.mlp.linear_fc2", hidden, inner, true);
    });
    let merged = times(&[hidden, merge, merge]);
    let mut projector = Writer::default();
    merger(&mut projector, "model.visual.merger", hidden, merged, output);
    let mut also_merged = Vec::new();
    if deepstack {
        also_merged = indexes.clone().unwrap_or_else(|| vec![8, 16, 24]);
        let number = indexes.map_or(3, |list| list.len() as u64);
        projector.repeat(number, |projector| {
            merger(
                projector,
                "model.visual.deepstack_merger_list",
                merged,
                merged,
                output,
            );
        });
    }
    let tower = tower.computed(Vision {
        class: VisionClass::Qwen,
        hidden,
        inner,
        heads: vision.count_or("num_heads", 16),
        depth,
        activation: vision.activation("gelu_pytorch_tanh"),
        patch,
        values: times(&[channels, frames, patch, patch]),
        merge,
        side: None,
        also_merged,
        positions: rows,
    });
    vec![tower, projector.finish("projector")]
}

fn merger(tower: &mut Writer, name: &str, norm: u64, merged: u64, output: u64) {
    tower.layer_norm(&format!("{name}.norm"), norm);
    tower.linear(&format!("{name}.linear_fc1"), merged, merged, true);
    tower.linear(&format!("{name}.linear_fc2"), output, merged, true);
}
