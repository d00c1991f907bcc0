//! What is trained for: the next token, preferences over answers, or a reward. Plain data of a job; what it does to the end of
//! the network is in `preference`, and in `engines::megatron`.

/// How the log-probabilities of the tokens are computed in preference training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogProbabilities {
    /// `log_softmax` of an fp32 copy of the logits.
    Wide,
    /// `log_softmax` in the type of the logits.
    Narrow,
    /// In the type of the logits, one sequence after another.
    Rows,
}

/// What is trained for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objective {
    /// The next token.
    NextToken,
    /// Preferences over answers, by their log-probabilities.
    Preference(Preference),
    /// A reward model: pairs of answers, one number for each from a head of one row.
    Reward,
}

/// How preferences are trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preference {
    /// How log-probabilities are computed.
    pub how: LogProbabilities,
    /// Whether chosen and rejected answers pass together (DPO), and not single ones that are good or bad (KTO).
    pub pairs: bool,
    /// Whether a reference passes them as well: a copy of the model, or the model with its adapters switched off. Losses
    /// over average log-probabilities have none (SimPO, arXiv 2405.14734).
    pub reference: bool,
}

impl Objective {
    /// Sequences that one row of the batch stands for: a pair where preferences are trained.
    pub const fn sequences_per_row(self) -> u64 {
        match self {
            Self::NextToken => 1,
            Self::Preference(preference) => {
                if preference.pairs {
                    2
                } else {
                    1
                }
            }
            Self::Reward => 2,
        }
    }
}
