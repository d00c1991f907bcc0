//! The header or the index of a safetensors file: how many weights of which type it holds, and their bytes. A file begins with
//! the length of its header in 8 bytes (huggingface/safetensors `safetensors/src/tensor.rs`), which is at most 100 MB.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Kind;
use super::findings::Findings;
use super::gguf::Problem;
use crate::request::InputId;
use crate::units::Bytes;

/// Longest header that the library itself reads.
const LONGEST: u64 = 100_000_000;

/// Whether bytes are the start of such a file.
pub fn is_file(bytes: &[u8]) -> bool {
    length(bytes).is_some_and(|length| (2..=LONGEST).contains(&length)) && bytes.get(8) == Some(&b'{')
}

fn length(bytes: &[u8]) -> Option<u64> {
    let first: [u8; 8] = bytes.get(..8)?.try_into().ok()?;
    Some(u64::from_le_bytes(first))
}

/// The header of a file, from its first bytes.
pub fn header(bytes: &[u8]) -> Result<Value, Problem> {
    let length = length(bytes)
        .and_then(|length| usize::try_from(length).ok())
        .ok_or(Problem::CutOff)?;
    let text = bytes.get(8..length.saturating_add(8)).ok_or(Problem::CutOff)?;
    serde_json::from_slice(text).map_err(|error| Problem::Wrong(format!("The header is no JSON: {error}.")))
}

/// Bits of an element (`Dtype` of the library).
fn bits(dtype: &str) -> u64 {
    match dtype {
        "F64" | "I64" | "U64" | "C64" => 64,
        "F32" | "I32" | "U32" => 32,
        "F16" | "BF16" | "I16" | "U16" => 16,
        "F6_E2M3" | "F6_E3M2" => 6,
        "F4" => 4,
        _ => 8,
    }
}

/// What the elements of a tensor are.
enum Role {
    /// A weight each.
    Plain,
    /// So many weights each.
    Packed(u64),
    /// Scales, zero points and orders of what is packed.
    Scale,
}

/// What a tensor of a checkpoint of 4 bits is, by its name and its neighbours: GPTQ and AWQ (`qweight`, AutoGPTQ `nn_modules/qlinear`),
/// compressed-tensors (`weight_packed`), bitsandbytes (`weight` beside `weight.absmax`).
fn role(header: &Value, name: &str, dtype: &str) -> Role {
    let (layer, own) = name.rsplit_once('.').unwrap_or(("", name));
    let beside = |tensor: &str| header.get(format!("{layer}.{tensor}")).is_some();
    match own {
        "qweight" | "weight_packed" if dtype == "I32" => Role::Packed(8),
        "weight" if dtype == "U8" && beside("weight.absmax") => Role::Packed(2),
        "qzeros" | "scales" | "g_idx" if beside("qweight") => Role::Scale,
        "weight_scale" | "weight_zero_point" | "weight_shape" | "weight_g_idx" if beside("weight_packed") => {
            Role::Scale
        }
        "absmax" | "quant_map" | "nested_absmax" | "nested_quant_map" | "bitsandbytes__nf4"
        | "bitsandbytes__fp4" => Role::Scale,
        _ => Role::Plain,
    }
}

/// What a header or an index says.
pub fn safetensors(value: &Value, findings: &mut Findings) -> Kind {
    let mut types: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut weights, mut packed) = (0_u64, false);
    for (name, tensor) in value.as_object().into_iter().flatten() {
        let shape = tensor.get("shape").and_then(Value::as_array);
        if let Some(shape) = shape.filter(|_| name != "__metadata__") {
            let product = shape
                .iter()
                .filter_map(Value::as_u64)
                .fold(1_u64, u64::saturating_mul);
            let dtype = tensor.get("dtype").and_then(Value::as_str).unwrap_or("BF16");
            let sum = types.entry(dtype).or_default();
            *sum = sum.saturating_add(product);
            let held = match role(value, name, dtype) {
                Role::Plain => product,
                Role::Packed(weights) => {
                    packed = true;
                    product.saturating_mul(weights)
                }
                Role::Scale => 0,
            };
            weights = weights.saturating_add(held);
        }
    }
    let elements = types.values().copied().fold(0_u64, u64::saturating_add);
    if elements > 0 {
        let bytes = types.iter().fold(0_u64, |sum, (dtype, count)| {
            sum.saturating_add(count.saturating_mul(bits(dtype)).div_ceil(8))
        });
        let list: Vec<String> = types
            .iter()
            .map(|(dtype, count)| format!("{count} in {dtype}"))
            .collect();
        findings.measure("weights", Bytes::new(bytes), list.join(", "));
        findings.set(InputId::NumParameters, weights, "shapes of the tensors");
        if packed {
            findings.assume(
                "Packed integers are counted as weights of 4 bits each, without their scales and zero points.",
            );
        }
    } else if let Some(count) = value
        .pointer("/metadata/total_parameters")
        .and_then(Value::as_u64)
    {
        findings.set(InputId::NumParameters, count, "metadata.total_parameters");
    } else if let Some(bytes) = value.pointer("/metadata/total_size").and_then(Value::as_u64) {
        findings.set(InputId::NumParameters, bytes / 2, "half of metadata.total_size");
        findings.assume("The index states bytes: two for each parameter are taken, as 16-bit weights have.");
    }
    findings.assume("A list of tensors does not tell heads and layers: give the config.json as well.");
    ("safetensors", "Header or index of safetensors")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Vec<u8> {
        let header = br#"{"a.weight":{"dtype":"BF16","shape":[3,5],"data_offsets":[0,30]},"b":{"dtype":"F32","shape":[2],"data_offsets":[30,38]}}"#;
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header);
        bytes
    }

    #[test]
    fn elements_and_bytes_by_type() {
        let bytes = file();
        assert!(is_file(&bytes));
        let mut findings = Findings::default();
        safetensors(&header(&bytes).expect("a header"), &mut findings);
        assert_eq!(
            findings.request.get(InputId::NumParameters),
            Some(&Value::from(17))
        );
        assert_eq!(findings.measured[0].bytes, Bytes::new(38));
    }

    #[test]
    fn packed_weights_are_counted_without_their_scales() {
        let of = |text: &str| {
            let mut findings = Findings::default();
            safetensors(&serde_json::from_str(text).expect("JSON"), &mut findings);
            findings.request.get(InputId::NumParameters).cloned()
        };
        // A matrix of 4096 x 4096 in groups of 128, packed eight to an integer.
        let gptq = r#"{"q.qweight":{"dtype":"I32","shape":[512,4096]},"q.qzeros":{"dtype":"I32","shape":[32,512]},
            "q.scales":{"dtype":"F16","shape":[32,4096]},"q.g_idx":{"dtype":"I32","shape":[4096]}}"#;
        assert_eq!(of(gptq), Some(Value::from(4096 * 4096)));
        let nf4 = r#"{"q.weight":{"dtype":"U8","shape":[8388608,1]},"q.weight.absmax":{"dtype":"U8","shape":[262144]},
            "q.weight.quant_map":{"dtype":"F32","shape":[16]},"q.weight.nested_absmax":{"dtype":"F32","shape":[1024]},
            "q.weight.nested_quant_map":{"dtype":"F32","shape":[256]},
            "q.weight.quant_state.bitsandbytes__nf4":{"dtype":"U8","shape":[82]}}"#;
        assert_eq!(of(nf4), Some(Value::from(4096 * 4096)));
        let fp8 = r#"{"q.weight":{"dtype":"F8_E4M3","shape":[128,128]},"norm.weight":{"dtype":"BF16","shape":[128]}}"#;
        assert_eq!(of(fp8), Some(Value::from(128 * 128 + 128)));
    }

    #[test]
    fn beginnings_are_cut_off() {
        let bytes = file();
        for end in 9..bytes.len() {
            assert_eq!(header(&bytes[..end]), Err(Problem::CutOff));
        }
        assert!(!is_file(b"{\"a\": 1}"));
        assert!(!is_file(&[]));
    }
}
