//! The file of a vision tower (`--mmproj`): its tensors, and the scratch of its graph. Both lie on the first GPU
//! (ggml-org/llama.cpp `tools/mtmd/clip.cpp`; `convert_hf_to_gguf.py` MmprojModel).
//!
//! Positions and vectors are in 32 bits, and so is what cuts the patches, but for Qwen's in F16. Published logs: 887.99 MiB for
//! Qwen3.6-27B in BF16, 1033.29 MiB for Qwen3-VL-30B-A3B in F16.
//!
//! The graph is reserved for the image of the warm-up, of 46 x 46 tokens where any size is taken. With flash attention it holds six
//! rows of the width for each patch (residual, its norm, queries, keys, values and what attention makes of them), or the
//! inner width and two rows, and the image: 248.10 MiB for Qwen3.6-27B. Without, all scores beside them.

use super::types::{F16, F32, GgmlType};
use crate::memory::Interval;
use crate::model::{Network, Tensor, Vision, VisionClass, VisionPart};
use crate::units::Bytes;

/// Tokens along a side of the image of the warm-up.
const WARM_UP: u64 = 46;

/// What a tower takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Projector {
    /// Bytes of its tensors.
    pub weights: u64,
    /// Its compute buffer.
    pub compute: Interval,
}

/// The towers of a network in a file of this type.
pub fn projector(network: &Network, kind: GgmlType, flash: bool) -> Projector {
    let vision = network.vision();
    let weights = network
        .towers
        .iter()
        .flat_map(|tower| &tower.tensors)
        .map(|tensor| bytes(tensor, kind, vision))
        .fold(0, u64::saturating_add);
    Projector {
        weights,
        compute: vision.map_or_else(Interval::default, |vision| compute(vision, flash)),
    }
}

fn bytes(tensor: &Tensor, kind: GgmlType, vision: Option<&Vision>) -> u64 {
    let row = tensor.shape.last().copied().unwrap_or(1).max(1);
    let elements = tensor.elements().get();
    let positions = tensor.name.contains("pos_embed") || tensor.name.contains("position_embedding");
    let patches = tensor.shape.len() > 2 && VisionPart::of(tensor) == VisionPart::Input;
    let of_qwen = vision.is_some_and(|vision| vision.class == VisionClass::Qwen);
    let stored = match tensor.shape.len() {
        0 | 1 => F32,
        _ if positions => F32,
        _ if patches && of_qwen && kind == F16 => F16,
        _ if patches => F32,
        _ if kind.divides(row) => kind,
        _ => F16,
    };
    stored.size(row, elements / row)
}

fn compute(vision: &Vision, flash: bool) -> Interval {
    let side = vision.side.unwrap_or_else(|| {
        WARM_UP
            .saturating_mul(vision.merge.max(1))
            .saturating_mul(vision.patch)
    });
    let patches = vision.patches((side, side));
    let rows = |width: u64| patches.saturating_mul(width).saturating_mul(4);
    let attention = rows(vision.hidden.saturating_mul(6));
    let inner = rows(vision.inner.saturating_add(vision.hidden.saturating_mul(2)));
    let image = side
        .saturating_mul(side)
        .saturating_mul(12)
        .saturating_add(rows(4));
    let scores = rows(vision.heads.saturating_mul(patches));
    let with = attention.max(inner).saturating_add(image);
    let without = attention.saturating_add(scores).saturating_add(image);
    let (expected, high) = match flash {
        true => (with, with.saturating_mul(11) / 10),
        false => (without, without.saturating_mul(11) / 10),
    };
    Interval::new(
        Bytes::new(attention.min(expected)),
        Bytes::new(expected),
        Bytes::new(high),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inference::engines::llama_cpp::types::BF16;
    use crate::model::catalogue;

    fn of(id: &str, kind: GgmlType) -> Projector {
        let network = catalogue::find(id).and_then(|entry| entry.network());
        projector(&network.expect("a model"), kind, true)
    }

    fn mib(bytes: u64) -> String {
        format!("{:.2}", bytes as f64 / f64::from(1 << 20))
    }

    /// `load_hparams: model size` and `alloc_compute_meta: CUDA0 compute buffer size` of published logs.
    #[test]
    fn files_and_buffers_are_as_large_as_logs_print_them() {
        let tower = of("qwen3.6-27b", BF16);
        assert_eq!(mib(tower.weights), "887.99");
        assert_eq!(mib(tower.compute.expected.get()), "248.10");
        assert_eq!(mib(of("qwen3-vl-30b-a3b", F16).weights), "1033.29");
    }
}
