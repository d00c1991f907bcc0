//! The fuzz targets of `tests/fuzz`, each for a bounded time. What is found is a file that `cargo xtask fuzz TARGET FILE` runs again.
//!
//! Coverage is an option of the stable compiler. The address sanitizer is not, and finds nothing in a crate that forbids unsafe
//! code, so the targets run without it.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::place;
use crate::step::{clean, command, run, step};
use crate::tools;

const FOLDER: &str = "tests/fuzz";

/// Seconds of one target unless `--seconds` says otherwise.
const SECONDS: &str = "60";

/// Longest input in bytes, and longest run of one input in seconds.
const LIMITS: [&str; 4] = [
    "-max_len=16384",
    "-timeout=20",
    "-rss_limit_mb=4096",
    "-print_final_stats=1",
];

/// Options: `--seconds N`, names of targets, and files to run again after one target.
pub fn fuzz(options: &[&str]) -> Result<()> {
    let program = tools::cargo_fuzz()?;
    let all = targets()?;
    let (mut seconds, mut chosen, mut files) = (SECONDS, Vec::new(), Vec::new());
    let mut words = options.iter();
    while let Some(word) = words.next() {
        match *word {
            "--seconds" => seconds = words.next().context("--seconds wants a number")?,
            name if all.iter().any(|target| target == name) => chosen.push(name.to_owned()),
            file if fs::exists(place::root().join(file))? => files.push(file),
            other => bail!(
                "no target and no file: {other}; the targets are {}",
                all.join(", ")
            ),
        }
    }
    if chosen.is_empty() {
        chosen = all;
    }
    for target in chosen {
        step(&format!("fuzzing {target}"), || {
            let mut fuzz = command(
                &program,
                &[
                    "fuzz",
                    "run",
                    "--fuzz-dir",
                    FOLDER,
                    "--sanitizer",
                    "none",
                    &target,
                ],
            );
            clean(&mut fuzz);
            let own = place::target().join("fuzz");
            // What is found anew goes into the target folder; the committed corpus stays as it is.
            let found = own.join("corpus").join(&target);
            let stopped = own.join("stopped").join(&target);
            fs::create_dir_all(&found)?;
            fs::create_dir_all(&stopped)?;
            let stopped = format!("-artifact_prefix={}/", stopped.display());
            fuzz.env("CARGO_TARGET_DIR", &own);
            if files.is_empty() {
                fuzz.arg(&found).arg(format!("{FOLDER}/corpus/{target}"));
                fuzz.arg("--")
                    .args(LIMITS)
                    .args([stopped, format!("-max_total_time={seconds}")]);
            } else {
                fuzz.args(&files).arg("--").args(LIMITS).arg(stopped);
            }
            run(&mut fuzz)
        })?;
    }
    Ok(())
}

/// The names of the targets.
fn targets() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(place::root().join(FOLDER).join("fuzz_targets")).context("the targets")? {
        let path = entry?.path();
        names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}
