//! Mixers without softmax: Mamba 1, Mamba 2 and the gated delta rule, as structure and as tensors. Their convolutions,
//! decays and skip vectors are small and never multiplied as matrices, so they carry the role of norms.

use super::sheet::{Sheet, times};
use crate::model::{Mixer, Role, Split};

/// Shape of a Mamba 1 mixer.
#[derive(Clone, Copy, Debug)]
pub struct Mamba1 {
    /// Residual width.
    pub hidden: u64,
    /// Inner width.
    pub inner: u64,
    /// State size.
    pub state: u64,
    /// Taps of the convolution.
    pub conv: u64,
    /// Rank of the step projection.
    pub step_rank: u64,
    /// Bias on the convolution.
    pub conv_bias: bool,
    /// Bias on the projections in and out.
    pub bias: bool,
    /// Norms with weights on step, B and C (Jamba).
    pub inner_norms: bool,
}

impl Mamba1 {
    /// Writes the tensors down and returns the structure.
    pub fn write(&self, sheet: &mut Sheet, prefix: &str) -> Mixer {
        let name = |piece: &str| format!("{prefix}.{piece}");
        let selective = self.step_rank.saturating_add(self.state.saturating_mul(2));
        sheet.add(
            name("A_log"),
            &[self.inner, self.state],
            Role::Norm,
            Split::Axis(0),
        );
        sheet.add(name("D"), &[self.inner], Role::Norm, Split::Axis(0));
        convolution(sheet, &name("conv1d"), self.inner, self.conv, self.conv_bias);
        let both = self.inner.saturating_mul(2);
        sheet.column(&name("in_proj"), (both, self.hidden), Role::Mixer, self.bias);
        sheet.row(&name("x_proj"), (selective, self.inner), Role::Mixer, false);
        sheet.column(&name("dt_proj"), (self.inner, self.step_rank), Role::Mixer, true);
        sheet.row(
            &name("out_proj"),
            (self.hidden, self.inner),
            Role::Mixer,
            self.bias,
        );
        if self.inner_norms {
            sheet.norm(&name("dt_layernorm"), self.step_rank);
            sheet.norm(&name("b_layernorm"), self.state);
            sheet.norm(&name("c_layernorm"), self.state);
        }
        Mixer::Mamba1 {
            inner: self.inner,
            state: self.state,
            conv: self.conv,
            step_rank: self.step_rank,
        }
    }
}

/// Shape of a Mamba 2 mixer.
#[derive(Clone, Copy, Debug)]
pub struct Mamba2 {
    /// Residual width.
    pub hidden: u64,
    /// Inner width: heads times head width.
    pub inner: u64,
    /// Heads.
    pub heads: u64,
    /// Width of a head.
    pub head_dim: u64,
    /// Groups that share B and C.
    pub groups: u64,
    /// State size.
    pub state: u64,
    /// Taps of the convolution.
    pub conv: u64,
    /// Bias on the convolution.
    pub conv_bias: bool,
    /// Bias on the projection in.
    pub input_bias: bool,
    /// Bias on the projection out.
    pub output_bias: bool,
    /// A gated norm over the inner width.
    pub norm: bool,
}

impl Mamba2 {
    /// Writes the tensors down and returns the structure.
    pub fn write(&self, sheet: &mut Sheet, prefix: &str) -> Mixer {
        let name = |piece: &str| format!("{prefix}.{piece}");
        let channels = self.inner.saturating_add(times(&[2, self.groups, self.state]));
        let projected = self.inner.saturating_add(channels).saturating_add(self.heads);
        for vector in ["dt_bias", "A_log", "D"] {
            sheet.add(name(vector), &[self.heads], Role::Norm, Split::Axis(0));
        }
        convolution(sheet, &name("conv1d"), channels, self.conv, self.conv_bias);
        sheet.column(
            &name("in_proj"),
            (projected, self.hidden),
            Role::Mixer,
            self.input_bias,
        );
        if self.norm {
            sheet.add(name("norm.weight"), &[self.inner], Role::Norm, Split::Axis(0));
        }
        sheet.row(
            &name("out_proj"),
            (self.hidden, self.inner),
            Role::Mixer,
            self.output_bias,
        );
        Mixer::Mamba2 {
            heads: self.heads,
            head_dim: self.head_dim,
            groups: self.groups,
            state: self.state,
            conv: self.conv,
        }
    }
}

/// Shape of a gated-delta mixer.
#[derive(Clone, Copy, Debug)]
pub struct Delta {
    /// Residual width.
    pub hidden: u64,
    /// Key heads.
    pub key_heads: u64,
    /// Value heads.
    pub value_heads: u64,
    /// Width of a key head.
    pub key_dim: u64,
    /// Width of a value head.
    pub value_dim: u64,
    /// Taps of the convolution.
    pub conv: u64,
}

impl Delta {
    /// The structure alone.
    pub fn mixer(&self) -> Mixer {
        Mixer::GatedDelta {
            key_heads: self.key_heads,
            value_heads: self.value_heads,
            key_dim: self.key_dim,
            value_dim: self.value_dim,
            conv: self.conv,
        }
    }

    /// Writes the tensors of Qwen3-Next (`fused`: two input projections) or Qwen3.5 (four) down.
    pub fn write(&self, sheet: &mut Sheet, prefix: &str, fused: bool) -> Mixer {
        let name = |piece: &str| format!("{prefix}.{piece}");
        let key = times(&[self.key_heads, self.key_dim]);
        let value = times(&[self.value_heads, self.value_dim]);
        let mixed = key.saturating_mul(2).saturating_add(value);
        for vector in ["dt_bias", "A_log"] {
            sheet.add(name(vector), &[self.value_heads], Role::Norm, Split::Axis(0));
        }
        convolution(sheet, &name("conv1d"), mixed, self.conv, false);
        let mut input = |piece: &str, rows: u64| {
            sheet.column(&name(piece), (rows, self.hidden), Role::Mixer, false);
        };
        if fused {
            input("in_proj_qkvz", mixed.saturating_add(value));
            input("in_proj_ba", self.value_heads.saturating_mul(2));
        } else {
            input("in_proj_qkv", mixed);
            input("in_proj_z", value);
            input("in_proj_b", self.value_heads);
            input("in_proj_a", self.value_heads);
        }
        sheet.norm(&name("norm"), self.value_dim);
        sheet.row(&name("out_proj"), (self.hidden, value), Role::Mixer, false);
        self.mixer()
    }

    /// Writes the tensors of Kimi Delta Attention down (per-channel decay, low-rank gates, key width = value width).
    pub fn write_kimi(&self, sheet: &mut Sheet, prefix: &str, full_rank_gate: bool) -> Mixer {
        let name = |piece: &str| format!("{prefix}.{piece}");
        let inner = times(&[self.value_heads, self.value_dim]);
        for piece in ["q_proj", "k_proj", "v_proj"] {
            sheet.column(&name(piece), (inner, self.hidden), Role::Mixer, false);
        }
        convolution(sheet, &name("conv1d"), inner.saturating_mul(3), self.conv, false);
        sheet.add(name("forget_gate.dt_bias"), &[inner], Role::Norm, Split::Axis(0));
        let decay = [1, 1, self.value_heads, 1];
        sheet.add(name("forget_gate.A_log"), &decay, Role::Norm, Split::Axis(2));
        let low = (self.value_dim, self.hidden);
        let high = (inner, self.value_dim);
        sheet.whole(&name("forget_gate.f_a_proj"), low, Role::Mixer, false);
        sheet.column(&name("forget_gate.f_b_proj"), high, Role::Mixer, false);
        sheet.column(
            &name("b_proj"),
            (self.value_heads, self.hidden),
            Role::Mixer,
            false,
        );
        if full_rank_gate {
            sheet.column(&name("g_proj"), (inner, self.hidden), Role::Mixer, false);
        } else {
            sheet.whole(&name("g_a_proj"), low, Role::Mixer, false);
            sheet.column(&name("g_b_proj"), high, Role::Mixer, false);
        }
        sheet.norm(&name("o_norm"), self.value_dim);
        sheet.row(&name("o_proj"), (self.hidden, inner), Role::Mixer, false);
        self.mixer()
    }
}

/// A depthwise convolution over positions.
pub fn convolution(sheet: &mut Sheet, name: &str, channels: u64, taps: u64, bias: bool) {
    sheet.add(
        format!("{name}.weight"),
        &[channels, 1, taps],
        Role::Norm,
        Split::Axis(0),
    );
    if bias {
        sheet.add(format!("{name}.bias"), &[channels], Role::Bias, Split::Axis(0));
    }
}
