//! Adapters and the format of the frozen weights.

use super::super::given::Given;
use super::Report;
use crate::request::{EngineId, InputId};
use crate::training::{Adapter, BaseFormat, Precision, Targets};
use crate::units::DType;

/// The adapters; `None` where all weights train.
pub fn adapter(
    given: &Given,
    engine: EngineId,
    precision: Precision,
    report: &mut Report,
) -> Option<Adapter> {
    if given.choice(InputId::Adapter) != Some("lora") {
        return None;
    }
    let base = match given.choice(InputId::BaseFormat) {
        Some("nf4") => BaseFormat::Nf4 { double: false },
        Some("nf4_double") => BaseFormat::Nf4 { double: true },
        Some("gptq_int4") => BaseFormat::Gptq4,
        _ => BaseFormat::Plain,
    };
    let prepared = given.toggle(InputId::KbitPrepared).unwrap_or(false);
    if base.is_quantised() && precision.compute() == DType::Fp32 {
        report.error(
            "unsupported_combination",
            InputId::BaseFormat,
            "Quantised weights are multiplied in 16 bits: choose bf16 or fp16 as the compute type.",
        );
    }
    if engine == EngineId::Fsdp && base.is_quantised() && given.choice(InputId::FsdpVersion) != Some("1") {
        report.error(
            "not_available_yet",
            InputId::BaseFormat,
            "Quantised weights under FSDP2 are not built yet; they are under FSDP1.",
        );
    }
    Some(Adapter {
        rank: given.integer(InputId::LoraRank).unwrap_or(16),
        targets: match given.choice(InputId::LoraTargets) {
            Some("query_value") => Targets::QueryValue,
            Some("attention") => Targets::Attention,
            Some("mlp") => Targets::FeedForward,
            _ => Targets::AllLinear,
        },
        dropout: given.number(InputId::LoraDropout).unwrap_or(0.0),
        dtype: match given.choice(InputId::AdapterDtype) {
            Some("bf16") => DType::Bf16,
            Some("fp16") => DType::Fp16,
            _ => DType::Fp32,
        },
        base,
        prepared,
    })
}
