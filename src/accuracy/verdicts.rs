//! Verdicts against what became of published runs: how often a run that completed is called too large, and one that failed
//! for memory is called to fit. Only runs whose card is known and whose record is not of low confidence are judged.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::question::Question;
use super::record::{Format, Record};
use crate::request::{Answer, InputId, Verdict};

/// The verdict on one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Id of the record.
    pub id: String,
    /// Whether the run completed; it failed for memory otherwise.
    pub completed: bool,
    /// What is said of it.
    pub verdict: Verdict,
}

/// The verdict on a record's run; `None` where its card is not known, its confidence is low, or it is no published run.
pub fn judge(record: &Record, question: &Question, answer: &Answer) -> Option<Judged> {
    let known = question.request.get(InputId::Gpu).is_some();
    let sure = record.text("confidence") != Some("low");
    (record.format == Format::Training && known && sure).then(|| Judged {
        id: record.id.clone(),
        completed: !record.flag("oom"),
        verdict: answer.verdict,
    })
}

/// Runs by verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Called to fit.
    pub fits: usize,
    /// Called tight.
    pub tight: usize,
    /// Called too large.
    pub does_not_fit: usize,
}

impl Counts {
    /// All of them.
    pub const fn all(self) -> usize {
        self.fits + self.tight + self.does_not_fit
    }

    fn add(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Fits => self.fits += 1,
            Verdict::Tight => self.tight += 1,
            Verdict::DoesNotFit => self.does_not_fit += 1,
        }
    }
}

/// What became of runs, against what is said of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    /// Runs that completed.
    pub completed: Counts,
    /// Runs that failed for memory.
    pub failed: Counts,
}

impl Confusion {
    /// Of these verdicts.
    pub fn of(verdicts: &[Judged]) -> Self {
        let mut confusion = Self::default();
        for judged in verdicts {
            let side = if judged.completed {
                &mut confusion.completed
            } else {
                &mut confusion.failed
            };
            side.add(judged.verdict);
        }
        confusion
    }

    /// Runs that were judged.
    pub const fn all(self) -> usize {
        self.completed.all() + self.failed.all()
    }

    /// Completed runs called too large, failed runs called to fit, and runs called tight, in per cent.
    pub fn wrong_percent(self) -> (f64, f64, f64) {
        let share = |part: usize, whole: usize| 100.0 * part as f64 / whole.max(1) as f64;
        (
            share(self.completed.does_not_fit, self.completed.all()),
            share(self.failed.fits, self.failed.all()),
            share(self.completed.tight + self.failed.tight, self.all()),
        )
    }

    /// As a Markdown table.
    pub fn markdown(self) -> String {
        let mut text = String::from(
            "| published runs | called \"fits\" | \"tight\" | \"does not fit\" |\n|---|---:|---:|---:|\n",
        );
        for (name, counts) in [("completed", self.completed), ("failed for memory", self.failed)] {
            let _ = writeln!(
                text,
                "| {name} | {} | {} | {} |",
                counts.fits, counts.tight, counts.does_not_fit
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(completed: bool, verdict: Verdict) -> Judged {
        Judged {
            id: "a".into(),
            completed,
            verdict,
        }
    }

    #[test]
    fn runs_are_counted_by_what_became_of_them() {
        let confusion = Confusion::of(&[
            judged(true, Verdict::Fits),
            judged(true, Verdict::Fits),
            judged(true, Verdict::DoesNotFit),
            judged(true, Verdict::Tight),
            judged(false, Verdict::Fits),
        ]);
        assert_eq!((confusion.all(), confusion.failed.fits), (5, 1));
        assert_eq!(confusion.wrong_percent(), (25.0, 100.0, 20.0));
        assert!(confusion.markdown().contains("| completed | 2 | 1 | 1 |"));
    }
}
