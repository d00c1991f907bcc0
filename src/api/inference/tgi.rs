//! What only Text Generation Inference reads, with the rules between its limits.

use super::super::given::Given;
use super::super::resolve::Report;
use super::settings::released;
use crate::inference::engines::tgi::release::releases;
use crate::inference::engines::tgi::{Kernel, Options};
use crate::request::{InputId, ServerId};

/// Whether the question is for TGI.
pub fn asked(given: &Given) -> bool {
    given.choice(InputId::ServerType) == Some(ServerId::Tgi.key())
}

/// The longest request, which is what is asked for where no tokens per sequence are given.
pub fn longest(given: &Given) -> Option<u64> {
    if !asked(given) {
        return None;
    }
    given.typed_integer(InputId::TgiMaxTotalTokens)
}

/// The number of shards, where it is given and agrees with the rest.
pub fn shards(given: &Given, engine: Option<ServerId>, report: &mut Report) -> Option<u64> {
    if engine != Some(ServerId::Tgi) {
        return None;
    }
    let whole = |id| given.typed_integer(id);
    let (shards, tensor) = (whole(InputId::TgiShards), whole(InputId::ServerTensorParallel));
    if let (Some(shards), Some(tensor)) = (shards, tensor)
        && shards != tensor
    {
        report.error(
            "unsupported_combination",
            InputId::TgiShards,
            format!("{shards} shards and {tensor} tensor parallel GPUs are the same thing."),
        );
    }
    let many = shards.or(tensor).unwrap_or(1) > 1;
    let sharded = given.typed_toggle(InputId::TgiSharded);
    match sharded {
        Some(false) if many => report.error(
            "unsupported_combination",
            InputId::TgiSharded,
            "More than one shard is asked for.",
        ),
        Some(true) if !many => report.error(
            "unsupported_combination",
            InputId::TgiSharded,
            "A sharded model needs a number of shards above one.",
        ),
        Some(_) => report.warn(
            "not_used",
            InputId::TgiSharded,
            "It agrees with the number of shards and changes nothing.",
        ),
        None => {}
    }
    shards
}

/// The weight format of the argument `--quantize`.
pub fn quantize(given: &Given, report: &mut Report) -> Option<&'static str> {
    match given.choice(InputId::TgiQuantize)? {
        "awq" => Some("awq"),
        "eetq" => Some("int8"),
        "gptq" | "marlin" => Some("gptq"),
        "bitsandbytes" => Some("bnb_int8"),
        // Their scales are compressed (`layers/bnb.py`: compress_statistics).
        "bitsandbytes-nf4" | "bitsandbytes-fp4" => Some("nf4_double"),
        "fp8" => Some("fp8"),
        "exl2" => {
            report.error(
                "not_supported_by_engine",
                InputId::TgiQuantize,
                "The bits of EXL2 differ between tensors and stand in the checkpoint alone: they are not read here.",
            );
            None
        }
        _ => None,
    }
}

const KNOWN: (&str, &str) = (
    "the newest version that was read",
    "TGI is known from 0.9 on; give a version like 3.3.0.",
);

/// The arguments of a start; `None` where the version is refused.
pub fn options(given: &Given, report: &mut Report) -> Option<Options> {
    let (release, _) = released(given, &releases().releases, KNOWN, report)?;
    let whole = |id| given.typed_integer(id);
    let number = |id| given.typed_number(id);
    let mut options = Options::new(release);
    options.fraction = number(InputId::GpuMemoryUtilization);
    options.wiggle = number(InputId::TgiWiggleRoom);
    options.prefill = whole(InputId::TgiPrefillTokens);
    options.input = whole(InputId::TgiMaxInputTokens);
    options.length = whole(InputId::TgiMaxTotalTokens);
    options.most_tokens = whole(InputId::TgiBatchTotalTokens);
    options.block = whole(InputId::BlockSize);
    options.kernel = match given.choice(InputId::TgiAttention) {
        Some("flashinfer") => Some(Kernel::FlashInfer),
        Some("flashdecoding") => Some(Kernel::FlashDecoding),
        Some(_) => Some(Kernel::Paged),
        None => None,
    };
    options.eager = given.toggle(InputId::EnforceEager) == Some(true);
    check(&options, given, report);
    Some(options)
}

fn check(options: &Options, given: &Given, report: &mut Report) {
    if let (Some(input), Some(length)) = (options.input, options.length)
        && input >= length
    {
        report.error(
            "unsupported_combination",
            InputId::TgiMaxInputTokens,
            format!("A prompt of {input} tokens leaves no answer in a request of {length}."),
        );
    }
    if let (Some(most), Some(length)) = (options.most_tokens, options.length)
        && most < length
    {
        report.error(
            "unsupported_combination",
            InputId::TgiBatchTotalTokens,
            format!("A pool of {most} tokens is smaller than one request of {length}."),
        );
    }
    let kernels = options.release.kernels;
    if !kernels && options.kernel.is_some_and(|kernel| kernel != Kernel::Paged) {
        report.error(
            "not_supported_by_engine",
            InputId::TgiAttention,
            "FlashInfer and flash-decoding came with TGI 2.3.",
        );
    }
    if !options.release.inferred {
        for id in [InputId::TgiWiggleRoom, InputId::GpuMemoryUtilization] {
            if given.has(id) {
                report.warn(
                    "not_used",
                    id,
                    "Up to 0.9.2 the limit of tokens is allocated without a look at the memory.",
                );
            }
        }
    }
}
