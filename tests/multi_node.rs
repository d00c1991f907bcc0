//! The multi-node question: traffic by closed forms for every engine and parallelism, conservation, the parts of a step, and that no
//! question makes a number that is none.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod travelling;

use gpu_mem_calc::api::{self, Figures, MultiNodeAnswer, Request, TrafficRow};
use proptest::prelude::*;
use serde_json::{Value, json};
use travelling::{ask, question};

fn parameters() -> f64 {
    let request = Request::from_json(&question(json!({"type": "fsdp"}), json!({}), 8, 1)).expect("a request");
    api::calculate(&request)
        .expect("an answer")
        .model
        .total_parameters
        .get() as f64
}

#[track_caller]
fn row<'a>(answer: &'a MultiNodeAnswer, id: &str, collective: &str) -> &'a TrafficRow {
    answer
        .traffic
        .iter()
        .find(|row| row.id == id && row.collective == collective)
        .unwrap_or_else(|| unreachable!("no {collective} for {id}: {:?}", answer.traffic))
}

#[track_caller]
fn near(found: f64, expected: f64) {
    assert!(
        (found - expected).abs() <= 1e-6 * expected.max(1.0),
        "{found}, not {expected}"
    );
}

const ACTIVATION: f64 = 2.0 * 2048.0 * 1024.0 * 2.0;

#[test]
fn ddp_sums_its_gradients_once_per_step() {
    let answer = ask(question(json!({"type": "pytorch_ddp"}), json!({}), 16, 2));
    let gradients = row(&answer, "gradients", "all_reduce");
    // Mixed precision by autocast: fp32 gradients.
    near(
        gradients.bytes_per_step.get() as f64,
        2.0 * 15.0 / 16.0 * 4.0 * parameters(),
    );
    assert_eq!(
        (
            gradients.ranks,
            gradients.nodes,
            gradients.bytes_per_micro_batch.get()
        ),
        (16, 2, 0)
    );
    assert_eq!(gradients.beside, "backward of the last micro-batch");
    assert_eq!(answer.traffic.len(), 1);
    near(
        answer.network_overhead.allreduce_bytes.get() as f64,
        2.0 * 15.0 / 16.0 * 4.0 * parameters(),
    );
}

#[test]
fn zero_sends_what_its_stages_say() {
    let zero = |stage: u64| {
        ask(question(
            json!({"type": "deepspeed", "zero_stage": stage}),
            json!({}),
            16,
            2,
        ))
    };
    let share = 15.0 / 16.0;
    // 16-bit gradients and weights; psi, psi + psi, and 3 psi per micro-batch (arXiv 1910.02054, section 7).
    near(
        row(&zero(0), "gradients", "all_reduce").bytes_per_step.get() as f64,
        2.0 * share * 2.0 * parameters(),
    );
    let one = zero(1);
    near(
        row(&one, "gradients", "reduce_scatter").bytes_per_step.get() as f64,
        share * 2.0 * parameters(),
    );
    near(
        row(&one, "weights_updated", "all_gather").bytes_per_step.get() as f64,
        share * 2.0 * parameters(),
    );
    let two = zero(2);
    near(
        row(&two, "gradients", "reduce_scatter").bytes_per_step.get() as f64,
        4.0 * share * 2.0 * parameters(),
    );
    let three = zero(3);
    for (id, collective) in [
        ("weights_forward", "all_gather"),
        ("weights_backward", "all_gather"),
        ("gradients", "reduce_scatter"),
    ] {
        let found = row(&three, id, collective);
        near(
            found.bytes_per_step.get() as f64,
            4.0 * share * 2.0 * parameters(),
        );
        near(
            found.bytes_per_micro_batch.get() as f64,
            share * 2.0 * parameters(),
        );
    }
}

#[test]
fn a_secondary_partition_keeps_backward_inside_a_node() {
    let engine = json!({"type": "deepspeed", "zero_stage": 3, "zero_hpz_partition_size": 8});
    let answer = ask(question(engine, json!({}), 16, 2));
    assert_eq!(row(&answer, "weights_backward", "all_gather").nodes, 1);
    assert_eq!(
        row(&answer, "weights_backward", "all_gather")
            .node_bytes_per_step
            .get(),
        0
    );
    assert_eq!(row(&answer, "weights_forward", "all_gather").nodes, 2);
}

#[test]
fn hybrid_shards_gather_inside_and_sum_across() {
    let whole = ask(question(json!({"type": "fsdp"}), json!({}), 16, 2));
    let engine = json!({"type": "fsdp", "sharding_strategy": "hybrid_shard"});
    let hybrid = ask(question(engine, json!({}), 16, 2));
    assert_eq!(row(&hybrid, "weights_forward", "all_gather").nodes, 1);
    let across = row(&hybrid, "replica_gradients", "all_reduce");
    assert_eq!((across.ranks, across.nodes), (2, 2));
    assert!(
        hybrid.network_overhead.total_overhead_bytes < whole.network_overhead.total_overhead_bytes,
        "less leaves a node"
    );
}

#[test]
fn tensor_parallel_ranks_send_activations_in_every_block() {
    let megatron = |more: Value| {
        let mut parallelism = json!({"tensor_parallel_size": 8});
        parallelism
            .as_object_mut()
            .expect("sizes")
            .extend(more.as_object().expect("more").clone());
        ask(question(json!({"type": "megatron_lm"}), parallelism, 8, 1))
    };
    let plain = megatron(json!({}));
    let forward = row(&plain, "tensor_forward", "all_reduce");
    assert_eq!(forward.payload_bytes.get() as f64, ACTIVATION);
    // Two blocks in each of 4 layers, and the embedding, for 4 micro-batches.
    near(forward.calls_per_step, (2.0 * 4.0 + 1.0) * 4.0);
    near(
        forward.bytes_per_step.get() as f64,
        2.0 * 7.0 / 8.0 * ACTIVATION * 36.0,
    );
    // Divided along the sequence the same bytes go as all-gathers and reduce-scatters (arXiv 2205.05198, section 4.2.2).
    let divided = megatron(json!({"sequence_parallel": true}));
    let gathered = row(&divided, "tensor_forward", "all_gather").bytes_per_step.get();
    let scattered = row(&divided, "tensor_forward", "reduce_scatter")
        .bytes_per_step
        .get();
    near((gathered + scattered) as f64, forward.bytes_per_step.get() as f64);
    assert_eq!(plain.network_overhead.tensor_parallel_bytes.get(), 0, "one node");
}

#[test]
fn tensor_parallelism_across_nodes_is_traffic_between_nodes() {
    let answer = ask(question(
        json!({"type": "megatron_lm"}),
        json!({"tensor_parallel_size": 16}),
        16,
        2,
    ));
    assert!(answer.network_overhead.tensor_parallel_bytes.get() > 0);
    assert_eq!(
        answer.network_overhead.tensor_parallel_bytes, answer.network_overhead.total_overhead_bytes,
        "data-parallel ranks are alone"
    );
}

#[test]
fn a_pipeline_sends_activations_at_borders_between_nodes() {
    let pipeline = |nodes: u64| {
        ask(question(
            json!({"type": "megatron_lm"}),
            json!({"pipeline_parallel_size": 4, "data_parallel_size": 4}),
            16,
            nodes,
        ))
    };
    let four = pipeline(4);
    let sent = row(&four, "pipeline", "point_to_point");
    assert_eq!(sent.payload_bytes.get() as f64, ACTIVATION);
    // Forward and back for each of 4 micro-batches.
    near(sent.calls_per_step, 8.0);
    // Three borders, four ranks at each; in the mean over four nodes.
    near(
        four.network_overhead.pipeline_bytes.get() as f64,
        ACTIVATION * 8.0 * 4.0 * 3.0 / 4.0,
    );
    // On two nodes one border of the three is between nodes.
    near(
        pipeline(2).network_overhead.pipeline_bytes.get() as f64,
        ACTIVATION * 8.0 * 4.0 / 2.0,
    );
    assert_eq!(pipeline(1).network_overhead.pipeline_bytes.get(), 0);
}

#[test]
fn shards_under_a_pipeline_are_gathered_and_reduced_once_per_step() {
    let staged = |stages: u64| {
        let fsdp = json!({"type": "fsdp", "fsdp_version": 2, "reshard_after_forward": "false"});
        ask(question(fsdp, json!({"pipeline_parallel_size": stages}), 8, 1))
    };
    // 4 micro-batches over 4 layers and what stands around them; a stage has two of the layers.
    let calls = |answer: &MultiNodeAnswer, id, collective| row(answer, id, collective).calls_per_step;
    let (plain, piped) = (staged(1), staged(2));
    near(calls(&plain, "weights_forward", "all_gather"), 20.0);
    near(calls(&plain, "gradients", "reduce_scatter"), 20.0);
    near(calls(&piped, "weights_forward", "all_gather"), 3.0);
    near(calls(&piped, "gradients", "reduce_scatter"), 3.0);
}

#[test]
fn experts_get_their_tokens_and_send_them_back() {
    let answer = ask(json!({
        "model": {"id": "qwen3-30b-a3b"},
        "engine": {"type": "megatron_lm"},
        "parallelism": {"expert_parallel_size": 8},
        "hardware": {"gpu": "h100-sxm-80gb", "num_gpus": 16},
        "node_config": {"num_nodes": 2},
        "training": {"seq_length": 2048},
    }));
    let sent = row(&answer, "experts", "all_to_all");
    // 2048 tokens to 8 of 128 experts each, 2048 wide, in bf16; dispatch and combine, forward and backward, 48 layers.
    near(sent.payload_bytes.get() as f64, 2048.0 * 8.0 * 2048.0 * 2.0);
    near(sent.calls_per_step, 4.0 * 48.0);
    assert_eq!(sent.nodes, 1);
    assert_eq!(row(&answer, "expert_gradients", "all_reduce").ranks, 2);
}

#[test]
fn context_parallel_ranks_pass_keys_and_values_around() {
    let answer = ask(question(
        json!({"type": "megatron_lm"}),
        json!({"context_parallel_size": 4}),
        8,
        1,
    ));
    let sent = row(&answer, "context", "point_to_point");
    // A quarter of 4096 tokens, keys and values of 16 heads of 64.
    near(sent.payload_bytes.get() as f64, 1024.0 * 2.0 * 1024.0 * 2.0);
    near(sent.calls_per_step, 3.0 * 3.0 * 4.0 * 4.0);
    // Gradients are summed over data- and context-parallel ranks.
    assert_eq!(row(&answer, "gradients", "all_reduce").ranks, 8);
}

fn engines() -> [(Value, Value); 8] {
    let zero = |stage: u64| json!({"type": "deepspeed", "zero_stage": stage});
    [
        (json!({"type": "pytorch_ddp"}), json!({})),
        (json!({"type": "fsdp"}), json!({})),
        (
            json!({"type": "fsdp", "fsdp_version": "1", "sharding_strategy": "shard_grad_op"}),
            json!({}),
        ),
        (zero(0), json!({})),
        (zero(2), json!({})),
        (zero(3), json!({})),
        (
            json!({"type": "megatron_lm"}),
            json!({"tensor_parallel_size": 2, "pipeline_parallel_size": 4}),
        ),
        (
            json!({"type": "megatron_lm"}),
            json!({"tensor_parallel_size": 4, "context_parallel_size": 2}),
        ),
    ]
}

#[test]
fn the_same_gpus_on_more_nodes_never_send_less_between_nodes() {
    for (engine, parallelism) in engines() {
        let mut last = 0.0;
        let mut per_gpu = None;
        for nodes in [1_u64, 2, 4, 8, 16] {
            let answer = ask(question(engine.clone(), parallelism.clone(), 16, nodes));
            let all = answer.network_overhead.total_overhead_bytes.get() as f64 * nodes as f64;
            assert!(
                all >= last * 0.999_999,
                "{engine} on {nodes} nodes: {all} after {last}"
            );
            if nodes == 1 {
                assert_eq!(answer.network_overhead.total_overhead_bytes.get(), 0, "{engine}");
            } else {
                assert!(all > 0.0, "{engine}");
            }
            last = all;
            // What a GPU sends does not depend on where the others are.
            let sent: u64 = answer.traffic.iter().map(|row| row.bytes_per_step.get()).sum();
            assert_eq!(*per_gpu.get_or_insert(sent), sent, "{engine} on {nodes} nodes");
        }
    }
}

#[test]
fn parts_of_the_traffic_add_up_to_the_byte_and_parts_of_a_step_to_the_step() {
    for (engine, parallelism) in engines() {
        let answer = ask(question(engine, parallelism, 16, 2));
        let all = &answer.network_overhead;
        let parts = all.allreduce_bytes
            + all.allgather_bytes
            + all.reducescatter_bytes
            + all.all_to_all_bytes
            + all.point_to_point_bytes
            + all.tensor_parallel_bytes;
        assert_eq!(parts, all.total_overhead_bytes);
        near(all.total_overhead_gb, all.total_overhead_bytes.to_gib());
        let step = answer.step.expect("times");
        let sum: f64 = step.parts.iter().map(|part| part.ms.expected).sum();
        near(sum, step.step_ms.expected);
        assert!(step.step_ms.low < step.step_ms.expected && step.step_ms.expected < step.step_ms.high);
        assert!(all.estimated_overhead_ms_per_step <= all.communication_time_ms_per_step * 1.001);
        let exposed: f64 = answer.traffic.iter().map(|row| row.exposed_ms.expected).sum();
        near(exposed, all.estimated_overhead_ms_per_step);
    }
}

#[test]
fn traffic_is_no_memory() {
    let plain = question(json!({"type": "fsdp"}), json!({}), 16, 2);
    let mut slow = plain.clone();
    slow["node_config"]["interconnect_type"] = json!("ethernet_10g");
    let need = |value: &Value| {
        let request = Request::from_json(value).expect("a request");
        api::calculate(&request).expect("an answer").need
    };
    assert_eq!(need(&plain), need(&slow));
    let (fast, slow) = (ask(plain.clone()), ask(slow));
    assert!(fast.communicator_bytes.get() > 0, "NCCL's buffers are memory");
    assert_eq!(
        fast.network_overhead.total_overhead_bytes,
        slow.network_overhead.total_overhead_bytes
    );
    let time = |answer: &MultiNodeAnswer| answer.step.as_ref().expect("times").step_ms.expected;
    assert!(time(&slow) > time(&fast));
    let request = Request::from_json(&plain).expect("a request");
    let inside = api::calculate(&request)
        .expect("an answer")
        .network_overhead
        .expect("nodes");
    assert_eq!(inside, fast.network_overhead);
}

#[test]
fn ports_rates_and_types_of_links_give_the_bandwidth_of_a_node() {
    let rate = |node: Value| {
        let mut asked = question(json!({"type": "fsdp"}), json!({}), 16, 2);
        asked["node_config"]
            .as_object_mut()
            .expect("nodes")
            .extend(node.as_object().expect("more").clone());
        let step = ask(asked).step.expect("times");
        let row = step
            .rates
            .iter()
            .find(|rate| rate.label == "out of a node")
            .expect("a rate");
        row.value
    };
    near(rate(json!({})).expected, 8.0 * 25.0 * 0.85);
    near(
        rate(json!({"interconnect_type": "infiniband_ndr"})).expected,
        8.0 * 50.0 * 0.85,
    );
    near(
        rate(json!({"interconnect_type": "ethernet_100g"})).expected,
        12.5 * 0.85,
    );
    near(
        rate(json!({"interconnect_bandwidth_gbps": 100, "ports_per_node": 4})).expected,
        50.0 * 0.85,
    );
    near(
        rate(json!({"interconnect_type": "nvlink"})).expected,
        8.0 * 450.0 * 0.85,
    );
    let typed = rate(json!({"network_efficiency": 0.5}));
    assert_eq!(
        typed,
        Figures {
            low: 100.0,
            expected: 100.0,
            high: 100.0
        }
    );
}

#[test]
fn suggestions_are_calculated_and_carry_their_numbers() {
    let answer = ask(json!({
        "model": {"id": "llama-3.1-8b"},
        "engine": {"type": "fsdp"},
        "hardware": {"gpu": "h100-sxm-80gb", "num_gpus": 32},
        "node_config": {"num_nodes": 4, "interconnect_type": "ethernet_25g"},
        "training": {"seq_length": 2048},
    }));
    assert_eq!(answer.suggestions.len(), answer.alternatives.len());
    let first = answer
        .alternatives
        .first()
        .expect("something better than 25G Ethernet");
    assert!(first.saved_ms > 0.0 && first.saved_percent > 0.5 && first.saved_percent < 100.0);
    let hybrid = answer
        .alternatives
        .iter()
        .find(|one| one.label.contains("replicas"))
        .expect("hybrid shards");
    assert!(hybrid.saved_node_bytes > 0.0);
    let sorted: Vec<f64> = answer.alternatives.iter().map(|one| one.saved_ms).collect();
    assert!(sorted.is_sorted_by(|left, right| left >= right));
}

#[test]
fn budgets_and_prices_are_multiples_of_the_step() {
    let mut asked = question(json!({"type": "fsdp"}), json!({}), 8, 1);
    asked["node_config"] = json!({"token_budget": "1T", "price_per_gpu_hour": 2.0});
    let step = ask(asked).step.expect("times");
    let budget = step.budget.expect("a budget");
    near(budget.gpu_hours.expected, 8.0 * 24.0 * budget.days.expected);
    near(
        budget.cost.expect("a price").expected,
        2.0 * budget.gpu_hours.expected,
    );
    near(budget.steps, (1e12 / step.tokens_per_step).ceil());
    near(
        step.tokens_per_day.expected,
        step.tokens_per_second.expected * 86_400.0,
    );
    near(
        step.cost_per_billion_tokens.expect("a price").expected * 1000.0,
        budget.cost.expect("a price").expected,
    );
}

#[test]
fn a_card_without_a_rate_gets_traffic_and_no_time() {
    let mut asked = question(json!({"type": "pytorch_ddp"}), json!({}), 8, 1);
    asked["hardware"]["gpu"] = json!("v100-sxm2-32gb");
    let answer = ask(asked.clone());
    assert!(answer.step.is_none() && answer.step_missing.is_some() && !answer.traffic.is_empty());
    asked["node_config"]["peak_tflops"] = json!(125);
    assert!(ask(asked).step.is_some());
}

#[test]
fn twice_the_rate_of_the_card_is_faster_and_full_recomputation_slower() {
    let time = |change: &dyn Fn(&mut Value)| {
        let mut asked = question(json!({"type": "fsdp"}), json!({}), 8, 1);
        change(&mut asked);
        ask(asked).step.expect("times").step_ms.expected
    };
    let plain = time(&|_| {});
    assert!(time(&|asked| asked["node_config"]["compute_efficiency"] = json!(0.3)) > plain);
    let full = time(&|asked| asked["training"]["activation_checkpointing"] = json!("full"));
    // A fourth pass beside three, and beside what FSDP copies in either case.
    assert!((1.15..1.4).contains(&(full / plain)), "{}", full / plain);
    assert!(time(&|asked| asked["training"]["dtype"] = json!("fp32")) > 5.0 * plain);
    assert!(time(&|asked| asked["training"]["adapter"] = json!("lora")) < 0.9 * plain);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn every_number_is_finite(
        engine in 0_usize..8,
        log_gpus in 3_u32..12,
        log_nodes in 0_u32..9,
        sequence in 1_u64..200,
        batch in 1_u64..64,
        accumulation in 1_u64..64,
    ) {
        let (engine, parallelism) = engines()[engine].clone();
        let mut asked = question(engine, parallelism, 1 << log_gpus, 1 << log_nodes);
        asked["training"] = json!({"seq_length": sequence * 256, "batch_size": batch,
            "gradient_accumulation_steps": accumulation});
        let request = Request::from_json(&asked).expect("a request");
        if let Ok(answer) = api::multi_node(&request) {
            // A number that is none would be null in JSON.
            let step = answer.step.as_ref().expect("times");
            let figures = [step.step_ms, step.mfu_percent, step.tokens_per_second, step.tokens_per_day];
            for figure in figures {
                prop_assert!(figure.low > 0.0 && figure.low <= figure.expected && figure.expected <= figure.high);
                prop_assert!(figure.high.is_finite() && figure.high < 1e25);
            }
            prop_assert!(step.mfu_percent.high < 100.0);
            for row in &answer.traffic {
                prop_assert!(row.exposed_ms.expected <= row.time_ms.expected * 1.001);
                prop_assert!(row.time_ms.high.is_finite());
            }
        }
    }
}
