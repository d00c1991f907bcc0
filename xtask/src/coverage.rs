//! Line coverage of the core by the native tests, room by room, against the budget.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::budget::Budget;
use crate::step::{clean, command, output, run, step};
use crate::{place, tools};

/// The shells over the core, which other tests exercise.
const SHELLS: [&str; 4] = ["ui", "cli", "js.rs", "lib.rs"];

/// Covered and all lines.
#[derive(Clone, Copy, Default)]
struct Lines {
    covered: u64,
    all: u64,
}

impl Lines {
    fn percent(self) -> f64 {
        if self.all == 0 {
            100.0
        } else {
            self.covered as f64 * 100.0 / self.all as f64
        }
    }
}

/// Runs the native tests with counters and fails below the budget.
pub fn check() -> Result<()> {
    tools::component("llvm-tools", || llvm_tools_are_there().unwrap_or(false))?;
    let program = tools::llvm_cov()?;
    let report = place::target().join("coverage.json");
    step("native tests with counters", || {
        let mut counted = command(
            &program,
            &[
                "llvm-cov",
                "--locked",
                "--features",
                "cli",
                "--json",
                "--summary-only",
            ],
        );
        counted.arg("--output-path").arg(&report);
        clean(&mut counted);
        run(&mut counted)
    })?;
    let text = std::fs::read_to_string(&report).with_context(|| format!("reading {}", report.display()))?;
    let rooms = by_room(
        &serde_json::from_str(&text).context("reading the report")?,
        &place::root().join("src"),
    )?;
    let mut core = Lines::default();
    println!("{:<12} {:>8} {:>8} {:>8}", "room", "lines", "covered", "percent");
    for (room, lines) in &rooms {
        let shell = SHELLS.contains(&room.as_str());
        println!(
            "{room:<12} {:>8} {:>8} {:>7.1}%{}",
            lines.all,
            lines.covered,
            lines.percent(),
            if shell { " (not counted)" } else { "" }
        );
        if !shell {
            core.all += lines.all;
            core.covered += lines.covered;
        }
    }
    let limit = Budget::read()?.limit("covered_percent")?;
    println!(
        "{:<12} {:>8} {:>8} {:>7.1}%, at least {limit} %",
        "core",
        core.all,
        core.covered,
        core.percent()
    );
    if core.covered * 100 < limit * core.all {
        bail!("line coverage of the core is below the budget of xtask/budgets.toml");
    }
    Ok(())
}

/// Sums the report's files by the first folder or file below `src/`.
fn by_room(report: &Value, source: &Path) -> Result<BTreeMap<String, Lines>> {
    let files = report
        .pointer("/data/0/files")
        .and_then(Value::as_array)
        .context("no files in the report")?;
    let mut rooms: BTreeMap<String, Lines> = BTreeMap::new();
    for file in files {
        let name = file
            .get("filename")
            .and_then(Value::as_str)
            .context("a file without a name")?;
        let Ok(inside) = Path::new(name).strip_prefix(source) else {
            continue;
        };
        let Some(room) = inside.components().next() else {
            continue;
        };
        let number = |path: &str| {
            file.pointer(path)
                .and_then(Value::as_u64)
                .context("a file without its lines")
        };
        let lines = rooms
            .entry(room.as_os_str().to_string_lossy().into_owned())
            .or_default();
        lines.covered += number("/summary/lines/covered")?;
        lines.all += number("/summary/lines/count")?;
    }
    Ok(rooms)
}

fn llvm_tools_are_there() -> Result<bool> {
    let folder = output(&mut command("rustc", &["--print", "target-libdir"]))?;
    let programs = Path::new(folder.trim())
        .parent()
        .context("no folder above the library")?
        .join("bin");
    Ok(programs.join("llvm-profdata").is_file() && programs.join("llvm-cov").is_file())
}
