//! Reinforcement learning: phases are instants of their own, an engine on the same GPUs takes its share when it is awake, and
//! PPO has the states of a critic.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use gpu_mem_calc::api::{self, Answer, Request};
use serde_json::{Value, json};

fn answer(training: &Value) -> Answer {
    let mut question = json!({"model": {"id": "llama-3.2-1b"}, "engine": {"type": "fsdp"},
        "hardware": {"gpu": "h100-sxm-80gb", "num_gpus": 8}, "training": {"seq_length": 2048}});
    let own = question["training"].as_object_mut().expect("fields");
    own.extend(training.as_object().expect("fields").clone());
    api::calculate(&Request::from_json(&question).expect("a request")).expect("an answer")
}

fn at(answer: &Answer, instant: &str) -> u64 {
    let found = answer.instants.iter().find(|one| one.id == instant);
    found.expect("an instant").allocated_bytes.get()
}

#[test]
fn phases_are_instants_and_never_added_up() {
    let asleep = answer(&json!({"objective": "grpo", "rollout": "colocated", "rollout_sleep": "discard"}));
    let apart = answer(&json!({"objective": "grpo"}));
    let (rest, generation) = (at(&asleep, "rest"), at(&asleep, "evaluation_generation"));
    let share = generation - rest;
    // 0.3 of the 79.1 to 79.3 GiB that a program gets of the card.
    let gib = share as f64 / f64::from(1 << 30);
    assert!((23.6..23.9).contains(&gib), "{gib}");
    assert_eq!(at(&asleep, "loss_forward"), at(&apart, "loss_forward"));
    // 1,235,814,400 weights in 16 bits, and the embedding of 128,256 rows of 2,048 in the type of its shards.
    let handed = at(&asleep, "evaluation_forward") - rest;
    assert_eq!(handed, 2 * 1_235_814_400 + 4 * 128_256 * 2048);
}

/// What is gathered to hand weights over: nothing where they are whole, a tensor or a unit where they are shards, and all of the
/// model where ZeRO-3 merges adapters.
#[test]
fn what_is_handed_over_is_what_the_engine_gathers() {
    let handed = |engine: Value, training: Value| {
        let mut question = json!({"model": {"id": "llama-3.2-1b"}, "engine": engine,
            "hardware": {"gpu": "h100-sxm-80gb", "num_gpus": 8},
            "training": {"seq_length": 512, "objective": "grpo_reference_free", "rollout": "colocated"}});
        let own = question["training"].as_object_mut().expect("fields");
        own.extend(training.as_object().expect("fields").clone());
        let found = api::calculate(&Request::from_json(&question).expect("a request")).expect("an answer");
        at(&found, "evaluation_forward") - at(&found, "evaluation_generation")
    };
    let embedding = 128_256 * 2048;
    assert_eq!(handed(json!({"type": "pytorch_ddp"}), json!({})), 0);
    assert_eq!(
        handed(json!({"type": "deepspeed", "zero_stage": 2}), json!({})),
        0
    );
    let third = json!({"type": "deepspeed", "zero_stage": 3});
    assert_eq!(handed(third.clone(), json!({})), 2 * embedding);
    assert_eq!(handed(third, json!({"adapter": "lora"})), 2 * 1_235_814_400);
    // FSDP's first version: the root with the tied embedding and a norm is the largest unit, in fp32.
    let first = json!({"type": "fsdp", "fsdp_version": "1"});
    assert_eq!(handed(first, json!({})), 4 * (embedding + 2048));
}

#[test]
fn an_engine_that_never_sleeps_is_there_at_every_instant() {
    let awake = answer(&json!({"objective": "grpo", "rollout": "colocated"}));
    let apart = answer(&json!({"objective": "grpo"}));
    let share = at(&awake, "rest") - at(&apart, "rest");
    assert_eq!(at(&awake, "optimizer_step") - at(&apart, "optimizer_step"), share);
    assert_eq!(at(&awake, "loss_forward") - at(&apart, "loss_forward"), share);
}

#[test]
fn a_critic_has_the_states_of_the_actor_once_more() {
    let grpo = answer(&json!({"objective": "grpo"}));
    let ppo = answer(&json!({"objective": "ppo"}));
    let free = answer(&json!({"objective": "grpo_reference_free"}));
    let more = at(&ppo, "rest") - at(&grpo, "rest");
    // An eighth of weights, gradients and states of the critic, and of the reward model's weights; in fp32.
    let parameters = 1_235_814_400_u64;
    let states = 12 * parameters / 8;
    let reward = 4 * parameters / 8;
    assert!(more.abs_diff(states + reward) < parameters / 1000, "{more}");
    assert!(at(&free, "rest") < at(&grpo, "rest"));
}

/// Llama 3.2 1B in bf16: what four ranks of an engine wake up with is a quarter of the matrices and whole norms.
#[test]
fn an_engine_beside_has_ranks_of_its_own() {
    let woken = |ranks: u64| {
        let more = json!({"objective": "grpo", "rollout": "colocated", "rollout_sleep": "offload",
            "rollout_tensor_parallel_size": ranks});
        at(&answer(&more), "evaluation_forward")
    };
    let norms = 33 * 2048;
    let matrices = 1_235_814_400 - norms;
    assert_eq!(woken(1) - woken(4), 2 * (matrices - matrices / 4));
}

/// A reward model has no logits over the vocabulary: an untied head of 128,256 rows is one of a single row.
#[test]
fn a_reward_model_has_a_head_of_one_row() {
    let pairs = answer(&json!({"objective": "preference_reference_free"}));
    let reward = answer(&json!({"objective": "reward"}));
    assert!(at(&reward, "loss_forward") < at(&pairs, "loss_forward"));
    assert!(at(&reward, "rest") < at(&pairs, "rest") + 2048 * 16);
}

#[test]
fn an_engine_smaller_than_its_weights_is_refused() {
    let question = json!({"model": {"id": "llama-3.1-8b"}, "engine": {"type": "fsdp"},
        "hardware": {"gpu": "h100-sxm-80gb", "num_gpus": 8},
        "training": {"seq_length": 2048, "objective": "grpo", "rollout": "colocated", "rollout_memory_utilization": 0.1}});
    let issues = api::calculate(&Request::from_json(&question).expect("a request")).expect_err("refused");
    assert!(
        issues
            .iter()
            .any(|issue| issue.path == "training.rollout_memory_utilization")
    );
}
