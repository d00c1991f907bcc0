//! The time of a step: arithmetic and memory of the busiest pipeline rank, what of the communication stays visible, the bubble
//! of the pipeline, and the optimizer.

use super::cost::{Cost, cost};
use super::kinds::Kinds;
use super::machine::Rates;
use super::traffic::{Held, Purpose, Transfer, Window, sent};
use super::workload::{DataSharding, Workload};
use crate::parallel::Schedule;
use crate::units::{Flops, Seconds};

/// One transfer of a step with its times.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exposed {
    /// What.
    pub transfer: Transfer,
    /// One call.
    pub call: Cost,
    /// All calls of a step.
    pub time: Seconds,
    /// What of it nothing hides.
    pub exposed: Seconds,
}

/// The parts of a step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepTimes {
    /// Forward of all micro-batches on the busiest rank, without what waits for others.
    pub forward: Seconds,
    /// Backward of all micro-batches, recomputation included.
    pub backward: Seconds,
    /// Of both, what recomputation takes.
    pub recomputation: Seconds,
    /// Waiting for the pipeline to fill and drain.
    pub bubble: Seconds,
    /// The optimizer.
    pub update: Seconds,
    /// Between GPU and host, and the step there.
    pub offload: Seconds,
    /// What is sent.
    pub transfers: Vec<Exposed>,
}

impl StepTimes {
    /// What of the communication nothing hides.
    pub fn exposed(&self) -> Seconds {
        self.transfers.iter().map(|transfer| transfer.exposed).sum()
    }

    /// All communication, hidden or not.
    pub fn communication(&self) -> Seconds {
        self.transfers.iter().map(|transfer| transfer.time).sum()
    }

    /// The whole step.
    pub fn total(&self) -> Seconds {
        self.forward + self.backward + self.bubble + self.update + self.offload + self.exposed()
    }
}

/// Times of one micro-batch on one pipeline rank.
#[derive(Clone, Copy, Debug, Default)]
struct Pass {
    forward: Seconds,
    backward: Seconds,
    recomputation: Seconds,
    products: Seconds,
    attention: Seconds,
}

impl Pass {
    fn total(self) -> Seconds {
        self.forward + self.backward
    }

    /// With what is done beside the layers' own arithmetic.
    fn with(self, (forward, backward): (Seconds, Seconds)) -> Self {
        Self {
            forward: self.forward + forward,
            backward: self.backward + backward,
            ..self
        }
    }
}

/// Copies around gathers of weights and reductions of gradients, in forward and backward of a micro-batch.
fn staged(work: &Workload, held: Held, trained: f64, rates: &Rates) -> (Seconds, Seconds) {
    let DataSharding::Sharded { regathered, each, .. } = work.sharding else {
        return (Seconds::ZERO, Seconds::ZERO);
    };
    let (gather, reduce) = work.staged_bytes;
    let again = if regathered { gather } else { 0.0 };
    let often = if each {
        1.0
    } else {
        1.0 / work.micro_batches.max(1) as f64
    };
    let reduced = reduce * often * trained;
    (
        rates.memory.time(held.all() * gather),
        rates.memory.time(held.all() * (again + reduced)),
    )
}

/// One micro-batch on a rank of the pipeline.
fn pass(work: &Workload, layers: &Kinds, rates: &Rates, rank: u64) -> Pass {
    let mesh = work.mesh;
    let tokens = work.tokens / mesh.context.max(1) as f64;
    let tensor = mesh.tensor.max(1) as f64;
    let kernels = work.kernels;
    let (mut products, mut scores, mut stream, mut inner) = (0.0, 0.0, 0.0, 0.0);
    for kind in work.kinds_of_rank(rank) {
        let Some(one) = layers.each.get(kind).map(|kind| kind.work) else {
            continue;
        };
        products += one.products;
        scores += one.scores;
        stream += one.stream_bytes;
        inner += one.inner_bytes;
    }
    let along = if work.sequence_parallel { tensor } else { 1.0 };
    let flops = |amount: f64| Flops::new(amount * tokens / tensor);
    let layer_products = rates.products.time(flops(products));
    let attention = rates.attention.time(flops(scores));
    let between = rates.memory.time(tokens * (stream / along + inner / tensor));
    let (_, last) = work.ends_of_rank(rank);
    let vocabulary = work.network.vocabulary as f64;
    let (head, loss) = if last {
        // Logits are read and written in fp32 several times, or once where the loss is one kernel.
        let bytes = if kernels.fused_loss { 8.0 } else { 28.0 };
        let memory = rates.memory.time(tokens * vocabulary * bytes / tensor);
        (rates.products.time(flops(layers.head)), memory)
    } else {
        (Seconds::ZERO, Seconds::ZERO)
    };
    let all = layer_products + attention + between;
    let forward = all + head + loss * 0.5;
    // Frozen weights have no gradients: backward multiplies once instead of twice.
    let twice = 1.0 + layers.trained(work);
    // Flash attention multiplies five times in backward and twice in forward, and writes no scores.
    let scored = if kernels.flash { 2.5 } else { 2.0 };
    let recompute = work.recompute;
    let again = all * recompute.layers
        + (layer_products * recompute.products) * (1.0 - recompute.layers)
        + if recompute.attention {
            attention
        } else {
            Seconds::ZERO
        };
    let backward =
        layer_products * twice + attention * scored + between * 2.0 + head * twice + loss * 0.5 + again;
    Pass {
        forward: forward * (1.0 + work.extra_forward),
        backward,
        recomputation: again,
        products: layer_products,
        attention: attention * (1.0 + scored),
    }
}

/// A bubble in units of the time of one micro-batch on the busiest rank.
///
/// (p - 1) for GPipe and 1F1B, divided by the chunks when interleaved (arXiv 2104.04473 section 2.2); a third of it when only
/// gradients of inputs hold the next stage up (ZB-H1, arXiv 2401.10241 table 1, with equal thirds); none in a V with as many
/// micro-batches as that needs; (p/2 - 1)(3 + 2 - 3) of 3 units for DualPipe (deepseek-ai/DualPipe README).
fn bubble(schedule: Schedule, ranks: u64) -> f64 {
    let waits = ranks.saturating_sub(1) as f64;
    match schedule {
        Schedule::GPipe | Schedule::OneForwardOneBackward => waits,
        Schedule::Interleaved { chunks, .. } => waits / chunks.max(1) as f64,
        Schedule::ZeroBubble => waits / 3.0,
        Schedule::ZeroBubbleV => 0.0,
        Schedule::DualPipe | Schedule::DualPipeV => (ranks as f64 / 2.0 - 1.0).max(0.0) * 2.0 / 3.0,
    }
}

/// The times of a step at these rates.
pub fn step(work: &Workload, rates: &Rates) -> StepTimes {
    step_of(work, &Kinds::of(work), rates)
}

/// As [`step`], with what does not depend on how the work is divided.
pub fn step_of(work: &Workload, kinds: &Kinds, rates: &Rates) -> StepTimes {
    let ranks = work.mesh.pipeline.max(1);
    let busiest = (0..ranks)
        .map(|rank| pass(work, kinds, rates, rank))
        .max_by(|left, right| left.total().get().total_cmp(&right.total().get()))
        .unwrap_or_default();
    let micro_batches = work.micro_batches.max(1) as f64;
    let held = Held::most(work, kinds);
    let busiest = busiest.with(staged(work, held, kinds.trained(work), rates));
    let mut transfers: Vec<Exposed> = sent(work, kinds, held, &rates.cluster)
        .into_iter()
        .map(|transfer| {
            let call = cost(
                transfer.collective,
                transfer.payload,
                transfer.group,
                &rates.cluster,
                rates.choice,
            );
            Exposed {
                transfer,
                call,
                time: call.time() * transfer.calls,
                exposed: Seconds::ZERO,
            }
        })
        .collect();
    let windows = |window| match window {
        Window::Nothing => Seconds::ZERO,
        Window::Forward => busiest.forward * micro_batches,
        Window::Backward => busiest.backward * micro_batches,
        Window::LastBackward => busiest.backward,
        Window::NextForward => busiest.forward,
        Window::WeightGradients => busiest.products * (0.5 * micro_batches),
        Window::Products => busiest.products * (3.0 * micro_batches),
        Window::Attention => busiest.attention * micro_batches,
        Window::Steady => busiest.total() * micro_batches,
    };
    expose(&mut transfers, rates.hidden, windows);
    // Messages that fill and drain a pipeline are hidden by nothing.
    for transfer in transfers
        .iter_mut()
        .filter(|one| one.transfer.purpose == Purpose::Pipeline)
    {
        let ends = transfer.call.time() * (2.0 * ranks.saturating_sub(1) as f64);
        transfer.time += ends;
        transfer.exposed += ends;
    }
    let within: Seconds = transfers
        .iter()
        .filter(|one| one.transfer.each_micro_batch && !is_data(one.transfer.purpose))
        .map(|one| one.exposed)
        .sum();
    let one = busiest.total() + within * (1.0 / micro_batches);
    let updated = updated(work, held, kinds.trained(work));
    let (moved, stepped) = work.offloaded.unwrap_or_default();
    let offload = rates.host_link.time(updated * moved) + rates.host_memory.time(updated * stepped);
    StepTimes {
        forward: busiest.forward * micro_batches,
        backward: busiest.backward * micro_batches,
        recomputation: busiest.recomputation * micro_batches,
        bubble: one * bubble(work.schedule, ranks),
        update: rates.memory.time(updated * work.update_bytes),
        offload,
        transfers,
    }
}

const fn is_data(purpose: Purpose) -> bool {
    matches!(
        purpose,
        Purpose::Gradients
            | Purpose::ReplicaGradients
            | Purpose::WeightsForward
            | Purpose::WeightsBackward
            | Purpose::ExpertGradients
    )
}

/// Parameters that a rank updates.
fn updated(work: &Workload, held: Held, trained: f64) -> f64 {
    let mesh = work.mesh;
    let ranks = mesh.data.saturating_mul(mesh.context).max(1) as f64;
    let own = match work.sharding {
        DataSharding::Replicated { .. } => held.all(),
        DataSharding::Optimizer { .. } => held.dense / ranks + held.routed / mesh.expert_data() as f64,
        DataSharding::Sharded { replicas, .. } => held.all() * replicas.max(1) as f64 / ranks,
    };
    own * trained
}

/// What of transfers is visible: those of one window share it. The first call of each has nothing beside it yet (a gather
/// before the first layer, the last bucket after the last), the rest is visible as far as it takes longer than its window.
fn expose(transfers: &mut [Exposed], hidden: f64, windows: impl Fn(Window) -> Seconds) {
    let all: Vec<Window> = transfers.iter().map(|one| one.transfer.window).collect();
    for window in all.iter().collect::<std::collections::BTreeSet<_>>() {
        let of = |one: &&mut Exposed| one.transfer.window == *window;
        let sum: Seconds = transfers
            .iter()
            .filter(|one| one.transfer.window == *window)
            .map(|one| one.time)
            .sum();
        let room = windows(*window).min(sum) * hidden;
        let left = (sum - room).share_of(sum);
        for one in transfers.iter_mut().filter(of) {
            let first = if one.transfer.calls >= 1.0 {
                one.call.time()
            } else {
                one.time
            };
            one.exposed = (one.time * left).max(first).min(one.time);
        }
    }
}
