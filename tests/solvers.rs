//! The solvers against a plain scan and against the verdict of the same question.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use gpu_mem_calc::api::{
    InputId, Request, Unknown, Verdict, calculate, optimize_batch_size, smallest_card, solve,
};
use serde_json::json;

fn request(model: &str, engine: &str, gpus: u64, gpu: &str) -> Request {
    Request::new()
        .with(InputId::ModelId, model)
        .with(InputId::EngineType, engine)
        .with(InputId::NumGpus, gpus)
        .with(InputId::Gpu, gpu)
}

fn verdict(request: &Request, id: InputId, value: u64) -> Verdict {
    let request = request.clone().with(id, value);
    calculate(&request).map_or(Verdict::DoesNotFit, |answer| answer.verdict)
}

#[test]
fn the_largest_micro_batch_agrees_with_a_scan() {
    let question = request("smollm2-135m", "pytorch_ddp", 1, "rtx-4090");
    let solution = solve(&question, Unknown::MicroBatch).expect("a valid question");
    let value = solution.value.expect("it fits");
    let certain = solution.certain.expect("it fits surely");
    assert!(certain <= value);
    for batch in 1..=value + 3 {
        let found = verdict(&question, InputId::BatchSize, batch);
        assert_eq!(
            found != Verdict::DoesNotFit,
            batch <= value,
            "micro-batch {batch}"
        );
        assert_eq!(found == Verdict::Fits, batch <= certain, "micro-batch {batch}");
    }
    let beyond = solution.beyond.expect("one more does not fit");
    assert_eq!(beyond.value, value + 1);
    assert!(beyond.need.low_bytes > beyond.usable_bytes);
}

#[test]
fn the_longest_sequence_ends_where_one_token_more_does_not_fit() {
    let question = request("llama-3.1-8b", "fsdp", 8, "h100-sxm-80gb").with(InputId::BatchSize, 1);
    let solution = solve(&question, Unknown::SequenceLength).expect("a valid question");
    let value = solution.value.expect("it fits");
    assert_ne!(verdict(&question, InputId::SeqLength, value), Verdict::DoesNotFit);
    assert_eq!(
        verdict(&question, InputId::SeqLength, value + 1),
        Verdict::DoesNotFit
    );
    assert_eq!(solution.at.value, value);
}

#[test]
fn the_fewest_gpus_agree_with_a_scan() {
    let question =
        request("llama-3.1-8b", "fsdp", 64, "a100-sxm4-40gb").with(InputId::ActivationCheckpointing, "full");
    let solution = solve(&question, Unknown::Gpus).expect("a valid question");
    let value = solution.value.expect("it fits on some");
    let certain = solution.certain.expect("it fits surely on some");
    assert!(value <= certain);
    for gpus in 1..=certain + 2 {
        let found = verdict(&question, InputId::NumGpus, gpus);
        assert_eq!(found != Verdict::DoesNotFit, gpus >= value, "{gpus} GPUs");
        assert_eq!(found == Verdict::Fits, gpus >= certain, "{gpus} GPUs");
    }
}

/// A small network on a card that is just large enough for a given value.
fn tight(number: u64, unknown: Unknown, target: u64) -> Request {
    let engines = [
        json!({"type": "fsdp"}),
        json!({"type": "fsdp", "fsdp_version": "1"}),
        json!({"type": "pytorch_ddp"}),
        json!({"type": "deepspeed", "zero_stage": 2}),
        json!({"type": "deepspeed", "zero_stage": 3}),
    ];
    let of =
        |words: &[&str], place: u64| words[usize::try_from(place).expect("small") % words.len()].to_owned();
    let heads = 1 + number % 5;
    let gpus = unknown == Unknown::Gpus;
    let mut request = json!({
        "model": {"hf_config": {"model_type": "llama", "num_hidden_layers": 2 + number % 7,
            "hidden_size": 128 * heads, "num_attention_heads": heads, "head_dim": 128,
            "intermediate_size": 900 + 37 * number, "vocab_size": 32_000 + 1111 * number}},
        "engine": engines[usize::try_from(number).expect("small") % if gpus { 2 } else { engines.len() }],
        "training": {
            "batch_size": if unknown == Unknown::SequenceLength { 24 } else { 1 }, "seq_length": 512 + 32 * (number % 4),
            "loss": of(&["plain", "chunked", "fused", "fused_in_place"], number / 2),
            "activation_checkpointing": of(&["none", "full", "operations"], number / 3),
            "optimizer": "adamw",
        },
        "hardware": {"num_gpus": if number.is_multiple_of(5) { 1 } else { 4 }, "gpu_memory_gb": 80.0},
    });
    if gpus {
        request["model"]["hf_config"]["vocab_size"] = json!(200_000 + 1111 * number);
    }
    let at = Request::from_json(&request)
        .expect("a request")
        .with(unknown.input(), target);
    let need = calculate(&at).expect("an answer").need.high_bytes;
    request["hardware"]["gpu_memory_gb"] = json!(need.to_gib());
    Request::from_json(&request).expect("a request")
}

#[test]
fn solvers_agree_with_a_linear_scan_on_small_cases() {
    for number in 0..12_u64 {
        let targets = [
            (Unknown::MicroBatch, 2 + 7 * number % 20),
            (Unknown::SequenceLength, 20 + 13 * number % 100),
            (Unknown::Gpus, 2 + 3 * number % 23),
        ];
        for (unknown, target) in targets {
            let question = tight(number, unknown, target);
            let solution = solve(&question, unknown).expect("a valid question");
            let (value, certain) = (solution.value.expect("it fits"), solution.certain);
            let judged: Vec<(u64, Verdict)> = (1..=value.max(certain.unwrap_or(0)) + 5)
                .map(|tried| (tried, verdict(&question, unknown.input(), tried)))
                .collect();
            let possible = |(_, verdict): &&(u64, Verdict)| *verdict != Verdict::DoesNotFit;
            let sure = |(_, verdict): &&(u64, Verdict)| *verdict == Verdict::Fits;
            let scanned = if unknown == Unknown::Gpus {
                let first = |wanted: &dyn Fn(&&(u64, Verdict)) -> bool| {
                    judged.iter().find(wanted).map(|(tried, _)| *tried)
                };
                (first(&possible), first(&sure))
            } else {
                let last = |wanted: &dyn Fn(&&(u64, Verdict)) -> bool| {
                    let met = judged.iter().take_while(wanted).count();
                    (met > 0).then_some(met as u64)
                };
                (last(&possible), last(&sure))
            };
            assert_eq!(
                (Some(value), certain),
                scanned,
                "case {number}, {unknown:?}: {solution:?}"
            );
        }
    }
}

#[test]
fn what_cannot_fit_says_by_how_much() {
    let question = request("llama-3.1-70b", "pytorch_ddp", 8, "h100-sxm-80gb");
    let result = optimize_batch_size(&question).expect("a valid question");
    assert_eq!(result.max_batch_size, None);
    let answer = result.memory_result;
    assert_eq!(
        result.shortfall_bytes,
        Some(
            answer
                .need
                .expected_bytes
                .saturating_sub(answer.capacity.usable_bytes)
        )
    );
    assert!(
        result
            .reason
            .is_some_and(|reason| reason.contains("Not even 1 sequence"))
    );
    let gpus = solve(&question, Unknown::Gpus).expect("a valid question");
    assert_eq!(gpus.value, None);
    assert!(
        gpus.reason
            .is_some_and(|reason| reason.contains("More GPUs do not help"))
    );
}

#[test]
fn the_answer_of_the_batch_optimizer_is_that_of_its_batch() {
    let question = request("llama-3.2-1b", "fsdp", 8, "h100-sxm-80gb").with(InputId::BatchSize, 4096);
    let result = optimize_batch_size(&question).expect("a valid question");
    let batch = result.max_batch_size.expect("it fits");
    let answer = calculate(&question.with(InputId::BatchSize, batch)).expect("a valid question");
    assert_eq!(result.memory_result, answer);
    assert_eq!(result.shortfall_bytes, None);
}

#[test]
fn the_smallest_card_is_the_first_of_those_that_fit() {
    let question = request("llama-3.1-8b", "fsdp", 8, "h100-sxm-80gb");
    let cards = smallest_card(&question).expect("a valid question");
    let first = cards.cards.first().expect("a card");
    assert_eq!(cards.value.as_ref(), Some(&first.gpu));
    for card in &cards.cards {
        let answer =
            calculate(&question.clone().with(InputId::Gpu, card.gpu.clone())).expect("a valid question");
        assert_eq!(answer.verdict, card.verdict, "{}", card.gpu);
        assert_eq!(answer.need, card.need, "{}", card.gpu);
        assert!(card.usable_bytes >= first.usable_bytes);
    }
    let listed = |id: &str| cards.cards.iter().any(|card| card.gpu == id);
    // Ranks on slices cannot talk to each other.
    for gpu in gpu_mem_calc::api::gpus().iter().filter(|gpu| gpu.slice.is_none()) {
        let answer =
            calculate(&question.clone().with(InputId::Gpu, gpu.id.clone())).expect("a valid question");
        assert_eq!(
            answer.verdict != Verdict::DoesNotFit,
            listed(&gpu.id),
            "{}",
            gpu.id
        );
    }
}

#[test]
fn an_invalid_question_is_refused_by_field() {
    let question = request("llama-3.1-8b", "fsdp", 8, "h100-sxm-80gb").with(InputId::Dtype, "fp17");
    let issues = solve(&question, Unknown::MicroBatch).expect_err("refused");
    assert!(issues.iter().any(|issue| issue.path == "training.dtype"));
}
