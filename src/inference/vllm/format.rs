//! How vLLM stores a quantised matrix once it is loaded and repacked: the bytes of each tensor that it becomes
//! (vllm 0.11.0 `model_executor/layers/quantization/*`). Which matrices are quantised is decided in `tensors`.

use crate::units::DType;

/// Which kernel multiplies with MXFP4 experts: each pads the expert width and the hidden size differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mxfp4Kernel {
    /// Marlin: Ampere, Ada, GB10 and consumer Blackwell.
    Marlin,
    /// Triton kernels: Hopper.
    Triton,
    /// TRT-LLM kernels: data-centre Blackwell.
    TrtLlm,
    /// CUTLASS.
    Cutlass,
    /// ROCm.
    Rocm,
}

impl Mxfp4Kernel {
    /// Multiples of expert width and hidden size (vllm 0.11.0 `layers/quantization/mxfp4.py`).
    const fn padding(self) -> (u64, u64) {
        match self {
            Self::Marlin => (128, 256),
            Self::TrtLlm | Self::Rocm => (256, 256),
            Self::Cutlass => (128, 128),
            Self::Triton => (64, 1),
        }
    }
}

/// How weights of linear layers are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WeightFormat {
    /// In the element type of the model.
    #[default]
    Native,
    /// FP8 with one scale per tensor.
    Fp8Tensor,
    /// FP8 with one fp32 scale per output channel.
    Fp8Channel,
    /// FP8 with one fp32 scale per block of 128 x 128.
    Fp8Block,
    /// The same repacked for Marlin: a 16-bit scale per 128 inputs of each output.
    Fp8BlockMarlin,
    /// INT8 with one fp32 scale per output channel.
    Int8Channel,
    /// Four bits with a 16-bit scale per group, and zero points where it is asymmetric (AWQ; symmetric GPTQ under Marlin).
    Int4 {
        /// Weights per group.
        group: u64,
        /// Whether packed zero points are kept.
        zeros: bool,
    },
    /// Eight bits with a 16-bit scale per group (GPTQ int8, symmetric).
    Int8Group {
        /// Weights per group.
        group: u64,
    },
    /// bitsandbytes NF4 or FP4.
    Nf4 {
        /// Whether the scales are quantised again.
        double: bool,
    },
    /// MXFP4, of experts only.
    Mxfp4(Mxfp4Kernel),
    /// NVFP4: an FP8 scale per 16 weights.
    Nvfp4,
    /// Any other format: so many thousandths of a bit per weight on average, scales included.
    Average {
        /// Bits per weight times 1000.
        millibits: u64,
    },
}

/// A matrix, or a stack of equal ones, on one rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// Experts in the stack; one for a plain matrix.
    pub copies: u64,
    /// Output features.
    pub rows: u64,
    /// Input features.
    pub columns: u64,
}

/// The tensors that a stored matrix consists of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// The packed weight.
    pub weight: u64,
    /// Zero points, scales and tables, in the order of creation; zero where absent.
    pub extras: [u64; 3],
}

impl Stored {
    /// All bytes.
    pub fn total(&self) -> u64 {
        self.extras
            .iter()
            .fold(self.weight, |sum, extra| sum.saturating_add(*extra))
    }
}

/// Bytes of one quantisation constant in fp32.
const SCALE: u64 = 4;

impl WeightFormat {
    /// Whether only routed experts are quantised.
    pub const fn experts_only(self) -> bool {
        matches!(self, Self::Mxfp4(_))
    }

    /// Whether kernels repack matrices after they are loaded.
    pub const fn repacked(self) -> bool {
        matches!(
            self,
            Self::Int4 { .. }
                | Self::Int8Group { .. }
                | Self::Fp8BlockMarlin
                | Self::Mxfp4(Mxfp4Kernel::Marlin)
        )
    }

    /// What a matrix becomes; `element` is the type of the model's other tensors, `gate_up` says that the rows are two
    /// projections side by side.
    pub fn store(self, matrix: Matrix, element: DType, gate_up: bool) -> Stored {
        let Matrix {
            copies,
            rows,
            columns,
        } = matrix;
        let n = copies.saturating_mul(rows).saturating_mul(columns);
        let stored = |weight: u64, extras: [u64; 3]| Stored { weight, extras };
        match self {
            Self::Native => stored(n.saturating_mul(element.bits()) / 8, [0; 3]),
            Self::Fp8Tensor => stored(n, [SCALE.saturating_mul(copies), 0, 0]),
            Self::Fp8Channel | Self::Int8Channel => {
                stored(n, [SCALE.saturating_mul(copies).saturating_mul(rows), 0, 0])
            }
            Self::Fp8Block => {
                let blocks = rows.div_ceil(128).saturating_mul(columns.div_ceil(128));
                stored(n, [SCALE.saturating_mul(copies).saturating_mul(blocks), 0, 0])
            }
            Self::Fp8BlockMarlin => stored(n, [(n / 128).saturating_mul(2), 0, 0]),
            Self::Int4 { group, zeros } => {
                let groups = n / group.max(1);
                stored(
                    n / 2,
                    [if zeros { groups / 2 } else { 0 }, groups.saturating_mul(2), 0],
                )
            }
            Self::Int8Group { group } => stored(n, [(n / group.max(1)).saturating_mul(2), 0, 0]),
            Self::Nf4 { double: false } => stored(n / 2, [(n / 64).saturating_mul(SCALE), 64, 0]),
            Self::Nf4 { double: true } => {
                let blocks = n / 64;
                stored(
                    n / 2,
                    [
                        blocks,
                        blocks.div_ceil(256).saturating_mul(SCALE),
                        SCALE + 64 + 1024,
                    ],
                )
            }
            Self::Mxfp4(kernel) => mxfp4(kernel, matrix, gate_up),
            Self::Nvfp4 => stored(
                n / 2,
                [n / 16, SCALE.saturating_mul(copies), SCALE.saturating_mul(copies)],
            ),
            Self::Average { millibits } => stored((n / 8000).saturating_mul(millibits), [0; 3]),
        }
    }
}

/// Values of half a byte with a byte of scale per 32, on padded sizes. Under Triton's kernels on Hopper only the packed
/// values are padded, along the reduced axis to 256: derived from what is printed for gpt-oss, 13.47 and 64.38 GiB, where this
/// gives 13.468 and 64.400 (vllm-202, vllm-203); it was not read.
fn mxfp4(kernel: Mxfp4Kernel, matrix: Matrix, gate_up: bool) -> Stored {
    let pad = |value: u64, multiple: u64| value.div_ceil(multiple.max(1)).saturating_mul(multiple.max(1));
    let (width, hidden) = kernel.padding();
    let (rows, columns) = match gate_up {
        true => (2 * pad(matrix.rows / 2, width), pad(matrix.columns, hidden)),
        false => (pad(matrix.rows, hidden), pad(matrix.columns, width)),
    };
    let stack = |rows: u64, columns: u64| matrix.copies.saturating_mul(rows).saturating_mul(columns);
    let values = match kernel {
        Mxfp4Kernel::Triton => stack(rows, pad(columns, 256)),
        _ => stack(rows, columns),
    };
    Stored {
        weight: values / 2,
        extras: [stack(rows, columns) / 32, 0, 0],
    }
}

/// The padded width of an expert bias.
pub fn bias_rows(format: WeightFormat, rows: u64, gate_up: bool) -> u64 {
    let WeightFormat::Mxfp4(kernel) = format else {
        return rows;
    };
    let (width, hidden) = kernel.padding();
    match gate_up {
        true => (rows / 2).div_ceil(width).saturating_mul(width).saturating_mul(2),
        false => rows.div_ceil(hidden).saturating_mul(hidden),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One matrix of 14336 rows and 4096 columns.
    fn bytes(format: WeightFormat) -> u64 {
        let matrix = Matrix {
            copies: 1,
            rows: 14336,
            columns: 4096,
        };
        format.store(matrix, DType::Bf16, false).total()
    }

    #[test]
    fn one_matrix_in_every_format() {
        for (format, expected) in [
            (WeightFormat::Native, 117_440_512),
            (WeightFormat::Fp8Tensor, 58_720_260),
            (WeightFormat::Fp8Channel, 58_777_600),
            (WeightFormat::Int8Channel, 58_777_600),
            (WeightFormat::Fp8Block, 58_734_592),
            (
                WeightFormat::Int4 {
                    group: 128,
                    zeros: true,
                },
                30_507_008,
            ),
            (WeightFormat::Nf4 { double: false }, 33_030_208),
            (WeightFormat::Nf4 { double: true }, 30_293_060),
            (WeightFormat::Mxfp4(Mxfp4Kernel::Cutlass), 31_195_136),
        ] {
            assert_eq!(bytes(format), expected, "{format:?}");
        }
        assert_eq!(
            bytes(WeightFormat::Nvfp4),
            33_030_152,
            "with the scale of its input"
        );
    }

    #[test]
    fn experts_of_gpt_oss_are_padded_for_marlin() {
        let format = WeightFormat::Mxfp4(Mxfp4Kernel::Marlin);
        let stack = |rows, columns, gate_up| {
            let matrix = Matrix {
                copies: 32,
                rows,
                columns,
            };
            format.store(matrix, DType::Bf16, gate_up).total() + 32 * 2 * bias_rows(format, rows, gate_up)
        };
        assert_eq!(stack(5760, 2880, true) + stack(2880, 2880, false), 461_815_808);
    }
}
