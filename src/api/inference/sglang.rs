//! What only SGLang reads, with the rules between its arguments.

use super::super::given::Given;
use super::super::resolve::{Model, Report};
use super::division::indivisible;
use super::settings::{draft_head, drafter, released};
use crate::inference::engines::sglang::Options;
use crate::inference::engines::sglang::release::releases;
use crate::inference::engines::sglang::settings::{Backend, Speculation};
use crate::inference::engines::sglang::start::adapters;
use crate::model::{Mixer, Network, Span};
use crate::request::InputId;

const KNOWN: (&str, &str) = (
    "the newest version that was read",
    "SGLang is known from 0.3 on; give a version like 0.5.3.",
);

/// The arguments of a start; `None` where the version is refused.
pub fn options(given: &Given, model: &Model, report: &mut Report) -> Option<Options> {
    let (release, _) = released(given, &releases().releases, KNOWN, report)?;
    let network = &model.network;
    let whole = |id| given.typed_integer(id);
    let number = |id| given.typed_number(id);
    let toggled = |id| given.typed_toggle(id);
    let on = |id| given.toggle(id) == Some(true);
    let copies = given.integer(InputId::ServerDataParallel).unwrap_or(1);
    let slots = match (whole(InputId::MaxLoras), on(InputId::MultiLora)) {
        (Some(slots), _) => slots,
        (None, true) => 8,
        (None, false) => 0,
    };
    let rank = given.integer(InputId::MaxLoraRank).unwrap_or(16);
    let speculation = speculation(given, report);
    let options = Options {
        release,
        fraction: number(InputId::GpuMemoryUtilization),
        chunk: whole(InputId::ChunkSize),
        prefill: whole(InputId::MaxPrefillTokens),
        running: whole(InputId::MaxRunningRequests),
        most_tokens: whole(InputId::MaxPoolTokens),
        context: whole(InputId::MaxModelLen),
        page: whole(InputId::BlockSize),
        backend: backend(given),
        radix: !on(InputId::DisableRadixCache),
        eager: on(InputId::EnforceEager),
        largest_graph: whole(InputId::CudaGraphMaxBatch),
        piecewise: toggled(InputId::PiecewiseCudaGraph),
        custom_all_reduce: !on(InputId::DisableCustomAllReduce),
        attention_copies: if on(InputId::DpAttention) {
            copies.max(1)
        } else {
            1
        },
        experts: on(InputId::ServerExpertParallel),
        window_share: number(InputId::WindowTokensRatio),
        whole_windows: on(InputId::DisableWindowPool),
        state_share: number(InputId::StateMemoryRatio),
        slots: whole(InputId::StateSlots),
        state_bytes: match given.choice(InputId::StateDtype) {
            Some("compute") => 2,
            _ => 4,
        },
        speculation,
        drafts: match speculation {
            Some(_) => given.integer(InputId::SpeculativeTokens).unwrap_or(0),
            None => 0,
        },
        drafter: drafter(given, Some(network), report),
        adapters: (slots > 0).then(|| adapters(slots, rank)),
    };
    check(given, &options, network, report);
    Some(options)
}

fn backend(given: &Given) -> Option<Backend> {
    Some(match given.choice(InputId::AttentionBackend)? {
        "triton" => Backend::Triton,
        "torch" => Backend::Torch,
        "fa3" => Backend::Fa3,
        "flashmla" => Backend::FlashMla,
        "trtllm" => Backend::TrtLlm,
        "aiter" => Backend::Aiter,
        _ => Backend::FlashInfer,
    })
}

fn speculation(given: &Given, report: &mut Report) -> Option<Speculation> {
    match given.choice(InputId::SpeculativeAlgorithm) {
        Some("eagle") => Some(Speculation::Eagle),
        Some("standalone") => Some(Speculation::Standalone),
        Some("ngram") => Some(Speculation::Ngram),
        Some("medusa") => {
            report.error(
                "not_supported_by_engine",
                InputId::SpeculativeAlgorithm,
                "SGLang has no Medusa; EAGLE heads draft in a like way.",
            );
            None
        }
        _ => None,
    }
}

/// What SGLang itself refuses, or what has no meaning in this combination.
fn check(given: &Given, options: &Options, network: &Network, report: &mut Report) {
    let tensor = given.integer(InputId::ServerTensorParallel).unwrap_or(1);
    let copies = given.integer(InputId::ServerDataParallel).unwrap_or(1);
    let dp = given.toggle(InputId::DpAttention) == Some(true);
    if dp && !tensor.is_multiple_of(copies.max(1)) {
        report.error(
            "not_divisible",
            InputId::DpAttention,
            "Data parallel attention divides the tensor parallel ranks: data parallel must divide their number.",
        );
    }
    if !dp && copies > 1 {
        report.warn(
            "not_used",
            InputId::ServerDataParallel,
            "Without data parallel attention copies are whole servers: their number follows from the number of GPUs.",
        );
    }
    if dp && copies == 1 {
        report.warn(
            "not_used",
            InputId::DpAttention,
            "With one data parallel group nothing is divided.",
        );
    }
    if tensor == 1 && given.toggle(InputId::DisableCustomAllReduce) == Some(true) {
        report.warn(
            "not_used",
            InputId::DisableCustomAllReduce,
            "One rank has no all-reduce.",
        );
    }
    if options.chunk != Some(0) && given.has(InputId::MaxPrefillTokens) {
        report.warn(
            "not_used",
            InputId::MaxPrefillTokens,
            "Prompts are divided into chunks, which bound what is computed at once.",
        );
    }
    drafting(given, options, network, tensor, report);
    let unused: [(InputId, bool, &str); 7] = [
        (
            InputId::MaxLoraRank,
            options.adapters.is_some(),
            "There are no LoRA slots.",
        ),
        (
            InputId::WindowTokensRatio,
            has_windows(network),
            "No layer of the model has a window.",
        ),
        (
            InputId::DisableWindowPool,
            has_windows(network),
            "No layer of the model has a window.",
        ),
        (
            InputId::StateMemoryRatio,
            has_states(network),
            "The model keeps no recurrent states.",
        ),
        (
            InputId::StateSlots,
            has_states(network),
            "The model keeps no recurrent states.",
        ),
        (
            InputId::StateDtype,
            has_states(network),
            "The model keeps no recurrent states.",
        ),
        (
            InputId::SharedPrefixTokens,
            options.radix,
            "Without a tree of prefixes every sequence holds its own copy.",
        ),
    ];
    for (id, used, why) in unused {
        if given.has(id) && !used {
            report.warn("not_used", id, why);
        }
    }
    if options.experts && network.kinds.iter().all(|layer| layer.moe().is_none()) {
        report.warn(
            "not_used",
            InputId::ServerExpertParallel,
            "The model has no experts to divide.",
        );
    }
}

fn drafting(given: &Given, options: &Options, network: &Network, tensor: u64, report: &mut Report) {
    let Some(kind) = options.speculation else {
        for id in [InputId::SpeculativeTokens, InputId::DraftModel] {
            if given.has(id) {
                report.warn("not_used", id, "No speculative algorithm is chosen.");
            }
        }
        return;
    };
    if kind == Speculation::Standalone && options.drafter.is_none() && !given.has(InputId::DraftModel) {
        report.error("missing", InputId::DraftModel, "STANDALONE needs a draft model.");
    }
    if kind == Speculation::Standalone && draft_head(given).is_some() {
        report.error(
            "unsupported_combination",
            InputId::DraftModel,
            "STANDALONE drafts with a model of its own; a head on the hidden states belongs to EAGLE.",
        );
    }
    if kind == Speculation::Ngram && given.has(InputId::DraftModel) {
        report.warn("not_used", InputId::DraftModel, "N-grams need no model.");
    }
    let odd = options
        .drafter
        .as_ref()
        .and_then(|drafter| indivisible(drafter, tensor.max(1), true));
    if let Some(why) = odd {
        report.error(
            "not_divisible",
            InputId::DraftModel,
            format!("The drafter: {why}"),
        );
    }
    if has_states(network) && kind != Speculation::Ngram && options.running.is_none() {
        report.error(
            "missing",
            InputId::MaxRunningRequests,
            "Drafting for a model with states sets states aside for each running request: give their number.",
        );
    }
}

fn has_windows(network: &Network) -> bool {
    fn windowed(mixer: &Mixer) -> bool {
        match mixer {
            Mixer::Attention(attention) => attention.span != Span::Full,
            Mixer::Several(parts) => parts.iter().any(windowed),
            _ => false,
        }
    }
    network.kinds.iter().any(|layer| windowed(&layer.mixer))
}

fn has_states(network: &Network) -> bool {
    fn stateful(mixer: &Mixer) -> bool {
        match mixer {
            Mixer::Several(parts) => parts.iter().any(stateful),
            Mixer::None | Mixer::Attention(_) | Mixer::Latent(_) => false,
            _ => true,
        }
    }
    network.kinds.iter().any(|layer| stateful(&layer.mixer))
}
