//! The smallest card of the table on which a question fits. The question's own card is replaced; what is already in use on
//! it and everything else stays. Slices of a card are left out where the ranks must talk to each other: NCCL does not run
//! between them (NVIDIA Multi-Instance GPU user guide, application considerations).

use serde::Serialize;

use super::super::answer;
use super::super::given::Given;
use super::super::job::{Strictness, job};
use super::super::measure::measure;
use super::super::resolve::{self, Report};
use crate::hardware;
use crate::request::{InputId, Range, Request, Verdict};
use crate::units::Bytes;
use crate::warn::Issue;

/// A card and its verdict.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CardFit {
    /// Id of the table.
    pub gpu: String,
    /// Name.
    pub name: String,
    /// What a program gets of it, less what is in use.
    pub usable_bytes: Bytes,
    /// What the verdict judges.
    pub need: Range,
    /// "fits" or "tight".
    pub verdict: Verdict,
}

/// The cards on which the question fits, smallest usable memory first.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Cards {
    /// `gpu`.
    pub variable: &'static str,
    /// The smallest card whose verdict is not "does not fit".
    pub value: Option<String>,
    /// The smallest one whose verdict is "fits".
    pub certain: Option<String>,
    /// All of them.
    pub cards: Vec<CardFit>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Judges a valid question on every card of the table.
pub fn smallest_card(request: &Request) -> Result<Cards, Vec<Issue>> {
    let mut job = job(request, Strictness::default())?;
    let mut cards = Vec::new();
    let mut lowest: Option<Bytes> = None;
    let several = job.mesh.gpus > 1;
    for gpu in hardware::gpus() {
        if several && gpu.slice.is_some() {
            continue;
        }
        let mut changed = Request::new().with(InputId::Gpu, gpu.id.clone());
        if let Some(used) = request.get(InputId::UsedMemoryGb) {
            changed.set(InputId::UsedMemoryGb, used.clone());
        }
        let mut report = Report::default();
        let given = Given::read(&changed, &mut report.issues);
        let Some(card) = resolve::hardware(&given, job.mesh.gpus, &mut report) else {
            continue;
        };
        job.training.compute_capability = card.compute_capability;
        job.card = card;
        let Ok(outcome) = measure(&job, job.training.micro_batch) else {
            continue;
        };
        lowest = Some(lowest.map_or(outcome.need.expected, |lowest| lowest.min(outcome.need.expected)));
        if outcome.verdict != Verdict::DoesNotFit {
            cards.push(CardFit {
                gpu: gpu.id.clone(),
                name: gpu.name.clone(),
                usable_bytes: job.card.usable.expected,
                need: answer::range(outcome.need),
                verdict: outcome.verdict,
            });
        }
    }
    cards.sort_by(|left, right| (left.usable_bytes, &left.gpu).cmp(&(right.usable_bytes, &right.gpu)));
    let first = |wanted: fn(&CardFit) -> bool| {
        cards
            .iter()
            .find(|card| wanted(card))
            .map(|card| card.gpu.clone())
    };
    Ok(Cards {
        variable: "gpu",
        value: first(|_| true),
        certain: first(|card| card.verdict == Verdict::Fits),
        reason: cards.is_empty().then(|| {
            format!(
                "No card of the table is large enough: the expected need is {:.2} GiB.",
                lowest.unwrap_or(Bytes::MAX).to_gib()
            )
        }),
        cards,
    })
}
