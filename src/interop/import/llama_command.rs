//! Command lines of llama.cpp: `llama-server`, `llama-cli`, `llama-bench`, and those of its fork.

use serde_json::Value;

use super::commands::{Flag, flags, read};
use super::findings::Findings;
use super::mapping::Kind::{Not, Nothing, Truth, Whole, Word, Words};
use super::mapping::Row;
use crate::request::InputId as Id;

const TYPES: &[(&str, &str)] = &[
    ("f16", "f16"),
    ("bf16", "bf16"),
    ("f32", "f32"),
    ("q8_0", "q8_0"),
    ("q5_1", "q5_1"),
    ("q5_0", "q5_0"),
    ("q4_1", "q4_1"),
    ("q4_0", "q4_0"),
    ("iq4_nl", "iq4_nl"),
];

const TABLE: &[Row] = &[
    (&["--ctx-size", "-c"], Some(Id::ContextSize), Whole),
    (&["--parallel", "-np"], Some(Id::Sequences), Whole),
    (&["--batch-size", "-b"], Some(Id::LogicalBatch), Whole),
    (&["--ubatch-size", "-ub"], Some(Id::PhysicalBatch), Whole),
    (
        &["--n-gpu-layers", "--gpu-layers", "-ngl"],
        Some(Id::GpuLayers),
        Whole,
    ),
    (&["--n-cpu-moe", "-ncmoe"], Some(Id::CpuMoe), Whole),
    (&["--cache-type-k", "-ctk"], Some(Id::CacheTypeK), Words(TYPES)),
    (&["--cache-type-v", "-ctv"], Some(Id::CacheTypeV), Words(TYPES)),
    (
        &["--split-mode", "-sm"],
        Some(Id::SplitMode),
        Words(&[("layer", "layer"), ("row", "row"), ("none", "none")]),
    ),
    (&["--tensor-split", "-ts"], Some(Id::TensorSplit), Word),
    (&["--override-tensor", "-ot"], Some(Id::OverrideTensor), Word),
    (&["--kv-unified", "-kvu"], Some(Id::KvUnified), Truth),
    (&["--swa-full"], Some(Id::SwaFull), Truth),
    (&["--no-kv-offload", "-nkvo"], Some(Id::KvOffload), Not),
    (&["--no-mmap"], Some(Id::Mmap), Not),
    (&["-mla", "--mla-use"], Some(Id::Mla), Whole),
    (
        &["-amb", "--attention-max-batch"],
        Some(Id::AttentionSlice),
        Whole,
    ),
    (
        &[
            "--host",
            "--port",
            "--threads",
            "-t",
            "--alias",
            "-a",
            "--temp",
            "--top-p",
            "--top-k",
            "--min-p",
            "--jinja",
            "--cont-batching",
            "-cb",
            "--metrics",
            "--no-webui",
            "--mlock",
            "--prompt",
            "-p",
            "--predict",
            "-n",
            "--seed",
            "--repeat-penalty",
            "--main-gpu",
            "-mg",
            "--log-file",
            "--api-key",
            "--embedding",
            "--threads-batch",
            "-tb",
            "--no-warmup",
            "--mirostat",
            "--rope-scaling",
            "--rope-freq-base",
            "--chat-template",
            "-hf",
            "--hf-repo",
        ],
        None,
        Nothing,
    ),
];

/// The command.
pub fn command(findings: &mut Findings, words: &[String]) {
    findings.set(Id::ServerType, "llama_cpp", "llama.cpp");
    let (_, all) = flags(words);
    let mut rest = Vec::new();
    for flag in all {
        match flag.name.as_str() {
            "--model" | "-m" | "--hf-file" => {
                if let Some(path) = flag.values.first() {
                    file(findings, path, &flag.text());
                }
            }
            "--mmproj" | "-mm" | "--mmproj-url" => {
                let path = flag
                    .values
                    .first()
                    .map(|path| path.to_lowercase())
                    .unwrap_or_default();
                let kind = ["bf16", "f16", "f32", "q8_0"]
                    .into_iter()
                    .find(|kind| path.contains(kind));
                findings.set(Id::Mmproj, kind.unwrap_or("f16"), flag.text());
                if kind.is_none() {
                    findings.assume("The name of the tower's file does not tell its type: F16 is taken.");
                }
            }
            "--flash-attn" | "-fa" => {
                let word = match flag.values.first().map(String::as_str) {
                    None | Some("on" | "1" | "true") => "on",
                    Some("off" | "0" | "false") => "off",
                    _ => "auto",
                };
                findings.set(Id::FlashAttention, word, flag.text());
            }
            _ => rest.push(flag),
        }
    }
    if rest
        .iter()
        .any(|flag| matches!(flag.name.as_str(), "-mla" | "-amb" | "-fmoe" | "-rtr"))
    {
        findings.set(Id::LlamaFork, "ik", "flags of ik_llama.cpp");
    }
    let whole_network = |flag: &Flag| {
        let layers = flag.values.first().and_then(|word| word.parse::<i64>().ok());
        matches!(flag.name.as_str(), "-ngl" | "--n-gpu-layers" | "--gpu-layers")
            && layers.is_none_or(|layers| !(0..90).contains(&layers))
    };
    rest.retain(|flag| !whole_network(flag));
    read(findings, TABLE, &rest);
}

/// Model and type from the name of a GGUF file: `Llama-3.1-8B-Q4_K_M.gguf`.
pub fn file(findings: &mut Findings, path: &str, from: &str) {
    let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
    let name = name.strip_suffix(".gguf").unwrap_or(name);
    let mut parts = name.rsplitn(2, ['-', '.']);
    let last = parts.next().unwrap_or_default();
    let typed = last.starts_with(['Q', 'q', 'I', 'i', 'F', 'f', 'B', 'b', 'M', 'T'])
        && last.contains(|char: char| char.is_ascii_digit())
        && !last.ends_with(['B', 'b']);
    match parts.next().filter(|_| typed) {
        Some(model) => {
            findings.model(model, from);
            findings.set(Id::GgufType, Value::from(last.to_ascii_uppercase()), from);
        }
        None => findings.model(name, from),
    }
}
