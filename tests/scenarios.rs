//! 100,000 random scenarios: no peak falls while the work or the network grows, but for the thresholds listed here; a ZeRO
//! stage never needs more than the one before it but for its documented buffers; every split of a ledger adds up.
//!
//! The peaks are those of `Prepared`, which `properties.rs` compares with the whole ledger.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by a panic"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use gpu_mem_calc::api::{self, Request, Strictness};
use gpu_mem_calc::memory::{Group, InstantId, Ledger};
use gpu_mem_calc::model::Network;
use gpu_mem_calc::training::{
    AttentionKernel, Engine, FusedKernels, HostMemory, LossKind, Offload, Optimizer, OptimizerImplementation,
    Precision, Prepared, Recomputation, TrainingJob, Zero, evaluate,
};
use gpu_mem_calc::units::{Bytes, DType};
use serde_json::{Value, json};

/// SplitMix64: the same scenarios in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn coin(&mut self) -> bool {
        self.next().is_multiple_of(2)
    }

    /// From `low` up to and without `high`.
    fn within(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low)
    }

    fn of<T: Clone>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.next() % from.len() as u64).unwrap()].clone()
    }
}

/// A random architecture: dense or with experts, norms on queries and keys or not, tied or not, some with Gemma's sandwich
/// norms and soft caps, some with GPT-2's biases.
fn architecture(random: &mut Random) -> Value {
    let family = random.of(&["llama", "qwen3", "qwen3_moe", "gemma2", "gpt2", "mixtral"]);
    let groups = random.within(1, 5);
    let heads = groups * random.within(1, 4);
    let head_dim = random.of(&[16, 64, 80, 128]);
    let width = heads * head_dim;
    let layers = random.within(1, 7);
    let vocabulary = random.within(64, 6000);
    if family == "gpt2" {
        return json!({"model_type": "gpt2", "n_layer": layers, "n_embd": width, "n_head": heads,
            "vocab_size": vocabulary, "n_positions": 1024, "n_inner": random.within(16, 3000)});
    }
    let mut config = json!({
        "model_type": family, "num_hidden_layers": layers, "hidden_size": width,
        "num_attention_heads": heads, "num_key_value_heads": groups, "head_dim": head_dim,
        "intermediate_size": random.within(16, 3000), "vocab_size": vocabulary,
        "tie_word_embeddings": random.coin(),
    });
    match family {
        "qwen3_moe" => {
            config["num_experts"] = json!(random.within(2, 9));
            config["num_experts_per_tok"] = json!(random.within(1, 3));
            config["moe_intermediate_size"] = json!(random.within(16, 600));
        }
        "mixtral" => {
            config["num_local_experts"] = json!(random.within(2, 9));
            config["num_experts_per_tok"] = json!(2);
        }
        _ => {}
    }
    config
}

fn job(config: &Value) -> TrainingJob {
    let request = Request::from_json(&json!({
        "model": {"hf_config": config},
        "engine": {"type": "fsdp"},
        "hardware": {"gpu": "h100-sxm-80gb", "num_gpus": 8},
    }));
    api::job(&request.expect("a request"), Strictness::default())
        .unwrap_or_else(|issues| panic!("{issues:?}"))
        .training
}

const fn zero(stage: u8) -> Zero {
    Zero {
        stage,
        reduce_bucket: 500_000,
        overlap: true,
        max_live: 1_000_000_000,
        largest_module: None,
        persistence_threshold: 100_000,
        contiguous: true,
        prefetch: true,
        secondary: 1,
        optimizer: Offload::None,
        offloaded_millionths: 1_000_000,
        weights: Offload::None,
        built_whole: false,
    }
}

/// An engine with a precision that it has.
fn engine(random: &mut Random) -> (Engine, Precision) {
    let low = random.of(&[DType::Bf16, DType::Fp16]);
    let reshard_after_forward = random.coin();
    let replicas = random.of(&[1, 2]);
    let mixed = Precision::ShardedMixed {
        // Without a draw of its own, so that the sample still meets every exception.
        stored: if reshard_after_forward { low } else { DType::Fp32 },
        compute: low,
        reduce: random.of(&[low, DType::Fp32]),
    };
    let whole = random.of(&[
        Precision::Pure(low),
        Precision::Pure(DType::Fp32),
        Precision::Autocast(low),
    ]);
    match random.within(0, 6) {
        0 => (Engine::Single, whole),
        1 => {
            let bucket_view = reshard_after_forward;
            let engine = Engine::Ddp {
                bucket_view,
                static_graph: false,
            };
            (engine, whole)
        }
        2 => (
            Engine::Fsdp1 {
                reshard_after_forward,
                replicas,
                offload: HostMemory::None,
                prefetch: true,
                forward_prefetch: false,
                limited: true,
                original: reshard_after_forward,
            },
            random.of(&[mixed, whole]),
        ),
        3 => (
            Engine::Fsdp2 {
                reshard_after_forward,
                replicas,
                offload: HostMemory::None,
                resharded_to: None,
            },
            random.of(&[mixed, whole]),
        ),
        _ => {
            let stage = u8::try_from(random.within(0, 4)).unwrap();
            (Engine::DeepSpeed(zero(stage)), Precision::Master(low))
        }
    }
}

/// Settings that stay the same while work and network grow.
fn setting(random: &mut Random, base: &TrainingJob) -> TrainingJob {
    let (engine, precision) = engine(random);
    TrainingJob {
        engine,
        precision,
        recomputation: random.of(&[
            Recomputation::None,
            Recomputation::AttentionCore,
            Recomputation::Full,
            Recomputation::Operations,
        ]),
        attention: random.of(&[
            AttentionKernel::Flash,
            AttentionKernel::Masked,
            AttentionKernel::Eager,
        ]),
        loss: random.of(&[
            LossKind::Plain,
            LossKind::Chunked {
                chunks: 8,
                recomputed: true,
            },
            LossKind::FusedLinear,
            LossKind::FusedInPlace,
        ]),
        kernels: random.of(&[FusedKernels::None, FusedKernels::NormRotaryActivation]),
        implementation: random.of(&[
            OptimizerImplementation::Fused,
            OptimizerImplementation::Foreach,
            OptimizerImplementation::Loop,
        ]),
        transformers_version: random.of(&[(5, 23), (4, 48), (4, 40)]),
        torch_version: random.of(&[(2, 15), (2, 4)]),
        gradient_clipping: random.coin(),
        sync_each_micro_batch: random.coin(),
        accumulation_steps: random.of(&[1, 1, 4]),
        data_parallel: if engine == Engine::Single {
            1
        } else {
            random.of(&[2, 4, 6, 64])
        },
        ..base.clone()
    }
}

const OPTIMIZERS: [Optimizer; 5] = [
    Optimizer::AdamW,
    Optimizer::Adafactor,
    Optimizer::Sgd { momentum: true },
    Optimizer::BitsAndBytes {
        states: 2,
        eight_bit: true,
        paged: false,
    },
    Optimizer::BitsAndBytes {
        states: 2,
        eight_bit: false,
        paged: true,
    },
];

/// A scenario without its network.
fn told(scenario: &TrainingJob) -> String {
    let network = Arc::new(Network::default());
    format!(
        "{:?}",
        TrainingJob {
            network,
            ..scenario.clone()
        }
    )
}

/// A way in which a network grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Growth {
    Layers,
    Width,
    Vocabulary,
}

/// Where more weights can need less memory: thresholds of the frameworks, and one rounding of this model.
fn crosses_a_threshold(job: &TrainingJob, growth: Growth) -> Option<&'static str> {
    if matches!(job.optimizer, Optimizer::BitsAndBytes { eight_bit: true, .. }) && growth != Growth::Layers {
        return Some(
            "states of tensors under 4,096 elements are fp32, larger ones are in 8 bits (bitsandbytes optim/optimizer.py, min_8bit_size)",
        );
    }
    if matches!(job.optimizer, Optimizer::BitsAndBytes { paged: true, .. }) && growth != Growth::Layers {
        return Some(
            "states of tensors of 100,000 elements and more are paged out (bitsandbytes optim/optimizer.py, get_state_buffer)",
        );
    }
    if job.loss == LossKind::FusedLinear && growth == Growth::Vocabulary {
        return Some(
            "when the vocabulary passes a multiple of the width, a chunk has fewer rows (Liger ops/fused_linear_cross_entropy.py, chunk_size)",
        );
    }
    if job.optimizer == Optimizer::Adafactor && job.data_parallel > 1 && growth != Growth::Layers {
        return Some(
            "a shard's part of a factored state is rounded down to whole rows and columns (states.rs, factors)",
        );
    }
    if matches!(job.engine, Engine::DeepSpeed(zero) if matches!(zero.stage, 1 | 2)) {
        return Some(
            "the bucket is reduced when the next gradient does not fit: how full it is then, and during which layer, follows from the sizes (DeepSpeed runtime/zero/stage_1_and_2.py, reduce_independent_p_g_buckets_and_remove_grads)",
        );
    }
    if matches!(job.engine, Engine::DeepSpeed(zero) if zero.stage == 3) && growth != Growth::Layers {
        return Some(
            "a tensor above the persistence threshold is divided, a smaller one is not (DeepSpeed runtime/zero/parameter_offload.py, persistence_threshold)",
        );
    }
    None
}

fn grown(config: &Value, growth: Growth, random: &mut Random) -> Value {
    let keys: &[&str] = match growth {
        Growth::Layers => &["num_hidden_layers", "n_layer"],
        Growth::Width => &["intermediate_size", "n_inner"],
        Growth::Vocabulary => &["vocab_size"],
    };
    let large = random.within(3, 400);
    let more = random.of(&[1, 2, large]);
    let more = if growth == Growth::Layers {
        more.min(4)
    } else {
        more
    };
    let mut grown = config.clone();
    for key in keys {
        if let Some(value) = config.get(*key).and_then(Value::as_u64) {
            grown[*key] = json!(value + more);
        }
    }
    // Routed experts have a width of their own.
    if let (Growth::Width, Some(value)) = (
        growth,
        config.get("moe_intermediate_size").and_then(Value::as_u64),
    ) {
        grown["moe_intermediate_size"] = json!(value + more);
    }
    grown
}

#[test]
fn no_peak_falls_while_work_or_network_grow() {
    let mut random = Random(2026);
    let (mut scenarios, mut falls) = (0_u64, BTreeMap::<&str, u64>::new());
    while scenarios < 100_000 {
        let config = architecture(&mut random);
        let base = job(&config);
        let growths = [Growth::Layers, Growth::Width, Growth::Vocabulary];
        let larger = growths.map(|growth| job(&grown(&config, growth, &mut random)).network);
        for _ in 0..6 {
            let mut prepared = Prepared::new();
            let setting = setting(&mut random, &base);
            let batches = [random.within(1, 4), random.within(4, 9)];
            let lengths = [
                random.within(1, 200),
                random.within(200, 900),
                random.within(900, 2500),
            ];
            for optimizer in OPTIMIZERS {
                let deepspeed = matches!(setting.engine, Engine::DeepSpeed(_));
                if deepspeed && !matches!(optimizer, Optimizer::AdamW | Optimizer::Sgd { .. }) {
                    continue;
                }
                let mut before = [Bytes::ZERO; 3];
                for micro_batch in batches {
                    let mut shorter = Bytes::ZERO;
                    for (place, sequence_length) in lengths.into_iter().enumerate() {
                        let scenario = TrainingJob {
                            micro_batch,
                            sequence_length,
                            optimizer,
                            ..setting.clone()
                        };
                        let peak = prepared.peak(&scenario);
                        assert!(Bytes::ZERO < peak && peak < Bytes::MAX);
                        assert!(
                            peak >= shorter,
                            "longer sequences need less: {config}\n{}",
                            told(&scenario)
                        );
                        assert!(
                            peak >= before[place],
                            "more sequences need less: {config}\n{}",
                            told(&scenario)
                        );
                        (shorter, before[place]) = (peak, peak);
                        scenarios += 1;
                        for (growth, network) in growths.into_iter().zip(&larger) {
                            let large = TrainingJob {
                                network: network.clone(),
                                ..scenario.clone()
                            };
                            let large_peak = prepared.peak(&large);
                            scenarios += 1;
                            if large_peak >= peak {
                                continue;
                            }
                            match crosses_a_threshold(&scenario, growth) {
                                Some(why) => *falls.entry(why).or_default() += 1,
                                None => panic!(
                                    "{growth:?} grows and {} falls to {}: {config}\n{}",
                                    peak.get(),
                                    large_peak.get(),
                                    told(&scenario)
                                ),
                            }
                        }
                    }
                }
            }
        }
    }
    // What is excepted must occur, or the exception says nothing.
    assert_eq!(falls.len(), 6, "{falls:?}");
}

/// Entries that a stage has beside what it divides.
const BUFFERS: [&str; 10] = [
    "zero.bucket",
    "zero.flattened_bucket",
    "zero.waiting",
    "zero.gathered",
    "zero.persistent",
    "zero.partition",
    "zero.gradients",
    "zero.fp32_gradients",
    "zero.flattened",
    "zero.staging",
];

fn tightest(ledger: &Ledger) -> (InstantId, Bytes) {
    let (instant, bytes) = ledger.peak().expect("a peak");
    (instant.id, bytes)
}

#[test]
fn a_zero_stage_needs_more_than_the_one_before_only_by_its_buffers() {
    let mut random = Random(3);
    for _ in 0..400 {
        let base = job(&architecture(&mut random));
        let mut setting = setting(&mut random, &base);
        setting.precision = Precision::Master(DType::Bf16);
        setting.optimizer = Optimizer::AdamW;
        setting.data_parallel = random.of(&[2, 4, 6, 64]);
        setting.micro_batch = random.within(1, 5);
        setting.sequence_length = random.within(1, 2000);
        let ledgers: Vec<Ledger> = (0..4)
            .map(|stage| {
                evaluate(&TrainingJob {
                    engine: Engine::DeepSpeed(zero(stage)),
                    ..setting.clone()
                })
            })
            .collect();
        for (stage, pair) in ledgers.windows(2).enumerate() {
            let (_, fewer) = tightest(&pair[0]);
            let (instant, more) = tightest(&pair[1]);
            let buffers: Bytes = pair[1]
                .entries
                .iter()
                .filter(|entry| BUFFERS.contains(&entry.id))
                .map(|entry| entry.at(instant))
                .sum();
            assert!(
                more <= fewer + buffers,
                "stage {}: {} over {} by more than {}: {setting:?}",
                stage + 1,
                more.get(),
                fewer.get(),
                buffers.get()
            );
        }
    }
}

#[test]
fn groups_and_entries_of_every_instant_add_up() {
    let mut random = Random(7);
    for _ in 0..2_000 {
        let base = job(&architecture(&mut random));
        let mut scenario = setting(&mut random, &base);
        scenario.optimizer = random.of(&OPTIMIZERS[..3]);
        scenario.micro_batch = random.within(1, 9);
        scenario.sequence_length = random.within(1, 2500);
        let ledger = evaluate(&scenario);
        let groups = [
            Group::ModelParams,
            Group::Gradients,
            Group::OptimizerStates,
            Group::Activations,
            Group::Overhead,
        ];
        for instant in &ledger.instants {
            let split: Bytes = groups
                .map(|group| ledger.group_at(group, instant.id))
                .into_iter()
                .sum();
            assert_eq!(split, ledger.allocated_at(instant.id));
        }
        for entry in ledger.entries.iter().filter(|entry| !entry.terms.is_empty()) {
            assert_eq!(
                entry.terms.iter().copied().sum::<Bytes>(),
                entry.unit,
                "{}",
                entry.id
            );
        }
        assert_eq!(Prepared::new().peak(&scenario), tightest(&ledger).1);
    }
}
