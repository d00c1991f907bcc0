//! How a vision tower computes: which reference class it is, its widths, and how images become patches and patches tokens.
//! Its weights are the tensors of [`super::Tower`]; what its passes save is told by `training::vision`.

use serde::Serialize;

use super::{Network, Tensor};

/// The reference class of a tower with what leads from it to the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum VisionClass {
    /// SigLIP, averaged over squares of patches, normed and multiplied by one matrix (Gemma 3).
    Siglip,
    /// Blocks with one fused projection and rotated queries and keys; squares of patches merged by two matrices, of the last
    /// block and of those that are listed (Qwen3-VL, Qwen3.5).
    Qwen,
}

/// A vision tower.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Vision {
    /// Its class.
    pub class: VisionClass,
    /// Width of its residual stream.
    pub hidden: u64,
    /// Width of its feed-forward.
    pub inner: u64,
    /// Attention heads.
    pub heads: u64,
    /// Blocks.
    pub depth: u64,
    /// Activation of its feed-forward.
    pub activation: String,
    /// Side of a patch in pixels.
    pub patch: u64,
    /// Values of a patch as the processor lays it out: channels, frames, pixels.
    pub values: u64,
    /// Side of the square of patches that becomes one token.
    pub merge: u64,
    /// Side of every image, where the class takes no other.
    pub side: Option<u64>,
    /// Blocks, counted from nought, whose output is merged by itself and added to the text's first layers.
    pub also_merged: Vec<u64>,
    /// Rows of its table of positions.
    pub positions: u64,
}

/// Where a tensor of a tower belongs, in the order of the forward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VisionPart {
    /// Before the blocks.
    Input,
    /// One of the blocks.
    Block,
    /// The merger behind a block in the middle.
    Merger,
    /// After the blocks, in the tower.
    Output,
    /// From the tower to the text.
    Projector,
}

impl VisionPart {
    /// Of a tensor, by the name that its class gives it.
    pub fn of(tensor: &Tensor) -> Self {
        let has = |word: &str| tensor.name.contains(word);
        if has("deepstack_merger_list") {
            Self::Merger
        } else if has("merger") || has("multi_modal_projector") {
            Self::Projector
        } else if has(".blocks.") || has(".layers.") {
            Self::Block
        } else if has("post_layernorm") {
            Self::Output
        } else {
            Self::Input
        }
    }
}

impl Vision {
    /// The image that the tower sees when it is given one of this height and width: of its own size, or with sides that are
    /// the nearest multiples of a token's (transformers 5.23, models/qwen2_vl/image_processing_qwen2_vl.py, `smart_resize`).
    pub fn resized(&self, (height, width): (u64, u64)) -> (u64, u64) {
        if let Some(side) = self.side {
            return (side, side);
        }
        let unit = self.patch.saturating_mul(self.merge).max(1);
        // Halves are rounded to the even multiple, as Python does.
        let nearest = |length: u64| {
            let (whole, rest) = (length / unit, length % unit);
            let up = rest * 2 > unit || (rest * 2 == unit && whole % 2 == 1);
            (whole + u64::from(up)).max(1).saturating_mul(unit)
        };
        (nearest(height), nearest(width))
    }

    /// Patches of an image of this size.
    pub fn patches(&self, image: (u64, u64)) -> u64 {
        let (height, width) = self.resized(image);
        let patch = self.patch.max(1);
        (height / patch).saturating_mul(width / patch)
    }

    /// Tokens of the text that an image of this size becomes.
    pub fn tokens(&self, image: (u64, u64)) -> u64 {
        self.patches(image) / self.merge.saturating_mul(self.merge).max(1)
    }
}

impl Network {
    /// The vision tower whose passes are known.
    pub fn vision(&self) -> Option<&Vision> {
        self.towers.iter().find_map(|tower| tower.vision.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::{Vision, VisionClass};

    fn qwen() -> Vision {
        Vision {
            class: VisionClass::Qwen,
            hidden: 1024,
            inner: 4096,
            heads: 16,
            depth: 24,
            activation: "gelu_pytorch_tanh".to_string(),
            patch: 16,
            values: 1536,
            merge: 2,
            side: None,
            also_merged: vec![5, 11, 17],
            positions: 2304,
        }
    }

    #[test]
    fn images_are_cut_to_whole_tokens() {
        assert_eq!(qwen().resized((500, 20)), (512, 32));
        assert_eq!(qwen().resized((48, 80)), (64, 64));
        assert_eq!(qwen().patches((512, 512)), 1024);
        assert_eq!(qwen().tokens((512, 512)), 256);
    }

    #[test]
    fn a_tower_of_one_size_takes_no_other() {
        let gemma = Vision {
            class: VisionClass::Siglip,
            patch: 14,
            merge: 4,
            side: Some(896),
            ..qwen()
        };
        assert_eq!(gemma.patches((100, 100)), 4096);
        assert_eq!(gemma.tokens((100, 100)), 256);
    }
}
