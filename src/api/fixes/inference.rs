//! The changes that are tried on an inference question.

use super::super::given::Given;
use super::super::inference::calculate_inference;
use super::card;
use super::change::{Change, Effect, Time};
use crate::hardware;
use crate::request::{InputId, Request, Verdict};
use crate::units::Bytes;
use crate::warn::Issue;

use Effect::{Hardware, None as Same, Numerics, Quality, Workload};
use InputId::{
    AllLogits, CacheTypeK, CacheTypeV, EnforceEager, GgufType, GpuLayers, GpuMemoryUtilization, KvCacheType,
    MaxBatchedTokens, MaxSequences, NumGpus, PrefillChunk, Sequences, ServerTensorParallel, TotalTokens,
    WeightFormat,
};

/// Settings: input, value, effect, time, and both in words.
const SETTINGS: [(InputId, &str, Effect, Time, &str); 11] = [
    (
        KvCacheType,
        "fp8",
        Numerics,
        Time::Same,
        "Keys and values in 8 bits: twice the tokens.",
    ),
    (
        KvCacheType,
        "int8",
        Numerics,
        Time::Little,
        "Keys and values in 8 bits: twice the tokens.",
    ),
    (
        KvCacheType,
        "int4",
        Quality,
        Time::Little,
        "Keys and values in 4 bits.",
    ),
    (
        WeightFormat,
        "fp8",
        Numerics,
        Time::Same,
        "Weights in 8 bits; a checkpoint in this format is needed.",
    ),
    (
        WeightFormat,
        "int8",
        Numerics,
        Time::Same,
        "Weights in 8 bits; a checkpoint in this format is needed.",
    ),
    (
        WeightFormat,
        "awq",
        Quality,
        Time::Same,
        "Weights in 4 bits (AWQ, arXiv:2306.00978); a checkpoint in this format is needed.",
    ),
    (
        WeightFormat,
        "nf4",
        Quality,
        Time::Little,
        "Weights in 4 bits, made while loading (arXiv:2305.14314).",
    ),
    (GgufType, "Q8_0", Numerics, Time::Same, "Weights in 8.5 bits."),
    (
        GgufType,
        "Q5_K_M",
        Quality,
        Time::Same,
        "Weights in about 5.7 bits.",
    ),
    (
        GgufType,
        "Q4_K_M",
        Quality,
        Time::Same,
        "Weights in about 4.9 bits.",
    ),
    (
        GgufType,
        "IQ3_M",
        Quality,
        Time::Same,
        "Weights in about 3.7 bits.",
    ),
];

/// All changes that make sense for the question.
pub fn changes(request: &Request) -> Result<Vec<Change>, Vec<Issue>> {
    let answer = calculate_inference(request)?;
    // What is wrong with the request was reported with the answer.
    let given = Given::read(request, &mut Vec::new());
    let mut all = Vec::new();
    for (id, value, effect, time, words) in SETTINGS {
        all.push(Change::one(id, value, effect, time, words));
    }
    all.push(
        Change::one(
            CacheTypeK,
            "q8_0",
            Numerics,
            Time::Same,
            "Keys and values in 8.5 bits.",
        )
        .and(CacheTypeV, "q8_0"),
    );
    all.push(Change::one(
        AllLogits,
        false,
        Same,
        Time::Same,
        "Logits of the last position alone.",
    ));
    all.push(Change::one(
        PrefillChunk,
        2048,
        Same,
        Time::Little,
        "The prompt is read in pieces.",
    ));
    all.push(Change::one(
        EnforceEager,
        true,
        Same,
        Time::More,
        "No captured graphs.",
    ));
    all.push(Change::one(
        GpuMemoryUtilization,
        0.95,
        Same,
        Time::Same,
        "The engine may take more of the card; nothing else may run on it.",
    ));
    for (id, words) in [
        (
            MaxBatchedTokens,
            "Fewer tokens per step: prompts are read in more pieces.",
        ),
        (MaxSequences, "Fewer sequences run at once; the others wait."),
    ] {
        if let Some(now) = given.integer(id).filter(|now| *now > 1) {
            all.push(Change::one(id, now / 2, Same, Time::Little, words));
        }
    }
    if let Some(layers) = answer.most_gpu_layers {
        all.push(Change::one(
            GpuLayers,
            layers,
            Same,
            Time::Much,
            "The other layers run on the host.",
        ));
    }
    let sequences = given.integer(Sequences).unwrap_or(1);
    if sequences > 1 {
        all.push(Change::one(
            Sequences,
            sequences / 2,
            Workload,
            Time::Same,
            "Half as many requests at once.",
        ));
    }
    if let Some(tokens) = Some(answer.max_context_len).filter(|tokens| *tokens > 0) {
        all.push(Change::one(
            TotalTokens,
            tokens,
            Workload,
            Time::Same,
            "The longest sequence that fits; longer requests are refused.",
        ));
    }
    let ranks = given.integer(ServerTensorParallel).unwrap_or(1);
    let gpus = given.integer(NumGpus).unwrap_or(1);
    let more = ranks.saturating_mul(2);
    let divided = Change::one(
        ServerTensorParallel,
        more,
        if more <= gpus { Same } else { Hardware },
        Time::Same,
        "Weights and heads are divided among twice the GPUs.",
    );
    all.push(if more <= gpus {
        divided
    } else {
        divided.and(NumGpus, more)
    });
    let fitting: Vec<(Bytes, &str)> = hardware::gpus()
        .iter()
        .filter_map(|gpu| {
            let other = request.clone().with(InputId::Gpu, gpu.id.clone());
            let answer = calculate_inference(&other).ok()?;
            (answer.verdict == Verdict::Fits).then_some((answer.capacity.usable_bytes, gpu.id.as_str()))
        })
        .collect();
    all.extend(card::smallest(request, fitting.into_iter()));
    Ok(all)
}
