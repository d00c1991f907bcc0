//! Which formats of weights and types of cache each engine loads, by its releases: the door refuses the others, and the search
//! of plans tries these. What a format stores is written elsewhere.
//!
//! Read in: vllm 0.12.0 to 0.33.0 `model_executor/layers/quantization/__init__.py` QuantizationMethods and `config/cache.py`
//! CacheDType; sglang 0.5.10 and 0.5.23 `srt/layers/quantization/__init__.py`, `srt/arg_groups/choices.py` and
//! `srt/arg_groups/fields/model.py` kv_cache_dtype; huggingface/text-generation-inference db931fc
//! `launcher/src/main.rs` Quantization and KVCacheDtype, `server/text_generation_server/utils/quantization.py` get_loader,
//! `layers/bnb.py`, `layers/compressed_tensors`; NVIDIA/TensorRT-LLM `tensorrt_llm/quantization/mode.py` QuantAlgo and
//! KV_CACHE_QUANT_ALGO_LIST, `docs/source/features/quantization.md`, issue NVIDIA/Model-Optimizer#763 (1.2.0rc7:
//! kv_cache_config.dtype takes auto, fp8 and nvfp4); transformers 5.23.0 `quantizers/auto.py`, `quantizer_nvfp4.py`.

use super::super::given::Given;
use crate::inference::Version;
use crate::inference::job::CacheType;
use crate::model::{Mixer, Network};
use crate::request::{InputId, ServerId};

const FIRST: Version = Version(0, 0, 0);
const STILL: Version = Version(u32::MAX, u32::MAX, u32::MAX);

/// A format with the first release that loads it and the first that no longer does.
type Loaded = (&'static str, Version, Version);

const fn always(name: &'static str) -> Loaded {
    (name, FIRST, STILL)
}

const VLLM: &[Loaded] = &[
    always("none"),
    always("fp8"),
    always("fp8_channel"),
    always("fp8_block"),
    always("int8"),
    // "bitsandbytes" is among the methods of 0.27.0 and no longer among those of 0.28.0.
    ("bnb_int8", FIRST, Version(0, 28, 0)),
    ("nf4", FIRST, Version(0, 28, 0)),
    ("nf4_double", FIRST, Version(0, 28, 0)),
    always("gptq"),
    always("gptq_int8"),
    always("awq"),
    always("w4a16"),
    // Among the methods of 0.14.0 and no longer among those of 0.17.0; its kernels have 4 bits.
    ("hqq", FIRST, Version(0, 17, 0)),
    always("torchao_int4"),
    always("torchao_int8"),
    always("mxfp4"),
    // "modelopt_mxfp8" is among the methods of 0.17.0 and not among those of 0.14.0.
    ("mxfp8", Version(0, 17, 0), STILL),
    always("nvfp4"),
];

const SGLANG: &[Loaded] = &[
    always("none"),
    always("fp8"),
    always("fp8_channel"),
    always("fp8_block"),
    always("int8"),
    always("bnb_int8"),
    always("nf4"),
    always("nf4_double"),
    always("gptq"),
    always("gptq_int8"),
    always("awq"),
    always("w4a16"),
    // `--torchao-config` of 0.5.10, which 0.5.23 no longer has.
    ("torchao_int4", FIRST, Version(0, 5, 23)),
    ("torchao_int8", FIRST, Version(0, 5, 23)),
    always("mxfp4"),
    always("mxfp8"),
    always("nvfp4"),
];

/// Its bitsandbytes compresses the scales (`layers/bnb.py`: compress_statistics).
const TGI: &[Loaded] = &[
    always("none"),
    always("fp8"),
    always("fp8_channel"),
    always("fp8_block"),
    always("int8"),
    always("bnb_int8"),
    always("nf4_double"),
    always("gptq"),
    always("gptq_int8"),
    always("awq"),
    always("w4a16"),
];

const TENSORRT_LLM: &[Loaded] = &[
    always("none"),
    always("fp8"),
    always("fp8_channel"),
    always("fp8_block"),
    always("int8"),
    always("gptq"),
    always("gptq_int8"),
    always("awq"),
    always("mxfp4"),
    always("nvfp4"),
];

const TRANSFORMERS: &[Loaded] = &[
    always("none"),
    always("fp8"),
    always("fp8_channel"),
    always("fp8_block"),
    always("int8"),
    always("bnb_int8"),
    always("nf4"),
    always("nf4_double"),
    always("gptq"),
    always("gptq_int8"),
    always("awq"),
    always("w4a16"),
    always("hqq"),
    always("hqq_int8"),
    always("torchao_int4"),
    always("torchao_int8"),
    always("mxfp4"),
    always("mxfp8"),
];

const fn table(engine: ServerId) -> &'static [Loaded] {
    match engine {
        ServerId::Vllm => VLLM,
        ServerId::Sglang => SGLANG,
        ServerId::Tgi => TGI,
        ServerId::TensorRtLlm => TENSORRT_LLM,
        ServerId::Huggingface => TRANSFORMERS,
        // A file has its own types.
        ServerId::LlamaCpp => &[],
    }
}

/// The version that was asked for; the newest where none was.
pub fn version(given: &Given) -> Version {
    named(given.text(InputId::ServerVersion).as_deref())
}

/// The version of this name; the newest where it names none.
pub fn named(text: Option<&str>) -> Version {
    text.and_then(Version::parse).unwrap_or(Version(u32::MAX, 0, 0))
}

/// Formats that a release of an engine loads.
pub fn weights(engine: ServerId, version: Version) -> impl Iterator<Item = &'static str> {
    table(engine)
        .iter()
        .filter(move |(_, from, before)| (*from..*before).contains(&version))
        .map(|(name, ..)| *name)
}

/// Why an engine does not load a format of weights, and where it does.
pub fn refused(engine: ServerId, name: &str, version: Version) -> Option<String> {
    let known = table(engine).iter().find(|(known, ..)| *known == name);
    let product = engine.name();
    match known {
        Some((_, from, _)) if version < *from => Some(format!(
            "{product} loads this format from {}.{} on.",
            from.0, from.1
        )),
        Some((.., before)) if version >= *before => Some(format!(
            "{product} no longer loads this format: {}.{}.{} is the first release without it.",
            before.0, before.1, before.2
        )),
        Some(_) => None,
        None => Some(match (engine, name) {
            (ServerId::Huggingface, "nvfp4") => {
                "Transformers 5.23 quantises to NVFP4 only while it loads 16-bit weights onto one Blackwell card, and keeps the scales twice: that is not built."
                    .to_owned()
            }
            (ServerId::Tgi, "nf4") => {
                "bitsandbytes in TGI compresses the scales, too: that is the double quantisation of NF4.".to_owned()
            }
            _ => format!("{product} does not load this format."),
        }),
    }
}

/// Why an engine does not cache in a type.
pub fn refused_cache(
    engine: ServerId,
    kind: CacheType,
    version: Version,
    pytorch: bool,
    network: &Network,
    capability: u16,
) -> Option<&'static str> {
    match (engine, kind) {
        (_, CacheType::Compute) => None,
        (ServerId::TensorRtLlm, CacheType::Fp8) => None,
        (ServerId::TensorRtLlm, CacheType::Grouped(8)) => pytorch.then_some(
            "The PyTorch backend of TensorRT-LLM caches keys and values in the compute type, in fp8 or in NVFP4; int8 is the other backend's.",
        ),
        (ServerId::TensorRtLlm, CacheType::Fp4) => {
            let known = pytorch && version >= Version(1, 2, 0);
            (!known || capability < 100)
                .then_some("TensorRT-LLM caches in NVFP4 from 1.2 on, with its PyTorch backend, on Blackwell cards.")
        }
        (ServerId::TensorRtLlm, CacheType::Grouped(_)) => {
            Some("TensorRT-LLM caches keys and values in the compute type, in fp8, in int8 or in NVFP4.")
        }
        (ServerId::Tgi, CacheType::Grouped(_) | CacheType::Fp4) => {
            Some("TGI caches keys and values in the compute type or in fp8.")
        }
        (ServerId::Sglang, CacheType::Grouped(_)) => {
            Some("SGLang caches keys and values in the compute type, in fp8 or in fp4.")
        }
        (ServerId::Huggingface, CacheType::Fp4) => {
            Some("Transformers has no cache of 4-bit floats; int4 is its choice for 4 bits.")
        }
        (ServerId::Huggingface, CacheType::Grouped(8)) => Some(
            "Transformers' quanto backend caches in 4 or 2 bits; its fp8 layer is the choice for 8 bits.",
        ),
        (ServerId::Vllm, CacheType::Grouped(_) | CacheType::Fp4) => {
            refused_by_vllm(kind, version, network, capability)
        }
        _ => None,
    }
}

/// vllm 0.33.0 `v1/attention/backends/triton_attn.py` and `flashinfer.py`: supported_kv_cache_dtypes and customize_spec. The
/// types are absent in 0.19.0 and there in 0.21.0, those of 4-bit integers absent in 0.23.0 and there in 0.25.0.
fn refused_by_vllm(
    kind: CacheType,
    version: Version,
    network: &Network,
    capability: u16,
) -> Option<&'static str> {
    let latent = network
        .kinds
        .iter()
        .any(|layer| matches!(layer.mixer, Mixer::Latent(_)));
    match kind {
        CacheType::Grouped(2) => {
            Some("vLLM caches keys and values in the compute type, in fp8, int8, int4 or NVFP4.")
        }
        _ if latent => {
            Some("vLLM's int8, int4 and NVFP4 caches are for attention with keys and values of heads.")
        }
        CacheType::Grouped(4) if version < Version(0, 25, 0) => Some("vLLM caches in int4 from 0.25 on."),
        _ if version < Version(0, 21, 0) => Some("vLLM caches in int8 and NVFP4 from 0.21 on."),
        CacheType::Fp4 if capability < 100 => Some("vLLM caches in NVFP4 on Blackwell cards."),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::InputKind;

    #[test]
    fn every_format_of_the_tables_is_one_of_the_input() {
        let InputKind::Choice(choices) = InputId::WeightFormat.input().kind else {
            unreachable!("a choice");
        };
        for engine in ServerId::ALL {
            for (name, from, before) in table(*engine) {
                assert!(choices.iter().any(|choice| choice.value == *name), "{name}");
                assert!(from < before, "{name}");
            }
        }
    }

    #[track_caller]
    fn loads(engine: ServerId, version: Version, name: &str, expected: bool) {
        assert_eq!(refused(engine, name, version).is_none(), expected, "{name}");
        assert_eq!(
            weights(engine, version).any(|one| one == name),
            expected,
            "{name}"
        );
    }

    #[test]
    fn formats_follow_the_release() {
        loads(ServerId::Vllm, Version(0, 27, 0), "nf4", true);
        loads(ServerId::Vllm, Version(0, 28, 0), "nf4", false);
        loads(ServerId::Vllm, Version(0, 14, 0), "mxfp8", false);
        loads(ServerId::Sglang, Version(0, 5, 10), "torchao_int4", true);
        loads(ServerId::Sglang, Version(0, 5, 23), "torchao_int4", false);
        loads(ServerId::Tgi, Version(3, 3, 0), "nvfp4", false);
        loads(ServerId::TensorRtLlm, Version(1, 2, 0), "mxfp4", true);
    }
}
