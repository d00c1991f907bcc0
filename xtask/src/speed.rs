//! How long the same calls take natively, as WebAssembly in Node and in Chromium, and by the original calculator, in one run; with
//! `--write` the figures are committed, and the table of `assets/docs/COMPARE.md` is written anew.

#![allow(
    clippy::indexing_slicing,
    reason = "a missing member of a JSON value is null, and nothing else is indexed"
)]

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::step::{cargo, command, output, run, step};
use crate::{browser, marked, npm, package, place, python};

const CASES: &str = "benches/speed/cases.json";
/// The committed figures.
const FIGURES: &str = "benches/speed/figures.json";
const PAGE: &str = "assets/docs/COMPARE.md";
const MODELS: &str = "assets/models/models.jsonl";

/// Runs everything. `--original PLACE` is a folder or an address from which pip installs the original; without it there are no ratios.
pub fn compare(options: &[&str]) -> Result<()> {
    let (mut original, mut write) = (None, false);
    let mut words = options.iter();
    while let Some(word) = words.next() {
        match *word {
            "--original" => original = Some(words.next().context("--original wants a place")?),
            "--write" => write = true,
            other => bail!("unknown option {other}"),
        }
    }
    let browser = browser::find_or_bring()?;
    npm::packages()?;
    package::build()?;
    let cases = cases()?;
    let native = step("natively", || {
        let timed = ["bench", "--locked", "--quiet", "--bench", "speed"];
        parsed(&output(cargo(&timed).env("GPU_MEM_CALC_CASES", &cases))?)
    })?;
    let own = [
        "build",
        "--locked",
        "--release",
        "--features",
        "cli",
        "--bin",
        "gpu-mem-calc",
    ];
    step("the command", || run(&mut cargo(&own)))?;
    let wasm = step("in Node and in Chromium", || {
        let mut node = command("node", &["benches/speed/speed.mjs"]);
        node.arg(&cases);
        node.env("PACKAGE", place::target().join("package/gpu-mem-calc"));
        node.env("COMMAND", place::target().join("release/gpu-mem-calc"));
        node.env("DIST", place::dist());
        node.env("CHROMIUM", &browser.chromium);
        parsed(&output(&mut node)?)
    })?;
    let before = original
        .map(|place| step("the original", || by_original(place, &cases)))
        .transpose()?;
    let figures = json!({
        "native": native["calls"],
        "within": native["within"],
        "node": wasm["node"],
        "chromium": wasm["chromium"],
        "original": before.as_ref().map(|found| found["calls"].clone()),
        "command_ms": wasm["command"],
        "original_command_ms": before.as_ref().map(|found| found["command"].clone()),
        "first_answer_ms": wasm["first_answer"],
    });
    let table = table(&figures)?;
    println!("{table}");
    if write {
        let text = serde_json::to_string_pretty(&figures)? + "\n";
        fs::write(place::root().join(FIGURES), text).with_context(|| format!("writing {FIGURES}"))?;
        marked::put(PAGE, "speed", &table)?;
    }
    Ok(())
}

/// The cases with the configuration that one of them imports, in a file.
fn cases() -> Result<PathBuf> {
    let read =
        |name: &str| fs::read_to_string(place::root().join(name)).with_context(|| format!("reading {name}"));
    let mut cases: Vec<Value> = serde_json::from_str(&read(CASES)?).context(CASES)?;
    let models = read(MODELS)?;
    for case in &mut cases {
        let Some(id) = case["config_of"].as_str() else {
            continue;
        };
        let entries = models
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let entry = entries.into_iter().find(|entry| entry["id"] == id);
        case["arguments"] = json!([entry.with_context(|| format!("no model {id}"))?["config"]]);
    }
    let path = place::target().join("speed-cases.json");
    fs::write(&path, serde_json::to_string(&cases)?)
        .with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}

fn by_original(place: &str, cases: &std::path::Path) -> Result<Value> {
    let folder = place::target().join("original-env");
    if !folder.exists() {
        python::environment(&folder)?;
    }
    let program = folder.join("bin/python");
    run(&mut command(
        &program,
        &["-m", "pip", "install", "--quiet", place],
    ))?;
    parsed(&output(
        command(&program, &["benches/speed/original.py"]).arg(cases),
    )?)
}

/// The last line of what was printed, as JSON.
fn parsed(text: &str) -> Result<Value> {
    let last = text.trim().lines().last().unwrap_or_default();
    serde_json::from_str(last).with_context(|| format!("{last:?} is no JSON"))
}

/// The table, in microseconds and ratios, and what stands below it.
fn table(figures: &Value) -> Result<String> {
    let mut text = String::from(
        "| the same question | natively | Node | Chromium | original | original / native |\n|---|---:|---:|---:|---:|---:|\n",
    );
    let cell = |value: &Value| value.as_f64().map_or("-".to_owned(), micros);
    for (name, native) in figures["native"].as_object().context("no native figures")? {
        let original = &figures["original"][name];
        let ratio = original
            .as_f64()
            .zip(native.as_f64())
            .map(|(before, now)| before / now);
        writeln!(
            text,
            "| {name} | {} | {} | {} | {} | {} |",
            cell(native),
            cell(&figures["node"][name]),
            cell(&figures["chromium"][name]),
            cell(original),
            ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}"))
        )?;
    }
    for (name, native) in figures["within"].as_object().context("no figures of the parts")? {
        writeln!(text, "| {name} | {} | | | | |", cell(native))?;
    }
    let (own, before) = (&figures["command_ms"], &figures["original_command_ms"]);
    let ratio = before
        .as_f64()
        .zip(own.as_f64())
        .map(|(before, now)| before / now);
    writeln!(
        text,
        "| the whole command for the first question | {} | | | {} | {} |",
        cell(&scaled(own)),
        cell(&scaled(before)),
        ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.0}"))
    )?;
    let first = cell(&scaled(&figures["first_answer_ms"]));
    writeln!(
        text,
        "| the page until its first answer, nothing cached | | | {first} | | |"
    )?;
    Ok(text)
}

/// Milliseconds as microseconds.
fn scaled(value: &Value) -> Value {
    json!(value.as_f64().map(|milliseconds| milliseconds * 1e3))
}

/// A duration as it is read: microseconds below a millisecond.
fn micros(value: f64) -> String {
    if value < 10.0 {
        format!("{value:.1} µs")
    } else if value < 1e3 {
        format!("{value:.0} µs")
    } else {
        format!("{:.1} ms", value / 1e3)
    }
}
