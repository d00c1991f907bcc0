//! Megatron-LM against its own functional tests: states at rest to a constant of the platform, no peak far off, and what the
//! answer says of its pipeline stages.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by a panic, and prints the figures that it judged"
)]

use gpu_mem_calc::accuracy::compare;
use gpu_mem_calc::accuracy::quantity::Quantity;
use gpu_mem_calc::accuracy::record::{EngineName, Record, read};
use gpu_mem_calc::accuracy::statistics::percentile;
use gpu_mem_calc::api::{self, Answer, Request};
use serde_json::{Value, json};

/// Largest median distance of states at rest in MiB, and largest error of a peak in percent, as agreed for these tests
/// (issue 4); the constants of the platform are part of the answer.
const REST_MIB: f64 = 40.0;
const WORST_PERCENT: f64 = 15.0;

fn functional_tests() -> Vec<Record> {
    let records = read(include_str!("measured/training.jsonl")).expect("records");
    let of_megatron = |record: &Record| {
        record.engine() == EngineName::Megatron
            && record
                .text("source_group")
                .is_some_and(|group| group.starts_with("megatron-golden"))
    };
    records.into_iter().filter(of_megatron).collect()
}

#[test]
fn functional_tests_of_megatron_are_met() {
    let report = compare(&functional_tests());
    let lines = |quantity| report.lines.iter().filter(move |line| line.quantity == quantity);
    let mut rest: Vec<f64> = lines(Quantity::StaticAllocated)
        .filter_map(|line| {
            let measured = line.measured?.get() as f64;
            Some((line.predicted.expected.get() as f64 - measured).abs() / f64::from(1 << 20))
        })
        .collect();
    rest.sort_by(f64::total_cmp);
    let peaks: Vec<f64> = lines(Quantity::MaxAllocated)
        .filter_map(|line| line.error_percent())
        .collect();
    let median = percentile(&rest, 50.0).expect("figures");
    let worst = peaks.iter().copied().fold(0.0, f64::max);
    println!(
        "{} at rest, median {median:.1} MiB; {} peaks, worst {worst:.1} %",
        rest.len(),
        peaks.len()
    );
    assert!(rest.len() >= 90 && peaks.len() >= 90);
    assert!(median <= REST_MIB, "{median}");
    assert!(worst <= WORST_PERCENT, "{worst}");
}

#[test]
fn devices_of_bigscience_lie_inside_their_intervals() {
    let records = read(include_str!("measured/training.jsonl")).expect("records");
    let runs: Vec<Record> = records
        .into_iter()
        .filter(|record| record.engine() == EngineName::MegatronDeepSpeed)
        .collect();
    let report = compare(&runs);
    let errors: Vec<f64> = report
        .lines
        .iter()
        .filter_map(|line| line.error_percent())
        .collect();
    let inside = report.lines.iter().filter(|line| {
        let (low, high) = (line.predicted.low, line.predicted.high);
        line.measured
            .is_some_and(|measured| (low..=high).contains(&measured))
    });
    let inside = inside.count();
    let mut sorted = errors.clone();
    sorted.sort_by(f64::total_cmp);
    let median = percentile(&sorted, 50.0).expect("figures");
    println!(
        "{} of {} runs, {inside} inside, median {median:.1} %",
        errors.len(),
        runs.len()
    );
    assert_eq!(errors.len(), runs.len());
    // As agreed for these rounded totals (issue 4): 85 % inside; all are.
    assert_eq!(inside, runs.len());
    assert!(median <= 10.0, "{median}");
}

fn answer(patch: &Value) -> Answer {
    let mut question = json!({"model": {"id": "llama-3.1-8b"}, "engine": {"type": "megatron_lm"},
        "hardware": {"gpu": "h100-sxm-80gb", "num_gpus": 8},
        "parallelism": {"pipeline_parallel_size": 4}, "training": {"seq_length": 2048, "gradient_accumulation_steps": 8}});
    for (section, fields) in patch.as_object().expect("sections") {
        let own = question[section].as_object_mut().expect("a section");
        own.extend(fields.as_object().expect("fields").clone());
    }
    let request = Request::from_json(&question).expect("a request");
    api::calculate(&request).expect("an answer")
}

#[test]
fn the_answer_is_of_the_fullest_stage_and_lists_all() {
    let found = answer(&json!({}));
    let flying: Vec<u64> = found
        .stages
        .iter()
        .flat_map(|stage| stage.in_flight.clone())
        .collect();
    assert_eq!(flying, [4, 3, 2, 1]);
    assert_eq!(found.stages[0].layers, [(1, 8)]);
    assert_eq!(found.stages[3].layers, [(25, 32)]);
    let fullest = found.stages.iter().map(|stage| stage.peak_allocated_bytes).max();
    assert_eq!(fullest, Some(found.peak_allocated_bytes));
    for stage in &found.stages {
        let groups = stage.groups;
        let sum = groups.model_params
            + groups.gradients
            + groups.optimizer_states
            + groups.activations
            + groups.overhead;
        assert_eq!(sum, stage.peak_allocated_bytes, "rank {}", stage.rank);
    }
}

#[test]
fn virtual_stages_hold_layers_in_turn() {
    let found = answer(&json!({"parallelism": {"virtual_pipeline_size": 2}}));
    assert_eq!(found.stages[0].layers, [(1, 4), (17, 20)]);
    assert_eq!(found.stages[0].in_flight, [7, 4]);
    assert_eq!(found.stages[3].in_flight, [4, 1]);
}

#[test]
fn a_capacity_bounds_what_routing_gives() {
    let meters = |engine: Value| {
        let patch = json!({"model": {"id": "qwen3-30b-a3b"}, "engine": engine,
            "parallelism": {"pipeline_parallel_size": 1, "expert_parallel_size": 8},
            "training": {"seq_length": 4096, "batch_size": 4}});
        answer(&patch).meters.allocated
    };
    let free = meters(json!({"expert_imbalance": 1}));
    let bounded = meters(json!({"moe_expert_capacity_factor": 1.1}));
    let padded = meters(json!({"moe_expert_capacity_factor": 1.1, "moe_pad_expert_input_to_capacity": true}));
    assert_eq!(bounded.expected_bytes, free.expected_bytes);
    assert!(bounded.high_bytes < free.high_bytes);
    assert!(padded.expected_bytes > free.expected_bytes);
}

#[test]
fn what_is_stored_otherwise_holds_what_its_equation_says() {
    let rest = |patch: Value| {
        let found = answer(&patch);
        found
            .stages
            .iter()
            .map(|stage| stage.rest_bytes.get())
            .max()
            .expect("stages")
    };
    let plain = json!({"parallelism": {"pipeline_parallel_size": 1}});
    let with = |engine: Value| {
        let mut patch = plain.clone();
        patch["engine"] = engine;
        rest(patch)
    };
    // Llama-3.1-8B with the padded vocabulary; weights of linear layers in its 32 layers.
    let (all, linear) = (8_030_261_248_u64, 32 * 218_103_808_u64);
    let base = rest(plain.clone());
    assert_eq!(base - with(json!({"exp_avg_dtype": "bf16"})), 4 * all);
    assert_eq!(with(json!({"fp8_recipe": "tensorwise"})) - base, 2 * linear);
    assert_eq!(
        with(json!({"fp8_recipe": "tensorwise", "fp8_param_gather": true})),
        base
    );
    let away = base - with(json!({"optimizer_offload_fraction": 0.5}));
    assert!(away.abs_diff(6 * all) < 64, "{away}");
    let divided = with(json!({"data_parallel_sharding": "optim_grads_params"}));
    assert_eq!(base - divided, 18 * all - 18 * all / 8);
    // One moment instead of two for matrices.
    let muon = rest(json!({"parallelism": {"pipeline_parallel_size": 1}, "training": {"optimizer": "muon"}}));
    assert_eq!(base - muon, 4 * linear);
}

#[test]
fn muon_deals_out_whole_tensors_to_the_rank_with_the_embedding() {
    let rest = |layout: bool| {
        let patch = json!({"parallelism": {"pipeline_parallel_size": 1}, "training": {"optimizer": "muon"},
            "engine": {"use_distributed_optimizer": true, "layer_wise_param_layout": layout}});
        answer(&patch).stages[0].rest_bytes.get()
    };
    // 12 bytes for each of the 525,336,576 elements of the embedding, beside an eighth of the others.
    assert!(rest(false) > rest(true) + 12 * 525_336_576 / 8 * 5);
}

#[test]
fn adapters_train_beside_frozen_weights() {
    let patch = json!({"parallelism": {"pipeline_parallel_size": 1, "tensor_parallel_size": 2},
        "training": {"adapter": "lora", "lora_rank": 8}});
    let found = answer(&patch);
    let stage = &found.stages[0];
    // Per layer: (h + q + 2k) + (q + h) + (h + 2f) + (f + h), a half of each divided side on a rank.
    let (h, q, k, f) = (4096, 4096, 1024, 14_336);
    let layer = h + (q + 2 * k) / 2 + q / 2 + h + h + f + f / 2 + h;
    let adapters = 32 * 8 * layer;
    let workspaces = 33_554_432;
    let frozen = stage.parameters;
    assert_eq!(stage.rest_bytes.get(), 2 * frozen + 18 * adapters + workspaces);
}

#[test]
fn a_reference_is_a_second_model_and_a_reward_has_no_words() {
    let peak = |objective: &str| {
        let patch = json!({"parallelism": {"pipeline_parallel_size": 1, "tensor_parallel_size": 8},
            "training": {"objective": objective}});
        let found = answer(&patch);
        (found.stages[0].rest_bytes.get(), found.peak_allocated_bytes.get())
    };
    let pairs = peak("preference");
    let without = peak("preference_reference_free");
    let single = peak("unpaired_preference");
    let reward = peak("reward");
    assert_eq!(pairs.0 - without.0, 2 * (without.0 - 33_554_432) / 18);
    assert_eq!(pairs.0, single.0);
    assert!(single.1 < pairs.1 && reward.1 < without.1 && reward.0 < without.0);
}

#[test]
fn layers_for_further_tokens_wait_with_their_loss() {
    let last = |layers: u64| {
        let found = answer(&json!({"engine": {"mtp_num_layers": layers}}));
        let stage = found.stages.last().expect("a stage").clone();
        (
            stage.rest_bytes.get(),
            stage.peak_allocated_bytes.get(),
            stage.parameters,
        )
    };
    let (none, one) = (last(0), last(1));
    // A layer, two norms and a final one, the projection, and a copy of the embedding.
    let more = 218_112_000 + 3 * 4096 + 2 * 4096 * 4096 + 128_256 * 4096;
    assert_eq!(one.2 - none.2, more);
    assert_eq!(one.0 - none.0, 18 * more);
    // At least the softmax of 2,048 tokens over the vocabulary waits.
    assert!(one.1 - none.1 > 18 * more + 4 * 2048 * 128_256);
}

#[test]
fn written_layouts_are_stages() {
    let found = answer(&json!({"engine": {"pipeline_layout": "Et*7|t*9|t*8|t*8L"}}));
    let layers: Vec<_> = found.stages.iter().map(|stage| stage.layers.clone()).collect();
    assert_eq!(layers, [[(1, 7)], [(8, 16)], [(17, 24)], [(25, 32)]]);
    let chunks = answer(&json!({"engine": {"pipeline_layout": "Et*4|(t*4|)*6t*4L"}}));
    assert_eq!(chunks.stages[0].layers, [(1, 4), (17, 20)]);
    let wrong = json!({"model": {"id": "llama-3.1-8b"}, "engine": {"type": "megatron_lm", "pipeline_layout": "Et*7|t*9L"},
        "hardware": {"gpu": "h100-sxm-80gb", "num_gpus": 8}, "parallelism": {"pipeline_parallel_size": 4}});
    let issues = api::calculate(&Request::from_json(&wrong).expect("a request")).expect_err("refused");
    assert!(
        issues.iter().any(|issue| issue.path == "engine.pipeline_layout"),
        "{issues:?}"
    );
}

#[test]
fn recomputation_never_holds_more() {
    let peak = |patch: &Value| answer(patch).peak_allocated_bytes;
    let none = peak(&json!({}));
    let full = peak(&json!({"training": {"activation_checkpointing": "full"}}));
    let some = |words: &[&str]| {
        peak(
            &json!({"training": {"activation_checkpointing": "selective"}, "engine": {"recompute_modules": words}}),
        )
    };
    let norms = some(&["layernorm"]);
    let both = some(&["layernorm", "mlp"]);
    assert!(
        full < both && both < norms && norms < none,
        "{full:?} {both:?} {norms:?} {none:?}"
    );
}

/// What is said of a mesh under Megatron: codes and paths of its errors.
fn said(patch: &Value) -> Vec<String> {
    let mut question = json!({"model": {"id": "llama-3.1-8b"}, "engine": {"type": "megatron_lm"},
        "hardware": {"gpu": "h100-sxm-80gb", "num_gpus": 1024}, "parallelism": {}, "training": {"seq_length": 2048}});
    for (section, fields) in patch.as_object().expect("sections") {
        let own = question[section].as_object_mut().expect("a section");
        own.extend(fields.as_object().expect("fields").clone());
    }
    let found = api::validate(&Request::from_json(&question).expect("a request"));
    let errors = found.iter().filter(|issue| issue.is_error());
    errors
        .map(|issue| format!("{} {}", issue.code, issue.path))
        .collect()
}

/// Sizes are bounded by the GPUs and by what they divide, and by nothing else: Llama 2 7B has 32 heads and as many layers.
#[test]
fn sizes_of_the_mesh_are_bounded_by_what_they_divide() {
    let of = |key: &str, size: u64| said(&json!({"model": {"id": "llama-2-7b"}, "parallelism": {key: size}}));
    for (key, most) in [
        ("tensor_parallel_size", 32),
        ("pipeline_parallel_size", 32),
        ("context_parallel_size", 1024),
    ] {
        assert_eq!(of(key, 1), Vec::<String>::new(), "{key}");
        assert_eq!(of(key, most), Vec::<String>::new(), "{key} {most}");
    }
    let heads = ["not_divisible parallelism.tensor_parallel_size"];
    assert_eq!(of("tensor_parallel_size", 64), heads);
    let six = json!({"tensor_parallel_size": 6});
    let uneven =
        said(&json!({"model": {"id": "llama-2-7b"}, "parallelism": six, "hardware": {"num_gpus": 6}}));
    assert_eq!(uneven, heads);
    let beyond = of("pipeline_parallel_size", 64);
    assert_eq!(beyond, ["out_of_range parallelism.pipeline_parallel_size"]);
    let product = said(
        &json!({"parallelism": {"tensor_parallel_size": 32, "pipeline_parallel_size": 32,
        "context_parallel_size": 2}}),
    );
    assert_eq!(product, ["gpu_count_mismatch parallelism"]);
}

/// Each rule of what must divide what is an issue of its own, and names its input.
#[test]
fn each_rule_of_the_split_is_an_issue_of_its_own() {
    let sequence = json!({"parallelism": {"context_parallel_size": 2}, "training": {"seq_length": 2046}});
    assert_eq!(
        said(&sequence),
        ["not_divisible parallelism.context_parallel_size"]
    );
    let experts = |ranks: u64| {
        json!({"model": {"id": "mixtral-8x7b"}, "hardware": {"num_gpus": 48},
            "parallelism": {"expert_parallel_size": ranks}})
    };
    assert_eq!(said(&experts(8)), Vec::<String>::new());
    assert_eq!(
        said(&experts(3)),
        ["not_divisible parallelism.expert_parallel_size"]
    );
    let chunks = json!({"parallelism": {"pipeline_parallel_size": 4, "virtual_pipeline_size": 3},
        "training": {"gradient_accumulation_steps": 8}});
    // 32 layers are not 4 stages of 3 chunks each.
    assert_eq!(
        said(&chunks),
        ["not_divisible parallelism.pipeline_parallel_size"]
    );
    // GPT-2's 50,257 rows are padded to 128 for each rank, and what is padded is held.
    let rest = |ranks: u64| {
        let patch = json!({"model": {"id": "gpt2"}, "hardware": {"num_gpus": ranks},
            "parallelism": {"pipeline_parallel_size": 1, "tensor_parallel_size": ranks},
            "training": {"seq_length": 1024}});
        let found = answer(&patch);
        let row = found.instants.iter().find(|row| row.id == "rest").expect("rest");
        row.groups.model_params.get() as f64
    };
    assert!(rest(4) > rest(1) / 4.0);
}

/// docs/source/dist_optimizer.md of Megatron-LM: bf16 weights with fp32 gradients take 18 bytes, and 6 + 12/d with the
/// distributed optimizer. The setting and the micro-batches are real: both change the answer.
#[test]
fn the_distributed_optimizer_and_micro_batches_have_their_effect() {
    let rest = |distributed: bool| {
        let patch = json!({"engine": {"use_distributed_optimizer": distributed},
            "parallelism": {"pipeline_parallel_size": 1}});
        let found = answer(&patch);
        let row = found.instants.iter().find(|row| row.id == "rest").expect("rest");
        let groups = row.groups;
        (groups.model_params + groups.gradients + groups.optimizer_states).get() as f64
    };
    let weights = 8_030_261_248.0;
    for (distributed, bytes) in [(false, 18.0), (true, 6.0 + 12.0 / 8.0)] {
        let found = rest(distributed) / weights;
        assert!(
            (found / bytes - 1.0).abs() < 0.01,
            "{distributed}: {found} bytes per weight"
        );
    }
    let flying = |micro_batches: u64| {
        let found = answer(&json!({"engine": {"num_micro_batches": micro_batches},
            "training": {"gradient_accumulation_steps": micro_batches}}));
        let first = found.stages.first().expect("a stage");
        first.in_flight.iter().sum::<u64>()
    };
    assert_eq!((flying(1), flying(2), flying(8)), (1, 2, 4));
}
