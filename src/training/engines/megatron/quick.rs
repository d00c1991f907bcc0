//! Peaks of many Megatron jobs of one network: what settings have in common is added up once, and a pipeline rank is then a few
//! sums. To the byte the peak of the ledger that `stage` makes (`tests`), for the jobs that it covers.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::ends::Ends;
use super::saved::bytes;
use super::share::{self, Share};
use super::states::{Recipe, sharing};
use super::workspace::workspaces;
use super::{Dispatcher, Megatron, Recompute, Sharding, Wrapper, stage};
use crate::model::Network;
use crate::parallel::{Schedule, Split, stages};
use crate::training::sheet::Sheet;
use crate::training::{AttentionKernel, Objective, Optimizer, TrainingJob};
use crate::units::{Bytes, DType};

/// What decides over the sizes of tensors, whatever the pipeline.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    settings: Megatron,
    tokens: u64,
    sequence: u64,
    compute: DType,
    attention: AttentionKernel,
    compute_capability: u16,
    torch: (u16, u16),
}

/// Bytes of one kind of layer.
struct Kind {
    kept: u64,
    all: u64,
    backward: u64,
}

/// Bytes of what settings decide.
struct Sizes {
    kinds: Vec<Kind>,
    checkpoint: u64,
    received: u64,
    embedded: u64,
    embedding: u64,
    loss: [u64; 3],
    waiting: u64,
    workspaces: u64,
}

/// Elements of weights on a rank.
struct Shares {
    kinds: Vec<Share>,
    vocabulary: u64,
    beside_embedding: u64,
    beside_head: u64,
}

/// What decides over [`Shares`].
type Division = (u64, u64, u64, u64);

/// Sizes of one network.
pub struct Quick {
    network: Arc<Network>,
    /// For each kind how many of its layers lie before each layer.
    before: Vec<Vec<u64>>,
    sizes: HashMap<Key, Sizes>,
    shares: HashMap<Division, Shares>,
}

/// Sums of a rank.
struct Rank<'a> {
    job: &'a TrainingJob,
    settings: &'a Megatron,
    number: u64,
    /// Layers of each chunk.
    chunks: Vec<Range<u64>>,
    first: Option<usize>,
    last: Option<usize>,
}

impl Quick {
    /// Nothing is known yet.
    pub fn new(network: &Arc<Network>) -> Self {
        let before = (0..network.kinds.len())
            .map(|kind| {
                let mut count = 0;
                let counts = network.order.iter().map(|own| {
                    count += u64::from(*own == kind);
                    count
                });
                std::iter::once(0).chain(counts).collect()
            })
            .collect();
        Self {
            network: network.clone(),
            before,
            sizes: HashMap::new(),
            shares: HashMap::new(),
        }
    }

    /// Whether it is about this network.
    pub fn is_of(&self, network: &Arc<Network>) -> bool {
        Arc::ptr_eq(&self.network, network)
    }

    /// Whether its sums are those of a job: Megatron's own optimizer and layers with one width of moments, all weights training
    /// for the next token. What is stored, divided or trained otherwise is for the ledger.
    pub fn covers(job: &TrainingJob, settings: &Megatron) -> bool {
        let stored = settings.narrow.is_none()
            && settings.offloaded_millionths == 0
            && settings.sharding == Sharding::None
            && settings.wrapper == Wrapper::Megatron
            && !settings.dealt_out;
        let layers = settings.further == 0 && job.network.encoder.is_none();
        let trained = job.adapter.is_none()
            && job.objective == Objective::NextToken
            && job.optimizer != Optimizer::Muon;
        stored && layers && trained
    }

    /// The peak of the pipeline rank that holds the most, or of the one that is asked for.
    pub fn peak(&mut self, job: &TrainingJob, settings: &Megatron) -> Bytes {
        self.most(job, settings, |quick, rank| quick.of_rank(rank))
    }

    /// What that rank holds between two steps: less than its peak, whatever micro-batch and recomputation.
    pub fn rest(&mut self, job: &TrainingJob, settings: &Megatron) -> Bytes {
        self.most(job, settings, |quick, rank| {
            let (always, optimizer, copies) = quick.states(rank);
            let sizes = quick.sizes.get(&key(rank.job, rank.settings));
            let workspaces = sizes.map_or(0, |sizes| sizes.workspaces);
            sum([always, optimizer, copies, workspaces])
        })
    }

    fn most(
        &mut self,
        job: &TrainingJob,
        settings: &Megatron,
        of: impl Fn(&Self, &Rank<'_>) -> u64,
    ) -> Bytes {
        self.prepare(job, settings);
        let ranks = settings.pipeline.max(1);
        let all = stages(
            self.network.depth(),
            settings.split,
            settings.schedule,
            settings.pipeline,
        )
        .unwrap_or_default();
        let asked = match settings.stage {
            Some(rank) => rank..rank.saturating_add(1),
            None => 0..ranks,
        };
        let most = asked
            .map(|rank| {
                let place = |chunk| settings.schedule.stage(settings.pipeline, rank, chunk);
                let chunks = 0..settings.schedule.chunks();
                let layers = chunks.clone().map(|chunk| {
                    let at = usize::try_from(place(chunk)).ok();
                    at.and_then(|at| all.get(at)).cloned().unwrap_or(0..0)
                });
                let find = |wanted: u64| chunks.clone().position(|chunk| place(chunk) == wanted);
                let one = Rank {
                    job,
                    settings,
                    number: rank,
                    chunks: layers.collect(),
                    first: find(0),
                    last: find((all.len() as u64).saturating_sub(1)),
                };
                of(self, &one)
            })
            .max();
        Bytes::new(most.unwrap_or(0))
    }

    fn prepare(&mut self, job: &TrainingJob, settings: &Megatron) {
        let network = &self.network;
        self.sizes
            .entry(key(job, settings))
            .or_insert_with(|| sizes(network, job, settings));
        self.shares.entry(division(settings)).or_insert_with(|| Shares {
            kinds: network
                .kinds
                .iter()
                .map(|layer| share::of_layer(layer, settings))
                .collect(),
            vocabulary: share::over_vocabulary(network, settings),
            beside_embedding: share::beside_embedding(network, settings),
            beside_head: share::beside_head(network, settings),
        });
    }

    /// How many layers of each kind lie in a range.
    fn counts<'a>(&'a self, range: &Range<u64>) -> impl Iterator<Item = u64> + 'a {
        let at = |layer: u64| usize::try_from(layer).unwrap_or(usize::MAX);
        let (start, end) = (at(range.start), at(range.end));
        self.before.iter().map(move |counts| {
            let of = |place: usize| counts.get(place).copied().unwrap_or(0);
            of(end).saturating_sub(of(start))
        })
    }

    /// Bytes that are always there, those that the first step makes, and copies of narrow gradients.
    fn states(&self, rank: &Rank<'_>) -> (u64, u64, u64) {
        let Some(shares) = self.shares.get(&division(rank.settings)) else {
            return (0, 0, 0);
        };
        let (mut dense, mut experts) = (0_u64, 0_u64);
        for range in &rank.chunks {
            for (count, share) in self.counts(range).zip(&shares.kinds) {
                dense = dense.saturating_add(count.saturating_mul(share.dense()));
                experts = experts.saturating_add(count.saturating_mul(share.experts));
            }
        }
        let (dense_ranks, expert_ranks) = sharing(rank.job, rank.settings);
        let mut parts = vec![(dense, dense_ranks), (experts, expert_ranks)];
        if rank.first.is_some() {
            parts.extend([
                (shares.vocabulary, dense_ranks),
                (shares.beside_embedding, dense_ranks),
            ]);
        }
        if rank.last.is_some() {
            parts.push((shares.beside_head, dense_ranks));
            if !self.network.head.tied || rank.first.is_none() {
                parts.push((shares.vocabulary, dense_ranks));
            }
        }
        let recipe = Recipe::of(rank.job, rank.settings);
        let (mut always, mut optimizer, mut copies) = (0_u64, 0_u64, 0_u64);
        for (elements, ranks) in parts {
            let own = elements.div_ceil(ranks.max(1));
            always = sum([
                always,
                recipe.weights.saturating_mul(elements),
                recipe.gradients.saturating_mul(elements),
                recipe.master.saturating_mul(own),
            ]);
            optimizer = optimizer.saturating_add(recipe.moments.saturating_mul(own));
            copies = copies.saturating_add(recipe.copies.saturating_mul(own));
        }
        (always, optimizer, copies)
    }

    /// The peak of a rank: the largest of its instants, as `stage` fills them.
    fn of_rank(&self, rank: &Rank<'_>) -> u64 {
        let settings = rank.settings;
        let Some(sizes) = self.sizes.get(&key(rank.job, settings)) else {
            return 0;
        };
        let (always, optimizer, copies) = self.states(rank);
        let held = sum([always, sizes.workspaces]);
        let flight = self.in_flight(rank, sizes);
        let passing = if settings.pipeline > 1 {
            sizes.received.saturating_mul(2)
        } else {
            0
        };
        let mut peak = always.max(sum([held, optimizer, copies]));
        peak = peak.max(sum([held, optimizer, flight, passing]));
        if rank.last.is_some() {
            for own in sizes.loss {
                peak = peak.max(sum([held, optimizer, flight, own]));
            }
        }
        let ends = rank.chunks.iter().filter(|range| range.end > range.start);
        let tightest = ends
            .filter_map(|range| sizes.kinds.get(self.kind(range.end - 1)?))
            .max_by_key(|kind| kind.backward);
        if let Some(kind) = tightest {
            let again = match settings.recompute {
                Recompute::Uniform(group) => kind.all.saturating_mul(group),
                Recompute::Block(first) if first > 0 => kind.all,
                Recompute::Modules(_) => kind.all.saturating_sub(kind.kept),
                Recompute::None | Recompute::Block(_) => 0,
            };
            peak = peak.max(sum([held, optimizer, flight, passing, again, kind.backward]));
        }
        if rank.first.is_some() {
            peak = peak.max(sum([held, optimizer, sizes.embedding]));
        }
        peak
    }

    fn kind(&self, layer: u64) -> Option<usize> {
        let at = usize::try_from(layer).ok()?;
        self.network.order.get(at).copied()
    }

    fn in_flight(&self, rank: &Rank<'_>, sizes: &Sizes) -> u64 {
        let settings = rank.settings;
        let found = settings
            .schedule
            .in_flight(settings.pipeline, rank.number, rank.job.accumulation_steps);
        let alive = |chunk: usize| {
            let delayed = if chunk == 0 { found.delayed } else { 0 };
            found
                .chunks
                .get(chunk)
                .copied()
                .unwrap_or(0)
                .saturating_add(delayed)
        };
        let mut held = 0_u64;
        for (chunk, range) in rank.chunks.iter().enumerate() {
            let length = range.end.saturating_sub(range.start);
            let (checkpoints, saved_from) = match settings.recompute {
                Recompute::Uniform(group) => (length.div_ceil(group.max(1)), range.end),
                Recompute::Block(first) => {
                    let recomputed = first.min(length);
                    (recomputed, range.start.saturating_add(recomputed))
                }
                Recompute::None | Recompute::Modules(_) => (0, range.start),
            };
            let mut one = sizes.checkpoint.saturating_mul(checkpoints);
            for (count, kind) in self.counts(&(saved_from..range.end)).zip(&sizes.kinds) {
                one = one.saturating_add(count.saturating_mul(kind.kept));
            }
            if rank.first == Some(chunk) {
                one = one.saturating_add(sizes.embedded);
            }
            held = held.saturating_add(one.saturating_mul(alive(chunk)));
        }
        if let Some(last) = rank.last {
            let waiting = alive(last).saturating_sub(1);
            held = held.saturating_add(sizes.waiting.saturating_mul(waiting));
        }
        held
    }
}

fn sum<const N: usize>(parts: [u64; N]) -> u64 {
    parts.into_iter().fold(0, u64::saturating_add)
}

const fn division(settings: &Megatron) -> Division {
    (
        settings.tensor,
        settings.expert,
        settings.expert_tensor,
        settings.vocabulary_multiple,
    )
}

/// All but what pipeline, states and recomputed layers decide.
fn key(job: &TrainingJob, settings: &Megatron) -> Key {
    let setting = stage::setting(job, settings);
    Key {
        settings: Megatron {
            pipeline: 1,
            context: 1,
            expert: match settings.dispatcher {
                // A rank's rows are as many on however many ranks.
                Dispatcher::Exchanged => settings.expert.min(2),
                Dispatcher::Gathered | Dispatcher::Flex => settings.expert,
            },
            schedule: Schedule::OneForwardOneBackward,
            split: Split::default(),
            distributed_optimizer: false,
            recompute: match settings.recompute {
                Recompute::Modules(modules) => Recompute::Modules(modules),
                Recompute::None | Recompute::Uniform(_) | Recompute::Block(_) => Recompute::None,
            },
            stage: None,
            ..*settings
        },
        tokens: setting.tokens,
        sequence: setting.sequence,
        compute: job.precision.compute(),
        attention: job.attention,
        compute_capability: job.compute_capability,
        torch: job.torch_version,
    }
}

fn sizes(network: &Network, job: &TrainingJob, settings: &Megatron) -> Sizes {
    let setting = stage::setting(job, settings);
    let mut sheet = Sheet::default();
    let ends = Ends::new((job, settings), &setting, &mut sheet);
    let workspaces = workspaces(job, settings, &mut sheet);
    let of = |held: &_| sheet.bytes(held).get();
    Sizes {
        kinds: network
            .kinds
            .iter()
            .map(|layer| {
                let layers = setting.layer(layer);
                Kind {
                    kept: bytes(&layers.kept),
                    all: bytes(&layers.all),
                    backward: layers.backward,
                }
            })
            .collect(),
        checkpoint: setting.checkpoint().size().get(),
        received: ends.received.unit.get(),
        embedded: of(&ends.embedded),
        embedding: of(&ends.embedding),
        loss: [&ends.loss.forward, &ends.loss.backward, &ends.loss.head].map(of),
        waiting: of(&ends.loss.waiting),
        workspaces: of(&workspaces),
    }
}
