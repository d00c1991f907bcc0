//! Properties of every answer: parts add up, the tightest instant binds, more work never needs less memory.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by a panic"
)]

use std::sync::Arc;

use gpu_mem_calc::api::{self, Answer, INPUTS, Range, Request, Strictness};
use gpu_mem_calc::memory::allocator::block;
use gpu_mem_calc::model::Network;
use gpu_mem_calc::training::{Prepared, Recomputation, TrainingJob, evaluate};
use gpu_mem_calc::units::Bytes;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

/// A small decoder: Llama-like, in a third of the cases with experts.
fn model() -> impl Strategy<Value = Value> {
    let attention = (1u64..4, select(vec![16u64, 64, 80]), 1u64..4, any::<bool>());
    let experts = prop_oneof![2 => Just(None), 1 => (2u64..9, 1u64..3, 16u64..300).prop_map(Some)];
    (1u64..6, attention, 1u64..700, 10u64..3000, any::<bool>(), experts).prop_map(
        |(layers, (groups, head_dim, repeat, normed), inner, vocabulary, tied, experts)| {
            let heads = groups * repeat;
            let mut config = json!({
                "model_type": if normed { "qwen3" } else { "llama" },
                "num_hidden_layers": layers,
                "hidden_size": heads * head_dim,
                "num_attention_heads": heads,
                "num_key_value_heads": groups,
                "head_dim": head_dim,
                "intermediate_size": inner,
                "vocab_size": vocabulary,
                "tie_word_embeddings": tied,
            });
            if let Some((count, top_k, width)) = experts {
                config["model_type"] = json!("qwen3_moe");
                config["num_experts"] = json!(count);
                config["num_experts_per_tok"] = json!(top_k);
                config["moe_intermediate_size"] = json!(width);
            }
            json!({ "hf_config": config })
        },
    )
}

fn training() -> impl Strategy<Value = Value> {
    let work = (1u64..5, 1u64..300, 1u64..3, any::<bool>(), any::<bool>());
    let types = select(vec![
        ("bf16", "pure"),
        ("fp16", "pure"),
        ("fp32", "pure"),
        ("bf16", "autocast"),
        ("bf16", "mixed"),
    ]);
    let optimizer = (
        // GaLore runs on whole tensors only; torchao quantises the states of tensors that fill whole blocks (optim/adam.py,
        // `_new_buffer`), so that a tensor one element longer can need four times as much or a quarter.
        select(vec![
            "adamw",
            "adamw_8bit",
            "sgd",
            "adafactor",
            "lion",
            "muon",
            "schedule_free",
            "adafactor_transformers",
        ]),
        select(vec!["fused", "foreach", "loop"]),
    );
    let activations = (
        select(vec!["none", "operations", "every_n", "full"]),
        select(vec!["fused", "masked", "eager"]),
        select(vec!["plain", "chunked", "fused", "fused_in_place"]),
    );
    (work, types, optimizer, activations).prop_map(|(work, types, optimizer, activations)| {
        let (batch, sequence, accumulation, keep, clip) = work;
        let (checkpointing, attention, loss) = activations;
        json!({
            "batch_size": batch,
            "seq_length": sequence,
            "gradient_accumulation_steps": accumulation,
            "keep_outputs": keep && loss == "plain",
            "gradient_clipping": if clip { 1.0 } else { 0.0 },
            "dtype": types.0,
            "precision_mode": types.1,
            "optimizer": optimizer.0,
            "optimizer_implementation": optimizer.1,
            "activation_checkpointing": checkpointing,
            "attention": attention,
            "loss": loss,
        })
    })
}

fn recomputation() -> impl Strategy<Value = Recomputation> {
    select(vec![
        Recomputation::None,
        Recomputation::Full,
        Recomputation::EveryNth(3),
        Recomputation::Operations,
        Recomputation::AttentionCore,
    ])
}

fn request() -> impl Strategy<Value = Value> {
    let engine = select(vec![
        json!({"type": "pytorch_ddp"}),
        json!({"type": "pytorch_ddp", "gradient_as_bucket_view": true}),
        json!({"type": "fsdp", "fsdp_version": "2"}),
        json!({"type": "fsdp", "fsdp_version": "2", "reshard_after_forward": false}),
        json!({"type": "fsdp", "fsdp_version": "1"}),
        json!({"type": "deepspeed", "zero_stage": 0}),
        json!({"type": "deepspeed", "zero_stage": 1}),
        json!({"type": "deepspeed", "zero_stage": 2, "overlap_comm": true}),
        json!({"type": "deepspeed", "zero_stage": 3}),
    ]);
    let gpus = select(vec![1u64, 2, 3, 8]);
    let version = select(vec!["2.15", "2.4"]);
    (model(), training(), engine, gpus, version).prop_map(
        |(model, mut training, mut engine, gpus, version)| {
            engine["version"] = json!(version);
            if engine["type"] == "pytorch_ddp" && training["precision_mode"] == "mixed" {
                training["precision_mode"] = json!("autocast");
            }
            let shaped = ["muon", "schedule_free", "adafactor_transformers"];
            let needs_tensors = shaped.iter().any(|name| training["optimizer"] == *name);
            if engine["type"] == "deepspeed" {
                training["precision_mode"] = json!("mixed");
            }
            let flat = engine["type"] == "deepspeed" || engine["fsdp_version"] == "1";
            let mixes = ["adafactor", "adafactor_transformers", "lion", "ademamix"];
            let whole = mixes.iter().any(|name| training["optimizer"] == *name)
                || training["optimizer"]
                    .as_str()
                    .is_some_and(|name| name.ends_with("bit"));
            let tensors = engine["type"] == "fsdp" && engine["fsdp_version"] != "1";
            if needs_tensors && flat || whole && tensors {
                training["optimizer"] = json!("adamw");
            }
            json!({
                "model": model,
                "training": training,
                "engine": engine,
                "hardware": {"gpu": "h100-sxm-80gb", "num_gpus": gpus},
            })
        },
    )
}

fn ask(request: &Value) -> Result<Answer, TestCaseError> {
    let request = Request::from_json(request).expect("a request");
    api::calculate(&request).map_err(|issues| TestCaseError::fail(format!("{issues:?}")))
}

fn job(request: &Value) -> Result<TrainingJob, TestCaseError> {
    let request = Request::from_json(request).expect("a request");
    let job = api::job(&request, Strictness::default());
    job.map(|job| job.training)
        .map_err(|issues| TestCaseError::fail(format!("{issues:?}")))
}

/// With one value changed.
fn with(request: &Value, path: &str, value: impl Into<Value>) -> Value {
    let mut changed = request.clone();
    *changed.pointer_mut(path).unwrap_or_else(|| panic!("{path}")) = value.into();
    changed
}

fn at(request: &Value, path: &str) -> u64 {
    request.pointer(path).and_then(Value::as_u64).expect("a number")
}

fn total(bytes: impl Iterator<Item = Bytes>) -> u64 {
    bytes.map(Bytes::get).sum()
}

fn ordered(range: Range) -> bool {
    range.low_bytes <= range.expected_bytes && range.expected_bytes <= range.high_bytes
}

/// Everything that holds for any answer.
fn adds_up(answer: &Answer) -> Result<(), TestCaseError> {
    let all = answer.total_memory_per_gpu_bytes.get();
    let parts = &answer.breakdown;
    let groups = [
        ("model_params", parts.model_params_bytes),
        ("gradients", parts.gradients_bytes),
        ("optimizer_states", parts.optimizer_states_bytes),
        ("activations", parts.activations_bytes),
        ("overhead", parts.overhead_bytes),
    ];
    prop_assert_eq!(total(groups.iter().map(|(_, bytes)| *bytes)), all);
    prop_assert_eq!(total(answer.components.iter().map(|part| part.bytes)), all);
    for (group, bytes) in groups {
        let listed = answer.components.iter().filter(|part| part.group == group);
        prop_assert_eq!(total(listed.map(|part| part.bytes)), bytes.get(), "{}", group);
    }
    let most = answer
        .instants
        .iter()
        .map(|instant| instant.allocated_bytes)
        .max();
    prop_assert_eq!(most, Some(answer.peak_allocated_bytes));
    prop_assert_eq!(
        answer.instants.iter().filter(|instant| instant.binding).count(),
        1
    );
    for instant in &answer.instants {
        let allocated = instant.allocated_bytes;
        prop_assert_eq!(instant.groups.total(), allocated, "groups at {}", instant.id);
        let rows = answer
            .ledger
            .iter()
            .map(|row| row.unit_bytes * row.held_at.get(instant.id).copied().unwrap_or(0));
        prop_assert_eq!(total(rows), allocated.get(), "rows at {}", instant.id);
        if instant.binding {
            prop_assert_eq!(allocated, answer.peak_allocated_bytes);
            prop_assert_eq!(total(answer.ledger.iter().map(|row| row.bytes)), allocated.get());
        }
    }
    let meters = [
        answer.meters.allocated,
        answer.meters.reserved,
        answer.meters.device,
        answer.need,
    ];
    prop_assert!(meters.into_iter().all(ordered), "{:?}", meters);
    prop_assert!(answer.meters.allocated.expected_bytes <= answer.meters.reserved.expected_bytes);
    prop_assert!(answer.meters.reserved.expected_bytes <= answer.meters.device.expected_bytes);
    Ok(())
}

/// What a row's formula gives with numbers put in is its size.
fn formulas_hold(answer: &Answer) -> Result<(), TestCaseError> {
    for row in &answer.ledger {
        let text = api::substituted(row);
        prop_assert_eq!(
            api::evaluate_formula(&text),
            Some(row.unit_bytes.get()),
            "{}: {} = {}",
            row.id,
            row.formula,
            text
        );
        // Temporaries of the step are described in words.
        let bare = text.chars().all(|letter| letter.is_ascii_digit()) && row.terms.is_empty();
        let described = row.symbols.is_empty() || row.id == "optimizer.temporaries";
        prop_assert!(!bare || described, "{}: {}", row.id, row.formula);
    }
    Ok(())
}

/// States in 8 bits are fp32 where a shard has less than 4,096 elements, so more elements can need less.
fn without_8bit(request: &Value) -> Value {
    if request["training"]["optimizer"] == "adamw_8bit" {
        return with(request, "/training/optimizer", "adamw");
    }
    request.clone()
}

/// A rank of ZeRO 1 and 2 keeps whole gradients of the tensors at both ends of its partition, and the ends move when the model
/// grows: by so much a larger model can need less (DeepSpeed 0.19.8, runtime/zero/stage_1_and_2.py `get_partition_info`).
fn moving_ends(request: &Value, path: &str) -> u64 {
    let engine = &request["engine"];
    let divided = engine["type"] == "deepspeed" && (engine["zero_stage"] == 1 || engine["zero_stage"] == 2);
    if !divided || !path.starts_with("/model") {
        return 0;
    }
    let size = |key: &str| at(request, &format!("/model/hf_config/{key}"));
    let largest = size("hidden_size") * size("vocab_size").max(size("intermediate_size"));
    let bytes = if request["training"]["dtype"] == "fp32" {
        4
    } else {
        2
    };
    2 * largest * bytes
}

/// Stage 3 holds tensors of up to 100,000 elements whole on every rank; one that grows beyond that is divided and gathered like
/// the others. Embedding and head can do so together (DeepSpeed 0.19.8, runtime/zero/config.py,
/// `stage3_param_persistence_threshold`).
fn persistence(request: &Value, path: &str) -> u64 {
    let engine = &request["engine"];
    let third = engine["type"] == "deepspeed" && engine["zero_stage"] == 3;
    let bytes = if request["training"]["dtype"] == "fp32" {
        4
    } else {
        2
    };
    if third && path.starts_with("/model") {
        2 * 100_000 * bytes
    } else {
        0
    }
}

/// Weights and optimizer states between two steps.
fn states(answer: &Answer) -> u64 {
    let rows = answer
        .ledger
        .iter()
        .filter(|row| ["weights", "optimizer.states"].contains(&row.id));
    total(rows.map(|row| row.unit_bytes * row.held_at.get("rest").copied().unwrap_or(0)))
}

fn allocated(answer: &Answer, instant: &str) -> Bytes {
    let found = answer.instants.iter().find(|row| row.id == instant);
    found.expect("an instant").allocated_bytes
}

/// Scenarios of each property: a few where somebody waits, and as many as the variable says where everything is tested.
fn cases() -> u32 {
    let asked = std::env::var("PROPERTY_CASES").ok();
    asked.and_then(|count| count.parse().ok()).unwrap_or(400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn every_answer_adds_up(request in request()) {
        let answer = ask(&request)?;
        adds_up(&answer)?;
        formulas_hold(&answer)?;
    }

    #[test]
    fn more_work_never_needs_less(request in request(), more in 1u64..5) {
        let request = without_8bit(&request);
        let peak = ask(&request)?.peak_allocated_bytes;
        for path in [
            "/training/batch_size",
            "/training/seq_length",
            "/model/hf_config/num_hidden_layers",
            "/model/hf_config/vocab_size",
        ] {
            // Liger's fused loss takes fewer rows at a time when the vocabulary passes the next multiple of the width.
            if path.ends_with("vocab_size") && request["training"]["loss"] == "fused" {
                continue;
            }
            let larger = ask(&with(&request, path, at(&request, path) + more))?.peak_allocated_bytes;
            let less = moving_ends(&request, path) + persistence(&request, path);
            let least = peak.get().saturating_sub(less);
            prop_assert!(larger.get() >= least, "{} + {}: {} < {}", path, more, larger.get(), peak.get());
        }
    }

    #[test]
    fn more_ranks_never_hold_more_states(request in request(), more in 1u64..8) {
        // The steps of the others fail on FSDP2's shards.
        let runs = ["sgd", "muon", "schedule_free"].iter().any(|name| request["training"]["optimizer"] == *name);
        let request = if runs { request } else { with(&request, "/training/optimizer", "adamw") };
        let sharded = with(&request, "/engine", json!({"type": "fsdp", "fsdp_version": "2"}));
        let few = states(&ask(&sharded)?);
        let many = states(&ask(&with(&sharded, "/hardware/num_gpus", at(&sharded, "/hardware/num_gpus") + more))?);
        prop_assert!(many <= few, "{} > {}", many, few);
    }

    #[test]
    fn recomputation_never_keeps_more(request in request()) {
        let kept = |recomputation: &str| {
            let answer = ask(&with(&request, "/training/activation_checkpointing", recomputation))?;
            Ok::<_, TestCaseError>(allocated(&answer, "forward_end"))
        };
        let (none, full) = (kept("none")?, kept("full")?);
        prop_assert!(full <= none);
        for between in ["operations", "every_n"] {
            let some = kept(between)?;
            prop_assert!(full <= some && some <= none, "{}", between);
        }
    }

    /// The path that only looks for the peak shares what jobs have in common; the peak is that of the whole ledger.
    #[test]
    fn the_peak_alone_is_that_of_the_ledger(
        request in request(),
        changes in prop::collection::vec((0usize..5, 1u64..6, recomputation()), 4),
    ) {
        let mut prepared = Prepared::new();
        let mut job = job(&request)?;
        for (field, value, recomputation) in changes {
            match field {
                0 => job.micro_batch = value,
                1 => job.sequence_length = value * 64,
                2 => job.accumulation_steps = value,
                3 => job.gradient_clipping = value % 2 == 0,
_ => job.recomputation = recomputation,
            }
            let whole = evaluate(&job).peak().map(|(_, bytes)| bytes);
            prop_assert_eq!(Some(prepared.peak(&job)), whole);
        }
    }

    #[test]
    fn blocks_hold_what_was_asked_and_grow_with_it(bytes in 0u64..1 << 40, more in 0u64..1 << 24) {
        let (small, large) = (block(Bytes::new(bytes)).get(), block(Bytes::new(bytes + more)).get());
        prop_assert!(small >= bytes && small <= large);
        prop_assert!(small % 512 == 0 && small - bytes <= 512 + (1 << 20));
        prop_assert_eq!(block(Bytes::new(small)).get(), small);
    }

    #[test]
    fn extreme_values_give_an_answer_or_an_error(
        request in request(),
        changes in prop::collection::vec((0usize..9, 0u32..41), 1..4),
    ) {
        let paths = [
            "/training/batch_size",
            "/training/seq_length",
            "/training/gradient_accumulation_steps",
            "/hardware/num_gpus",
            "/model/hf_config/num_hidden_layers",
            "/model/hf_config/hidden_size",
            "/model/hf_config/intermediate_size",
            "/model/hf_config/vocab_size",
            "/model/hf_config/head_dim",
        ];
        let mut extreme = request;
        for (place, power) in changes {
            // Many layers are slow, not extreme.
            let power = if place == 4 { power.min(10) } else { power };
            extreme = with(&extreme, paths[place], 1u64 << power);
        }
        match api::calculate(&Request::from_json(&extreme).expect("a request")) {
            Ok(answer) => adds_up(&answer)?,
            Err(issues) => prop_assert!(issues.iter().any(|issue| issue.is_error())),
        }
    }
}

#[test]
fn a_sum_beyond_what_bytes_can_count_is_an_error() {
    let request = json!({
        "model": {"num_layers": 1000, "hidden_size": 65536, "num_attention_heads": 512, "vocab_size": 1_000_000,
            "intermediate_size": 1_000_000},
        "training": {"batch_size": 1_048_576, "seq_length": 1 << 30, "attention": "eager"},
        "hardware": {"num_gpus": 1},
    });
    let issues = api::calculate(&Request::from_json(&request).expect("a request")).expect_err("too large");
    let codes: Vec<_> = issues
        .iter()
        .filter(|issue| issue.is_error())
        .map(|issue| issue.code)
        .collect();
    assert_eq!(codes, ["out_of_range"]);
}

/// Every input of the registry on the question where it matters: what is shared between settings leaves none of them out.
#[test]
fn the_peak_alone_follows_every_input() {
    let file: Value = serde_json::from_str(include_str!("inputs/changes.json")).expect("valid JSON");
    let (mut prepared, mut networks) = (Prepared::new(), Vec::<Arc<Network>>::new());
    let mut judged = 0;
    let calculated = INPUTS
        .iter()
        .filter(|input| file["changes"].get(input.key).is_some());
    for input in calculated {
        let change = &file["changes"][input.key];
        let question = &file["questions"][change["on"].as_str().expect("a question")];
        let question = Request::from_json(question).expect("a request");
        for request in [question.clone().with(input.id, change["to"].clone()), question] {
            let Ok(job) = api::job(&request, Strictness::default()) else {
                continue;
            };
            let mut job = job.training;
            match networks.iter().find(|network| **network == job.network) {
                Some(network) => job.network = network.clone(),
                None => networks.push(job.network.clone()),
            }
            let whole = evaluate(&job).peak().map(|(_, bytes)| bytes);
            assert_eq!(Some(prepared.peak(&job)), whole, "{}", input.key);
            judged += 1;
        }
    }
    assert!(judged > INPUTS.len(), "{judged}");
}
