//! Rules for training: 16 bytes for a parameter, the stages of ZeRO, batch x sequence x hidden x layers, and the share of experts.

use super::super::answer;
use super::super::job::{Job, Strictness, job};
use super::{RuleOfThumb, about, billions};
use crate::cite::{Citation, Evidence};
use crate::model::{Mixer, Network};
use crate::request::{Answer, GroupBytes, InputId, Request};
use crate::training::{Engine, Precision, Recomputation, TrainingJob};
use crate::units::Bytes;
use crate::warn::Issue;

const ZERO: Citation = Citation::new(
    Evidence::Published,
    "Rajbhandari et al., ZeRO, arXiv 1910.02054, section 3.1 and figure 1 (K = 12 for mixed-precision Adam)",
);
const RECOMPUTATION: Citation = Citation::new(
    Evidence::Published,
    "Korthikanti et al., Reducing Activation Recomputation, arXiv 2205.05198, equations 1, 4 and section 5",
);
const EXPERTS: Citation = Citation::new(
    Evidence::Source,
    "George614/gpu-mem-calculator 2f345d1: activations of a mixture of experts times min(1, top_k / experts + 0.1)",
);

/// The rules of thumb for a training question; or every issue by field.
pub fn rules_of_thumb(request: &Request) -> Result<Vec<RuleOfThumb>, Vec<Issue>> {
    let job = job(request, Strictness::default())?;
    let answer = answer::answer(job.clone())?;
    let mut rules = vec![states(&job, &answer)];
    rules.extend(stages(request, &job, &answer));
    let kept = activations(&job, &answer);
    let experts = experts(&job.training, &answer, kept.bytes);
    rules.push(kept);
    rules.extend(experts);
    Ok(rules)
}

fn binding_groups(answer: &Answer) -> GroupBytes {
    answer
        .instants
        .iter()
        .find(|instant| instant.binding)
        .map(|instant| instant.groups)
        .unwrap_or_default()
}

/// Weights, gradients and optimizer states at the tightest instant.
fn model_states(answer: &Answer) -> Bytes {
    let groups = binding_groups(answer);
    groups.model_params + groups.gradients + groups.optimizer_states
}

fn parameters(job: &TrainingJob) -> u64 {
    job.whole.total_parameters().get()
}

fn states(job: &Job, answer: &Answer) -> RuleOfThumb {
    let count = parameters(&job.training);
    RuleOfThumb {
        id: "states",
        name: "16 bytes for each parameter".to_string(),
        formula: "(2 + 2 + 12)·Ψ",
        substituted: format!("(2 + 2 + 12) × {}", billions(count)),
        bytes: Bytes::new(count.saturating_mul(16)),
        compared_with: "weights, gradients and optimizer states of one GPU at the tightest instant",
        ours_bytes: Some(model_states(answer)),
        misses: missed_by_states(job, answer),
        citation: ZERO,
    }
}

fn missed_by_states(job: &Job, answer: &Answer) -> String {
    let training = &job.training;
    let instant = answer
        .instants
        .iter()
        .find(|instant| instant.binding)
        .map_or("", |instant| instant.label.as_str());
    if training.adapter.is_some() {
        return "It counts gradient and states for every parameter; here only the adapter has them, and the base is frozen."
            .to_string();
    }
    let shards = job.mesh.tensor.saturating_mul(job.mesh.pipeline).max(1);
    if shards > 1 {
        return format!(
            "It divides nothing: here tensor and pipeline parallelism cut the model into {shards} parts, and the first or last stage carries the embedding too."
        );
    }
    if divided(training.engine) && training.data_parallel > 1 {
        return format!(
            "It divides nothing: here {} GPUs hold shards, and whole only what is gathered while it is used.",
            training.data_parallel
        );
    }
    match training.precision {
        Precision::Pure(dtype) => format!(
            "It counts fp32 master weights and states: here everything is in {}, and at the tightest instant ({instant}) not every gradient is alive.",
            dtype.name()
        ),
        Precision::Autocast(_) => format!(
            "It counts 2 bytes for weights and gradients: under autocast both are fp32, and 16-bit copies come and go. The tightest instant is {instant}."
        ),
        _ => format!(
            "It is a state at rest: at the tightest instant ({instant}) buckets, copies and temporaries are alive as well, or gradients not yet."
        ),
    }
}

const fn divided(engine: Engine) -> bool {
    match engine {
        Engine::DeepSpeed(zero) => zero.stage > 0,
        Engine::Fsdp1 { .. } | Engine::Fsdp2 { .. } => true,
        Engine::Single | Engine::Ddp { .. } | Engine::Megatron(_) => false,
    }
}

/// The stage of ZeRO that an engine amounts to.
fn stage_of(engine: Engine) -> Option<u8> {
    match engine {
        Engine::DeepSpeed(zero) => Some(zero.stage),
        Engine::Ddp { .. } => Some(0),
        Engine::Fsdp1 {
            reshard_after_forward,
            ..
        }
        | Engine::Fsdp2 {
            reshard_after_forward,
            ..
        } => Some(if reshard_after_forward { 3 } else { 2 }),
        Engine::Single | Engine::Megatron(_) => None,
    }
}

/// The four stages, with ours where the engine can be asked for them.
fn stages(request: &Request, job: &Job, answer: &Answer) -> Vec<RuleOfThumb> {
    let training = &job.training;
    let ranks = training.data_parallel;
    let Some(asked) = stage_of(training.engine).filter(|_| ranks > 1) else {
        return Vec::new();
    };
    let deepspeed = matches!(training.engine, Engine::DeepSpeed(_));
    // What one GPU would hold without data parallelism: the rule knows no other division, so it gets the rest from us.
    let count = training.network.total_parameters().get();
    let mut rules = Vec::new();
    for stage in 0..=3_u8 {
        let ours = if stage == asked {
            Some(model_states(answer))
        } else if deepspeed {
            let other = request.clone().with(InputId::ZeroStage, stage);
            super::super::calculate(&other)
                .ok()
                .map(|other| model_states(&other))
        } else {
            None
        };
        if ours.is_none() {
            continue;
        }
        rules.push(zero(stage, count, ranks, ours, stage == asked));
    }
    rules
}

fn zero(stage: u8, count: u64, ranks: u64, ours: Option<Bytes>, asked: bool) -> RuleOfThumb {
    let (whole, shared, id, formula, misses) = match stage {
        0 => (
            16,
            0,
            "zero_0",
            "(2 + 2 + 12)·Ψ",
            "It leaves out the buckets of the reduction.",
        ),
        1 => (
            4,
            12,
            "zero_1",
            "(2 + 2)·Ψ + 12·Ψ/N",
            "It leaves out the reduction buckets, and the gradients that are flattened for the optimizer's step.",
        ),
        2 => (
            2,
            14,
            "zero_2",
            "2·Ψ + (2 + 12)·Ψ/N",
            "It takes gradients as divided all the time: those of the layers that run, and the buckets that wait for their reduction, are whole.",
        ),
        _ => (
            0,
            16,
            "zero_3",
            "(2 + 2 + 12)·Ψ/N",
            "It leaves out the layers that are gathered and used, those that are fetched ahead, and their whole gradients.",
        ),
    };
    let ranks = ranks.max(1);
    let each = format!("{whole} × {}", billions(count));
    let divided = format!("{shared} × {} / {ranks}", billions(count));
    let substituted = match (whole, shared) {
        (_, 0) => each,
        (0, _) => divided,
        _ => format!("{each} + {divided}"),
    };
    let of_this = if asked { " (this question)" } else { "" };
    RuleOfThumb {
        id,
        name: format!("ZeRO stage {stage}{of_this}"),
        formula,
        substituted,
        bytes: Bytes::new(count.saturating_mul(whole)) + Bytes::new(count.saturating_mul(shared) / ranks),
        compared_with: "weights, gradients and optimizer states of one GPU at the tightest instant",
        ours_bytes: ours,
        misses: misses.to_string(),
        citation: ZERO,
    }
}

/// Query heads of the first layer that has any.
fn heads(network: &Network) -> u64 {
    network
        .layers()
        .find_map(|layer| match &layer.mixer {
            Mixer::Attention(attention) => Some(attention.heads),
            Mixer::Latent(latent) => Some(latent.heads),
            _ => None,
        })
        .unwrap_or(0)
}

fn activations(job: &Job, answer: &Answer) -> RuleOfThumb {
    let training = &job.training;
    let network = &training.whole;
    let (batch, sequence) = (training.micro_batch, training.sequence_length);
    let (hidden, depth, heads) = (network.hidden_size, network.depth(), heads(network));
    let product = batch as f64 * sequence as f64 * hidden as f64 * depth as f64;
    let (factor, formula, words) = match training.recomputation {
        Recomputation::Full => (2.0, "2·s·b·h·L", "2".to_string()),
        Recomputation::None => {
            let scores = 5.0 * heads as f64 * sequence as f64 / hidden.max(1) as f64;
            (
                34.0 + scores,
                "s·b·h·L·(34 + 5·a·s/h)",
                format!("(34 + 5 × {heads} × {sequence} / {hidden})"),
            )
        }
        _ => (34.0, "34·s·b·h·L", "34".to_string()),
    };
    let ours = binding_groups(answer).activations;
    let each = ours.get() as f64 / product.max(1.0);
    let logits = Bytes::new(
        batch
            .saturating_mul(sequence)
            .saturating_mul(network.vocabulary)
            .saturating_mul(4),
    );
    RuleOfThumb {
        id: "activations",
        name: "Batch × sequence × hidden × layers".to_string(),
        formula,
        substituted: format!("{words} × {sequence} × {batch} × {hidden} × {depth}"),
        bytes: about(product * factor),
        compared_with: "activations of one GPU at the tightest instant",
        ours_bytes: Some(ours),
        misses: match training.recomputation {
            Recomputation::Full => format!(
                "It has the inputs of the layers, not the one layer that is being recomputed, nor the logits: in fp32 they alone are {:.2} GiB.",
                logits.to_gib()
            ),
            _ => format!(
                "It is GPT's block with dropout and kept scores; this model, with its kernels, keeps {each:.1} bytes for each value of a layer, logits included (in fp32 {:.2} GiB).",
                logits.to_gib()
            ),
        },
        citation: RECOMPUTATION,
    }
}

fn experts(job: &TrainingJob, answer: &Answer, dense: Bytes) -> Option<RuleOfThumb> {
    let moe = job.whole.layers().find_map(|layer| layer.moe())?;
    let share = (moe.top_k as f64 / moe.experts.max(1) as f64 + 0.1).min(1.0);
    Some(RuleOfThumb {
        id: "experts",
        name: "Share of the experts that work".to_string(),
        formula: "activations × min(1, k/E + 0.1)",
        substituted: format!(
            "{:.2} GiB × min(1, {}/{} + 0.1)",
            dense.to_gib(),
            moe.top_k,
            moe.experts
        ),
        bytes: dense.scaled(share),
        compared_with: "activations of one GPU at the tightest instant",
        ours_bytes: Some(binding_groups(answer).activations),
        misses: format!(
            "Every token goes through attention and {} experts, however many there are: adding experts does not shrink what is kept.",
            moe.top_k
        ),
        citation: EXPERTS,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(engine: &str) -> Request {
        Request::new()
            .with(InputId::ModelId, "llama-3.1-8b")
            .with(InputId::EngineType, engine)
            .with(InputId::NumGpus, 8)
    }

    #[test]
    fn sixteen_bytes_and_the_stages_are_those_of_the_paper() -> Result<(), Vec<Issue>> {
        let rules = rules_of_thumb(&question("deepspeed").with(InputId::ZeroStage, 2))?;
        let count = 8_030_261_248_u64;
        let bytes = |id: &str| rules.iter().find(|rule| rule.id == id).map(|rule| rule.bytes);
        assert_eq!(bytes("states"), Some(Bytes::new(16 * count)));
        assert_eq!(bytes("zero_1"), Some(Bytes::new(4 * count + 12 * count / 8)));
        assert_eq!(bytes("zero_2"), Some(Bytes::new(2 * count + 14 * count / 8)));
        assert_eq!(bytes("zero_3"), Some(Bytes::new(16 * count / 8)));
        // Each stage with our figure, which falls from stage to stage.
        let ours: Vec<Bytes> = ["zero_1", "zero_2", "zero_3"]
            .iter()
            .filter_map(|id| rules.iter().find(|rule| rule.id == *id)?.ours_bytes)
            .collect();
        assert!(
            ours.len() == 3 && ours.is_sorted_by(|more, less| more > less),
            "{ours:?}"
        );
        Ok(())
    }

    #[test]
    fn activations_are_the_papers_for_its_model_and_experts_shrink_only_in_the_rule() -> Result<(), Vec<Issue>>
    {
        let rules = rules_of_thumb(&question("fsdp").with(InputId::SeqLength, 4096))?;
        let kept = rules.iter().find(|rule| rule.id == "activations");
        // 2·4096·1·4096·32 with full recomputation, or the longer form without; the question's default decides.
        assert!(kept.is_some_and(|rule| rule.bytes >= Bytes::from_gib(1.0)));
        assert!(rules.iter().all(|rule| rule.id != "experts"));
        let moe = question("fsdp")
            .with(InputId::ModelId, "mixtral-8x7b")
            .with(InputId::NumGpus, 64);
        let rules = rules_of_thumb(&moe)?;
        let value = |id: &str| rules.iter().find(|rule| rule.id == id).map(|rule| rule.bytes);
        let (dense, shared) = (value("activations"), value("experts"));
        assert_eq!(shared, dense.map(|dense| dense.scaled(0.35)));
        Ok(())
    }
}
