//! Colour and progress, both only where a person watches: on a terminal, and never with `NO_COLOR`, `TERM=dumb` or `--quiet`.

use std::io::{IsTerminal as _, Write as _};

use clap::ArgMatches;
use gpu_mem_calc::api::Verdict;

use crate::{output, sources};

/// Whether standard output is a terminal that shows colours.
fn colours() -> bool {
    let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    std::io::stdout().is_terminal()
        && named("NO_COLOR").is_none()
        && named("TERM").is_none_or(|term| term != "dumb")
}

/// The words of a verdict: green, yellow or red on a terminal.
pub fn verdict(verdict: Verdict) -> String {
    let colour = match verdict {
        Verdict::Fits => 32,
        Verdict::Tight => 33,
        Verdict::DoesNotFit => 31,
    };
    match colours() {
        true => format!("\u{1b}[1;{colour}m{}\u{1b}[0m", verdict.words()),
        false => verdict.words().to_owned(),
    }
}

/// A line on standard error that says how far long work is; it takes itself away at the end.
pub struct Progress {
    shown: bool,
}

impl Progress {
    /// Shown where standard error is a terminal and `--quiet` was not given.
    pub fn new(given: &ArgMatches) -> Self {
        let watched = std::io::stderr().is_terminal() && !sources::switch(given, "quiet");
        Self {
            shown: watched && output::format(given) == "table",
        }
    }

    /// Says what is being done.
    pub fn say(&self, words: &str) {
        if self.shown {
            // Nobody misses a line of progress.
            let _ = write!(std::io::stderr().lock(), "\r\u{1b}[2K{words}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.say("");
    }
}
