//! One pipeline rank over a step: its chunks of layers, the ends of the network that it holds, what is in flight, and the ledger
//! of its instants.

use super::ends::{Ends, Loss};
use super::saved::{Layers, Saved, Setting, bytes};
use super::settings::Wrapper;
use super::share::{self, Share};
use super::states::{Parts, States};
use super::{Megatron, Recompute};
use crate::memory::{Group, InstantId, Ledger};
use crate::model::Network;
use crate::parallel::{InFlight, stages};
use crate::training::plan::extend;
use crate::training::sheet::{Held, Item, Sheet};
use crate::training::{Objective, TrainingJob};
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
    let further = (settings.further > 0 && chunks.last.is_some()).then(|| {
        let last = setting.layer(network.layers().next_back()?);
        let before = setting.further();
        let with = |saved: &[Saved]| [before.as_slice(), saved].concat();
        Some(Kind {
            kept: register(&with(&last.kept), &mut sheet),
            all: register(&with(&last.all), &mut sheet),
            layers: last,
        })
    });
    let states = States::new((job, settings), &parts(job, settings, &chunks), &mut sheet);
    let ends = Ends::new((job, settings), &setting, &mut sheet);
    let step = Step {
        job,
        settings,
        setting,
        chunks,
        kinds,
        further: further.flatten(),
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
        adapter: job.adapter,
        micro_batch: job.micro_batch,
        decoder: job.network.encoder.map(|encoder| encoder.decoder_tokens),
    }
}

/// The weights of a rank by place: its layers, and the ends that it holds.
pub fn shares(job: &TrainingJob, settings: &Megatron, chunks: &Chunks) -> Vec<(&'static str, Share)> {
    let network: &Network = &job.network;
    let layers = chunks.layers.iter().fold(Share::default(), |sum, range| {
        sum.and(share::of_layers(network, range, settings))
    });
    let word = || Share::other(share::over_vocabulary(network, settings));
    let mut parts = vec![("layers", layers)];
    if chunks.first.is_some() {
        parts.push(("embedding", word()));
        parts.push((
            "positions",
            Share::other(share::beside_embedding(network, settings)),
        ));
    }
    if chunks.last.is_some() {
        parts.push(("final norm", Share::other(share::beside_head(network, settings))));
        // A tied head is the embedding, and a second copy of it where the embedding is elsewhere; a reward is one row.
        let elsewhere = chunks.first.is_none();
        if job.objective == Objective::Reward {
            parts.push(("head of one row", Share::other(network.hidden_size)));
        } else if !network.head.tied || elsewhere {
            parts.push(("head", word()));
        }
        if settings.further > 0 {
            let one = share::of_further(network, settings);
            let all = (1..settings.further).fold(one, |sum, _| sum.and(one));
            parts.push(("layers for further tokens", all));
            // core/models/gpt/gpt_model.py: a stage with such layers embeds the tokens that follow.
            if elsewhere && !network.head.tied {
                parts.push(("embedding of further tokens", word()));
            }
        }
    }
    parts
}

/// What the states are made from.
fn parts(job: &TrainingJob, settings: &Megatron, chunks: &Chunks) -> Parts {
    let network: &Network = &job.network;
    let shares = shares(job, settings, chunks);
    let ranges = chunks.layers.iter();
    let adapters = job.adapter.map_or_else(Share::default, |adapter| {
        let of = |range| share::of_adapters(network, range, settings, adapter);
        let depth = network.depth();
        let last = depth.saturating_sub(1)..depth;
        let further = if chunks.last.is_some() {
            settings.further
        } else {
            0
        };
        let beside = (0..further).fold(Share::default(), |sum, _| sum.and(of(&last)));
        ranges.clone().map(of).fold(beside, Share::and)
    });
    let mut tensors = Vec::new();
    if settings.dealt_out {
        for range in ranges {
            tensors.extend(share::tensors(network, range, settings));
        }
        let ends = shares.iter().filter(|(place, _)| *place != "layers");
        tensors.extend(ends.map(|(_, share)| (share.all(), share::Kind::Vector)));
    }
    let kinds = network
        .kinds
        .iter()
        .map(|layer| share::of_layer(layer, settings).all());
    Parts {
        shares,
        adapters,
        tensors,
        layer: kinds.max().unwrap_or(0),
    }
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
    /// The layers for further tokens, where the rank has them.
    further: Option<Kind>,
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
        if self.chunks.last == Some(chunk)
            && let Some(further) = &self.further
        {
            let again = !matches!(self.settings.recompute, Recompute::None | Recompute::Modules(_));
            // Under full recomputation such a layer is a checkpoint as well (`_checkpointed_forward`).
            let kept = if again {
                vec![(checkpoint, 2)]
            } else {
                further.kept.clone()
            };
            extend(&mut held, &kept, self.settings.further);
        }
        // runtime/pipe/engine.py of DeepSpeed: `pipe_buffers["outputs"]` stay until their gradients have come.
        if self.settings.wrapper != Wrapper::Megatron && self.settings.pipeline > 1 {
            held.push((sheet.item(self.ends.received.clone(), ""), 1));
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
            // The losses of further tokens are computed before the loss, and wait for backward like it
            // (core/models/gpt/gpt_model.py, `process_mtp_loss`).
            let further = self.settings.further.saturating_mul(waiting + 1);
            extend(&mut held, &self.ends.loss.waiting, further);
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
        let (gathered, low, whole) = (&self.states.gathered, &self.states.backward, &self.states.whole);
        let load = self.states.always.clone();
        sheet.instant(InstantId::Load, "weights loaded", &load);
        sheet.instant(
            InstantId::Rest,
            "between two steps",
            &states(&[optimizer, copies]),
        );
        let flight = self.in_flight(sheet);
        let passing = self.passing(sheet);
        let held = states(&[optimizer, &flight, &passing, gathered, low]);
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
                let ends: &[_] = if id == InstantId::HeadBackward { whole } else { &[] };
                let held = states(&[optimizer, &flight, own, gathered, low]);
                sheet.instant(id, label, &[held.as_slice(), ends].concat());
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
            let held = states(&[
                optimizer,
                &flight,
                &passing,
                &during,
                gathered,
                low,
                &self.states.layers,
            ]);
            let label = format!("backward of layer {} of {}", layer + 1, self.job.network.depth());
            sheet.instant(InstantId::BackwardLast, label, &held);
        }
        if self.chunks.first.is_some() && self.job.adapter.is_none() {
            let held = states(&[optimizer, &self.ends.embedding, gathered, low, whole]);
            sheet.instant(InstantId::BackwardEnd, "backward of the embedding", &held);
        }
        if !self.states.reduction.is_empty() {
            let held = states(&[optimizer, &self.states.reduction, low]);
            sheet.instant(InstantId::Clip, "gradients are reduced", &held);
        }
        let held = match self.settings.wrapper {
            Wrapper::Megatron => states(&[optimizer, copies]),
            Wrapper::DeepSpeed { .. } => states(&[optimizer, copies, &self.states.step, low]),
        };
        sheet.instant(InstantId::OptimizerStep, "optimizer step", &held);
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
