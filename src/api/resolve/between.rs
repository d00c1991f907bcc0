//! What happens between two steps: evaluation and checkpoints, and what they cannot be combined with.

use super::super::given::Given;
use super::{Mesh, Report};
use crate::request::InputId;
use crate::training::{Evaluation, Objective, Save};

/// The evaluation, of the training length, and how checkpoints are saved.
pub fn between(
    given: &Given,
    (mesh, sequence): (Mesh, u64),
    objective: Objective,
    report: &mut Report,
) -> (Option<Evaluation>, Save) {
    let evaluation = evaluation(given, sequence);
    if evaluation.is_some() && objective != Objective::NextToken {
        report.error(
            "unsupported_combination",
            InputId::Evaluation,
            "What preference training evaluates was neither traced nor derived: leave the evaluation out, or train for next tokens.",
        );
    }
    if evaluation.is_some() && mesh.tensor > 1 {
        report.error(
            "unsupported_combination",
            InputId::Evaluation,
            "Evaluation was traced without tensor parallelism: leave it out, or divide no matrix.",
        );
    }
    let save = save(given);
    if matches!(save, Save::Full | Save::FullOnDevice) && mesh.tensor > 1 {
        report.error(
            "unsupported_combination",
            InputId::CheckpointSave,
            "Gathering a checkpoint was traced without tensor parallelism: save it sharded.",
        );
    }
    (evaluation, save)
}

fn evaluation(given: &Given, sequence: u64) -> Option<Evaluation> {
    let generates = match given.choice(InputId::Evaluation) {
        Some("loss") => false,
        Some("generate") => true,
        _ => return None,
    };
    Some(Evaluation {
        batch: given.integer(InputId::EvaluationBatchSize),
        length: sequence,
        generated: given.integer(InputId::GeneratedTokens).filter(|_| generates),
    })
}

fn save(given: &Given) -> Save {
    match given.choice(InputId::CheckpointSave) {
        Some("sharded") => Save::Sharded,
        Some("full") => Save::Full,
        Some("full_on_device") => Save::FullOnDevice,
        _ => Save::None,
    }
}
