//! What the header of a GGUF file says about a question: the model, the mix of types, and the sum of all tensors. The model is the one
//! of the catalogue with that name where its weights are as many; else a configuration is made of the metadata, whose keys
//! are those of ggml-org/llama.cpp `gguf-py/gguf/constants.py`.

use serde_json::{Map, Value};

use super::findings::Findings;
use super::gguf::Header;
use crate::inference::engines::llama_cpp::listed;
use crate::inference::engines::llama_cpp::types::GgmlType;
use crate::model::catalogue;
use crate::model::import::network_from_config;
use crate::request::InputId;
use crate::units::Bytes;

/// Architectures whose metadata say everything that a configuration of their family says (ggml-org/llama.cpp
/// `convert_hf_to_gguf.py`), and the `model_type` of that family.
const FAMILIES: &[(&str, &str)] = &[
    ("llama", "llama"),
    ("qwen2", "qwen2"),
    ("qwen2moe", "qwen2_moe"),
    ("qwen3", "qwen3"),
    ("qwen3moe", "qwen3_moe"),
    ("gemma", "gemma"),
    ("gemma2", "gemma2"),
    ("gemma3", "gemma3_text"),
    ("phi2", "phi"),
    ("phi3", "phi3"),
    ("starcoder2", "starcoder2"),
    ("stablelm", "stablelm"),
    ("deepseek", "deepseek"),
    ("deepseek2", "deepseek_v2"),
    ("glm4", "glm4"),
    ("glm4moe", "glm4_moe"),
    ("gpt-oss", "gpt_oss"),
    ("granite", "granite"),
    ("olmo2", "olmo2"),
    ("olmoe", "olmoe"),
    ("command-r", "cohere"),
    ("cohere2", "cohere2"),
    ("internlm2", "internlm2"),
    ("exaone4", "exaone4"),
    ("ernie4_5", "ernie4_5"),
    ("ernie4_5-moe", "ernie4_5_moe"),
    ("smollm3", "smollm3"),
    ("seed_oss", "seed_oss"),
    ("minimax-m2", "minimax_m2"),
    ("arcee", "arcee"),
];

/// Mixes by `general.file_type` (`llama_ftype` of ggml-org/llama.cpp `include/llama.h`).
const MIXES: &[(u64, &str)] = &[
    (0, "F32"),
    (1, "F16"),
    (2, "Q4_0"),
    (3, "Q4_1"),
    (7, "Q8_0"),
    (8, "Q5_0"),
    (9, "Q5_1"),
    (10, "Q2_K"),
    (11, "Q3_K_S"),
    (12, "Q3_K_M"),
    (13, "Q3_K_L"),
    (14, "Q4_K_S"),
    (15, "Q4_K_M"),
    (16, "Q5_K_S"),
    (17, "Q5_K_M"),
    (18, "Q6_K"),
    (19, "IQ2_XXS"),
    (20, "IQ2_XS"),
    (21, "Q2_K_S"),
    (22, "IQ3_XS"),
    (23, "IQ3_XXS"),
    (24, "IQ1_S"),
    (25, "IQ4_NL"),
    (26, "IQ3_S"),
    (27, "IQ3_M"),
    (28, "IQ2_S"),
    (29, "IQ2_M"),
    (30, "IQ4_XS"),
    (31, "IQ1_M"),
    (32, "BF16"),
    (36, "TQ1_0"),
    (37, "TQ2_0"),
    (38, "MXFP4_MOE"),
];

/// Lines that an input takes.
const MOST_LINES: usize = 1_024;
/// Weights may differ by this share between a file and its model: tables of rotations, next-token layers that were left out.
const ALIKE: f64 = 0.005;

/// What a header says.
pub fn gguf(findings: &mut Findings, header: &Header) {
    findings.set(InputId::ServerType, "llama_cpp", "GGUF");
    model(findings, header);
    if header.tensors.iter().any(|tensor| GgmlType::of_fork(tensor.kind)) {
        findings.set(InputId::LlamaFork, "ik", "types of the fork");
    }
    let parts = header.whole("split.count").unwrap_or(1);
    if parts > 1 {
        mix(findings, header);
        findings.assume(format!(
            "This is one of {parts} files: the tensors of the others are not in it, and the named mix tells their types."
        ));
        return;
    }
    let kinds: Vec<String> = header
        .by_type()
        .iter()
        .map(|(name, count, bytes)| format!("{count} {name}: {bytes} bytes"))
        .collect();
    findings.measure("file", Bytes::new(header.bytes()), kinds.join(", "));
    let lines = listed::write(
        header
            .tensors
            .iter()
            .map(|tensor| (tensor.name.clone(), tensor.kind, tensor.row(), tensor.rows())),
    );
    if lines.len() > MOST_LINES {
        mix(findings, header);
        findings.assume("The list of tensors is too long for a question: the named mix tells their types.");
    } else {
        let from = format!("{} tensors", header.tensors.len());
        findings.set(InputId::GgufTensors, lines, from);
    }
}

/// The named mix and how it was made.
fn mix(findings: &mut Findings, header: &Header) {
    let mix = header
        .whole("general.file_type")
        .and_then(|id| MIXES.iter().find(|(own, _)| *own == id));
    if let Some((id, name)) = mix {
        findings.set(InputId::GgufType, *name, format!("general.file_type: {id}"));
    }
    if header
        .metadata
        .keys()
        .any(|key| key.starts_with("quantize.imatrix"))
    {
        findings.set(InputId::Imatrix, true, "quantize.imatrix");
    }
    let joint = has_end(header, "attn_kv_b.weight");
    let split = has_end(header, "attn_k_b.weight");
    match (joint, split) {
        (true, true) => findings.set(InputId::LatentTensors, "both", "attn_kv_b, attn_k_b"),
        (true, false) => findings.set(InputId::LatentTensors, "joint", "attn_kv_b"),
        (false, true) => findings.set(InputId::LatentTensors, "split", "attn_k_b"),
        (false, false) => {}
    }
}

/// The model: of the catalogue, or made of the metadata, or only its count.
fn model(findings: &mut Findings, header: &Header) {
    let whole = header.whole("split.count").unwrap_or(1) <= 1;
    let elements = header.elements();
    if let Some((id, from)) = named(header, whole.then_some(elements)) {
        findings.set(InputId::ModelId, id, from);
        return;
    }
    let architecture = header.architecture();
    if let Some(config) = config(header) {
        let network = network_from_config(&config).ok().map(|imported| imported.network);
        let counted = network.map(|network| network.total_parameters().get());
        if let Some(counted) = counted {
            findings.set(InputId::HfConfig, config, format!("metadata of {architecture}"));
            if whole && !alike(counted, elements) {
                findings.assume(format!(
                    "The file has {elements} weights and the model of its metadata {counted}: its config.json tells more."
                ));
            }
            return;
        }
    }
    if let Some(name) = header.text("general.name") {
        findings.set(
            InputId::ModelName,
            name.chars().take(200).collect::<String>(),
            "general.name",
        );
    }
    if elements > 0 && whole {
        findings.set(InputId::NumParameters, elements, "shapes of the tensors");
    }
    findings.assume(format!(
        "Layers of the architecture {architecture} are not made from its metadata: give the model or its config.json as well."
    ));
}

/// The model of the catalogue with the name of the file, where it has as many weights.
fn named(header: &Header, elements: Option<u64>) -> Option<(&'static str, String)> {
    let size = header.text("general.size_label");
    let base = header.text("general.basename").zip(size);
    let repository = header
        .text("general.base_model.0.repo_url")
        .and_then(|address| address.rsplit('/').next());
    let names = [
        repository.map(str::to_owned),
        header.text("general.name").map(|name| name.replace(' ', "-")),
        base.map(|(base, size)| format!("{base}-{size}")),
    ];
    names.into_iter().flatten().find_map(|name| {
        let entry = catalogue::find(&name)?;
        let counted = entry.network()?.total_parameters().get();
        let same = elements.is_none_or(|elements| alike(counted, elements));
        same.then(|| (entry.id.as_str(), format!("the name {name}")))
    })
}

fn alike(one: u64, other: u64) -> bool {
    one.abs_diff(other) as f64 <= ALIKE * one.max(other) as f64
}

/// A configuration of the family, where the metadata say all that it needs.
fn config(header: &Header) -> Option<Value> {
    let architecture = header.architecture();
    let (_, family) = FAMILIES.iter().find(|(own, _)| *own == architecture)?;
    let experts = header.own("expert_count").filter(|experts| *experts > 0);
    let latent = header.own("attention.kv_lora_rank");
    let family = match (*family, experts) {
        ("llama", Some(_)) => "mixtral",
        // Version 3 corrects its scores by a bias for each expert.
        ("deepseek_v2", _) if has_end(header, "exp_probs_b.bias") => "deepseek_v3",
        (family, _) => family,
    };
    let mut map = Map::new();
    let mut put = |key: &str, value: Option<u64>| {
        if let Some(value) = value {
            map.insert(key.to_owned(), Value::from(value));
        }
    };
    let nextn = header.own("nextn_predict_layers").unwrap_or(0);
    put(
        "num_hidden_layers",
        header
            .own("block_count")
            .map(|layers| layers.saturating_sub(nextn)),
    );
    put(
        "num_nextn_predict_layers",
        Some(nextn).filter(|layers| *layers > 0),
    );
    put("hidden_size", header.own("embedding_length"));
    put("max_position_embeddings", header.own("context_length"));
    put("num_attention_heads", header.own("attention.head_count"));
    put(
        "vocab_size",
        header.tensor("token_embd.weight").map(super::gguf::Listed::rows),
    );
    put("sliding_window", header.own("attention.sliding_window"));
    match latent {
        None => {
            put("num_key_value_heads", header.own("attention.head_count_kv"));
            put("head_dim", header.own("attention.key_length"));
        }
        Some(rank) => {
            let rotated = header.own("rope.dimension_count");
            let mla = header.own("attention.key_length_mla");
            let key = mla.or_else(|| header.own("attention.key_length"));
            let value = header.own("attention.value_length_mla");
            put("kv_lora_rank", Some(rank));
            put("q_lora_rank", header.own("attention.q_lora_rank"));
            put("qk_rope_head_dim", rotated);
            put(
                "qk_nope_head_dim",
                key.zip(rotated).map(|(key, rotated)| key.saturating_sub(rotated)),
            );
            put(
                "v_head_dim",
                value.or_else(|| header.own("attention.value_length")),
            );
        }
    }
    let expert_width = header.own("expert_feed_forward_length");
    match (experts, family) {
        // One width for all, under the usual key.
        (Some(_), "mixtral" | "gpt_oss" | "olmoe" | "minimax_m2") => {
            let width = expert_width.or_else(|| header.own("feed_forward_length"));
            put("intermediate_size", width);
        }
        _ => {
            put("intermediate_size", header.own("feed_forward_length"));
            put(
                "moe_intermediate_size",
                expert_width.filter(|_| experts.is_some()),
            );
        }
    }
    if experts.is_some() {
        let key = match family {
            "mixtral" | "gpt_oss" | "minimax_m2" => "num_local_experts",
            "ernie4_5_moe" => "moe_num_experts",
            "deepseek" | "deepseek_v2" | "deepseek_v3" | "glm4_moe" => "n_routed_experts",
            _ => "num_experts",
        };
        put(key, experts);
        let used = if family == "ernie4_5_moe" {
            "moe_k"
        } else {
            "num_experts_per_tok"
        };
        put(used, header.own("expert_used_count"));
        if key == "n_routed_experts" {
            put("n_shared_experts", header.own("expert_shared_count"));
            put("first_k_dense_replace", header.own("leading_dense_block_count"));
        }
        if family == "qwen2_moe" {
            put(
                "shared_expert_intermediate_size",
                header.own("expert_shared_feed_forward_length"),
            );
        }
    }
    let tied = header.tensor("output.weight").is_none();
    map.insert("tie_word_embeddings".to_owned(), Value::Bool(tied));
    if has_end(header, "attn_q.bias") && !matches!(family, "qwen2" | "qwen2_moe") {
        map.insert("attention_bias".to_owned(), Value::Bool(true));
    }
    if family == "glm4_moe" && has_end(header, "attn_q_norm.weight") {
        map.insert("use_qk_norm".to_owned(), Value::Bool(true));
    }
    map.insert("model_type".to_owned(), Value::from(family));
    Some(Value::Object(map))
}

/// Whether some layer has a tensor of this name.
fn has_end(header: &Header, name: &str) -> bool {
    header.tensors.iter().any(|tensor| {
        tensor
            .name
            .strip_suffix(name)
            .is_some_and(|rest| rest.ends_with('.'))
    })
}

#[cfg(test)]
mod tests {
    use super::super::gguf::read;
    use super::super::gguf::tests::Writer;
    use super::*;

    /// The header of a model of Qwen 3 with 2 layers, as the converter writes it.
    fn qwen3(name: &str) -> Header {
        let mut writer = Writer::new(2 + 2 * 11, 9)
            .text("general.architecture", "qwen3")
            .text("general.name", name)
            .whole("general.file_type", 15)
            .whole("qwen3.block_count", 2)
            .whole("qwen3.embedding_length", 512)
            .whole("qwen3.feed_forward_length", 1024)
            .whole("qwen3.attention.head_count", 8)
            .whole("qwen3.attention.head_count_kv", 2)
            .whole("qwen3.attention.key_length", 64)
            .tensor("token_embd.weight", 14, &[512, 1000])
            .tensor("output_norm.weight", 0, &[512]);
        for layer in 0..2 {
            for (leaf, kind, shape) in [
                ("attn_norm", 0, &[512_u64][..]),
                ("attn_q", 12, &[512, 512]),
                ("attn_k", 12, &[512, 128]),
                ("attn_v", 14, &[512, 128]),
                ("attn_output", 12, &[512, 512]),
                ("attn_q_norm", 0, &[64]),
                ("attn_k_norm", 0, &[64]),
                ("ffn_norm", 0, &[512]),
                ("ffn_gate", 12, &[512, 1024]),
                ("ffn_up", 12, &[512, 1024]),
                ("ffn_down", 12, &[1024, 512]),
            ] {
                writer = writer.tensor(&format!("blk.{layer}.{leaf}.weight"), kind, shape);
            }
        }
        read(&writer.bytes()).expect("a header")
    }

    #[test]
    fn a_configuration_is_made_of_the_metadata_and_has_as_many_weights() {
        let header = qwen3("Nobody's");
        let config = config(&header).expect("a configuration");
        let imported = network_from_config(&config).expect("a network");
        assert_eq!(imported.network.total_parameters().get(), header.elements());
        assert_eq!(imported.warnings, []);
        let mut findings = Findings::default();
        gguf(&mut findings, &header);
        let list = findings
            .request
            .get(InputId::GgufTensors)
            .and_then(Value::as_array);
        assert_eq!(list.map(Vec::len), Some(13));
        assert!(findings.assumed.is_empty(), "{:?}", findings.assumed);
        assert_eq!(findings.measured[0].bytes, Bytes::new(header.bytes()));
    }

    #[test]
    fn a_name_of_the_catalogue_needs_as_many_weights() {
        let mut findings = Findings::default();
        gguf(&mut findings, &qwen3("Qwen3 4B"));
        assert!(!findings.request.has(InputId::ModelId));
        assert!(findings.request.has(InputId::HfConfig));
    }
}
