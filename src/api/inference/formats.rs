//! Types of arithmetic, weights and cache, and whether engine and card can run them.

use super::super::given::Given;
use super::super::resolve::{Model, Report};
use super::{loaded, tensorrt, tgi};
use crate::inference::Device;
use crate::inference::job::CacheType;
use crate::inference::weights::{Quantisation, WeightFormat};
use crate::request::{InputId, ServerId};
use crate::units::DType;
use crate::warn::Issue;

/// The type of the arithmetic. vLLM takes bf16 from compute capability 8.0 on, and fp16 where a published bf16 was not asked
/// for (vllm `platforms/cuda.py` check_if_supports_dtype, `config/model.py`).
pub fn compute(
    given: &Given,
    model: &Model,
    engine: Option<ServerId>,
    device: &Device,
    report: &mut Report,
) -> DType {
    let no_bf16 = engine == Some(ServerId::Vllm) && device.nvidia && device.capability < 80;
    match given.choice(InputId::ServerDtype) {
        Some("bf16") => {
            if no_bf16 {
                report.error(
                    "not_supported_by_gpu",
                    InputId::ServerDtype,
                    "vLLM runs bf16 from compute capability 8.0 (Ampere) on; fp16 is its choice for this card.",
                );
            }
            DType::Bf16
        }
        Some("fp16") => DType::Fp16,
        Some("fp32") => DType::Fp32,
        _ if tgi::asked(given) && given.has(InputId::TgiDtype) => match given.choice(InputId::TgiDtype) {
            Some("float16") => DType::Fp16,
            _ => DType::Bf16,
        },
        _ => {
            let published = model
                .released
                .dtype
                .filter(|dtype| matches!(dtype, DType::Bf16 | DType::Fp16 | DType::Fp32));
            let (dtype, reason) = match published {
                Some(DType::Bf16) | None if no_bf16 => {
                    (DType::Fp16, "the card has no bf16, and vLLM takes fp16 then")
                }
                // vllm 0.33.0 `config/model.py` _resolve_auto_dtype; sglang 0.5.23 `srt/configs/model_config.py`.
                Some(DType::Fp32) if engine != Some(ServerId::Huggingface) => (
                    match engine {
                        Some(ServerId::Sglang | ServerId::Tgi) => DType::Fp16,
                        _ if no_bf16 => DType::Fp16,
                        _ => DType::Bf16,
                    },
                    "the model is published in fp32, which the engine narrows to 16 bits",
                ),
                Some(dtype) => (dtype, "the type in which the model is published"),
                None => (DType::Bf16, "the model's type is not known"),
            };
            report.assume(InputId::ServerDtype, dtype.name(), reason);
            dtype
        }
    }
}

/// How the weights are stored; `None` where that is refused.
pub fn weights(
    given: &Given,
    model: &Model,
    engine: Option<ServerId>,
    device: &Device,
    report: &mut Report,
) -> Option<Quantisation> {
    let group = given.typed_integer(InputId::WeightGroup);
    let released = match model
        .released
        .quantisation
        .as_ref()
        .map(Quantisation::from_config)
    {
        Some(Ok(released)) => Some(released),
        Some(Err(why)) => {
            report.add(Issue::warning(
                "assumed",
                "model.hf_config.quantization_config",
                format!("{why}: the weights are calculated as not quantised."),
            ));
            None
        }
        None => None,
    };
    let asked = chosen(given, report);
    let word = asked.or(match (model.released.method.as_deref(), &released) {
        (Some("bitsandbytes"), Some(released)) => Some(match released.format {
            WeightFormat::Int8Channel => "bnb_int8",
            _ => "nf4_double",
        }),
        _ => None,
    });
    if let (Some(engine), Some(word)) = (engine, word)
        && let Some(why) = loaded::refused(engine, word, loaded::version(given))
    {
        report.error("not_supported_by_engine", InputId::WeightFormat, why);
    }
    let mut found = match asked {
        None => match released {
            Some(released) => {
                report.assume(
                    InputId::WeightFormat,
                    model.released.method.clone().unwrap_or_default(),
                    "quantization_config of the model",
                );
                released
            }
            None => Quantisation::none(),
        },
        Some(name) => {
            let format = named(name, group);
            match released {
                // The checkpoint's own list of what stays holds for its own format.
                Some(released) if format.bits(DType::Bf16) == released.format.bits(DType::Bf16) => {
                    Quantisation { format, ..released }
                }
                _ => Quantisation::by_default(format),
            }
        }
    };
    if let Some(group) = group {
        match &mut found.format {
            WeightFormat::Gptq { group: own, .. }
            | WeightFormat::Awq { group: own }
            | WeightFormat::Compressed { group: own, .. }
            | WeightFormat::Hqq { group: own, .. }
            | WeightFormat::TorchaoInt4 { group: own } => *own = group,
            _ => report.warn(
                "not_used",
                InputId::WeightGroup,
                "This format has no groups of a size to choose.",
            ),
        }
    }
    support(&mut found.format, engine, device, report);
    Some(found)
}

/// The format that was asked for, by the weight format or by vLLM's argument.
fn chosen(given: &Given, report: &mut Report) -> Option<&'static str> {
    let argument = match given.choice(InputId::VllmQuantization) {
        Some("bitsandbytes") => Some("nf4_double"),
        Some("squeezellm") => {
            report.error(
                "not_supported_by_engine",
                InputId::VllmQuantization,
                "vLLM removed SqueezeLLM in 0.6.",
            );
            None
        }
        Some("none") | None => None,
        Some(name) => Some(name),
    };
    let argument = match tgi::asked(given) {
        true => tgi::quantize(given, report),
        false => argument,
    };
    given.choice(InputId::WeightFormat).or(argument)
}

fn named(name: &str, group: Option<u64>) -> WeightFormat {
    let wide = group.unwrap_or(128);
    match name {
        "fp8" => WeightFormat::Fp8Tensor { static_inputs: false },
        "fp8_channel" => WeightFormat::Fp8Channel,
        "fp8_block" => WeightFormat::Fp8Block,
        "int8" | "bnb_int8" => WeightFormat::Int8Channel,
        "gptq" => WeightFormat::Gptq { bits: 4, group: wide },
        "gptq_int8" => WeightFormat::Gptq { bits: 8, group: wide },
        "awq" => WeightFormat::Awq { group: wide },
        "w4a16" => WeightFormat::Compressed {
            group: wide,
            asymmetric: false,
        },
        "nf4" => WeightFormat::BitsAndBytes4 { double: false },
        "nf4_double" => WeightFormat::BitsAndBytes4 { double: true },
        "hqq" => WeightFormat::Hqq {
            bits: 4,
            group: group.unwrap_or(64),
        },
        "hqq_int8" => WeightFormat::Hqq {
            bits: 8,
            group: group.unwrap_or(64),
        },
        "torchao_int4" => WeightFormat::TorchaoInt4 { group: wide },
        "torchao_int8" => WeightFormat::TorchaoInt8,
        "mxfp4" => WeightFormat::Mxfp4,
        "mxfp8" => WeightFormat::Mxfp8,
        "nvfp4" => WeightFormat::Nvfp4 { static_inputs: false },
        _ => WeightFormat::Plain,
    }
}

/// The compute capability, times ten, below which vLLM refuses a format (vllm `model_executor/layers/quantization/*.py`
/// get_min_capability of the newest releases; Marlin has no kernel below 7.5, and up to 0.11 none below 8.0).
const fn least_of_vllm(format: WeightFormat) -> u16 {
    match format {
        WeightFormat::Mxfp4 | WeightFormat::Mxfp8 | WeightFormat::Hqq { .. } => 80,
        WeightFormat::Fp8Tensor { .. }
        | WeightFormat::Fp8Channel
        | WeightFormat::Fp8Block
        | WeightFormat::Int8Channel
        | WeightFormat::Awq { .. }
        | WeightFormat::Compressed { .. }
        | WeightFormat::TorchaoInt4 { .. }
        | WeightFormat::TorchaoInt8
        | WeightFormat::Nvfp4 { .. } => 75,
        WeightFormat::BitsAndBytes4 { .. } => 70,
        WeightFormat::Gptq { .. } => 60,
        WeightFormat::Plain => 0,
    }
}

/// What the card cannot run. Below compute capability 8.9 Transformers widens FP8 in blocks and MXFP8 at load and has no kernel
/// for the other FP8; it widens MXFP4 below 7.5 (transformers 5.23.0 `quantizers/quantizer_finegrained_fp8.py`,
/// `quantizer_fbgemm_fp8.py`, `quantizer_mxfp4.py`); vLLM has kernels that take FP8 and
/// FP4 weights as they are on older cards (`model_executor/layers/quantization/utils/marlin_utils_fp8.py`, `..._fp4.py`).
fn support(stored: &mut WeightFormat, engine: Option<ServerId>, device: &Device, report: &mut Report) {
    let format = *stored;
    let fp8 = matches!(
        format,
        WeightFormat::Fp8Tensor { .. }
            | WeightFormat::Fp8Channel
            | WeightFormat::Fp8Block
            | WeightFormat::Mxfp8
    );
    let fp4 = matches!(format, WeightFormat::Nvfp4 { .. });
    let mx = format == WeightFormat::Mxfp4;
    let transformers = engine == Some(ServerId::Huggingface);
    let blocks = matches!(format, WeightFormat::Fp8Block | WeightFormat::Mxfp8);
    if transformers && blocks && device.nvidia && device.capability < 89 {
        report.warn(
            "emulated",
            InputId::WeightFormat,
            "Transformers has kernels for this format from compute capability 8.9 (Ada, Hopper) on: the weights are widened at load.",
        );
        *stored = WeightFormat::Plain;
    } else if transformers && fp8 && device.capability < 89 {
        report.error(
            "not_supported_by_gpu",
            InputId::WeightFormat,
            "Transformers runs FP8 weights from compute capability 8.9 (Ada, Hopper) on.",
        );
    } else if transformers && mx && device.nvidia && device.capability < 75 {
        report.warn(
            "emulated",
            InputId::WeightFormat,
            "Transformers has MXFP4 kernels from compute capability 7.5 (Turing) on: the weights are widened at load.",
        );
        *stored = WeightFormat::Plain;
    } else if engine == Some(ServerId::Vllm) && device.nvidia && device.capability < least_of_vllm(format) {
        let least = least_of_vllm(format);
        report.error(
            "not_supported_by_gpu",
            InputId::WeightFormat,
            format!(
                "vLLM runs this format from compute capability {}.{} on; {} has {}.{}.",
                least / 10,
                least % 10,
                device.name,
                device.capability / 10,
                device.capability % 10,
            ),
        );
    } else if !transformers && (fp8 && device.capability < 89 || (fp4 || mx) && device.capability < 100) {
        report.warn(
            "emulated",
            InputId::WeightFormat,
            "The card has no arithmetic in this format: the weights stay in it and are widened inside the kernel, which saves memory and not time.",
        );
    }
}

/// The type of the cache.
pub fn cache(
    given: &Given,
    model: &Model,
    engine: Option<ServerId>,
    device: &Device,
    report: &mut Report,
) -> CacheType {
    let kind = match given.choice(InputId::KvCacheType) {
        Some("fp8") => CacheType::Fp8,
        Some("fp4") => CacheType::Fp4,
        Some("int8") => CacheType::Grouped(8),
        Some("int4") => CacheType::Grouped(4),
        Some("int2") => CacheType::Grouped(2),
        _ => CacheType::Compute,
    };
    let refused = engine.and_then(|engine| {
        let release = loaded::version(given);
        let pytorch = tensorrt::on_pytorch(given, release);
        loaded::refused_cache(engine, kind, release, pytorch, &model.network, device.capability)
    });
    if let Some(why) = refused {
        report.error("not_supported_by_engine", InputId::KvCacheType, why);
    } else if kind == CacheType::Fp8 && device.capability < 89 {
        report.warn(
            "emulated",
            InputId::KvCacheType,
            "The card has no fp8 arithmetic: the cache is stored in fp8 and widened before use.",
        );
    }
    kind
}
