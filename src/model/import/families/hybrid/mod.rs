//! Families whose layers differ in kind: state-space and linear mixers among attention, patterns of windows, latent
//! experts, towers beside the text. One function per family, on a sheet of tensors that they share.

mod deepseek_v4;
mod falcon_h1;
mod gemma3n;
mod gemma4;
mod granite_hybrid;
mod jamba;
mod keys;
mod kimi;
mod lfm2;
mod lfm2_moe;
mod llama4;
mod mamba;
mod mimo_v2;
mod minimax;
mod ministral3;
mod nemotron_h;
mod nemotron_nas;
mod nested;
mod pixtral;
mod qwen_next;
mod qwen_vision;
mod qwen_vl;
mod sheet;
mod siglip;
mod state_space;
mod step;
mod tower;
mod towers;

use self::keys::Keys;
use super::Build;

/// The families by `model_type`, of the whole file or of its text stack.
pub const TABLE: &[(&str, Build)] = &[
    ("deepseek_v4", |c| deepseek_v4::build(&Keys::new(c))),
    ("falcon_h1", |c| falcon_h1::build(&Keys::new(c))),
    ("falcon_mamba", |c| mamba::build(&Keys::new(c))),
    ("gemma3", nested::gemma3),
    ("gemma3n", |c| gemma3n::build(&Keys::new(c))),
    ("gemma3n_text", |c| gemma3n::build(&Keys::new(c))),
    ("gemma4", |c| gemma4::build(&Keys::new(c))),
    ("gemma4_text", |c| gemma4::build(&Keys::new(c))),
    ("granitemoehybrid", |c| granite_hybrid::build(&Keys::new(c))),
    ("jamba", |c| jamba::build(&Keys::new(c))),
    ("kimi_k25", nested::kimi_k25),
    ("kimi_k3", |c| kimi::linear(&Keys::new(c))),
    ("kimi_linear", |c| kimi::linear(&Keys::new(c))),
    ("lfm2", |c| lfm2::build(&Keys::new(c))),
    ("lfm2_moe", |c| lfm2_moe::build(&Keys::new(c))),
    ("llama4", |c| llama4::build(&Keys::new(c))),
    ("llama4_text", |c| llama4::build(&Keys::new(c))),
    ("mamba", |c| mamba::build(&Keys::new(c))),
    ("mimo_v2_flash", |c| mimo_v2::build(&Keys::new(c))),
    ("minimax", |c| minimax::first(&Keys::new(c))),
    ("minimax_m1", |c| minimax::first(&Keys::new(c))),
    ("minimax_m3_vl", |c| minimax::third(&Keys::new(c))),
    ("minimax_m3_vl_text", |c| minimax::third(&Keys::new(c))),
    ("minimax_text_01", |c| minimax::first(&Keys::new(c))),
    ("ministral3", |c| ministral3::build(&Keys::new(c))),
    ("mistral3", nested::mistral3),
    ("nemotron-nas", |c| nemotron_nas::build(&Keys::new(c))),
    ("nemotron_h", |c| nemotron_h::build(&Keys::new(c))),
    ("qwen3_5", |c| qwen_next::three_five(&Keys::new(c))),
    ("qwen3_5_moe", |c| qwen_next::three_five(&Keys::new(c))),
    ("qwen3_5_moe_text", |c| qwen_next::three_five(&Keys::new(c))),
    ("qwen3_5_text", |c| qwen_next::three_five(&Keys::new(c))),
    ("qwen3_next", |c| qwen_next::next(&Keys::new(c))),
    ("qwen3_vl", |c| qwen_vl::build(&Keys::new(c))),
    ("qwen3_vl_moe", |c| qwen_vl::build(&Keys::new(c))),
    ("qwen3_vl_moe_text", |c| qwen_vl::build(&Keys::new(c))),
    ("qwen3_vl_text", |c| qwen_vl::build(&Keys::new(c))),
    ("step3p5", |c| step::build(&Keys::new(c))),
    ("step3p7", |c| step::build(&Keys::new(c))),
];
