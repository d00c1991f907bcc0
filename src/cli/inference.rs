//! `inference`: the answer to a serving question as a table or as JSON.

use std::process::ExitCode;

use clap::ArgMatches;
use gpu_mem_calc::accuracy;
use gpu_mem_calc::api::{
    self, Figures, InferenceAnswer, Request, ServerRow, SideBySide, Strictness, Verdict,
};

use crate::calculate::node;
use crate::failure::{self, Failure};
use crate::parts::{heading, instants, ledger, meters, notes, totals};
use crate::table::{Align, Table, count, gib};
use crate::{output, sources};

/// Runs the command.
pub fn run(given: &ArgMatches) -> Result<ExitCode, Failure> {
    let request = sources::request(given)?;
    let strict = sources::switch(given, "strict");
    if sources::switch(given, "side-by-side") {
        return side_by_side(given, &request);
    }
    let strictness = Strictness {
        unknown_fields: strict,
    };
    let answer = accuracy::calculate_inference(&request, strictness).map_err(Failure::Input)?;
    if strict && answer.warnings.iter().any(failure::is_without_effect) {
        return Err(Failure::Input(answer.warnings));
    }
    match output::is_sheet(given) {
        true => output::sheet(given, &request)?,
        false => output::answer(given, &answer, || {
            table(&answer, sources::switch(given, "ledger"))
        })?,
    }
    let failed = answer.verdict == Verdict::DoesNotFit;
    Ok(failure::judged(given, failed))
}

/// Every engine's answer.
fn side_by_side(given: &ArgMatches, request: &Request) -> Result<ExitCode, Failure> {
    let all = api::side_by_side(request);
    output::answer(given, &all, || engines(&all))?;
    let fits = |row: &ServerRow| {
        let answer = row.answer.as_ref();
        answer.is_some_and(|answer| answer.verdict != Verdict::DoesNotFit)
    };
    Ok(failure::judged(given, !all.engines.iter().any(fits)))
}

fn engines(all: &SideBySide) -> String {
    let mut rows = Table::headed(&[
        ("Engine", Align::Left),
        ("Verdict", Align::Left),
        ("Need", Align::Right),
        ("Weights", Align::Right),
        ("as", Align::Left),
        ("Tokens", Align::Right),
        ("Sequences", Align::Right),
    ]);
    let mut notes = String::new();
    for row in &all.engines {
        if let Some(answer) = &row.answer {
            rows.row([
                row.name.to_owned(),
                answer.verdict.words().to_owned(),
                gib(answer.need.expected_bytes),
                gib(answer.weights_bytes),
                answer.weights.clone(),
                count(answer.tokens),
                count(answer.sequences),
            ]);
        }
        let difference = row.answer.as_ref().and_then(|answer| answer.difference.as_ref());
        if let Some(difference) = difference {
            notes.push_str(&format!(
                "  {} holds more than {}, most of all by: {}\n",
                row.name, difference.name, difference.words
            ));
        }
        for issue in &row.issues {
            notes.push_str(&format!("  {}: {}: {}\n", row.name, issue.path, issue.message));
        }
        if !row.left_out.is_empty() {
            notes.push_str(&format!(
                "  {} does not read {}\n",
                row.name,
                row.left_out.join(", ")
            ));
        }
    }
    format!(
        "{}{}{notes}",
        rows.text(0),
        if notes.is_empty() { "" } else { "\n" }
    )
}

fn table(answer: &InferenceAnswer, whole_ledger: bool) -> String {
    let mut text = heading(
        (&answer.model, answer.gpus_used),
        (answer.verdict, answer.need),
        &answer.capacity,
    );
    if let Some(line) = &answer.failure {
        text.push_str(&format!("The engine prints: {line}\n"));
    }
    text.push('\n');
    text.push_str(&summary(answer));
    text.push_str(&speed(answer));
    text.push_str("\nParts of one GPU (low, expected, high)\n");
    text.push_str(&parts(answer));
    text.push_str(&cards(answer));
    text.push_str(&sharing(answer));
    if let Some(host) = &answer.host {
        text.push_str("\nOutside the GPUs (low, expected, high)\n");
        text.push_str(&node(host));
    }
    if !answer.start_up.is_empty() {
        text.push_str("\nStart-up as the engine logs it\n");
        for line in &answer.start_up {
            text.push_str(&format!("  {line}\n"));
        }
    }
    text.push_str("\nMeters (low, expected, high)\n");
    text.push_str(&meters(&answer.meters, answer.need));
    text.push_str("\nInstants\n");
    text.push_str(&instants(&answer.instants));
    text.push_str(&ledger(&answer.ledger, whole_ledger));
    text.push_str(&notes(&answer.assumed, &answer.validation, &answer.warnings));
    text
}

fn summary(answer: &InferenceAnswer) -> String {
    let groups = &answer.breakdown;
    let mut rows = totals(
        &[
            ("Memory per GPU", answer.total_memory_per_gpu_bytes),
            ("Total GPU memory", answer.total_memory_all_gpus_bytes),
            ("  Model parameters", groups.model_params_bytes),
            ("  KV cache", groups.kv_cache_bytes),
            ("  Activations", groups.activations_bytes),
            ("  Overhead", groups.overhead_bytes),
        ],
        answer.verdict,
        answer.memory_utilization_percent,
    );
    rows.row([
        "Most sequences of this length".to_owned(),
        count(answer.max_supported_batch_size),
    ]);
    rows.row([
        "Longest sequence with so many".to_owned(),
        count(answer.max_context_len),
    ]);
    rows.row([
        "Fewest GPUs per copy".to_owned(),
        answer
            .fewest_gpus
            .map_or_else(|| "none of those tried".to_owned(), |gpus| gpus.to_string()),
    ]);
    if let Some(layers) = answer.most_gpu_layers {
        rows.row(["Most layers on the GPUs".to_owned(), layers.to_string()]);
    }
    if let Some(pool) = &answer.pool {
        rows.row(["Tokens in the cache pool".to_owned(), count(pool.tokens)]);
        rows.row([
            "Sequences in the pool".to_owned(),
            format!("{:.2}", pool.max_concurrency),
        ]);
    }
    if let Some(rate) = answer.estimated_throughput_tokens_per_sec {
        rows.row([
            "Tokens per second, at most (roofline)".to_owned(),
            format!("{rate:.0}"),
        ]);
    }
    rows.text(0)
}

/// How fast a copy can serve, and machines for the asked traffic.
fn speed(answer: &InferenceAnswer) -> String {
    let Some(speed) = &answer.speed else {
        return String::new();
    };
    let mut rows = Table::plain(&[Align::Left, Align::Right, Align::Right, Align::Right]);
    let mut add = |label: &str, value: Figures, digits: usize| {
        let cells = [value.low, value.expected, value.high].map(|one| format!("{one:.digits$}"));
        rows.row(std::iter::once(label.to_owned()).chain(cells));
    };
    add("Time to first token, ms", speed.ttft_ms, 1);
    add("Time per token, ms", speed.tpot_ms, 2);
    add("Prompt tokens per second", speed.prefill_tokens_per_second, 0);
    add(
        "New tokens per second and sequence",
        speed.decode_tokens_per_second_per_sequence,
        1,
    );
    add("New tokens per second", speed.decode_tokens_per_second, 0);
    add(
        "New tokens per second, prompts included",
        speed.output_tokens_per_second,
        0,
    );
    if let Some(sizing) = &speed.sizing {
        add("Sequences at once per copy", sizing.sequences_per_copy, 0);
        add(
            "Requests per second of a copy",
            sizing.requests_per_second_per_copy,
            2,
        );
        add("Copies for the traffic", sizing.replicas, 0);
        add("GPUs for the traffic", sizing.gpus, 0);
    }
    let mut text = format!(
        "\nSpeed, a roofline (low, expected, high): prompts bound by {}, steps by {}\n{}",
        speed.prefill_bound,
        speed.decode_bound,
        rows.text(2)
    );
    if let Some(sizing) = &speed.sizing {
        text.push_str(&format!(
            "  The traffic is limited by {}.\n",
            sizing.limit.replace('_', " ")
        ));
    }
    if let Some(reason) = &speed.sizing_missing {
        text.push_str(&format!("  {reason}\n"));
    }
    text
}

fn parts(answer: &InferenceAnswer) -> String {
    let mut rows = Table::plain(&[Align::Left, Align::Right, Align::Right, Align::Right]);
    for part in &answer.parts {
        rows.row([
            part.label.to_owned(),
            gib(part.bytes.low_bytes),
            gib(part.bytes.expected_bytes),
            gib(part.bytes.high_bytes),
        ]);
    }
    rows.text(2)
}

/// The kinds of a node of unlike cards.
fn cards(answer: &InferenceAnswer) -> String {
    if answer.cards.is_empty() {
        return String::new();
    }
    let mut rows = Table::plain(&[Align::Left, Align::Right, Align::Right, Align::Right, Align::Left]);
    for card in &answer.cards {
        rows.row([
            card.name.clone(),
            card.gpus.to_string(),
            gib(card.need_bytes),
            gib(card.budget_bytes),
            format!(
                "{}{}",
                card.verdict.words(),
                if card.binding { " <- binds" } else { "" }
            ),
        ]);
    }
    format!("\nCards (GPUs, need, budget)\n{}", rows.text(2))
}

/// The engines that share each GPU, in the order of their starts.
fn sharing(answer: &InferenceAnswer) -> String {
    let Some(sharing) = &answer.sharing else {
        return String::new();
    };
    let mut rows = Table::plain(&[
        Align::Right,
        Align::Left,
        Align::Right,
        Align::Right,
        Align::Right,
        Align::Left,
    ]);
    for share in &sharing.rows {
        rows.row([
            format!("{}.", share.order),
            share.engine.clone(),
            format!("{:.3}", share.gpu_memory_utilization),
            format!("{:.3}", share.utilization_high),
            gib(share.free_before_bytes),
            if share.starts { "starts" } else { "does not start" }.to_owned(),
        ]);
    }
    format!(
        "\nEngines on each GPU in the order of their starts (--gpu-memory-utilization expected and safe, free before)\n{}  {} left\n",
        rows.text(2),
        gib(sharing.left_bytes)
    )
}
