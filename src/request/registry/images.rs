//! Inputs of section `training` about images: how many a sequence has, how large they are, what trains of the vision tower.

use super::training::input as training_input;
use super::{Choice, FormGroup, Input, InputId, InputKind};
use crate::cite::{Citation, Evidence};

const fn input(
    id: InputId,
    key: &'static str,
    flag: &'static str,
    url: &'static str,
    label: &'static str,
    kind: InputKind,
) -> Input {
    training_input(id, FormGroup::Workload, key, flag, url, label, kind).advanced()
}

const CLASSES: Citation = Citation::new(
    Evidence::Traced,
    "transformers 5.23 models/gemma3, siglip and qwen3_vl; tests/measured/vision-trace.jsonl",
);

pub(super) const IMAGES_PER_SAMPLE: Input = input(
    InputId::ImagesPerSample,
    "training.images_per_sample",
    "--images-per-sample",
    "img",
    "Images per sequence",
    InputKind::Integer {
        min: 0,
        max: 65_536,
    },
)
.fixed("0")
.unit("images")
.help("Images of each sequence, for a model with a vision tower. The tokens that they become are part of the sequence length. The tower runs on their patches before the layers of the text.")
.cite(CLASSES);

pub(super) const IMAGE_HEIGHT: Input = input(
    InputId::ImageHeight,
    "training.image_height",
    "--image-height",
    "imh",
    "Image height",
    InputKind::Integer {
        min: 1,
        max: 16_384,
    },
)
.derived("the size that the tower takes; 1024 where it takes any")
.unit("pixels")
.help("Height after the processor's resizing. A tower of one size (Gemma 3: 896) takes no other; others cut an image into patches, and its sides are rounded to whole tokens.")
.cite(Citation::new(
    Evidence::Source,
    "transformers 5.23 models/qwen2_vl/image_processing_qwen2_vl.py: smart_resize",
));

pub(super) const IMAGE_WIDTH: Input = input(
    InputId::ImageWidth,
    "training.image_width",
    "--image-width",
    "imw",
    "Image width",
    InputKind::Integer { min: 1, max: 16_384 },
)
.derived("the height")
.unit("pixels")
.help("Width after the processor's resizing.");

pub(super) const TOWER_TRAINING: Input = input(
    InputId::TowerTraining,
    "training.tower_training",
    "--tower-training",
    "twt",
    "Training of the vision tower",
    InputKind::Choice(&[
        Choice::new(
            "frozen",
            "frozen",
            &[],
            "Nothing of it trains: nothing before it needs a gradient, so it saves nothing for backward.",
        ),
        Choice::new(
            "projector",
            "projector alone",
            &["merger"],
            "What leads from the tower to the text trains, the tower does not.",
        ),
        Choice::new(
            "whole",
            "tower and projector",
            &["trained"],
            "With gradients, optimizer states, and what its blocks save of every patch.",
        ),
    ]),
)
.fixed("frozen")
.help("What trains of a model's vision tower beside its text. Blocks are recomputed where the text's layers are.")
.cite(CLASSES);
