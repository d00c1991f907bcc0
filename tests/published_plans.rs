//! Published training runs against the planner: whether, with as much memory as the published plan needs, its best plans contain
//! the published one or one that the estimate shows faster. `assets/docs/plans.md` has the table; it is written anew with
//! `GPU_MEM_CALC_WRITE=1`, and compared otherwise.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use std::fs;
use std::path::PathBuf;

use gpu_mem_calc::api::{self, InputId, PlanRow, Request};
use serde_json::{Value, json};

const MARKS: [&str; 2] = ["<!-- published -->\n", "<!-- /published -->"];
/// Plans that are looked through for the published one.
const LISTED: usize = 100;

fn runs() -> Vec<Value> {
    include_str!("plans/published.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).expect("a run"))
        .collect()
}

/// What is compared of a run.
struct Row {
    /// The run's line of the table.
    line: String,
    /// Whether its plan is among the best, or one is faster.
    met: bool,
}

fn compared(run: &Value) -> Row {
    let name = run["name"].as_str().expect("a name");
    let request = Request::from_json(&run["request"]).expect("a request");
    let published = api::multi_node(&request).unwrap_or_else(|issues| unreachable!("{name}: {issues:?}"));
    let step = published.step.as_ref().expect("a time");
    let need = published.need.expected_bytes;
    let mut asked = request.clone().with(InputId::PlanCount, LISTED);
    asked.set(InputId::GlobalBatchTokens, json!(tokens(&request)));
    asked.set(InputId::SequenceParallelThreshold, json!(1));
    // As much memory as the published plan needs, to the byte but for rounding; the card where that is more than it has.
    let usable = usable(&request);
    let share = ((need.get() as f64 + 1e5) / usable).min(1.0);
    asked.set(InputId::TargetUtilization, json!(share));
    let found = api::plan(&asked).unwrap_or_else(|issues| unreachable!("{name}: {issues:?}"));
    let rank = found
        .plans
        .iter()
        .position(|plan| same(plan, &request, step.step_ms.expected));
    let best = found.plans.first();
    let saved = best.map(|best| 100.0 * (1.0 - best.point.step_ms / step.step_ms.expected));
    let fits = need.get() as f64 <= usable;
    let verdict = match (rank, saved) {
        (Some(0), _) => "the best is the published one".to_owned(),
        (Some(rank), Some(saved)) => format!(
            "contains it as number {}; the best is {saved:.1} % faster",
            rank + 1
        ),
        (None, Some(saved)) if saved >= 0.0 => format!("the best is {saved:.1} % faster"),
        (_, Some(saved)) => format!("**missed: the best is {:.1} % slower**", -saved),
        (_, None) => "**missed: no plan fits**".to_owned(),
    };
    let over = if fits { "" } else { " (more than the card has)" };
    let line = format!(
        "| {name}{} | {} | {:.1}{over} | {:.0} | {} | {:.1} | {:.0} | {verdict} |",
        note(run),
        run["source"].as_str().expect("a source"),
        need.to_gib(),
        step.step_ms.expected,
        best.map_or("", |best| best.point.name.as_str()),
        best.map_or(0.0, |best| best.point.need_bytes.to_gib()),
        best.map_or(0.0, |best| best.point.step_ms),
    );
    Row {
        line,
        met: rank.is_some() || saved.is_some_and(|saved| saved >= 0.0),
    }
}

fn note(run: &Value) -> String {
    run["note"]
        .as_str()
        .map_or_else(String::new, |note| format!(" ({note})"))
}

/// What a program gets of the card of a question.
fn usable(request: &Request) -> f64 {
    let job = api::job(request, api::Strictness::default()).expect("a job");
    job.card.usable.expected.get() as f64
}

/// Tokens of a step of a question.
fn tokens(request: &Request) -> u64 {
    let training = api::job(request, api::Strictness::default())
        .expect("a job")
        .training;
    training.tokens() * training.accumulation_steps * training.data_parallel
}

/// Whether a plan is the question's own: the same engine, mesh and micro-batch, and as fast to a thousandth.
fn same(plan: &PlanRow, request: &Request, step: f64) -> bool {
    let job = api::job(request, api::Strictness::default()).expect("a job");
    let mesh = job.mesh;
    plan.engine == job.engine.id.key()
        && (plan.mesh.data, plan.mesh.tensor, plan.mesh.pipeline) == (mesh.data, mesh.tensor, mesh.pipeline)
        && (plan.mesh.context, plan.mesh.expert) == (mesh.context, mesh.expert)
        && plan.micro_batch == job.training.micro_batch
        && (plan.point.step_ms / step - 1.0).abs() < 1e-3
}

fn page() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("assets/docs/plans.md")
}

#[test]
fn published_plans_are_found_or_beaten_at_equal_memory() {
    let rows: Vec<Row> = runs().iter().map(compared).collect();
    assert!(rows.len() >= 10);
    let met = rows.iter().filter(|row| row.met).count();
    let mut table = format!(
        "{met} of {} runs: the best plans contain the published one, or one that the estimate shows faster with no more memory.\n\n",
        rows.len()
    );
    table.push_str("| run | source | its plan needs, GiB | its step, ms | best plan with as much memory | needs, GiB | step, ms | verdict |\n");
    table.push_str("|---|---|---|---|---|---|---|---|\n");
    for row in &rows {
        table.push_str(&row.line);
        table.push('\n');
    }
    let text = fs::read_to_string(page()).expect("the page");
    let (before, rest) = text.split_once(MARKS[0]).expect("a mark before the table");
    let (now, after) = rest.split_once(MARKS[1]).expect("a mark after the table");
    let wanted = format!("\n{table}\n");
    if std::env::var_os("GPU_MEM_CALC_WRITE").is_some() {
        fs::write(page(), format!("{before}{}{wanted}{}{after}", MARKS[0], MARKS[1])).expect("written");
    } else {
        assert_eq!(
            now, wanted,
            "assets/docs/plans.md: run this test with GPU_MEM_CALC_WRITE=1"
        );
    }
    assert!(met >= 10, "only {met}");
}

#[test]
fn every_run_has_a_source_and_a_question_without_errors() {
    for run in runs() {
        assert!(
            run["source"].as_str().is_some_and(|source| source.len() > 10),
            "{}",
            run["id"]
        );
        let request = Request::from_json(&run["request"]).expect("a request");
        let errors: Vec<_> = api::validate(&request)
            .into_iter()
            .filter(api::Issue::is_error)
            .collect();
        assert_eq!(errors, [], "{}", run["id"]);
    }
}
