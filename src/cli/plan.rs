//! `plan`: the best ways to divide a job among its GPUs, or to serve on them. While it searches, a terminal sees on standard error
//! how far it is.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::ArgMatches;
use gpu_mem_calc::api::{
    self, PlanAnswer, PlanPoint, PlanProgress, PlanRefusal, PlanRow, PlanSpace, Planned, Strictness,
};

use crate::failure::{self, Failure};
use crate::table::{Align, Table, count, gib};
use crate::{output, plan_serving, sources};

/// How often a terminal is told how far the search is.
const OFTEN: Duration = Duration::from_millis(100);

/// Runs the command.
pub fn run(given: &ArgMatches) -> Result<ExitCode, Failure> {
    let request = sources::request(given)?;
    let strict = sources::switch(given, "strict");
    let strictness = Strictness {
        unknown_fields: strict,
    };
    let mut told = Told::new();
    let found = api::planned_with(&request, strictness, &mut |progress| {
        told.tell(progress);
        true
    });
    told.clear();
    let answer = found.map_err(Failure::Input)?;
    let (warnings, nothing) = match &answer {
        Planned::Training(found) => (&found.warnings, found.plans.is_empty()),
        Planned::Serving(found) => (&found.warnings, found.plans.is_empty()),
    };
    if strict && warnings.iter().any(failure::is_without_effect) {
        return Err(Failure::Input(warnings.clone()));
    }
    output::answer(given, &answer, || match &answer {
        Planned::Training(found) => table(found),
        Planned::Serving(found) => plan_serving::table(found),
    })?;
    Ok(failure::judged(given, nothing))
}

/// One line on a terminal's standard error, written over again and again.
struct Told {
    shown: bool,
    terminal: bool,
    last: Option<Instant>,
}

impl Told {
    fn new() -> Self {
        Self {
            shown: false,
            terminal: std::io::stderr().is_terminal(),
            last: None,
        }
    }

    fn tell(&mut self, progress: &PlanProgress) {
        let recently = self.last.is_some_and(|last| last.elapsed() < OFTEN);
        if !self.terminal || recently {
            return;
        }
        self.last = Some(Instant::now());
        self.shown = true;
        let training = progress.best.as_ref();
        let serving = progress.serving.as_ref();
        let best = training
            .map(|best| format!(", best so far {:.0} ms", best.step_ms))
            .or_else(|| {
                let rate = serving?.tokens_per_second_per_gpu?;
                Some(format!(", best so far {rate:.0} tokens/s/GPU"))
            });
        let line = format!(
            "\r\x1b[2K{} of {} combinations, {} fit{}",
            count(progress.settled),
            count(progress.combinations),
            count(progress.fitting),
            best.unwrap_or_default()
        );
        write(&line);
    }

    fn clear(&self) {
        if self.shown {
            write("\r\x1b[2K");
        }
    }
}

/// To standard error; where it is closed there is nobody to tell.
fn write(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

fn table(answer: &PlanAnswer) -> String {
    let asked = &answer.asked;
    let mut text = format!(
        "{} x {}, {} per node; {} tokens per step in sequences of {}; up to {} per GPU ({:.0} % of {})\n",
        count(asked.gpus),
        asked.gpu,
        asked.gpus_per_node,
        count(asked.tokens_per_step),
        count(asked.sequence_length),
        gib(asked.limit_bytes),
        100.0 * asked.target_gpu_utilization,
        gib(asked.usable_bytes),
    );
    text.push_str(&format!(
        "{} combinations in {} ways of training, {} calculated, {} fit\n",
        count(answer.space.combinations),
        answer.space.ways,
        count(answer.space.calculated),
        count(answer.space.fitting),
    ));
    if answer.plans.is_empty() {
        text.push_str(&nothing(answer));
    } else {
        text.push_str("\nBest plans\n");
        text.push_str(&plans(&answer.plans));
    }
    if let Some(why) = &answer.why {
        text.push_str(&format!(
            "\nWhy the first\n  {}\n  Against: {}\n",
            why.words, why.other.name
        ));
    }
    if answer.front.len() > 1 {
        text.push_str("\nFaster or smaller: no plan is both faster and smaller than one of these\n");
        text.push_str(&front(&answer.front));
    }
    text.push_str(&left_out(&answer.space, &answer.refused));
    for issue in &answer.warnings {
        text.push_str(&format!("Note: {}\n", issue.message));
    }
    text
}

/// What was left out, and what was refused.
pub fn left_out(space: &PlanSpace, refused: &[PlanRefusal]) -> String {
    let mut text = "\nLeft out\n".to_owned();
    let mut rows = Table::plain(&[Align::Left, Align::Right]);
    for left_out in &space.left_out {
        rows.row([left_out.label.to_owned(), count(left_out.combinations)]);
    }
    text.push_str(&rows.text(2));
    for refusal in refused {
        text.push_str(&format!("Refused: {}: {}\n", refusal.way, refusal.reason));
    }
    text
}

fn nothing(answer: &PlanAnswer) -> String {
    match (&answer.nearest, answer.shortfall_bytes) {
        (Some(nearest), Some(shortfall)) => format!(
            "\nNothing fits. The least is needed by {}: {}, {} too much.\n",
            nearest.name,
            gib(nearest.need_bytes),
            gib(shortfall)
        ),
        _ => "\nNo combination is valid.\n".to_owned(),
    }
}

fn plans(plans: &[PlanRow]) -> String {
    let right = Align::Right;
    let mut rows = Table::headed(&[
        ("", right),
        ("plan", Align::Left),
        ("step, ms", right),
        ("tokens/s/GPU", right),
        ("MFU, %", right),
        ("need", right),
        ("left", right),
        ("GPU-hours per 10⁹ tokens", right),
    ]);
    for (number, plan) in plans.iter().enumerate() {
        rows.row([
            (number + 1).to_string(),
            plan.point.name.clone(),
            format!("{:.0}", plan.point.step_ms),
            format!("{:.0}", plan.tokens_per_second_per_gpu.expected),
            format!("{:.1}", plan.mfu_percent.expected),
            gib(plan.point.need_bytes),
            gib(plan.margin_bytes),
            format!("{:.0}", plan.gpu_hours_per_billion_tokens),
        ]);
    }
    rows.text(2)
}

fn front(points: &[PlanPoint]) -> String {
    let right = Align::Right;
    let mut rows = Table::headed(&[("plan", Align::Left), ("step, ms", right), ("need", right)]);
    for point in points {
        rows.row([
            point.name.clone(),
            format!("{:.0}", point.step_ms),
            gib(point.need_bytes),
        ]);
    }
    rows.text(2)
}
