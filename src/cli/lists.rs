//! The lists: presets, GPUs, models, schema.

use std::process::ExitCode;

use clap::ArgMatches;
use gpu_mem_calc::api::{self, Gpu, MemorySetup, Preset, PresetState};
use gpu_mem_calc::calls;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::table::{Align, Table, count, gib};
use crate::{output, sources};

/// `presets`.
pub fn presets(given: &ArgMatches) -> Result<ExitCode, Failure> {
    let mut presets: Vec<&Preset> = api::presets().iter().collect();
    presets.sort_by(|left, right| left.id.cmp(&right.id));
    if output::format(given) == "list" {
        let mut rows = Table::plain(&[Align::Left, Align::Left]);
        presets
            .iter()
            .for_each(|preset| rows.row([&preset.id, &preset.display_name]));
        output::write(given, &rows.text(0))?;
        return Ok(ExitCode::SUCCESS);
    }
    let data: Vec<Value> = presets.iter().map(|preset| with_state(preset)).collect();
    output::answer(given, &data, || {
        let mut rows = Table::headed(&[
            ("id", Align::Left),
            ("name", Align::Left),
            ("state", Align::Left),
            ("description", Align::Left),
        ]);
        for preset in &presets {
            let state = words(&preset.state());
            rows.row([&preset.id, &preset.display_name, &state, &preset.description]);
        }
        rows.text(0)
    })?;
    Ok(ExitCode::SUCCESS)
}

/// A preset with whether it fits.
fn with_state(preset: &Preset) -> Value {
    let mut row = json!(preset);
    if let Some(fields) = row.as_object_mut() {
        fields.insert("state".into(), words(&preset.state()).into());
    }
    row
}

fn words(state: &PresetState) -> String {
    match state {
        PresetState::Answered(verdict) => verdict.words().to_owned(),
        PresetState::NotAvailable(issues) => {
            let codes: Vec<&str> = issues
                .iter()
                .filter(|issue| issue.is_error())
                .map(|issue| issue.code)
                .collect();
            match codes.contains(&"not_available_yet") {
                true => "not available yet".to_owned(),
                false => format!("refused ({})", codes.join(", ")),
            }
        }
    }
}

/// `gpus`.
pub fn gpus(given: &ArgMatches) -> Result<ExitCode, Failure> {
    let wanted = sources::text(given, "search").or_else(|| sources::text(given, "hardware.gpu"));
    let gpus: Vec<&Gpu> = api::gpus()
        .iter()
        .filter(|gpu| matches(wanted, [gpu.id.as_str(), gpu.name.as_str()].into_iter()))
        .collect();
    let data: Vec<Value> = gpus.iter().map(|gpu| with_capacity(gpu)).collect();
    output::answer(given, &data, || gpu_table(&gpus))?;
    Ok(ExitCode::SUCCESS)
}

/// A GPU with what a program gets of it.
fn with_capacity(gpu: &Gpu) -> Value {
    let capacity = gpu.capacity(&MemorySetup::default());
    let mut row = json!(gpu);
    if let Some(fields) = row.as_object_mut() {
        fields.insert("usable_bytes".into(), json!(capacity.expected));
        fields.insert("usable".into(), json!(capacity));
    }
    row
}

fn gpu_table(gpus: &[&Gpu]) -> String {
    let mut rows = Table::headed(&[
        ("id", Align::Left),
        ("name", Align::Left),
        ("on the box", Align::Right),
        ("driver", Align::Right),
        ("usable", Align::Right),
        ("", Align::Left),
        ("bandwidth", Align::Right),
        ("bf16", Align::Right),
        ("architecture", Align::Left),
    ]);
    for gpu in gpus {
        let capacity = gpu.capacity(&MemorySetup::default());
        rows.row([
            gpu.id.clone(),
            gpu.name.clone(),
            format!("{} GB", gpu.marketing_gb),
            gpu.driver_visible.map(gib).unwrap_or_default(),
            gib(capacity.expected),
            if capacity.estimated { "estimated" } else { "" }.to_owned(),
            gpu.bandwidth_gb_per_s
                .map(|rate| format!("{rate} GB/s"))
                .unwrap_or_default(),
            gpu.bf16_tflops
                .map(|rate| format!("{rate} TFLOP/s"))
                .unwrap_or_default(),
            gpu.architecture.clone(),
        ]);
    }
    rows.text(0)
}

/// `models`.
pub fn models(given: &ArgMatches) -> Result<ExitCode, Failure> {
    let wanted = sources::text(given, "search").or_else(|| sources::text(given, "model.id"));
    let models = match wanted {
        Some(words) => api::search_models(words),
        None => api::models().iter().collect(),
    };
    output::answer(given, &models, || {
        let mut rows = Table::headed(&[
            ("id", Align::Left),
            ("family", Align::Left),
            ("parameters", Align::Right),
            ("Hugging Face", Align::Left),
        ]);
        for model in &models {
            rows.row([
                model.id.to_owned(),
                model.family.to_owned(),
                count(model.total_parameters.get()),
                model.hf_id.to_owned(),
            ]);
        }
        rows.text(0)
    })?;
    Ok(ExitCode::SUCCESS)
}

/// `schema`.
pub fn schema(given: &ArgMatches) -> Result<ExitCode, Failure> {
    let name = sources::text(given, "name").unwrap_or("request");
    let schema = calls::schema(name).ok_or_else(|| {
        Failure::usage(format!(
            "There is no schema {name}; there are: {}.",
            calls::schema_names().join(", ")
        ))
    })?;
    output::write(given, &output::json(&schema)?)?;
    Ok(ExitCode::SUCCESS)
}

/// Whether any of the names contains every word of the search.
fn matches<'a>(wanted: Option<&str>, names: impl Iterator<Item = &'a str>) -> bool {
    let Some(wanted) = wanted else {
        return true;
    };
    let names = names.collect::<Vec<_>>().join(" ").to_lowercase();
    wanted
        .to_lowercase()
        .split_whitespace()
        .all(|word| names.contains(word))
}
