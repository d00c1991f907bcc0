//! What reinforcement learning has on the GPUs of the trainer, from the request.

use super::super::given::Given;
use super::super::rollout::{Beside, Colocated, Sleep, engine_weights};
use super::{Card, Report};
use crate::request::InputId;
use crate::training::TrainingJob;
use crate::units::Bytes;

/// Whether answers are sampled and scored.
pub fn samples(given: &Given) -> bool {
    given
        .choice(InputId::Objective)
        .is_some_and(|objective| objective.starts_with("grpo") || objective == "ppo")
}

/// Engine and critic beside the model that trains.
pub fn beside(given: &Given, training: &TrainingJob, card: &Card, report: &mut Report) -> Beside {
    if !samples(given) {
        return Beside::default();
    }
    let colocated = given.choice(InputId::Rollout) == Some("colocated");
    let tensor = given.integer(InputId::RolloutTensor).unwrap_or(1);
    let gpus = given.integer(InputId::NumGpus).unwrap_or(1);
    if colocated && !gpus.is_multiple_of(tensor.max(1)) {
        report.error(
            "not_divisible",
            InputId::RolloutTensor,
            format!("{gpus} GPUs do not divide into engines of {tensor}."),
        );
    }
    let engine = colocated.then(|| Colocated {
        tensor,
        thousandths: Bytes::new(1000)
            .scaled(given.number(InputId::RolloutUtilization).unwrap_or(0.3))
            .get(),
        sleep: match given.choice(InputId::RolloutSleep) {
            Some("offload") => Sleep::Offload,
            Some("discard") => Sleep::Discard,
            _ => Sleep::None,
        },
    });
    if let Some(engine) = engine {
        let share = card.visible.expected.scaled(engine.thousandths as f64 / 1000.0);
        let weights = engine_weights(training, engine.tensor);
        if weights > share {
            report.error(
                "unsupported_combination",
                InputId::RolloutUtilization,
                format!(
                    "The engine's share of {:.1} GiB is smaller than its weights of {:.1} GiB: it would not start.",
                    share.to_gib(),
                    weights.to_gib()
                ),
            );
        }
    }
    Beside {
        engine,
        critic: given.choice(InputId::Objective) == Some("ppo"),
    }
}

/// Why an input of these means nothing, where it does.
pub fn usage(id: InputId, given: &Given) -> Option<&'static str> {
    let colocated = given.choice(InputId::Rollout) == Some("colocated");
    match id {
        InputId::Rollout if !samples(given) => {
            Some("Only objectives that sample answers have an engine for it.")
        }
        InputId::RolloutUtilization | InputId::RolloutSleep | InputId::RolloutTensor
            if !samples(given) || !colocated =>
        {
            Some("No engine shares the GPUs of the trainer.")
        }
        _ => None,
    }
}
