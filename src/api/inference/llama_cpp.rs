//! What only llama.cpp reads, with the rules between its arguments.

use std::sync::Arc;

use super::super::given::Given;
use super::super::read::Typed;
use super::super::resolve::{Model, Report};
use super::settings::drafter;
use crate::inference::engines::llama_cpp::listed;
use crate::inference::engines::llama_cpp::mix::Mix;
use crate::inference::engines::llama_cpp::options::{
    DRAFTS, FLASH_SINCE, LATENT_SINCE, NEWEST_BUILD, OUTPUT_FIRST_SINCE, VALUELESS_SINCE,
};
use crate::inference::engines::llama_cpp::pattern::Pattern;
use crate::inference::engines::llama_cpp::placement::{Device, PlaceChoice, SplitMode};
use crate::inference::engines::llama_cpp::tensors::{FileChoice, GgufTensor, LatentTensors};
use crate::inference::engines::llama_cpp::types::GgmlType;
use crate::inference::engines::llama_cpp::{Latent, Options};
use crate::model::{Mixer, Network};
use crate::request::InputId;
use crate::warn::Issue;

/// The mix that `-hf` downloads where nothing is said (ggml-org/llama.cpp `common/arg.cpp`).
const USUAL_MIX: &str = "Q4_K_M";
/// Tensors of a file that are believed.
const MOST_TENSORS: usize = 200_000;
/// The build from which sequences have caches of their own (ggml-org/llama.cpp pull request 14363, July 2025).
const APART_SINCE: u64 = 5_912;

/// The options of a start on so many GPUs; `None` where an argument is refused.
pub fn options(given: &Given, model: &Model, gpus: u64, report: &mut Report) -> Option<Options> {
    let build = build(given, report)?;
    let fork = given.choice(InputId::LlamaFork) == Some("ik");
    let network = &model.network;
    let typed = |id| given.typed_integer(id);
    let sequences = given.integer(InputId::Sequences).unwrap_or(1);
    let flash = match given.choice(InputId::FlashAttention) {
        Some("on") => true,
        Some("off") => false,
        _ => fork || build >= FLASH_SINCE,
    };
    let kind = |id| given.choice(id).and_then(GgmlType::find);
    let mla = typed(InputId::Mla).unwrap_or(3);
    let split = match given.choice(InputId::SplitMode) {
        Some("row") => SplitMode::Row,
        Some("none") => SplitMode::None,
        _ => SplitMode::Layer,
    };
    let unified = given.typed_toggle(InputId::KvUnified);
    let options = Options {
        fork,
        build,
        file: file(given, network, (build, fork), report),
        place: PlaceChoice {
            gpus: usize::try_from(gpus).unwrap_or(1),
            layers: typed(InputId::GpuLayers),
            output_first: !fork && build >= OUTPUT_FIRST_SINCE,
            split,
            shares: shares(given, report),
            cpu_moe: given.integer(InputId::CpuMoe).unwrap_or(0),
            overrides: places(given, report),
        },
        type_k: kind(InputId::CacheTypeK)?,
        type_v: kind(InputId::CacheTypeV)?,
        flash,
        context: typed(InputId::ContextSize),
        ubatch: given.integer(InputId::PhysicalBatch)?,
        batch: given.integer(InputId::LogicalBatch)?,
        unified: unified.unwrap_or(sequences == 1 || fork || build < APART_SINCE),
        apart: unified.is_none() && !fork && build >= APART_SINCE,
        swa_full: given.toggle(InputId::SwaFull) == Some(true),
        offload_cache: given.toggle(InputId::KvOffload) != Some(false),
        mapped: given.toggle(InputId::Mmap) != Some(false),
        latent: latent(build, fork, flash, mla),
        mla,
        slice: given.integer(InputId::AttentionSlice).unwrap_or(0),
        outputs: typed(InputId::OutputsMax),
        drafts: drafts(given, report),
        drafter: drafter(given, None, report),
        projector: tower(given, network, report),
    };
    check(given, &options, network, report);
    Some(options)
}

/// The type of the tower's file.
fn tower(given: &Given, network: &Network, report: &mut Report) -> Option<GgmlType> {
    let kind = given
        .choice(InputId::Mmproj)
        .filter(|name| *name != "none")
        .and_then(GgmlType::find);
    if kind.is_some() && network.towers.is_empty() {
        report.error(
            "not_supported_by_model",
            InputId::Mmproj,
            "The catalogue knows no vision tower of this model.",
        );
    }
    if kind.is_some() && network.vision().is_none() && !network.towers.is_empty() {
        report.warn(
            "assumed",
            InputId::Mmproj,
            "How this tower computes is not known: its weights are counted, its compute buffer is not.",
        );
    }
    kind
}

/// Tokens that the draft model drafts at once.
fn drafts(given: &Given, report: &mut Report) -> u64 {
    let id = InputId::SpeculativeTokens;
    if !given.has(InputId::DraftModel) {
        if given.integer(id) > Some(0) {
            report.warn("not_used", id, "No draft model is given.");
        }
        return 0;
    }
    match given.integer(id) {
        Some(tokens) if tokens > 0 => tokens,
        _ => {
            report.assume(id, DRAFTS, "the default of the engine");
            DRAFTS
        }
    }
}

/// What is cached of latent attention.
const fn latent(build: u64, fork: bool, flash: bool, mla: u64) -> Latent {
    if fork {
        return match mla {
            0 => Latent::PerHead,
            1 if !flash => Latent::WithValues,
            _ => Latent::Alone,
        };
    }
    if build < LATENT_SINCE {
        Latent::PerHead
    } else if build < VALUELESS_SINCE {
        Latent::WithValues
    } else {
        Latent::Alone
    }
}

/// `b4701` or `4701`.
fn build(given: &Given, report: &mut Report) -> Option<u64> {
    let Some(text) = given.text(InputId::ServerVersion) else {
        report.assume(
            InputId::ServerVersion,
            "newest",
            "the newest source that was read, of August 2026",
        );
        return Some(NEWEST_BUILD);
    };
    let lower = text.trim().to_ascii_lowercase();
    let number = lower.strip_prefix('b').unwrap_or(&lower).parse().ok();
    if lower == "newest" {
        return Some(NEWEST_BUILD);
    }
    if number.is_none() {
        report.add(
            Issue::error(
                "out_of_range",
                InputId::ServerVersion.key(),
                "llama.cpp counts its builds: give a version like b6325.",
            )
            .with_value(text),
        );
    }
    number
}

fn file(given: &Given, network: &Network, (build, fork): (u64, bool), report: &mut Report) -> FileChoice {
    let chosen = given.choice(InputId::GgufType);
    if chosen.is_none() && !given.has(InputId::GgufTensors) {
        report.assume(
            InputId::GgufType,
            USUAL_MIX,
            "what -hf downloads where nothing is said",
        );
    }
    let mix = chosen.or(Some(USUAL_MIX)).and_then(Mix::find);
    let latent = match given.choice(InputId::LatentTensors) {
        Some("joint") => LatentTensors::Joint,
        Some("both") => LatentTensors::Both,
        Some(_) => LatentTensors::Split,
        None if fork || build >= LATENT_SINCE => LatentTensors::Split,
        None => LatentTensors::Joint,
    };
    if given.has(InputId::LatentTensors) && !network.kinds.iter().any(|layer| is_latent(&layer.mixer)) {
        report.warn(
            "not_used",
            InputId::LatentTensors,
            "The model has no latent attention.",
        );
    }
    FileChoice {
        mix: mix.unwrap_or(Mix::USUAL),
        imatrix: given.toggle(InputId::Imatrix) == Some(true),
        types: types(given, fork, report),
        latent,
        listed: listed(given, network, fork, report),
    }
}

/// The tensors of a header.
fn listed(given: &Given, network: &Network, fork: bool, report: &mut Report) -> Option<Arc<[GgufTensor]>> {
    let id = InputId::GgufTensors;
    let lines = words(given, id);
    if lines.is_empty() {
        return None;
    }
    let mut found: Vec<GgufTensor> = Vec::new();
    for line in lines {
        match listed::read(line) {
            Some(tensors) => found.extend(tensors),
            None => refuse(
                report,
                id,
                line,
                "Write type, shape, name and layers, as in q4_k 4096x4096 attn_q.weight 0-15+20.",
            ),
        }
        if found.len() > MOST_TENSORS {
            refuse(report, id, line, "These are more tensors than any file has.");
            return None;
        }
    }
    if let Some(own) = found.iter().find(|tensor| tensor.kind.of_fork() && !fork) {
        let why = format!("{} is a type of ik_llama.cpp: choose the fork.", own.kind.name);
        refuse(report, id, own.kind.name, &why);
    }
    let embedding = found.iter().find(|tensor| tensor.name == "token_embd.weight");
    let layers = found.iter().filter_map(|tensor| tensor.layer).max();
    let depth = layers.map_or(0, |last| last.saturating_add(1));
    let more = depth > network.depth() && network.next_token_tensors.is_empty();
    let wider = embedding.is_some_and(|tensor| tensor.row != network.hidden_size);
    if depth < network.depth() || more || wider {
        report.error(
            "unsupported_combination",
            id,
            "These tensors are of another model: its layers are others, or its embedding has another width.",
        );
    }
    for (other, why) in [
        (InputId::GgufType, "The file lists its types."),
        (InputId::TensorTypes, "The file lists its types."),
        (InputId::Imatrix, "The file lists its types."),
        (InputId::LatentTensors, "The file lists its projections."),
    ] {
        if given.has(other) {
            report.warn("not_used", other, why);
        }
    }
    Some(found.into())
}

/// The words of a list.
fn words(given: &Given, id: InputId) -> &[String] {
    match given.get(id) {
        Some(Typed::List(words)) => words,
        _ => &[],
    }
}

fn refuse(report: &mut Report, id: InputId, word: &str, why: &str) {
    report.add(Issue::error("unknown_value", id.key(), why).with_value(word));
}

/// `ffn_down_exps=q6_K`.
fn types(given: &Given, fork: bool, report: &mut Report) -> Vec<(Pattern, GgmlType)> {
    let id = InputId::TensorTypes;
    let mut found = Vec::new();
    for word in words(given, id) {
        let parts = word.rsplit_once('=');
        let pattern = parts.and_then(|(pattern, _)| Pattern::read(pattern));
        let kind = parts.and_then(|(_, kind)| GgmlType::find(kind));
        match (pattern, kind) {
            (Some(_), Some(kind)) if kind.of_fork() && !fork => refuse(
                report,
                id,
                word,
                &format!("{} is a type of ik_llama.cpp: choose the fork.", kind.name),
            ),
            (Some(pattern), Some(kind)) => found.push((pattern, kind)),
            _ => refuse(
                report,
                id,
                word,
                "Write a part of a tensor's name and a type of ggml, as in ffn_down_exps=q6_K.",
            ),
        }
    }
    found
}

/// `exps=CPU`.
fn places(given: &Given, report: &mut Report) -> Vec<(Pattern, Device)> {
    let id = InputId::OverrideTensor;
    let mut found = Vec::new();
    for word in words(given, id) {
        let parts = word.rsplit_once('=');
        let pattern = parts.and_then(|(pattern, _)| Pattern::read(pattern));
        let device = parts.and_then(|(_, name)| device(name));
        match (pattern, device) {
            (Some(pattern), Some(device)) => found.push((pattern, device)),
            _ => refuse(
                report,
                id,
                word,
                "Write a pattern and CPU or a GPU with its number, as in ffn_.*_exps=CPU or blk.3.=CUDA1.",
            ),
        }
    }
    found
}

/// `CPU`, `CUDA0`, `ROCm1`.
fn device(name: &str) -> Option<Device> {
    let lower = name.trim().to_ascii_lowercase();
    if lower == "cpu" {
        return Some(Device::Host);
    }
    ["cuda", "rocm", "vulkan"]
        .iter()
        .find_map(|backend| lower.strip_prefix(backend)?.parse().ok())
        .map(Device::Gpu)
}

fn shares(given: &Given, report: &mut Report) -> Vec<f32> {
    let id = InputId::TensorSplit;
    let mut found = Vec::new();
    for word in words(given, id) {
        match word.parse::<f32>() {
            Ok(share) if share.is_finite() && (0.0..=1e9).contains(&share) => found.push(share),
            _ => refuse(
                report,
                id,
                word,
                "A share is a number that is not negative, as in 3,1.",
            ),
        }
    }
    found
}

fn is_latent(mixer: &Mixer) -> bool {
    match mixer {
        Mixer::Latent(_) => true,
        Mixer::Several(parts) => parts.iter().any(is_latent),
        _ => false,
    }
}

/// Widths of key and value heads that are cached as they are.
fn head_widths(mixer: &Mixer) -> Vec<(u64, u64)> {
    match mixer {
        Mixer::Attention(attention) => vec![(attention.head_dim, attention.value_dim)],
        Mixer::Several(parts) => parts.iter().flat_map(head_widths).collect(),
        _ => Vec::new(),
    }
}

/// What the engine itself refuses, or what has no meaning in this combination.
fn check(given: &Given, options: &Options, network: &Network, report: &mut Report) {
    if options.type_v.is_quantised() && !options.flash {
        report.error(
            "unsupported_combination",
            InputId::CacheTypeV,
            "A quantised V cache needs flash attention.",
        );
    }
    let widths: Vec<(u64, u64)> = network
        .kinds
        .iter()
        .flat_map(|layer| head_widths(&layer.mixer))
        .collect();
    for (id, kind, keys) in [
        (InputId::CacheTypeK, options.type_k, true),
        (InputId::CacheTypeV, options.type_v, false),
    ] {
        let odd = widths
            .iter()
            .map(|(key, value)| if keys { *key } else { *value })
            .find(|width| !kind.divides(*width));
        if let Some(width) = odd {
            report.error(
                "not_supported_by_model",
                id,
                format!("Heads of width {width} are no whole blocks of {}.", kind.name),
            );
        }
    }
    let sequences = given.integer(InputId::Sequences).unwrap_or(1);
    if let Some(context) = options.context
        && context < sequences
    {
        report.error(
            "unsupported_combination",
            InputId::ContextSize,
            "A context must have a cell for every sequence at least.",
        );
    }
    let warn_unless = |used: bool, id: InputId, why: &str, report: &mut Report| {
        if given.has(id) && !used {
            report.warn("not_used", id, why);
        }
    };
    warn_unless(
        options.fork,
        InputId::Mla,
        "Only ik_llama.cpp has this argument.",
        report,
    );
    warn_unless(
        options.fork,
        InputId::AttentionSlice,
        "Only ik_llama.cpp has this argument.",
        report,
    );
    let several = options.place.gpus > 1;
    warn_unless(several, InputId::TensorSplit, "There is one GPU.", report);
    warn_unless(several, InputId::SplitMode, "There is one GPU.", report);
    let moe = network.has_experts();
    if options.place.cpu_moe > 0 && !moe {
        report.warn("not_used", InputId::CpuMoe, "The model has no experts.");
    }
    let other = |drafter: &Arc<Network>| drafter.vocabulary != network.vocabulary;
    if options.drafter.as_ref().is_some_and(other) {
        report.warn(
            "assumed",
            InputId::DraftModel,
            "The models have other vocabularies: the server translates drafts through their text.",
        );
    }
    let all = network.depth().saturating_add(1);
    if options.place.layers.is_some_and(|layers| layers > all) {
        report.warn(
            "assumed",
            InputId::GpuLayers,
            format!("The model has {all} layers with the output: all of them are offloaded."),
        );
    }
}
