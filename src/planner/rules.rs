//! Why a combination is left out, and how many of the raw space each rule leaves out.

/// A rule that excludes combinations. The first that excludes one is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// The engine, or a limit that was set, refuses it whatever the numbers.
    Refused,
    /// The sizes of the mesh do not multiply to the GPUs.
    Mesh,
    /// A value that means nothing beside the others: it would be the same plan twice.
    Same,
    /// Tensor parallelism does not divide heads, or does not fit into a node.
    Tensor,
    /// The sequence cannot be divided.
    Sequence,
    /// Layers cannot be dealt out to the stages.
    Stages,
    /// Experts cannot be dealt out.
    Experts,
    /// The global batch does not divide into such micro-batches.
    Batch,
    /// The pipeline's schedule does not run with so many micro-batches.
    Schedule,
    /// Memory of the host or its disk does not hold what is offloaded.
    Host,
    /// What is held between two steps is more than the limit, whatever the micro-batch.
    States,
    /// A smaller micro-batch already needs more than the limit.
    Larger,
    /// It was calculated, and its peak is above the limit.
    Memory,
    /// It was calculated, and a token takes longer than it may.
    Slow,
}

impl Rule {
    /// Every rule, in the order in which they are tried.
    pub const ALL: [Self; 14] = [
        Self::Refused,
        Self::Mesh,
        Self::Same,
        Self::Tensor,
        Self::Sequence,
        Self::Stages,
        Self::Experts,
        Self::Batch,
        Self::Schedule,
        Self::Host,
        Self::States,
        Self::Larger,
        Self::Memory,
        Self::Slow,
    ];

    /// The key in JSON.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Mesh => "mesh",
            Self::Same => "same",
            Self::Tensor => "tensor",
            Self::Sequence => "sequence",
            Self::Stages => "stages",
            Self::Experts => "experts",
            Self::Batch => "batch",
            Self::Schedule => "schedule",
            Self::Host => "host",
            Self::States => "states",
            Self::Larger => "larger",
            Self::Memory => "memory",
            Self::Slow => "slow",
        }
    }

    /// For a person.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Refused => "the engine or a limit refuses it",
            Self::Mesh => "sizes of the mesh do not multiply to the GPUs",
            Self::Same => "the same plan as another one",
            Self::Tensor => "tensor parallelism does not divide heads, or leaves the node",
            Self::Sequence => "the sequence does not divide",
            Self::Stages => "layers cannot be dealt out to the stages",
            Self::Experts => "experts cannot be dealt out",
            Self::Batch => "the global batch does not divide",
            Self::Schedule => "the schedule does not run with so many micro-batches",
            Self::Host => "the host does not hold what is offloaded",
            Self::States => "weights, gradients and states alone are above the limit",
            Self::Larger => "a smaller micro-batch is above the limit",
            Self::Memory => "calculated, and above the limit",
            Self::Slow => "a token would take longer than it may",
        }
    }

    /// For a person, of a search for ways of serving.
    pub const fn words_served(self) -> &'static str {
        match self {
            Self::Refused => "the engine refuses it on this card",
            Self::Tensor => "tensor parallelism does not divide the model, or leaves the node",
            Self::States => "the weights alone are above what a GPU has",
            Self::Larger => "more requests at once than fit",
            Self::Memory => "not one request fits, or the need is above the limit",
            other => other.words(),
        }
    }
}

/// How many combinations each rule left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    by_rule: [u64; Rule::ALL.len()],
    /// Combinations whose memory was calculated.
    pub calculated: u64,
    /// Combinations that fit.
    pub fitting: u64,
}

impl Counts {
    /// Leaves combinations out.
    pub fn leave_out(&mut self, rule: Rule, combinations: u64) {
        if let Some(count) = self.by_rule.get_mut(rule as usize) {
            *count = count.saturating_add(combinations);
        }
    }

    /// How many a rule left out.
    pub fn of(&self, rule: Rule) -> u64 {
        self.by_rule.get(rule as usize).copied().unwrap_or(0)
    }

    /// All combinations that were left out or fit: the whole space, once it is searched.
    pub fn all(&self) -> u64 {
        self.by_rule
            .iter()
            .fold(self.fitting, |sum, count| sum.saturating_add(*count))
    }

    /// With those of another part of the space.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.by_rule.iter_mut().zip(other.by_rule) {
            *count = count.saturating_add(more);
        }
        self.calculated = self.calculated.saturating_add(other.calculated);
        self.fitting = self.fitting.saturating_add(other.fitting);
    }
}
