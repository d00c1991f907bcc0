//! `multinode`: traffic, step time, cost and suggestions as a table or as JSON.

use std::process::ExitCode;

use clap::ArgMatches;
use gpu_mem_calc::api::{self, Figures, MultiNodeAnswer, StepAnswer, Strictness, Verdict};
use gpu_mem_calc::units::Bytes;

use crate::failure::{self, Failure};
use crate::table::{Align, Table, count, gib};
use crate::{output, sources};

/// Runs the command.
pub fn run(given: &ArgMatches) -> Result<ExitCode, Failure> {
    let request = sources::request(given)?;
    let strict = sources::switch(given, "strict");
    let strictness = Strictness {
        unknown_fields: strict,
    };
    let answer = api::multi_node_with(&request, strictness).map_err(Failure::Input)?;
    if strict && answer.warnings.iter().any(failure::is_without_effect) {
        return Err(Failure::Input(answer.warnings));
    }
    output::answer(given, &answer, || table(&answer))?;
    let failed = answer.verdict == Verdict::DoesNotFit;
    Ok(failure::judged(given, failed))
}

fn table(answer: &MultiNodeAnswer) -> String {
    let mut text = match &answer.multi_node_info {
        Some(nodes) => format!(
            "{} nodes of {} GPUs, {} ports of {} Gbit/s ({}) each\n",
            nodes.num_nodes,
            nodes.gpus_per_node,
            nodes.ports_per_node,
            nodes.interconnect_bandwidth_gbps,
            nodes.interconnect_type
        ),
        None => format!("one node, {} GPUs\n", answer.gpus_used),
    };
    text.push_str(&format!("Memory: {}\n", answer.verdict.words()));
    match (&answer.step, &answer.step_missing) {
        (Some(step), _) => text.push_str(&times(step)),
        (None, Some(reason)) => text.push_str(&format!("\n{reason}\n")),
        (None, None) => {}
    }
    text.push_str("\nTraffic per step\n");
    text.push_str(&traffic(answer));
    let volumes = &answer.network_overhead;
    let mut rows = Table::plain(&[Align::Left, Align::Right]);
    for (label, bytes) in [
        ("all-reduce", volumes.allreduce_bytes),
        ("all-gather", volumes.allgather_bytes),
        ("reduce-scatter", volumes.reducescatter_bytes),
        ("all-to-all", volumes.all_to_all_bytes),
        ("point to point", volumes.point_to_point_bytes),
        ("tensor parallel", volumes.tensor_parallel_bytes),
        ("total", volumes.total_overhead_bytes),
    ] {
        if bytes > Bytes::ZERO || label == "total" {
            rows.row([label.to_owned(), gib(bytes)]);
        }
    }
    text.push_str("\nOut of each node per step\n");
    text.push_str(&rows.text(2));
    if !answer.suggestions.is_empty() {
        text.push_str("\nSuggestions\n");
        for line in &answer.suggestions {
            text.push_str(&format!("  {line}\n"));
        }
    }
    for issue in &answer.warnings {
        text.push_str(&format!("Note: {}\n", issue.message));
    }
    text
}

fn span(figures: Figures, digits: usize) -> [String; 3] {
    [figures.low, figures.expected, figures.high].map(|value| format!("{value:.digits$}"))
}

fn times(step: &StepAnswer) -> String {
    let right = Align::Right;
    let mut rows = Table::headed(&[
        ("", Align::Left),
        ("low", right),
        ("expected", right),
        ("high", right),
    ]);
    let mut add = |label: &str, figures: Figures, digits| {
        rows.row(std::iter::once(label.to_owned()).chain(span(figures, digits)));
    };
    add("Step, ms", step.step_ms, 1);
    for part in &step.parts {
        add(&format!("  {}", part.label), part.ms, 1);
    }
    add("Tokens per second", step.tokens_per_second, 0);
    add("Tokens per second and GPU", step.tokens_per_second_per_gpu, 0);
    add("Tokens per day, billions", scaled(step.tokens_per_day, 1e-9), 2);
    add("Model TFLOP/s per GPU", step.model_tflops_per_gpu, 1);
    add("MFU, % of dense bf16", step.mfu_percent, 1);
    if let Some(budget) = &step.budget {
        add("Days", budget.days, 1);
        add("GPU-hours", budget.gpu_hours, 0);
        if let Some(cost) = budget.cost {
            add("Cost of the run", cost, 0);
        }
    }
    if let Some(cost) = step.cost_per_billion_tokens {
        add("Cost of a billion tokens", cost, 0);
    }
    let mut text = format!("\nRoofline\n{}", rows.text(2));
    text.push_str("\nRates\n");
    let mut rows = Table::plain(&[Align::Left, right, right, right, Align::Left, Align::Left]);
    for rate in &step.rates {
        let [low, expected, high] = span(rate.value, 0);
        let source = rate.source.clone();
        rows.row([
            rate.label.to_owned(),
            low,
            expected,
            high,
            rate.unit.to_owned(),
            source,
        ]);
    }
    text.push_str(&rows.text(2));
    text
}

fn scaled(figures: Figures, factor: f64) -> Figures {
    Figures {
        low: figures.low * factor,
        expected: figures.expected * factor,
        high: figures.high * factor,
    }
}

fn traffic(answer: &MultiNodeAnswer) -> String {
    let right = Align::Right;
    let mut rows = Table::headed(&[
        ("for", Align::Left),
        ("collective", Align::Left),
        ("ranks", right),
        ("nodes", right),
        ("calls", right),
        ("sent per GPU", right),
        ("out of a node", right),
        ("ms", right),
        ("visible", right),
        ("beside", Align::Left),
    ]);
    for row in &answer.traffic {
        rows.row([
            row.label.to_owned(),
            row.collective.to_owned(),
            row.ranks.to_string(),
            row.nodes.to_string(),
            count(Bytes::nearest(row.calls_per_step).get()),
            gib(row.bytes_per_step),
            gib(row.node_bytes_per_step),
            format!("{:.1}", row.time_ms.expected),
            format!("{:.1}", row.exposed_ms.expected),
            row.beside.to_owned(),
        ]);
    }
    if rows.is_empty() {
        return "  nothing is sent\n".to_owned();
    }
    rows.text(2)
}
