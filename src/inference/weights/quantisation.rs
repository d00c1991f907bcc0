//! Which tensors a format covers: by what a tensor is for, and by the names that a `quantization_config` leaves out.

use serde_json::Value;

use super::format::WeightFormat;
use crate::model::{Role, Tensor};

/// What the producers of NVFP4 checkpoints leave in 16 bits besides: gated linear attention (the cards of
/// PassingByPixels/Qwen3.8-27B-NVFP4, ModelOpt 0.45, and lokeshe09/Qwen3.8-27B-NVFP4, llm-compressor; vllm-056).
pub const KEPT_BY_NVFP4: [&str; 1] = ["linear_attn"];

/// A format, the tensors that it leaves alone, and where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantisation {
    /// How covered matrices are stored.
    pub format: WeightFormat,
    /// Parts of names that stay as they are.
    pub left_out: Vec<String>,
    /// Whether the checkpoint itself is stored so, instead of being converted at load.
    pub released: bool,
}

impl Quantisation {
    /// Everything in the compute type.
    pub const fn none() -> Self {
        Self {
            format: WeightFormat::Plain,
            left_out: Vec::new(),
            released: false,
        }
    }

    /// A format that leaves out what it leaves out by default.
    pub fn by_default(format: WeightFormat) -> Self {
        Self {
            format,
            left_out: match format {
                WeightFormat::Nvfp4 { .. } => KEPT_BY_NVFP4.iter().map(|part| (*part).to_owned()).collect(),
                _ => Vec::new(),
            },
            released: false,
        }
    }

    /// Whether a tensor is stored in the format.
    ///
    /// By default of the producers, matrices of mixers and feed-forwards are covered; embeddings, head, norms, biases,
    /// routers and towers are not (vllm-project/vllm 0.11.0 `model_executor/layers/quantization`, transformers 5.23.0
    /// `quantizers/quantizers_utils.py`). MXFP4 covers the routed experts alone (`quantizers/quantizer_mxfp4.py`).
    pub fn covers(&self, tensor: &Tensor) -> bool {
        let by_role = match self.format {
            WeightFormat::Plain => false,
            WeightFormat::Mxfp4 => tensor.role == Role::RoutedExpert,
            _ => matches!(
                tensor.role,
                Role::Mixer | Role::FeedForward | Role::RoutedExpert | Role::SharedExpert
            ),
        };
        // Experts of a layer are one stack of matrices; convolutions also have three axes and are no matrices.
        let matrix = tensor.shape.len() == 2 || tensor.role == Role::RoutedExpert && tensor.shape.len() == 3;
        by_role
            && matrix
            && !tensor.name.ends_with("bias")
            && !self
                .left_out
                .iter()
                .any(|part| tensor.name.contains(part.as_str()))
    }

    /// What a `quantization_config` says; an error names a method that is not known.
    pub fn from_config(config: &Value) -> Result<Self, String> {
        let word = |key: &str| config.get(key).and_then(Value::as_str).unwrap_or_default();
        let whole = |key: &str| config.get(key).and_then(Value::as_u64);
        let flag = |key: &str| config.get(key).and_then(Value::as_bool).unwrap_or(false);
        let group = whole("group_size")
            .or_else(|| whole("q_group_size"))
            .filter(|group| *group > 0)
            .unwrap_or(128);
        let bits = whole("bits").or_else(|| whole("w_bit")).unwrap_or(4);
        let method = word("quant_method").to_ascii_lowercase();
        let format = match method.as_str() {
            "fp8" if config.get("weight_block_size").is_some_and(Value::is_array) => WeightFormat::Fp8Block,
            "fp8" => WeightFormat::Fp8Tensor {
                static_inputs: word("activation_scheme") == "static",
            },
            "fbgemm_fp8" => WeightFormat::Fp8Channel,
            "gptq" => WeightFormat::Gptq { bits, group },
            "awq" => WeightFormat::Awq { group },
            "bitsandbytes" if flag("load_in_8bit") || flag("_load_in_8bit") => WeightFormat::Int8Channel,
            "bitsandbytes" => WeightFormat::BitsAndBytes4 {
                double: flag("bnb_4bit_use_double_quant"),
            },
            "hqq" => WeightFormat::Hqq {
                bits: whole("nbits").unwrap_or(4),
                group: whole("group_size").unwrap_or(64),
            },
            "mxfp4" => WeightFormat::Mxfp4,
            "modelopt" | "modelopt_fp4" => modelopt(word("quant_algo")),
            "compressed-tensors" => compressed(config)?,
            other => return Err(format!("the quantisation method {other:?} is not known")),
        };
        let mut left_out = Vec::new();
        for key in [
            "modules_to_not_convert",
            "ignore",
            "ignored_layers",
            "exclude_modules",
            "llm_int8_skip_modules",
        ] {
            if let Some(Value::Array(names)) = config.get(key) {
                left_out.extend(names.iter().filter_map(Value::as_str).flat_map(alternatives));
            }
        }
        left_out.retain(|name: &String| !name.is_empty());
        Ok(Self {
            format,
            left_out,
            released: true,
        })
    }
}

fn modelopt(algorithm: &str) -> WeightFormat {
    match algorithm.to_ascii_uppercase().as_str() {
        "FP8" => WeightFormat::Fp8Tensor { static_inputs: true },
        _ => WeightFormat::Nvfp4 { static_inputs: true },
    }
}

/// compressed-tensors: the weights of the first group of the configuration.
fn compressed(config: &Value) -> Result<WeightFormat, String> {
    let groups = config.get("config_groups").and_then(Value::as_object);
    let first = groups.and_then(|groups| groups.values().next());
    let weights = first.and_then(|group| group.get("weights"));
    let text = |key: &str| {
        weights
            .and_then(|weights| weights.get(key))
            .and_then(Value::as_str)
    };
    let bits = weights
        .and_then(|weights| weights.get("num_bits"))
        .and_then(Value::as_u64)
        .unwrap_or(8);
    let group = weights
        .and_then(|weights| weights.get("group_size"))
        .and_then(Value::as_u64)
        .filter(|group| *group > 0)
        .unwrap_or(128);
    let symmetric = weights
        .and_then(|weights| weights.get("symmetric"))
        .and_then(Value::as_bool)
        .unwrap_or(true);
    if config.get("format").and_then(Value::as_str) == Some("mxfp4-pack-quantized") {
        return Ok(WeightFormat::Mxfp4);
    }
    let static_inputs = first
        .and_then(|group| group.get("input_activations"))
        .and_then(|inputs| inputs.get("dynamic"))
        .and_then(Value::as_bool)
        == Some(false);
    Ok(match (bits, text("type"), text("strategy")) {
        (8, Some("float"), Some("tensor")) => WeightFormat::Fp8Tensor { static_inputs },
        (8, Some("float"), Some("block")) => WeightFormat::Fp8Block,
        (8, Some("float"), _) => WeightFormat::Fp8Channel,
        (8, _, Some("group")) => WeightFormat::Gptq { bits, group },
        (8, _, _) => WeightFormat::Int8Channel,
        (4, Some("float"), _) => WeightFormat::Nvfp4 { static_inputs: true },
        (4, _, _) => WeightFormat::Compressed {
            group,
            asymmetric: !symmetric,
        },
        (bits, _, _) => return Err(format!("compressed-tensors with {bits} bits is not known")),
    })
}

/// The names for which a pattern with one group of alternatives stands: `mlp\.(gate|up)_proj` for two.
fn alternatives(name: &str) -> Vec<String> {
    let parts = name.split_once('(').and_then(|(before, rest)| {
        let (group, after) = rest.split_once(')')?;
        Some((before, group, after))
    });
    match parts {
        Some((before, group, after)) => group
            .split('|')
            .map(|one| plain_name(&format!("{before}{one}{after}")))
            .collect(),
        None => vec![plain_name(name)],
    }
}

/// `re:.*lm_head` and `model.layers.*.mlp.gate` as a part of a name below its layer.
fn plain_name(name: &str) -> String {
    let name = name.strip_prefix("re:").unwrap_or(name);
    let name = name.trim_end_matches(['*', '$', '.']);
    match name.rsplit_once('*') {
        Some((_, last)) => last.trim_start_matches(['.', '\\']).replace("\\.", "."),
        None => {
            // Names of single layers ("model.layers.0.mlp.gate") stand for the tensor in every layer.
            let mut parts = name.split('.').peekable();
            let mut kept: Vec<&str> = Vec::new();
            while let Some(part) = parts.next() {
                if part == "layers" && parts.peek().is_some_and(|next| next.parse::<u64>().is_ok()) {
                    kept.clear();
                    parts.next();
                } else {
                    kept.push(part);
                }
            }
            kept.join(".")
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::Split;

    #[track_caller]
    fn reads(config: Value, format: WeightFormat) {
        assert_eq!(
            Quantisation::from_config(&config).map(|found| found.format),
            Ok(format)
        );
    }

    #[test]
    fn configurations_of_published_checkpoints_are_read() {
        reads(
            json!({"quant_method": "fp8", "weight_block_size": [128, 128], "activation_scheme": "dynamic"}),
            WeightFormat::Fp8Block,
        );
        reads(
            json!({"quant_method": "awq", "bits": 4, "group_size": 64, "zero_point": true}),
            WeightFormat::Awq { group: 64 },
        );
        reads(
            json!({"quant_method": "gptq", "bits": 8, "group_size": -1}),
            WeightFormat::Gptq { bits: 8, group: 128 },
        );
        reads(
            json!({"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": {"num_bits": 8, "type": "float", "strategy": "channel"}}}}),
            WeightFormat::Fp8Channel,
        );
        reads(json!({"quant_method": "mxfp4"}), WeightFormat::Mxfp4);
        reads(
            json!({"quant_method": "compressed-tensors", "format": "mxfp4-pack-quantized", "config_groups": {"group_0": {"weights": {"num_bits": 4, "group_size": 32}}}}),
            WeightFormat::Mxfp4,
        );
        assert!(Quantisation::from_config(&json!({"quant_method": "spells"})).is_err());
    }

    #[test]
    fn names_that_are_left_out_are_found_below_their_layer() {
        assert_eq!(plain_name("re:.*lm_head"), "lm_head");
        assert_eq!(plain_name("model.layers.*.self_attn"), "self_attn");
        assert_eq!(plain_name("model.layers.0.mlp.gate"), "mlp.gate");
        assert_eq!(plain_name("*"), "");
        assert_eq!(
            alternatives("re:.*mlp\\.(gate|down)_proj.*"),
            ["mlp.gate_proj", "mlp.down_proj"]
        );
    }

    #[test]
    fn embeddings_norms_and_routers_stay() {
        let of = |format, role, name: &str, shape: &[u64]| {
            Quantisation::by_default(format).covers(&Tensor::new(name, shape, role, Split::Replicated))
        };
        let awq = WeightFormat::Awq { group: 128 };
        assert!(of(awq, Role::Mixer, "self_attn.q_proj.weight", &[8, 8]));
        assert!(!of(awq, Role::Router, "mlp.gate.weight", &[8, 8]));
        assert!(!of(awq, Role::Mixer, "conv1d.weight", &[8, 1, 4]));
        let nvfp4 = WeightFormat::Nvfp4 { static_inputs: true };
        assert!(of(nvfp4, Role::Mixer, "self_attn.q_proj.weight", &[8, 8]));
        assert!(!of(nvfp4, Role::Mixer, "linear_attn.out_proj.weight", &[8, 8]));
        assert!(!of(
            WeightFormat::Mxfp4,
            Role::Mixer,
            "self_attn.q_proj.weight",
            &[8, 8]
        ));
        assert!(of(
            WeightFormat::Mxfp4,
            Role::RoutedExpert,
            "mlp.experts.down_proj",
            &[2, 8, 8]
        ));
    }
}
