//! `model`: architecture, counts, warnings and the tensors of one model.

use std::process::ExitCode;

use clap::ArgMatches;
use gpu_mem_calc::api::{self, InputId, ModelReport, Request};

use crate::failure::{self, Failure};
use crate::table::{Align, Table, count};
use crate::{output, sources};

/// Runs the command.
pub fn run(given: &ArgMatches) -> Result<ExitCode, Failure> {
    let mut request = Request::new();
    if let Some(name) = sources::text(given, "name") {
        request.set(InputId::ModelId, name);
    }
    sources::flags(given, &mut request)?;
    let report = api::model_report(&request, sources::switch(given, "tensors")).map_err(Failure::Input)?;
    output::answer(given, &report, || table(&report))?;
    Ok(ExitCode::SUCCESS)
}

fn table(report: &ModelReport) -> String {
    let model = &report.summary;
    let mut counts = Table::plain(&[Align::Left, Align::Right]);
    for (label, value) in [
        ("Total parameters", model.total_parameters),
        ("Active parameters", model.active_parameters),
        ("Embedding", model.embedding_parameters),
        ("Head beyond the embedding", model.head_parameters),
        ("Routed experts", model.expert_parameters),
        ("Towers", model.tower_parameters),
        ("Next-token layers (not in the total)", model.mtp_parameters),
        ("Buffer elements (not in the total)", model.buffer_elements),
    ] {
        counts.row([label.to_owned(), count(value.get())]);
    }
    let mut text = format!(
        "{} ({}), {} layers{}\n\n{}\nLayers\n",
        model.name,
        model.family,
        report.num_layers,
        if report.tied { ", tied head" } else { "" },
        counts.text(0),
    );
    let mut layers = Table::headed(&[
        ("layers", Align::Left),
        ("count", Align::Right),
        ("parameters each", Align::Right),
        ("routed experts each", Align::Right),
    ]);
    for group in &report.layers {
        layers.row([
            group.layers.clone(),
            group.count.to_string(),
            count(group.parameters.get()),
            count(group.expert_parameters.get()),
        ]);
    }
    text.push_str(&layers.text(2));
    text.push_str("\nArchitecture\n");
    let mut fields = Table::plain(&[Align::Left, Align::Left, Align::Left]);
    for field in &model.fields {
        let value = match &field.value {
            serde_json::Value::String(word) => word.clone(),
            other => other.to_string(),
        };
        let edited = if field.edited { "changed" } else { "" };
        fields.row([field.path.to_owned(), shortened(value), edited.to_owned()]);
    }
    text.push_str(&fields.text(2));
    text.push_str(&tensors(report));
    if !report.warnings.is_empty() {
        text.push('\n');
        text.extend(report.warnings.iter().map(failure::line));
    }
    text
}

fn tensors(report: &ModelReport) -> String {
    let Some(tensors) = &report.tensors else {
        return String::new();
    };
    let mut rows = Table::headed(&[
        ("where", Align::Left),
        ("tensor", Align::Left),
        ("shape", Align::Left),
        ("copies", Align::Right),
        ("elements", Align::Right),
    ]);
    for tensor in tensors {
        let shape: Vec<String> = tensor.shape.iter().map(u64::to_string).collect();
        rows.row([
            tensor.place.clone(),
            tensor.name.clone(),
            shape.join(" x "),
            tensor.copies.to_string(),
            count(tensor.elements.get()),
        ]);
    }
    format!("\nTensors\n{}", rows.text(2))
}

/// A long list (one word per layer) is cut.
fn shortened(value: String) -> String {
    const LONGEST: usize = 70;
    if value.chars().count() <= LONGEST {
        return value;
    }
    let start: String = value.chars().take(LONGEST).collect();
    format!("{start}...")
}
