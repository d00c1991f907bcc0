//! The images of a micro-batch as a job states them, and what trains of the tower that reads them. What that holds is told by
//! [`super::vision`].

/// What trains of a vision tower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TowerTraining {
    /// Nothing.
    Frozen,
    /// What leads from the tower to the text.
    Projector,
    /// All of it.
    Whole,
}

/// The images of a micro-batch, all of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Images {
    /// How many.
    pub count: u64,
    /// Patches of one.
    pub patches: u64,
    /// Tokens of the text that one becomes.
    pub tokens: u64,
    /// What trains of the tower that reads them.
    pub training: TowerTraining,
}
