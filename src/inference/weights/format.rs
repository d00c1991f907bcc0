//! What a format stores for one matrix of `rows` outputs and `columns` inputs: packed weight, zero points, scales, codes.
//!
//! Sources: vllm-project/vllm 0.11.0 `model_executor/layers/quantization/*`; bitsandbytes-foundation/bitsandbytes 0.50.2
//! `functional.py`; casper-hansen/AutoAWQ @88e4c76; huggingface/transformers 5.23.0 `utils/quantization_config.py`. HQQ and
//! torchao are believed, not read. Which tensors a format covers is decided in `quantisation`.

use crate::units::{Bytes, Count, DType};

/// How matrices are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightFormat {
    /// In the compute type.
    Plain,
    /// FP8 with one fp32 scale, and one for the inputs where they are static.
    Fp8Tensor {
        /// Whether the inputs have a stored scale.
        static_inputs: bool,
    },
    /// FP8 with an fp32 scale per output.
    Fp8Channel,
    /// FP8 with an fp32 scale per block of 128 by 128.
    Fp8Block,
    /// 8-bit integers with an fp32 scale per output (w8a8, SmoothQuant, LLM.int8).
    Int8Channel,
    /// GPTQ: packed integers, fp16 scales, packed zeros, an index of the groups.
    Gptq {
        /// Bits of a weight.
        bits: u64,
        /// Weights per scale.
        group: u64,
    },
    /// AWQ: packed 4-bit integers, fp16 scales, packed zeros.
    Awq {
        /// Weights per scale.
        group: u64,
    },
    /// compressed-tensors: packed 4-bit integers, fp16 scales, the shape, and packed zeros where asymmetric.
    Compressed {
        /// Weights per scale.
        group: u64,
        /// Whether there are zeros.
        asymmetric: bool,
    },
    /// NF4 or FP4 of bitsandbytes: blocks of 64 with an fp32 scale, or with 8-bit scales in blocks of 256.
    BitsAndBytes4 {
        /// Whether the scales are quantised.
        double: bool,
    },
    /// HQQ: packed integers with a 16-bit scale and zero per group.
    Hqq {
        /// Bits of a weight.
        bits: u64,
        /// Weights per scale.
        group: u64,
    },
    /// torchao, 4 bits, weights only: a bf16 scale and zero per group.
    TorchaoInt4 {
        /// Weights per scale.
        group: u64,
    },
    /// torchao, 8 bits, weights only: an fp32 scale per output.
    TorchaoInt8,
    /// MXFP4: blocks of 32 with a one-byte scale.
    Mxfp4,
    /// MXFP8: the same in 8 bits.
    Mxfp8,
    /// NVFP4: blocks of 16 with an FP8 scale, and two fp32 scales of the matrix.
    Nvfp4 {
        /// Whether the inputs have a stored scale.
        static_inputs: bool,
    },
}

/// One stored tensor of a matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// What it is: "weight", "scales", "zeros", "codes".
    pub what: &'static str,
    /// Its bytes, not rounded.
    pub bytes: Bytes,
}

const fn piece(what: &'static str, bytes: u64) -> Piece {
    Piece {
        what,
        bytes: Bytes::new(bytes),
    }
}

impl WeightFormat {
    /// Its usual name; `None` for the compute type.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::Plain => return None,
            Self::Fp8Tensor { .. } | Self::Fp8Channel | Self::Fp8Block => "FP8",
            Self::Int8Channel => "INT8",
            Self::Gptq { .. } => "GPTQ",
            Self::Awq { .. } => "AWQ",
            Self::Compressed { .. } => "compressed-tensors",
            Self::BitsAndBytes4 { .. } => "bitsandbytes, 4 bits",
            Self::Hqq { .. } => "HQQ",
            Self::TorchaoInt4 { .. } => "torchao, 4 bits",
            Self::TorchaoInt8 => "torchao, 8 bits",
            Self::Mxfp4 => "MXFP4",
            Self::Mxfp8 => "MXFP8",
            Self::Nvfp4 { .. } => "NVFP4",
        })
    }

    /// The tensors that stand for one matrix, in the order in which an engine creates them. An engine that pads asks for the
    /// padded matrix.
    pub fn pieces(self, rows: u64, columns: u64, compute: DType) -> Vec<Piece> {
        let count = rows.saturating_mul(columns);
        let packed = |bits: u64| {
            let bits = u128::from(count) * u128::from(bits);
            u64::try_from(bits.div_ceil(8)).unwrap_or(u64::MAX)
        };
        let groups = |group: u64| columns.div_ceil(group.max(1)).saturating_mul(rows);
        match self {
            Self::Plain => vec![piece("weight", compute.bytes_of(Count::new(count)).get())],
            Self::Fp8Tensor { static_inputs } => {
                let mut found = vec![piece("weight", count), piece("scales", 4)];
                if static_inputs {
                    found.push(piece("input scale", 4));
                }
                found
            }
            Self::Fp8Channel | Self::Int8Channel | Self::TorchaoInt8 => {
                vec![piece("weight", count), piece("scales", rows.saturating_mul(4))]
            }
            Self::Fp8Block => {
                let blocks = rows.div_ceil(128).saturating_mul(columns.div_ceil(128));
                vec![piece("weight", count), piece("scales", blocks.saturating_mul(4))]
            }
            Self::Gptq { bits, group } => {
                let groups = groups(group);
                let zeros = u64::try_from((u128::from(groups) * u128::from(bits)).div_ceil(8));
                vec![
                    piece("weight", packed(bits)),
                    piece("group index", columns.saturating_mul(4)),
                    piece("zeros", zeros.unwrap_or(u64::MAX)),
                    piece("scales", groups.saturating_mul(2)),
                ]
            }
            Self::Awq { group } => {
                let groups = groups(group);
                vec![
                    piece("weight", packed(4)),
                    piece("zeros", groups.div_ceil(2)),
                    piece("scales", groups.saturating_mul(2)),
                ]
            }
            Self::Compressed { group, asymmetric } => {
                let groups = groups(group);
                let mut found = vec![
                    piece("weight", packed(4)),
                    piece("scales", groups.saturating_mul(2)),
                    piece("shape", 16),
                ];
                if asymmetric {
                    found.push(piece("zeros", groups.div_ceil(2)));
                }
                found
            }
            Self::BitsAndBytes4 { double } => {
                let blocks = count.div_ceil(64);
                let weight = piece("weight", packed(4));
                if double {
                    vec![
                        weight,
                        piece("scales", blocks),
                        piece("scales of scales", blocks.div_ceil(256).saturating_mul(4)),
                        piece("offset", 4),
                        piece("codes", 64),
                        piece("codes of scales", 1024),
                    ]
                } else {
                    vec![
                        weight,
                        piece("scales", blocks.saturating_mul(4)),
                        piece("codes", 64),
                    ]
                }
            }
            Self::Hqq { bits, group } => {
                // Ten values of 3 bits stand in 32; other widths are packed without gaps.
                let weight = match bits {
                    3 => count.div_ceil(10).saturating_mul(4),
                    bits => packed(bits),
                };
                vec![
                    piece("weight", weight),
                    piece("scales", groups(group).saturating_mul(4)),
                ]
            }
            Self::TorchaoInt4 { group } => {
                vec![
                    piece("weight", packed(4)),
                    piece("scales", groups(group).saturating_mul(4)),
                ]
            }
            Self::Mxfp4 => vec![piece("weight", packed(4)), piece("scales", groups(32))],
            Self::Mxfp8 => vec![piece("weight", count), piece("scales", groups(32))],
            Self::Nvfp4 { static_inputs } => {
                let mut found = vec![
                    piece("weight", packed(4)),
                    piece("scales", groups(16)),
                    piece("global scale", 4),
                ];
                if static_inputs {
                    found.push(piece("input scale", 4));
                }
                found
            }
        }
    }

    /// The bytes of one matrix, its scales included.
    pub fn bytes(self, rows: u64, columns: u64, compute: DType) -> Bytes {
        self.pieces(rows, columns, compute)
            .iter()
            .map(|piece| piece.bytes)
            .sum()
    }

    /// Bits of one stored weight.
    pub const fn bits(self, compute: DType) -> u64 {
        match self {
            Self::Plain => compute.bits(),
            Self::Fp8Tensor { .. }
            | Self::Fp8Channel
            | Self::Fp8Block
            | Self::Int8Channel
            | Self::TorchaoInt8
            | Self::Mxfp8 => 8,
            Self::Gptq { bits, .. } | Self::Hqq { bits, .. } => bits,
            Self::Awq { .. }
            | Self::Compressed { .. }
            | Self::BitsAndBytes4 { .. }
            | Self::TorchaoInt4 { .. }
            | Self::Mxfp4
            | Self::Nvfp4 { .. } => 4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn stores(format: WeightFormat, bytes: u64) {
        assert_eq!(
            format.bytes(14_336, 4096, DType::Bf16),
            Bytes::new(bytes),
            "{format:?}"
        );
    }

    /// One matrix of 14336 outputs and 4096 inputs.
    #[test]
    fn the_bytes_of_one_matrix_in_every_format() {
        let static_inputs = false;
        stores(WeightFormat::Plain, 117_440_512);
        stores(WeightFormat::Fp8Tensor { static_inputs }, 58_720_260);
        stores(WeightFormat::Fp8Channel, 58_777_600);
        stores(WeightFormat::Int8Channel, 58_777_600);
        stores(WeightFormat::Fp8Block, 58_734_592);
        stores(WeightFormat::Awq { group: 128 }, 30_507_008);
        stores(WeightFormat::Gptq { bits: 4, group: 128 }, 30_523_392);
        stores(WeightFormat::BitsAndBytes4 { double: false }, 33_030_208);
        stores(WeightFormat::BitsAndBytes4 { double: true }, 30_293_060);
        stores(WeightFormat::Hqq { bits: 4, group: 64 }, 33_030_144);
        stores(WeightFormat::Mxfp4, 31_195_136);
        stores(WeightFormat::Nvfp4 { static_inputs }, 33_030_148);
    }
}
