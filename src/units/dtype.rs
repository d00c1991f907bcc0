//! Element types and how many bytes a number of their elements takes.

use serde::{Deserialize, Serialize};

use super::{Bytes, Count};

/// The type of one element of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum DType {
    /// 64-bit integer (token ids, indices).
    Int64,
    /// 32-bit float.
    Fp32,
    /// 32-bit integer.
    Int32,
    /// 16-bit float with 5 exponent bits.
    Fp16,
    /// 16-bit float with 8 exponent bits.
    Bf16,
    /// 8-bit float.
    Fp8,
    /// 8-bit integer or mask.
    Int8,
    /// 4-bit integer or float, packed in pairs.
    Int4,
}

impl DType {
    /// Bits of one element.
    pub const fn bits(self) -> u64 {
        match self {
            Self::Int64 => 64,
            Self::Fp32 | Self::Int32 => 32,
            Self::Fp16 | Self::Bf16 => 16,
            Self::Fp8 | Self::Int8 => 8,
            Self::Int4 => 4,
        }
    }

    /// The bytes of `count` elements, rounded up to a whole byte.
    pub const fn bytes_of(self, count: Count) -> Bytes {
        let elements = count.get();
        Bytes::new(match self {
            Self::Int4 => elements.div_ceil(2),
            _ => elements.saturating_mul(self.bits() / 8),
        })
    }

    /// The name that people write: "bf16", "fp32".
    pub const fn name(self) -> &'static str {
        match self {
            Self::Int64 => "int64",
            Self::Fp32 => "fp32",
            Self::Int32 => "int32",
            Self::Fp16 => "fp16",
            Self::Bf16 => "bf16",
            Self::Fp8 => "fp8",
            Self::Int8 => "int8",
            Self::Int4 => "int4",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_elements_are_rounded_up_to_whole_ones() {
        for (dtype, name, three) in [
            (DType::Int64, "int64", 24),
            (DType::Fp32, "fp32", 12),
            (DType::Int32, "int32", 12),
            (DType::Fp16, "fp16", 6),
            (DType::Bf16, "bf16", 6),
            (DType::Fp8, "fp8", 3),
            (DType::Int8, "int8", 3),
            (DType::Int4, "int4", 2),
        ] {
            assert_eq!(dtype.name(), name);
            assert_eq!(dtype.bytes_of(Count::new(3)), Bytes::new(three), "{name}");
        }
    }
}
