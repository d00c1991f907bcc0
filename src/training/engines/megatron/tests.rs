//! Properties of the shares: stages add up to the whole model, and dividing more never holds more. Sizes are those of NVIDIA/Megatron-LM
//! tests/functional_tests/test_cases and megatron/training/arguments.py.

use super::*;
use crate::model::import::network_from_config;
use crate::parallel::{Schedule, Split};
use crate::training::tests::job;
use crate::training::{AttentionKernel, Engine, Precision};
use crate::units::DType;
use proptest::prelude::*;
use serde_json::json;
use std::sync::Arc;

fn settings() -> Megatron {
    Megatron {
        tensor: 1,
        sequence: false,
        pipeline: 1,
        context: 1,
        expert: 1,
        expert_tensor: 1,
        schedule: Schedule::OneForwardOneBackward,
        split: Split::default(),
        distributed_optimizer: false,
        recompute: Recompute::None,
        loss: VocabularyLoss::Unfused,
        fused_softmax: true,
        deferred: 0,
        fused_accumulation: true,
        deterministic: false,
        grouped_experts: false,
        dispatcher: Dispatcher::Exchanged,
        vocabulary_multiple: 128,
        capacity_thousandths: None,
        padded: false,
        imbalance_thousandths: 1000,
        further: 0,
        narrow: None,
        sharding: Sharding::None,
        offloaded_millionths: 0,
        moment_bytes: 4,
        dealt_out: false,
        comm_overlap: false,
        wrapper: Wrapper::Megatron,
        stage: None,
    }
}

fn of(config: &serde_json::Value, settings: Megatron) -> TrainingJob {
    let network = network_from_config(config).expect("a network").network;
    TrainingJob {
        network: Arc::new(network),
        precision: Precision::Master(DType::Bf16),
        engine: Engine::Megatron(settings),
        accumulation_steps: 8,
        ..job("smollm2-135m", (1, 1024), AttentionKernel::Flash)
    }
}

proptest! {
    #[test]
    fn stages_add_up_to_the_whole_model(pipeline in 1u64..=8, each in 1u64..=3, chunks in 1u64..=4, tied: bool) {
        let layers = pipeline * each * chunks;
        let config = json!({"model_type": "megatron_gpt", "num_layers": layers, "hidden_size": 64,
            "num_attention_heads": 4, "vocab_size": 1024, "max_position_embeddings": 128,
            "untie_embeddings_and_output_weights": !tied, "num_experts": 4, "moe_router_topk": 1});
        let schedule = match chunks {
            1 => Schedule::OneForwardOneBackward,
            _ => Schedule::Interleaved { chunks, group: pipeline },
        };
        let job = of(&config, Megatron { pipeline, schedule, ..settings() });
        let Engine::Megatron(found) = job.engine else { unreachable!() };
        let sum: u64 = stages(&job, &found).iter().map(|stage| stage.parameters).sum();
        // A tied embedding is there twice where its two ends are on different ranks.
        let copies = if tied && pipeline > 1 { 1024 * 64 } else { 0 };
        prop_assert_eq!(sum, job.network.total_parameters().get() + copies);
    }

    #[test]
    fn twice_the_tensor_parallel_ranks_never_hold_more(power in 0u32..=3, sequence: bool, distributed: bool, micro in 1u64..=4) {
        let config = json!({"model_type": "megatron_gpt", "num_layers": 4, "hidden_size": 512,
            "num_attention_heads": 16, "vocab_size": 50_257, "max_position_embeddings": 1024});
        let with = |tensor: u64| {
            let settings = Megatron {
                tensor,
                sequence: sequence && tensor > 1,
                pipeline: 2,
                distributed_optimizer: distributed,
                ..settings()
            };
            let job = TrainingJob { micro_batch: micro, sequence_length: 1024, ..of(&config, settings) };
            let found = stages(&job, &settings);
            let at = |stage: &Stage, instant| stage.ledger.allocated_at(instant);
            found
                .iter()
                .map(|stage| (at(stage, crate::memory::InstantId::Rest), stage.ledger.peak().map(|(_, bytes)| bytes)))
                .collect::<Vec<_>>()
        };
        let tensor = 1 << power;
        for (less, more) in with(2 * tensor).into_iter().zip(with(tensor)) {
            prop_assert!(less.0 <= more.0 && less.1 <= more.1, "{less:?} {more:?}");
        }
    }
}

proptest! {
    #[test]
    fn the_peak_alone_is_that_of_the_ledger(
        (tensor, context, each, chunks) in (0u32..3, 0u32..2, 1u64..=3, 1u64..=3),
        (pipeline, batches, micro_batch, data) in (1u64..=4, 1u64..=4, 1u64..=3, 1u64..=4),
        (again, deal, experts, expert) in (0usize..6, 0usize..4, any::<bool>(), 0u32..2),
        (sequence, distributed, tied, eager, narrow) in any::<(bool, bool, bool, bool, bool)>(),
    ) {
        let chunks = if pipeline == 1 { 1 } else { chunks };
        let counted = [(false, false), (true, false), (false, true), (true, true)];
        let (embedding, loss) = counted.get(deal).copied().unwrap_or_default();
        let taken = u64::from(embedding) + u64::from(loss);
        let layers = (pipeline * (each + 1) * chunks).saturating_sub(taken).max(1);
        let config = json!({"model_type": "megatron_gpt", "num_layers": layers, "hidden_size": 96,
            "num_attention_heads": 8, "vocab_size": 1000, "max_position_embeddings": 128,
            "untie_embeddings_and_output_weights": !tied,
            "num_experts": experts.then_some(4), "moe_router_topk": 1});
        let recompute = [
            Recompute::None,
            Recompute::Uniform(1),
            Recompute::Uniform(2),
            Recompute::Block(1),
            Recompute::Modules(Modules { norms: true, ..Modules::default() }),
            Recompute::Modules(Modules { core_attention: true, feed_forward: true, ..Modules::default() }),
        ];
        let settings = Megatron {
            tensor: 1 << tensor,
            sequence: sequence && tensor > 0,
            context: 1 << context,
            pipeline,
            expert: 1 << expert,
            expert_tensor: 1 << tensor,
            schedule: match chunks {
                1 => Schedule::OneForwardOneBackward,
                _ => Schedule::Interleaved { chunks, group: pipeline },
            },
            split: Split { embedding, loss, ..Split::default() },
            distributed_optimizer: distributed,
            recompute: recompute.get(again).copied().unwrap_or(Recompute::None),
            ..settings()
        };
        let mut job = of(&config, settings);
        job.accumulation_steps = batches * pipeline;
        job.micro_batch = micro_batch;
        job.data_parallel = data;
        if eager {
            job.attention = AttentionKernel::Eager;
        }
        if narrow {
            job.precision = Precision::Master(DType::Fp16);
        }
        prop_assert!(Quick::covers(&job, &settings));
        let mut quick = Quick::new(&job.network);
        let peak = ledger(&job, &settings).peak().map_or(Bytes::ZERO, |(_, bytes)| bytes);
        prop_assert_eq!(quick.peak(&job, &settings), peak);
        prop_assert_eq!(quick.peak(&job, &settings), peak, "asked again");
        prop_assert!(quick.rest(&job, &settings) <= peak);
    }
}

#[test]
fn what_the_sums_leave_out_is_taken_from_the_ledger() {
    let config = json!({"model_type": "megatron_gpt", "num_layers": 4, "hidden_size": 96, "num_attention_heads": 8,
        "vocab_size": 1000, "max_position_embeddings": 128});
    let plain = Megatron {
        pipeline: 2,
        distributed_optimizer: true,
        ..settings()
    };
    let narrow = Narrow {
        recipe: NarrowRecipe::Mxfp8,
        primary: false,
    };
    for other in [
        Megatron {
            narrow: Some(narrow),
            ..plain
        },
        Megatron { further: 1, ..plain },
        Megatron {
            offloaded_millionths: 500_000,
            ..plain
        },
        Megatron {
            pipeline: 1,
            sharding: Sharding::Weights,
            ..plain
        },
        Megatron {
            wrapper: Wrapper::DeepSpeed { stage: 1 },
            ..plain
        },
    ] {
        let mut job = of(&config, other);
        job.data_parallel = 4;
        assert!(!Quick::covers(&job, &other), "{other:?}");
        let ledger = ledger(&job, &other);
        let mut prepared = crate::training::Prepared::new();
        assert_eq!(prepared.peak(&job), ledger.peak().expect("a peak").1, "{other:?}");
        let rest = prepared.rest(&job).expect("Megatron");
        assert_eq!(rest, ledger.allocated_at(crate::memory::InstantId::Rest));
    }
    let muon = TrainingJob {
        optimizer: crate::training::Optimizer::Muon,
        ..of(&config, plain)
    };
    assert!(!Quick::covers(&muon, &plain) && Quick::covers(&of(&config, plain), &plain));
}
