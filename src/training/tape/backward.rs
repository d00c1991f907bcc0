//! The backward pass over a tape, in the order of torch's engine: the node recorded last runs first, a node's gradients
//! exist beside what it keeps until it has run, a second gradient for the same tensor is added in place where nobody else
//! holds the first and it is a plain tensor (torch/csrc/autograd/engine.cpp and input_buffer.cpp of PyTorch 2.15).

use super::{Edge, NodeId, Stage, Storage, StorageId, Tape, Target};
use crate::training::names;

/// What happens to the gradient of a weight once it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightGradients {
    /// It stays.
    Stay,
    /// It is added to a gradient that is already there, and freed.
    Added,
}

/// The tightest moment of a stage.
#[derive(Clone, Debug, Default)]
pub struct Peak {
    /// Bytes alive.
    pub bytes: u64,
    /// The storages alive, as indices into [`Played::storages`].
    pub alive: Vec<u32>,
}

/// A tape that was played backwards.
#[derive(Clone, Debug)]
pub struct Played {
    /// The storages of the tape, and after them those that backward made.
    pub storages: Vec<Storage>,
    /// Tightest moment of the body.
    pub body: Peak,
    /// Tightest of the forward pass's moments that were told.
    pub forward: Peak,
    /// Tightest moment of the head.
    pub head: Peak,
    /// Tightest moment of the loss.
    pub loss: Peak,
}

struct State {
    storages: Vec<Storage>,
    sizes: Vec<u64>,
    references: Vec<u32>,
    bytes: u64,
}

impl State {
    fn make(&mut self, storage: Storage) -> u32 {
        let size = storage.bytes().get();
        self.storages.push(storage);
        self.sizes.push(size);
        self.references.push(1);
        self.bytes = self.bytes.saturating_add(size);
        super::index(self.storages.len() - 1)
    }

    fn hold(&mut self, id: u32) {
        let place = id as usize;
        if let (Some(count), Some(size)) = (self.references.get_mut(place), self.sizes.get(place)) {
            if *count == 0 {
                self.bytes = self.bytes.saturating_add(*size);
            }
            *count += 1;
        }
    }

    fn release(&mut self, id: u32) {
        let place = id as usize;
        if let (Some(count), Some(size)) = (self.references.get_mut(place), self.sizes.get(place))
            && *count > 0
        {
            *count -= 1;
            if *count == 0 {
                self.bytes = self.bytes.saturating_sub(*size);
            }
        }
    }

    fn shared(&self, id: u32) -> bool {
        self.references.get(id as usize).is_some_and(|count| *count > 1)
    }

    fn observe(&self, peak: &mut Peak) {
        if self.bytes > peak.bytes {
            peak.bytes = self.bytes;
            peak.alive.clear();
            let alive = self
                .references
                .iter()
                .enumerate()
                .filter(|(_, count)| **count > 0);
            peak.alive.extend(alive.map(|(place, _)| super::index(place)));
        }
    }
}

/// Where backward begins.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// The node that made the output; without one there is no backward.
    pub node: Option<NodeId>,
    /// The gradient that arrives there.
    pub gradient: Storage,
    /// Whether somebody holds that gradient until this pass is over.
    pub held: bool,
}

impl Start {
    /// Where no gradient is wanted: only the forward pass is looked at.
    pub const fn nowhere(gradient: Storage) -> Self {
        Self {
            node: None,
            gradient,
            held: false,
        }
    }
}

impl Tape {
    /// Plays the tape backwards; `held` stays alive all the while beside what the tape itself keeps.
    pub fn play(&self, start: Start, weights: WeightGradients, held: &[StorageId]) -> Played {
        let mut state = State {
            sizes: self
                .storages
                .iter()
                .map(|storage| storage.bytes().get())
                .collect(),
            references: vec![0; self.storages.len()],
            storages: self.storages.clone(),
            bytes: 0,
        };
        let (mut body, mut head, mut loss) = (Peak::default(), Peak::default(), Peak::default());
        let mut forward = Peak::default();
        state.hold(0);
        self.forwards(&mut state, &mut forward);
        state.release(0);
        for id in held {
            state.hold(*id);
        }
        let first = state.make(start.gradient);
        if start.held {
            state.hold(first);
        }
        // A pass that is recomputed runs when it is entered, or when the first of its saved tensors is asked for.
        let mut lazy = !held.is_empty() && !start.held && !self.away;
        if !held.is_empty() && start.held {
            self.forwards(&mut state, &mut body);
        }
        if !lazy && !self.away {
            self.saved.iter().for_each(|id| state.hold(*id));
        }
        let mut incoming: Vec<Vec<u32>> = vec![Vec::new(); self.nodes.len()];
        if let Some(slot) = start.node.and_then(|node| incoming.get_mut(node as usize)) {
            slot.push(first);
        }
        for place in (0..self.nodes.len()).rev() {
            let Some(node) = self.nodes.get(place) else {
                continue;
            };
            let gradients = incoming.get_mut(place).map(std::mem::take).unwrap_or_default();
            let Some(gradient) = gradients.first().copied() else {
                continue;
            };
            let saved = self.saved.get(node.saved.range()).unwrap_or_default();
            if lazy && !saved.is_empty() {
                self.forwards(&mut state, &mut body);
                self.saved.iter().for_each(|id| state.hold(*id));
                lazy = false;
            }
            let peak = match node.stage {
                Stage::Body => &mut body,
                Stage::Head => &mut head,
                Stage::Loss => &mut loss,
            };
            let edges = self.edges.get(node.edges.range()).unwrap_or_default();
            if edges.is_empty() {
                state.observe(peak);
                continue;
            }
            if self.away {
                saved.iter().for_each(|id| state.hold(*id));
            }
            if node.in_place {
                saved.iter().for_each(|id| state.release(*id));
            }
            let made: Vec<u32> = edges
                .iter()
                .map(|edge| match edge.made {
                    Some(storage) => state.make(storage),
                    None => {
                        state.hold(gradient);
                        gradient
                    }
                })
                .collect();
            let temporaries = self.temporaries.get(node.temporaries.range()).unwrap_or_default();
            let mut temporary: Vec<u32> = temporaries.iter().map(|one| state.make(*one)).collect();
            if self.away {
                let returned = self.returned_weights(edges, saved);
                temporary.extend(returned.map(|weight| state.make(weight)));
            }
            state.observe(peak);
            for id in temporary.into_iter().chain(gradients) {
                state.release(id);
            }
            if !node.in_place {
                saved.iter().for_each(|id| state.release(*id));
            }
            for (edge, id) in edges.iter().zip(made) {
                self.deliver(&mut state, &mut incoming, peak, (edge.target, id), weights);
            }
        }
        Played {
            storages: state.storages,
            body,
            forward,
            head,
            loss,
        }
    }

    /// Weights that an operation keeps like any other tensor, and that come back with it; where autocast made a copy, that
    /// copy is what it keeps.
    pub(super) fn returned_weights(
        &self,
        edges: &[Edge],
        saved: &[StorageId],
    ) -> impl Iterator<Item = Storage> {
        let cast = saved
            .iter()
            .filter_map(|id| self.storages.get(*id as usize))
            .any(|storage| storage.name == &names::WEIGHT_CAST);
        let weights = edges
            .iter()
            .filter(move |edge| !cast && edge.target == Target::Weight)
            .filter_map(|edge| edge.made);
        weights.map(|gradient| Storage {
            gradient: false,
            ..gradient
        })
    }

    /// The moments of the forward pass that were told: what is kept so far, operands and temporaries.
    fn forwards(&self, state: &mut State, peak: &mut Peak) {
        for moment in &self.forwards {
            let nodes = self.nodes.get(..moment.nodes as usize).unwrap_or_default();
            let saved = nodes.last().map_or(0, |node| node.saved.end as usize);
            let saved = self.saved.get(..saved).filter(|_| !self.away).unwrap_or_default();
            let operands = self.passing.get(moment.passing.range()).unwrap_or_default();
            let alive = || saved.iter().chain(operands);
            alive().for_each(|id| state.hold(*id));
            let temporaries = self
                .temporaries
                .get(moment.temporaries.range())
                .unwrap_or_default();
            let made: Vec<u32> = temporaries.iter().map(|one| state.make(*one)).collect();
            state.observe(peak);
            made.into_iter().for_each(|id| state.release(id));
            alive().for_each(|id| state.release(*id));
        }
    }

    fn deliver(
        &self,
        state: &mut State,
        incoming: &mut [Vec<u32>],
        peak: &mut Peak,
        (target, id): (Target, u32),
        weights: WeightGradients,
    ) {
        let node = match target {
            Target::Node(node) => node as usize,
            Target::Weight if weights == WeightGradients::Stay => return,
            Target::Weight | Target::Summed | Target::Discarded => return state.release(id),
        };
        let collects = self.nodes.get(node).is_some_and(|node| node.collects);
        let subclass = self.nodes.get(node).is_some_and(|node| node.distributed);
        let Some(slot) = incoming.get_mut(node) else {
            return state.release(id);
        };
        let earlier = slot.first().copied().filter(|_| !collects);
        let Some(earlier) = earlier else {
            slot.push(id);
            return;
        };
        if state.shared(earlier) || subclass {
            let sum = state
                .storages
                .get(earlier as usize)
                .copied()
                .map(|storage| state.make(storage));
            state.observe(peak);
            state.release(earlier);
            slot.clear();
            slot.extend(sum);
        }
        state.release(id);
    }
}
