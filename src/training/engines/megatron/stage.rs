//! One pipeline rank over a step: its chunks of layers, the ends of the network that it holds, what is in flight, and the ledger
//! of its instants.

use super::ends::{Ends, Loss};
use super::saved::{Layers, Saved, Setting, bytes};
use super::share::{self, Share};
use super::states::States;
use super::{Megatron, Recompute};
use crate::memory::{Group, InstantId, Ledger};
use crate::model::Network;
use crate::parallel::{InFlight, stages};
use crate::training::TrainingJob;
use crate::training::plan::extend;
use crate::training::sheet::{Held, Item, Sheet};
use crate::units::Bytes;
use std::ops::Range;

/// What a pipeline rank computes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunks {
    /// The rank.
    pub rank: u64,
    /// Layers of each chunk, from the first of the model.
    pub layers: Vec<Range<u64>>,
    /// The chunk that begins with the embedding.
    pub first: Option<usize>,
    /// The chunk that ends with the loss.
    pub last: Option<usize>,
    /// What is in flight when the most is.
    pub in_flight: InFlight,
}

impl Chunks {
    /// Of a rank; layers that do not divide were refused before.
    pub fn of(job: &TrainingJob, settings: &Megatron, rank: u64) -> Self {
        let ranks = settings.pipeline;
        let all = stages(job.network.depth(), settings.split, settings.schedule, ranks).unwrap_or_default();
        let place = |chunk| settings.schedule.stage(ranks, rank, chunk);
        let chunks = 0..settings.schedule.chunks();
        let layers = chunks
            .clone()
            .map(|chunk| {
                let at = usize::try_from(place(chunk)).ok();
                at.and_then(|at| all.get(at)).cloned().unwrap_or(0..0)
            })
            .collect();
        let find = |wanted: u64| {
            let mut places = chunks.clone().map(place);
            places.position(|place| place == wanted)
        };
        Self {
            rank,
            layers,
            first: find(0),
            last: find((all.len() as u64).saturating_sub(1)),
            in_flight: settings.schedule.in_flight(ranks, rank, job.accumulation_steps),
        }
    }

    /// Micro-batches of a chunk that are in flight.
    fn alive(&self, chunk: usize) -> u64 {
        let delayed = if chunk == 0 { self.in_flight.delayed } else { 0 };
        self.in_flight
            .chunks
            .get(chunk)
            .copied()
            .unwrap_or(0)
            .saturating_add(delayed)
    }
}

/// One kind of layer with what it keeps.
struct Kind {
    layers: Layers,
    kept: Held,
    all: Held,
}

/// The ledger of a pipeline rank.
pub fn ledger(job: &TrainingJob, settings: &Megatron, rank: u64) -> Ledger {
    let mut sheet = Sheet::default();
    let chunks = Chunks::of(job, settings, rank);
    let setting = setting(job, settings);
    let network: &Network = &job.network;
    let kinds: Vec<Kind> = network
        .kinds
        .iter()
        .map(|layer| {
            let layers = setting.layer(layer);
            Kind {
                kept: register(&layers.kept, &mut sheet),
                all: register(&layers.all, &mut sheet),
                layers,
            }
        })
        .collect();
    let states = States::new((job, settings), &parts(network, settings, &chunks), &mut sheet);
    let ends = Ends::new((job, settings), &setting, &mut sheet);
    let step = Step {
        job,
        settings,
        setting,
        chunks,
        kinds,
        states,
        ends,
    };
    step.fill(&mut sheet);
    sheet.finish()
}

/// What the layers of a job have in common.
pub fn setting(job: &TrainingJob, settings: &Megatron) -> Setting {
    let sequence = job.sequence_length.div_ceil(settings.context.max(1));
    Setting {
        settings: *settings,
        tokens: job.micro_batch.saturating_mul(sequence),
        sequence,
        hidden: job.network.hidden_size,
        bytes: job.precision.compute().bits() / 8,
        attention: job.attention,
        compute_capability: job.compute_capability,
    }
}

/// The weights of a rank by place: its layers, and the ends that it holds.
pub fn parts(network: &Network, settings: &Megatron, chunks: &Chunks) -> Vec<(&'static str, Share)> {
    let mut layers = Share::default();
    for range in &chunks.layers {
        let share = share::of_layers(network, range, settings);
        layers.dense = layers.dense.saturating_add(share.dense);
        layers.experts = layers.experts.saturating_add(share.experts);
    }
    let dense = |dense| Share { dense, experts: 0 };
    let mut parts = vec![("layers", layers)];
    if chunks.first.is_some() {
        parts.push(("embedding", dense(share::over_vocabulary(network, settings))));
        parts.push(("positions", dense(share::beside_embedding(network, settings))));
    }
    if chunks.last.is_some() {
        parts.push(("final norm", dense(share::beside_head(network, settings))));
        // A tied head is the embedding, and a second copy of it where the embedding is elsewhere.
        if !network.head.tied || chunks.first.is_none() {
            parts.push(("head", dense(share::over_vocabulary(network, settings))));
        }
    }
    parts
}

fn register(saved: &[Saved], sheet: &mut Sheet) -> Held {
    let mut held = Held::new();
    for one in saved {
        let entry = sheet.item(one.item(), "");
        match held.iter_mut().find(|(id, _)| *id == entry) {
            Some((_, count)) => *count += 1,
            None => held.push((entry, 1)),
        }
    }
    held
}

struct Step<'a> {
    job: &'a TrainingJob,
    settings: &'a Megatron,
    setting: Setting,
    chunks: Chunks,
    kinds: Vec<Kind>,
    states: States,
    ends: Ends,
}

impl Step<'_> {
    fn kind(&self, layer: u64) -> Option<&Kind> {
        let at = usize::try_from(layer).ok()?;
        self.kinds.get(*self.job.network.order.get(at)?)
    }

    /// What a micro-batch in flight holds of a chunk.
    fn of_chunk(&self, chunk: usize, sheet: &mut Sheet) -> Held {
        let mut held = Held::new();
        let range = self.chunks.layers.get(chunk).cloned().unwrap_or(0..0);
        let checkpoint = sheet.item(self.setting.checkpoint().item(), "");
        let length = range.end.saturating_sub(range.start);
        let saved_from = match self.settings.recompute {
            Recompute::Uniform(group) => {
                held.push((checkpoint, length.div_ceil(group.max(1))));
                range.end
            }
            Recompute::Block(first) => {
                let recomputed = first.min(length);
                held.push((checkpoint, recomputed));
                range.start.saturating_add(recomputed)
            }
            Recompute::None | Recompute::Modules(_) => range.start,
        };
        for layer in saved_from..range.end {
            if let Some(kind) = self.kind(layer) {
                extend(&mut held, &kind.kept, 1);
            }
        }
        if self.chunks.first == Some(chunk) {
            held.extend_from_slice(&self.ends.embedded);
        }
        merged(held)
    }

    /// Everything in flight.
    fn in_flight(&self, sheet: &mut Sheet) -> Held {
        let mut held = Held::new();
        for chunk in 0..self.chunks.layers.len() {
            let alive = self.chunks.alive(chunk);
            let one = self.of_chunk(chunk, sheet);
            extend(&mut held, &one, alive);
        }
        // Earlier micro-batches whose loss waits for its backward pass keep what it saved.
        if let Some(last) = self.chunks.last {
            let waiting = self.chunks.alive(last).saturating_sub(1);
            extend(&mut held, &self.ends.loss.waiting, waiting);
        }
        merged(held)
    }

    /// What one layer's backward needs beside what is in flight: what was recomputed, and its gradients.
    fn during(&self, layer: u64, sheet: &mut Sheet) -> Held {
        let mut held = Held::new();
        let Some(kind) = self.kind(layer) else {
            return held;
        };
        match self.settings.recompute {
            Recompute::Uniform(group) => extend(&mut held, &kind.all, group),
            Recompute::Block(first) if first > 0 => extend(&mut held, &kind.all, 1),
            Recompute::Modules(_) => {
                let again = bytes(&kind.layers.all).saturating_sub(bytes(&kind.layers.kept));
                held.push((sheet.item(recomputed(again), ""), 1));
            }
            Recompute::None | Recompute::Block(_) => {}
        }
        held.push((sheet.item(gradients(kind.layers.backward), ""), 1));
        held
    }

    /// What passes between the ranks of the pipeline and of context parallelism while layers run.
    fn passing(&self, sheet: &mut Sheet) -> Held {
        let mut held = Held::new();
        if self.settings.pipeline > 1 {
            held.push((sheet.item(self.ends.received.clone(), ""), 2));
        }
        held
    }

    fn fill(&self, sheet: &mut Sheet) {
        let states = |with: &[&Held]| {
            let mut held: Held = [self.states.always.as_slice(), &self.states.workspaces].concat();
            for other in with {
                held.extend_from_slice(other);
            }
            held
        };
        let Loss {
            forward,
            backward,
            head,
            ..
        } = &self.ends.loss;
        let (optimizer, copies) = (&self.states.optimizer, &self.states.copies);
        let load = self.states.always.clone();
        sheet.instant(InstantId::Load, "weights loaded", &load);
        sheet.instant(
            InstantId::Rest,
            "between two steps",
            &states(&[optimizer, copies]),
        );
        let flight = self.in_flight(sheet);
        let passing = self.passing(sheet);
        let held = states(&[optimizer, &flight, &passing]);
        sheet.instant(
            InstantId::ForwardEnd,
            "the most micro-batches are in flight",
            &held,
        );
        if self.chunks.last.is_some() {
            for (id, label, own) in [
                (InstantId::LossForward, "loss", forward),
                (InstantId::LossBackward, "gradient of the loss", backward),
                (InstantId::HeadBackward, "backward of the head", head),
            ] {
                sheet.instant(id, label, &states(&[optimizer, &flight, own]));
            }
        }
        let layers = self.chunks.layers.iter().filter(|range| range.end > range.start);
        let ends: Vec<u64> = layers.map(|range| range.end - 1).collect();
        let tightest = ends
            .iter()
            .copied()
            .max_by_key(|layer| self.kind(*layer).map_or(0, |kind| kind.layers.backward));
        if let Some(layer) = tightest {
            let during = self.during(layer, sheet);
            let held = states(&[optimizer, &flight, &passing, &during]);
            let label = format!("backward of layer {} of {}", layer + 1, self.job.network.depth());
            sheet.instant(InstantId::BackwardLast, label, &held);
        }
        if self.chunks.first.is_some() {
            let held = states(&[optimizer, &self.ends.embedding]);
            sheet.instant(InstantId::BackwardEnd, "backward of the embedding", &held);
        }
        sheet.instant(
            InstantId::OptimizerStep,
            "optimizer step",
            &states(&[optimizer, copies]),
        );
    }
}

/// Counts of one entry together.
fn merged(held: Held) -> Held {
    let mut sum = Held::new();
    for (entry, count) in held {
        match sum.iter_mut().find(|(id, _)| *id == entry) {
            Some((_, total)) => *total += count,
            None => sum.push((entry, count)),
        }
    }
    sum
}

fn gradients(bytes: u64) -> Item {
    passing(
        "backward.gradients",
        "gradients and gathered inputs inside a layer's backward",
        bytes,
    )
}

fn recomputed(bytes: u64) -> Item {
    passing(
        "backward.recomputed",
        "what recomputed modules of a layer make again",
        bytes,
    )
}

fn passing(id: &'static str, label: &'static str, bytes: u64) -> Item {
    Item {
        id,
        label,
        group: Group::Activations,
        dtype: None,
        unit: Bytes::new(bytes),
        formula: "Σ of what is alive at the tightest moment of the layer",
        symbols: Vec::new(),
        terms: vec![Bytes::new(bytes)],
        citation: super::ends::SOURCE,
    }
}
