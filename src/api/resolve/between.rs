//! What happens between two steps: evaluation and checkpoints, and with what they were never traced.

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
    let evaluation = evaluation(given, sequence, objective);
    if evaluation.is_some() && objective != Objective::NextToken {
        let kind = given.choice(InputId::Evaluation).unwrap_or_default();
        report.unproven(InputId::Evaluation, kind, "preference training");
    }
    let save = save(given);
    if matches!(save, Save::Full | Save::FullOnDevice) && mesh.tensor > 1 {
        let how = given.choice(InputId::CheckpointSave).unwrap_or_default();
        report.unproven(InputId::CheckpointSave, how, "tensor parallelism");
    }
    (evaluation, save)
}

fn evaluation(given: &Given, sequence: u64, objective: Objective) -> Option<Evaluation> {
    let generates = match given.choice(InputId::Evaluation) {
        Some("loss") => false,
        Some("generate") => true,
        _ => return None,
    };
    Some(Evaluation {
        batch: given
            .integer(InputId::EvaluationBatchSize)
            .map(|rows| rows.saturating_mul(objective.sequences_per_row())),
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
