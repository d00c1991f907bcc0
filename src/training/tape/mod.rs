//! A tape: the operations of one piece of a network (a block, the head with its loss) as autograd records them, with the
//! storages that each keeps for backward. Sizes and lifetimes only, no values.
//!
//! `storage` names tensors and their sizes, `backward` plays the tape backwards as torch's engine does and finds the
//! tightest moment. What operations exist and what each keeps is told by `training::ops`; this file knows no model.

mod backward;
mod storage;

pub use backward::{Peak, Played, Start, WeightGradients};
pub use storage::{Axis, Name, Rows, Shape, Storage};

use crate::units::DType;

/// Index of a storage on its tape.
pub type StorageId = u32;
/// Index of a node on its tape.
pub type NodeId = u32;

/// A tensor as an operation sees it: where it is stored and which node made it.
#[derive(Clone, Copy, Debug)]
pub struct Var {
    /// Its storage; views share one. `None` where the storage is counted elsewhere (weights, rotary tables).
    pub storage: Option<StorageId>,
    /// The node that made it; `None` where no gradient flows.
    pub node: Option<NodeId>,
    /// Its shape.
    pub shape: Shape,
    /// Its element type.
    pub dtype: DType,
}

/// Where a gradient goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// To the node that made the operand.
    Node(NodeId),
    /// To a weight.
    Weight,
    /// To a small weight: it is computed at full size and summed at once.
    Summed,
    /// Nowhere: no gradient is wanted.
    Discarded,
}

/// What a node hands to one of its operands in backward.
#[derive(Clone, Copy, Debug)]
pub struct Edge {
    /// Where it goes.
    pub target: Target,
    /// A new tensor, or `None` for the incoming gradient itself (or a view of it).
    pub made: Option<Storage>,
}

/// Which part of a tape a node belongs to; the tightest moment is told for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// A block, or all that precedes the head.
    Body,
    /// The head's matrix product.
    Head,
    /// The loss.
    Loss,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    fn of<T>(items: &[T], from: usize) -> Self {
        Self {
            start: index(from),
            end: index(items.len()),
        }
    }

    fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}

fn index(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[derive(Clone, Copy, Debug)]
struct Node {
    edges: Span,
    saved: Span,
    temporaries: Span,
    stage: Stage,
    /// The gradients of several views are collected, not added up.
    collects: bool,
    /// The gradients are written over what the node keeps.
    in_place: bool,
    /// Its output is a DTensor: gradients for it are added out of place.
    distributed: bool,
}

/// The recorded operations.
#[derive(Clone, Debug)]
pub struct Tape {
    storages: Vec<Storage>,
    nodes: Vec<Node>,
    edges: Vec<Edge>,
    saved: Vec<StorageId>,
    temporaries: Vec<Storage>,
    stage: Stage,
    products: u64,
    kept: Vec<Kept>,
    chosen: Vec<StorageId>,
    away: bool,
    distributed: bool,
    outside: Vec<StorageId>,
    cached: Vec<StorageId>,
    forwards: Vec<Forward>,
    passing: Vec<StorageId>,
}

/// A storage that recomputation of operations leaves as it is.
#[derive(Clone, Copy, Debug)]
struct Kept {
    storage: StorageId,
    /// Where every second product is kept.
    every_second: bool,
    /// Where all of them are, of which a graph holds those alone that backward reads or starts again from.
    all: bool,
}

/// A moment of the forward pass that needs much beside what is kept for backward.
#[derive(Clone, Copy, Debug)]
struct Forward {
    /// Nodes recorded before it.
    nodes: u32,
    temporaries: Span,
    /// Storages that somebody still refers to, among those of [`Tape::passing`].
    passing: Span,
}

impl Tape {
    /// An empty tape whose first node stands for its input; `trained`: a gradient flows to it.
    pub fn new(input: Storage, trained: bool) -> (Self, Var) {
        let mut tape = Self {
            storages: Vec::with_capacity(64),
            nodes: Vec::with_capacity(64),
            edges: Vec::with_capacity(96),
            saved: Vec::with_capacity(64),
            temporaries: Vec::with_capacity(32),
            stage: Stage::Body,
            products: 0,
            kept: Vec::new(),
            chosen: Vec::new(),
            away: false,
            distributed: false,
            outside: Vec::new(),
            cached: Vec::new(),
            forwards: Vec::new(),
            passing: Vec::new(),
        };
        let storage = tape.store(input);
        let node = tape.push(&[], &[], &[]);
        let var = Var {
            storage: Some(storage),
            node: trained.then_some(node),
            shape: input.shape,
            dtype: input.dtype,
        };
        (tape, var)
    }

    /// What nodes keep waits in host memory, and comes back while its node runs (torch's save_on_cpu).
    pub fn keep_on_host(&mut self, away: bool) {
        self.away = away;
    }

    /// What save_on_cpu copies to the host: what nodes keep, once for each that keeps it, and the weights among it.
    pub fn packed(&self) -> Vec<Storage> {
        let kept = self
            .saved
            .iter()
            .filter_map(|id| self.storages.get(*id as usize).copied());
        let weights = self.nodes.iter().flat_map(|node| {
            let edges = self.edges.get(node.edges.range()).unwrap_or_default();
            let saved = self.saved.get(node.saved.range()).unwrap_or_default();
            self.returned_weights(edges, saved)
        });
        kept.chain(weights).collect()
    }

    /// Nodes from here on belong to this part.
    pub fn enter(&mut self, stage: Stage) {
        self.stage = stage;
    }

    /// Outputs of nodes from here on are DTensors, or plain tensors again. Says what they were before.
    pub const fn distribute(&mut self, distributed: bool) -> bool {
        std::mem::replace(&mut self.distributed, distributed)
    }

    /// A new storage.
    pub fn store(&mut self, storage: Storage) -> StorageId {
        self.storages.push(storage);
        index(self.storages.len() - 1)
    }

    /// A new node: what it hands on, what it keeps, what it needs beside that while it runs. Where no gradient is wanted
    /// there is no node, and nothing is kept.
    pub fn node(
        &mut self,
        edges: &[Edge],
        saved: &[Option<StorageId>],
        temporaries: &[Storage],
    ) -> Option<NodeId> {
        let wanted = |edge: &Edge| edge.target != Target::Discarded;
        edges
            .iter()
            .any(wanted)
            .then(|| self.push(edges, saved, temporaries))
    }

    fn push(&mut self, edges: &[Edge], saved: &[Option<StorageId>], temporaries: &[Storage]) -> NodeId {
        let (edge, save, temporary) = (self.edges.len(), self.saved.len(), self.temporaries.len());
        self.edges.extend_from_slice(edges);
        self.saved.extend(saved.iter().flatten());
        self.temporaries.extend_from_slice(temporaries);
        self.nodes.push(Node {
            edges: Span::of(&self.edges, edge),
            saved: Span::of(&self.saved, save),
            temporaries: Span::of(&self.temporaries, temporary),
            stage: self.stage,
            collects: false,
            in_place: false,
            distributed: self.distributed,
        });
        index(self.nodes.len() - 1)
    }

    /// The node's incoming gradients belong to different views and are collected until it runs.
    pub fn collect(&mut self, node: Option<NodeId>) {
        if let Some(node) = node.and_then(|node| self.nodes.get_mut(node as usize)) {
            node.collects = true;
        }
    }

    /// The node writes its gradients over what it keeps.
    pub fn write_in_place(&mut self, node: Option<NodeId>) {
        if let Some(node) = node.and_then(|node| self.nodes.get_mut(node as usize)) {
            node.in_place = true;
        }
    }

    /// Counts a matrix product, and says whether op-level recomputation keeps its output: it keeps every second one,
    /// beginning with the first.
    pub fn count_product(&mut self) -> bool {
        self.products += 1;
        self.products % 2 == 1
    }

    /// Recomputation of operations keeps this storage.
    pub fn keep(&mut self, storage: Option<StorageId>) {
        self.keep_as(storage, true);
    }

    /// Counts a product, whose output is kept where all are, and every second time where every second one is.
    pub fn keep_product(&mut self, storage: Option<StorageId>) {
        let every_second = self.count_product();
        self.keep_as(storage, every_second);
    }

    /// What a graph that keeps all products holds because what is computed again starts from it.
    pub fn keep_in_graph(&mut self, storage: Option<StorageId>) {
        self.keep_as(storage, false);
    }

    fn keep_as(&mut self, storage: Option<StorageId>, every_second: bool) {
        self.kept.extend(storage.map(|storage| Kept {
            storage,
            every_second,
            all: true,
        }));
    }

    /// A product that nothing reads in backward, so that a graph does not hold it.
    pub fn unread(&mut self, storage: Option<StorageId>) {
        for kept in self.kept.iter_mut().filter(|kept| Some(kept.storage) == storage) {
            kept.all = false;
        }
    }

    /// A product that was chosen to be kept although its layer is recomputed.
    pub fn keep_chosen(&mut self, storage: Option<StorageId>) {
        self.chosen.extend(storage);
    }

    /// An operation holds this storage beside autograd's saved tensors, so recomputation cannot free it.
    pub fn hold_outside(&mut self, storage: Option<StorageId>) {
        self.outside.extend(storage);
    }

    /// A cache of keys and values refers to this storage until the forward pass of all layers and the loss is over.
    pub fn cache(&mut self, storage: Option<StorageId>) {
        self.cached.extend(storage);
    }

    /// At this moment of the forward pass the operation at hand refers to these operands and needs these temporaries, beside
    /// what is kept.
    pub fn pass(&mut self, operands: &[Option<StorageId>], temporaries: &[Storage]) {
        let (from, first) = (self.temporaries.len(), self.passing.len());
        self.temporaries.extend_from_slice(temporaries);
        self.passing.extend(operands.iter().flatten());
        self.forwards.push(Forward {
            nodes: index(self.nodes.len()),
            temporaries: Span::of(&self.temporaries, from),
            passing: Span::of(&self.passing, first),
        });
    }

    /// Every storage.
    pub fn storages(&self) -> &[Storage] {
        &self.storages
    }

    /// What is alive after the forward pass because backward needs it, each storage once.
    pub fn alive_after_forward(&self) -> Vec<StorageId> {
        if self.away {
            return Vec::new();
        }
        self.once(&self.saved)
    }

    /// What operations hold beside autograd's saved tensors, each storage once.
    pub fn held_outside(&self) -> Vec<StorageId> {
        self.once(&self.outside)
    }

    /// What a cache refers to until the forward pass is over.
    pub fn cached(&self) -> Vec<StorageId> {
        self.once(&self.cached)
    }

    /// What op-level recomputation keeps, each storage once.
    pub fn kept_by_operations(&self) -> Vec<StorageId> {
        self.kept_where(|kept| kept.every_second)
    }

    /// What is kept where all products are.
    pub fn kept_by_products(&self) -> Vec<StorageId> {
        self.kept_where(|kept| kept.all)
    }

    /// What was chosen to be kept.
    pub fn kept_by_choice(&self) -> Vec<StorageId> {
        self.once(&self.chosen)
    }

    fn kept_where(&self, is: fn(&Kept) -> bool) -> Vec<StorageId> {
        let ids: Vec<StorageId> = self
            .kept
            .iter()
            .filter(|kept| is(kept))
            .map(|kept| kept.storage)
            .collect();
        self.once(&ids)
    }

    fn once(&self, ids: &[StorageId]) -> Vec<StorageId> {
        let mut seen = vec![false; self.storages.len()];
        ids.iter()
            .copied()
            .filter(|id| {
                seen.get_mut(*id as usize)
                    .is_some_and(|seen| !std::mem::replace(seen, true))
            })
            .collect()
    }
}
