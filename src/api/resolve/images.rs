//! The images of a sequence and what trains of the vision tower that reads them, and what they cannot be combined with.

use super::super::given::Given;
use super::{Mesh, Model, Report, Step};
use crate::model::{Vision, VisionClass};
use crate::request::{EngineId, InputId};
use crate::training::{AttentionKernel, Images, Optimizer, Recomputation, TowerTraining};

/// The images of a micro-batch; `None` without any.
pub fn images(
    given: &Given,
    (engine, mesh): (EngineId, Mesh),
    (model, sequence): (&Model, u64),
    step: &Step,
    report: &mut Report,
) -> Option<Images> {
    let each = given.integer(InputId::ImagesPerSample).unwrap_or(0);
    let training = match given.choice(InputId::TowerTraining) {
        Some("projector") => TowerTraining::Projector,
        Some("whole") => TowerTraining::Whole,
        _ => TowerTraining::Frozen,
    };
    if each == 0 {
        if training != TowerTraining::Frozen {
            report.error(
                "unsupported_combination",
                InputId::TowerTraining,
                "A vision tower gets gradients from images only: say how many a sequence has, or leave the tower frozen.",
            );
        }
        return None;
    }
    let Some(vision) = model.network.vision() else {
        report.error(
            "unsupported_combination",
            InputId::ImagesPerSample,
            if model.network.towers.is_empty() {
                "No vision tower is loaded that could read images."
            } else {
                "How this model's tower computes is not built: it is for the towers of Gemma 3, Qwen3-VL and Qwen3.5. Leave the images out; the tower's weights are counted all the same."
            },
        );
        return None;
    };
    let size = size(given, vision, report);
    let tokens = vision.tokens(size);
    let needed = each.saturating_mul(tokens);
    if needed > sequence {
        report.error(
            "out_of_range",
            InputId::ImagesPerSample,
            format!("{each} images become {needed} tokens, and the sequence has {sequence}."),
        );
    }
    if matches!(engine, EngineId::MegatronLm | EngineId::MegatronDeepspeed) {
        report.error(
            "not_available_yet",
            InputId::ImagesPerSample,
            "Images are not built yet under this engine: leave them out.",
        );
    }
    combinations(given, mesh, report);
    // The chosen and the rejected answer see the same images, which pass the tower once for each (TRL trainer/dpo_trainer.py,
    // concatenated_inputs).
    let twice = given
        .choice(InputId::Objective)
        .is_some_and(|objective| objective.starts_with("preference"));
    let each = if twice { each.saturating_mul(2) } else { each };
    if training != TowerTraining::Frozen {
        trained(given, step, report);
    }
    Some(Images {
        count: step.micro_batch.saturating_mul(each),
        patches: vision.patches(size),
        tokens,
        training,
    })
}

/// Height and width as they are typed, or as the tower takes them.
fn size(given: &Given, vision: &Vision, report: &mut Report) -> (u64, u64) {
    let usual = vision.side.unwrap_or(1024);
    let typed = |id: InputId| given.typed_integer(id);
    let height = typed(InputId::ImageHeight);
    let width = typed(InputId::ImageWidth);
    if height.is_none() {
        let reason = match vision.side {
            Some(_) => "the size that the tower takes",
            None => "a square that is not typed",
        };
        report.assume(InputId::ImageHeight, usual, reason);
    }
    let size = (height.unwrap_or(usual), width.or(height).unwrap_or(usual));
    for (id, given, seen) in [
        (InputId::ImageHeight, size.0, vision.resized(size).0),
        (InputId::ImageWidth, size.1, vision.resized(size).1),
    ] {
        if given != seen {
            report.warn(
                "adjusted",
                id,
                format!("The tower sees {seen} pixels: {given} are resized to what it takes."),
            );
        }
    }
    size
}

/// What was neither traced nor derived with images.
fn combinations(given: &Given, mesh: Mesh, report: &mut Report) {
    let chosen = |id: InputId, usual: &str| given.choice(id).is_some_and(|choice| choice != usual);
    if mesh.tensor > 1 {
        match given.choice(InputId::TensorParallelPlan) {
            Some("torch") => report.error(
                "not_available_yet",
                InputId::ImagesPerSample,
                "torchtitan's plan names the layers of a text model: take the plan of transformers, which leaves the tower whole, or leave the images out.",
            ),
            _ => report.unproven(InputId::ImagesPerSample, "1", "tensor parallelism"),
        }
    }
    for (id, usual) in [
        (InputId::Objective, "next_token"),
        (InputId::Evaluation, "none"),
        (InputId::BatchLayout, "packed"),
    ] {
        if chosen(id, usual) {
            report.unproven(
                id,
                given.choice(id).unwrap_or_default(),
                "training.images_per_sample",
            );
        }
    }
    let mut refuse = |id: InputId, message: &str| report.error("not_available_yet", id, message);
    let recomputation = given.choice(InputId::ActivationCheckpointing);
    if chosen(InputId::Adapter, "none") && !matches!(recomputation, None | Some("none" | "full")) {
        refuse(
            InputId::ActivationCheckpointing,
            "Beside adapters and images all layers are recomputed or none: choose one of both.",
        );
    }
}

/// What was neither traced nor derived with a tower that trains.
fn trained(given: &Given, step: &Step, report: &mut Report) {
    let mut refuse = |id: InputId, message: &str| report.error("not_available_yet", id, message);
    if given
        .choice(InputId::Adapter)
        .is_some_and(|adapter| adapter != "none")
    {
        refuse(
            InputId::TowerTraining,
            "A tower that trains beside adapters is not built yet: leave it frozen.",
        );
    }
    if matches!(step.optimizer, Optimizer::Muon | Optimizer::GaLore { .. }) {
        refuse(
            InputId::Optimizer,
            "Which matrices of a tower this optimizer treats apart is not settled: choose another, or leave the tower frozen.",
        );
    }
    if !matches!(step.recomputation, Recomputation::None | Recomputation::Full) {
        refuse(
            InputId::ActivationCheckpointing,
            "Beside a tower that trains, all layers are recomputed or none: choose one of both.",
        );
    }
    if step.in_backward {
        refuse(
            InputId::OptimizerInBackward,
            "A step inside backward is not built yet for a tower that trains.",
        );
    }
    if given
        .choice(InputId::ActivationOffload)
        .is_some_and(|place| place != "none")
    {
        refuse(
            InputId::ActivationOffload,
            "Offloaded activations are not built yet for a tower that trains.",
        );
    }
    if given.choice(InputId::Compile).is_some_and(|what| what != "none") {
        refuse(
            InputId::Compile,
            "A compiled step is not built yet for a tower that trains.",
        );
    }
}

/// Gemma 3 lets the tokens of an image see each other, which torch's fused attention is told by a dense mask (transformers
/// 5.23, models/gemma3/modeling_gemma3.py, `create_masks_for_vision_model`).
pub fn attention(kernel: AttentionKernel, model: &Model, images: Option<Images>) -> AttentionKernel {
    let sees = model
        .network
        .vision()
        .is_some_and(|vision| vision.class == VisionClass::Siglip);
    match kernel {
        AttentionKernel::Flash if sees && images.is_some() => AttentionKernel::Masked,
        other => other,
    }
}
