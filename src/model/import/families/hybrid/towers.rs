//! Vision towers and projectors of Llama 4, Gemma 4, MiniMax-M3 and Step-3.7. Each is read from `vision_config`; a file without it
//! gets none.

use super::keys::Keys;
use super::sheet::times;
use super::tower::Tower as Writer;
use crate::model::Tower;

/// Four attention projections of one width, named by `names`.
pub fn projections(tower: &mut Writer, prefix: &str, names: [&str; 4], width: u64, bias: bool) {
    for name in names {
        tower.linear(&format!("{prefix}.{name}"), width, width, bias);
    }
}

/// Llama 4: patches as a matrix, one class vector, two matrices after the shuffle of pixels, one to the text.
pub fn llama4(keys: &Keys<'_>, text_width: u64) -> Vec<Tower> {
    let Some(vision) = keys.section("vision_config") else {
        return Vec::new();
    };
    let hidden = vision.count_or("hidden_size", 768);
    let inner = vision.count_or("intermediate_size", 5632);
    let channels = vision.count_or("num_channels", 3);
    let patch = vision.count_or("patch_size", 14);
    let side = vision.count_or("image_size", 448) / patch;
    let (into, out) = (
        vision.count_or("projector_input_dim", 4096),
        vision.count_or("projector_output_dim", 4096),
    );
    let output = vision.count_or("vision_output_dim", 7680);
    vision.known(&[
        "num_attention_heads",
        "hidden_act",
        "pixel_shuffle_ratio",
        "projector_dropout",
        "vision_feature_select_strategy",
        "multi_modal_projector_bias",
    ]);
    let mut tower = Writer::default();
    let name = |piece: &str| format!("vision_model.{piece}");
    tower.add(name("class_embedding"), &[hidden]);
    let positions = times(&[side, side]).saturating_add(1);
    tower.add(name("positional_embedding_vlm"), &[positions, hidden]);
    tower.add(
        name("patch_embedding.linear.weight"),
        &[hidden, times(&[channels, patch, patch])],
    );
    tower.layer_norm(&name("layernorm_pre"), hidden);
    tower.layer_norm(&name("layernorm_post"), hidden);
    tower.repeat(vision.small("num_hidden_layers", 34), |tower| {
        let name = |piece: &str| format!("vision_model.model.layers.{piece}");
        projections(
            tower,
            &name("self_attn"),
            ["q_proj", "k_proj", "v_proj", "o_proj"],
            hidden,
            true,
        );
        tower.linear(&name("mlp.fc1"), inner, hidden, true);
        tower.linear(&name("mlp.fc2"), hidden, inner, true);
        tower.layer_norm(&name("input_layernorm"), hidden);
        tower.layer_norm(&name("post_attention_layernorm"), hidden);
    });
    tower.linear(&name("vision_adapter.mlp.fc1"), into, inner, false);
    tower.linear(&name("vision_adapter.mlp.fc2"), out, out, false);
    let mut projector = Writer::default();
    projector.linear("multi_modal_projector.linear_1", text_width, output, false);
    vec![tower.finish("vision tower"), projector.finish("projector")]
}

/// Gemma 4: a table of positions per axis, norms around every part, one matrix to the text.
pub fn gemma4(keys: &Keys<'_>, text_width: u64) -> Vec<Tower> {
    if keys.section("audio_config").is_some() {
        keys.warn("audio_config", "describes an audio tower that is not counted");
    }
    let Some(vision) = keys.section("vision_config") else {
        return Vec::new();
    };
    let hidden = vision.count_or("hidden_size", 768);
    let inner = vision.count_or("intermediate_size", 3072);
    let patch = vision.count_or("patch_size", 16);
    let rows = vision.count_or("position_embedding_size", 10_240);
    let heads = vision.count_or("num_attention_heads", 12);
    let kv_heads = vision.count_or("num_key_value_heads", 12);
    let dim = vision.count_or("head_dim", 64);
    vision.known(&[
        "attention_bias",
        "default_output_length",
        "global_head_dim",
        "hidden_activation",
        "image_seq_length",
        "max_position_embeddings",
        "pooling_kernel_size",
        "standardize",
        "use_clipped_linears",
        "video_seq_length",
    ]);
    let mut tower = Writer::default();
    let name = |piece: &str| format!("model.vision_tower.{piece}");
    tower.add(
        name("patch_embedder.position_embedding_table"),
        &[2, rows, hidden],
    );
    tower.add(
        name("patch_embedder.input_proj.weight"),
        &[hidden, times(&[3, patch, patch])],
    );
    tower.repeat(vision.small("num_hidden_layers", 16), |tower| {
        let name = |piece: &str| format!("model.vision_tower.encoder.layers.{piece}");
        let (query, key) = (times(&[heads, dim]), times(&[kv_heads, dim]));
        for (piece, out, input) in [
            ("self_attn.q_proj", query, hidden),
            ("self_attn.k_proj", key, hidden),
            ("self_attn.v_proj", key, hidden),
            ("self_attn.o_proj", hidden, query),
            ("mlp.gate_proj", inner, hidden),
            ("mlp.up_proj", inner, hidden),
            ("mlp.down_proj", hidden, inner),
        ] {
            tower.linear(&name(&format!("{piece}.linear")), out, input, false);
        }
        for norm in ["self_attn.q_norm", "self_attn.k_norm"] {
            tower.add(name(&format!("{norm}.weight")), &[dim]);
        }
        for norm in [
            "input_layernorm",
            "post_attention_layernorm",
            "pre_feedforward_layernorm",
            "post_feedforward_layernorm",
        ] {
            tower.add(name(&format!("{norm}.weight")), &[hidden]);
        }
    });
    let mut projector = Writer::default();
    projector.linear(
        "model.embed_vision.embedding_projection",
        text_width,
        hidden,
        false,
    );
    vec![tower.finish("vision tower"), projector.finish("projector")]
}

/// MiniMax-M3: patches over space and time, two matrices per patch and two per group of patches.
pub fn minimax_m3(keys: &Keys<'_>, text_width: u64) -> Vec<Tower> {
    let Some(vision) = keys.section("vision_config") else {
        return Vec::new();
    };
    let compression = vision.section("img_token_compression_config");
    let compressed = |key: &'static str| compression.as_ref().and_then(|section| section.maybe(key));
    let hidden = vision.count_or("hidden_size", 1280);
    let inner = vision.count_or("intermediate_size", 5120);
    let channels = vision.count_or("num_channels", 3);
    let patch = vision.count_or("patch_size", 14);
    let frames = vision
        .maybe("temporal_patch_size")
        .or_else(|| compressed("temporal_patch_size"))
        .unwrap_or(2);
    let merge = vision
        .maybe("spatial_merge_size")
        .or_else(|| compressed("spatial_merge_size"))
        .unwrap_or(2);
    if let Some(section) = &compression {
        section.known(&[
            "image_token_compression_method",
            "spatial_merge_size",
            "temporal_patch_size",
        ]);
    }
    vision.known(&[
        "num_attention_heads",
        "hidden_act",
        "image_size",
        "position_embedding_type",
        "projection_dim",
        "rope_mode",
        "vision_segment_max_frames",
        "vocab_size",
    ]);
    keys.known(&[
        "image_grid_pinpoints",
        "image_seq_length",
        "img_token_compression_config",
        "merged_hidden_size",
        "multimodal_projector_bias",
        "num_reward_heads",
        "process_image_mode",
        "projector_hidden_act",
        "vision_feature_layer",
        "vision_feature_select_strategy",
    ]);
    let between = keys.count_or("projector_hidden_size", 6144);
    let mut tower = Writer::default();
    let name = |piece: &str| format!("model.vision_tower.{piece}");
    tower.add(
        name("embeddings.proj.weight"),
        &[hidden, channels, frames, patch, patch],
    );
    tower.layer_norm(&name("pre_layrnorm"), hidden);
    tower.repeat(vision.small("num_hidden_layers", 32), |tower| {
        let name = |piece: &str| format!("model.vision_tower.layers.{piece}");
        projections(
            tower,
            &name("self_attn"),
            ["k_proj", "v_proj", "q_proj", "out_proj"],
            hidden,
            true,
        );
        tower.layer_norm(&name("layer_norm1"), hidden);
        tower.linear(&name("mlp.fc1"), inner, hidden, true);
        tower.linear(&name("mlp.fc2"), hidden, inner, true);
        tower.layer_norm(&name("layer_norm2"), hidden);
    });
    let mut projector = Writer::default();
    let name = |piece: &str| format!("model.multi_modal_projector.{piece}");
    projector.linear(&name("linear_1"), between, hidden, true);
    projector.linear(&name("linear_2"), text_width, between, true);
    let merged = times(&[text_width, merge, merge]);
    projector.linear(&name("merge_linear_1"), between, merged, true);
    projector.linear(&name("merge_linear_2"), text_width, between, true);
    vec![tower.finish("vision tower"), projector.finish("projector")]
}

/// Step-3.7: blocks with two scales, two convolutions that halve the grid and double the width, one matrix to the text.
pub fn step(keys: &Keys<'_>, text_width: u64) -> Vec<Tower> {
    let Some(vision) = keys.section("vision_config") else {
        return Vec::new();
    };
    let hidden = vision.count_of(&["width", "hidden_size"], 1536);
    let inner = vision.ratio_of("mlp_ratio", hidden, 8960.0 / 1536.0);
    let channels = vision.count_or("num_channels", 3);
    let patch = vision.count_or("patch_size", 14);
    let side = vision.count_or("image_size", 728) / patch;
    let blocks = if vision.has("layers") {
        vision.small("layers", 47)
    } else {
        vision.small("num_hidden_layers", 47)
    };
    vision.known(&[
        "heads",
        "hidden_act",
        "intermediate_size",
        "layer_scale_init_value",
        "ls_init_value",
        "max_position_embeddings",
        "num_attention_heads",
        "num_hidden_layers",
    ]);
    let mut tower = Writer::default();
    let name = |piece: &str| format!("model.vision_model.{piece}");
    tower.add(
        name("embeddings.patch_embedding.weight"),
        &[hidden, channels, patch, patch],
    );
    tower.add(
        name("embeddings.position_embedding.weight"),
        &[times(&[side, side]), hidden],
    );
    tower.layer_norm(&name("pre_layernorm"), hidden);
    tower.repeat(blocks, |tower| {
        let name = |piece: &str| format!("model.vision_model.layers.{piece}");
        tower.add(name("lambda_1"), &[hidden]);
        tower.add(name("lambda_2"), &[hidden]);
        projections(
            tower,
            &name("self_attn"),
            ["k_proj", "v_proj", "q_proj", "out_proj"],
            hidden,
            true,
        );
        tower.linear(&name("mlp.fc1"), inner, hidden, true);
        tower.linear(&name("mlp.fc2"), hidden, inner, true);
        tower.layer_norm(&name("layernorm_before"), hidden);
        tower.layer_norm(&name("layernorm_after"), hidden);
    });
    let (double, quadruple) = (hidden.saturating_mul(2), hidden.saturating_mul(4));
    tower.add(name("downsampler1.weight"), &[double, hidden, 3, 3]);
    tower.add(name("downsampler1.bias"), &[double]);
    tower.add(name("downsampler2.weight"), &[quadruple, double, 3, 3]);
    tower.add(name("downsampler2.bias"), &[quadruple]);
    let mut projector = Writer::default();
    let bias = keys.flag("projector_bias", false);
    projector.linear("model.multi_modal_projector", text_width, quadruple, bias);
    vec![tower.finish("vision tower"), projector.finish("projector")]
}
