//! Sizes of the built page against the budget.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::budget::Budget;
use crate::place;
use crate::step::{command, output};

/// Compresses each file named on its command line and prints the sizes.
const COMPRESS: &str =
    "const { brotliCompressSync, constants } = require('zlib'); const { readFileSync } = require('fs');
for (const file of process.argv.slice(1)) console.log(brotliCompressSync(readFileSync(file),
  { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: 24 } }).length);";

/// Prints the sizes of `dist/` by kind and fails where one is above its budget.
pub fn check() -> Result<()> {
    Budget::read()?.check(&sizes()?)
}

/// The sizes of `dist/` by the names of their budgets.
pub fn sizes() -> Result<Vec<(String, u64)>> {
    let mut sizes = Vec::new();
    for kind in ["wasm", "js", "css"] {
        let files = files(kind)?;
        if files.is_empty() {
            bail!("no .{kind} file in dist/: build the page first");
        }
        let raw = files
            .iter()
            .map(|file| Ok(fs::metadata(file)?.len()))
            .sum::<Result<u64>>()?;
        sizes.push((format!("{kind}_raw"), raw));
        sizes.push((format!("{kind}_brotli"), compressed(&files)?));
    }
    sizes.push(("first_brotli".to_owned(), compressed(&first()?)?));
    Ok(sizes)
}

/// What a visit needs before its first answer: the document and all files of its folder, except the parts of the module and
/// what only other documents and the worker for use without a network load.
fn first() -> Result<Vec<PathBuf>> {
    let mut needed = Vec::new();
    for kind in ["html", "css", "js", "wasm"] {
        needed.extend(files(kind)?);
    }
    let later = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let part = name.ends_with(".wasm") && !name.ends_with("_bg.wasm");
        part || ["gpu-mem-calc", "embed-", "frame.js", "sw.js"]
            .iter()
            .any(|own| name.starts_with(own))
    };
    needed.retain(|path| !later(path));
    Ok(needed)
}

fn files(extension: &str) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(place::dist()).context("reading dist/: build the page first")?;
    let paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    Ok(paths
        .into_iter()
        .filter(|path| path.extension().is_some_and(|own| own == extension))
        .collect())
}

/// Bytes of files after compression, each by itself.
pub fn compressed(files: &[PathBuf]) -> Result<u64> {
    let printed = output(command("node", &["-e", COMPRESS]).args(files))?;
    printed
        .lines()
        .map(|line| {
            line.parse::<u64>()
                .with_context(|| format!("'{line}' is not a size"))
        })
        .sum()
}
