//! The card and what of it is left for the job.

use super::super::given::Given;
use super::Report;
use crate::hardware::{self, Capacity, Gpu, MemorySetup};
use crate::request::InputId;
use crate::units::Bytes;
use crate::warn::Issue;

/// The card that is taken when neither a card nor a size is given.
pub const DEFAULT_GPU: &str = "h100-sxm-80gb";

/// The card of the job.
#[derive(Clone, Debug, PartialEq)]
pub struct Card {
    /// The card, or one made from a typed size.
    pub gpu: Gpu,
    /// Whether it is in the table.
    pub known: bool,
    /// What a program gets of it, before what is already in use.
    pub visible: Capacity,
    /// What is left.
    pub usable: Capacity,
    /// Already in use.
    pub used: Bytes,
    /// Compute capability times ten.
    pub compute_capability: u16,
}

/// Reads the card; `None` when there is an error.
pub fn hardware(given: &Given, num_gpus: u64, report: &mut Report) -> Option<Card> {
    let typed = given.gib(InputId::GpuMemoryGb);
    let (gpu, known) = card(given, typed, report)?;
    let used = given.gib(InputId::UsedMemoryGb).unwrap_or(Bytes::ZERO);
    let setup = MemorySetup {
        ecc: given.toggle(InputId::Ecc),
        torch_total: typed,
        unified_limit: given.gib(InputId::UnifiedMemoryGb),
        in_use: used,
    };
    unused(given, &gpu, typed.is_some(), report);
    let visible = gpu.capacity(&MemorySetup {
        in_use: Bytes::ZERO,
        ..setup
    });
    let usable = gpu.capacity(&setup);
    if usable.high == Bytes::ZERO {
        report.error(
            "out_of_range",
            InputId::UsedMemoryGb,
            format!(
                "The card has {:.2} GiB; more than that cannot be in use already.",
                visible.expected.to_gib()
            ),
        );
        return None;
    }
    total(given, num_gpus, visible.expected, report);
    let compute_capability = gpu.capability_times_ten().unwrap_or(90);
    Some(Card {
        gpu,
        known,
        visible,
        usable,
        used,
        compute_capability,
    })
}

fn card(given: &Given, typed: Option<Bytes>, report: &mut Report) -> Option<(Gpu, bool)> {
    if given.has_failed(InputId::Gpu) || given.has_failed(InputId::GpuMemoryGb) {
        return None;
    }
    match (given.text(InputId::Gpu), typed) {
        (Some(name), _) => {
            let Some(gpu) = hardware::find(&name) else {
                let near = hardware::nearest(&name, 5);
                let issue = Issue::error(
                    "unknown_value",
                    InputId::Gpu.key(),
                    format!("{name:?} is not in the table of GPUs."),
                )
                .with_value(name)
                .with_allowed(near.iter().copied());
                report.add(match near.first() {
                    Some(first) => issue.with_hint(format!(
                        "Did you mean {first}? For another card type its memory instead."
                    )),
                    None => issue.with_hint("For a card that is not in the table type its memory instead."),
                });
                return None;
            };
            Some((gpu.clone(), true))
        }
        (None, Some(bytes)) => {
            report.assume(
                InputId::Gpu,
                "custom",
                "a memory size is typed; it is taken as what the program gets, on a card of Hopper's generation",
            );
            Some((Gpu::custom(bytes), false))
        }
        (None, None) => {
            report.assume(
                InputId::Gpu,
                DEFAULT_GPU,
                "neither a GPU nor a memory size is given",
            );
            hardware::find(DEFAULT_GPU).map(|gpu| (gpu.clone(), true))
        }
    }
}

/// Settings that this card does not have.
fn unused(given: &Given, gpu: &Gpu, typed: bool, report: &mut Report) {
    if given.get(InputId::Ecc).is_some() {
        if typed {
            report.warn(
                "not_used",
                InputId::Ecc,
                "The memory size is typed; error correction does not change it.",
            );
        } else if gpu.ecc.is_none() {
            report.warn(
                "not_used",
                InputId::Ecc,
                format!("Error correction takes no memory on {}.", gpu.name),
            );
        }
    }
    if given.get(InputId::UnifiedMemoryGb).is_some() {
        if typed {
            report.warn(
                "not_used",
                InputId::UnifiedMemoryGb,
                "The memory size is typed, so the share of unified memory is not used.",
            );
        } else if !gpu.unified {
            report.warn(
                "not_used",
                InputId::UnifiedMemoryGb,
                format!("{} has its own memory.", gpu.name),
            );
        }
    }
}

/// A typed total is only compared.
fn total(given: &Given, num_gpus: u64, each: Bytes, report: &mut Report) {
    let Some(total) = given.gib(InputId::TotalGpuMemoryGb) else {
        return;
    };
    let expected = each * num_gpus;
    let slack = expected.scaled(0.001);
    if total > expected + slack || expected > total + slack {
        report.warn(
            "not_used",
            InputId::TotalGpuMemoryGb,
            format!(
                "{num_gpus} GPUs of {:.2} GiB have {:.2} GiB; the typed total is not used.",
                each.to_gib(),
                expected.to_gib()
            ),
        );
    }
}
