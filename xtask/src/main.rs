//! `cargo xtask`: builds, serves, tests and measures the calculator, and brings the tools that takes.
//!
//! Only the reading of the command line lives here; each command has its own file. The same executable, called by the
//! name `wasm-bindgen`, is the bindings generator at the version of `Cargo.lock`, so that none has to be installed.

#![allow(
    clippy::print_stdout,
    reason = "a command line tool reports on standard output"
)]

mod accuracy;
mod browser;
mod budget;
mod compare;
mod cost;
mod coverage;
mod deny;
mod docs;
mod embed;
mod embeddings;
mod exporters;
mod fuzz;
mod lighthouse;
mod marked;
mod npm;
mod package;
mod page;
mod parts;
mod place;
mod python;
mod ready;
mod report;
mod sbom;
mod single;
mod site;
mod size;
mod speed;
mod step;
mod styles;
mod test;
mod tools;
mod trunk;
mod types;
mod written;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};

const HELP: &str = "\
cargo xtask COMMAND

  serve [--release] [-- OPTIONS OF TRUNK]   build the page and serve it on this machine, rebuilding on a change
  build [--debug]                           build the page into dist/
  embeddings                                build documentation with the usual generators, and open the built page in each
  single-file                               build the page as one HTML file that opens without a server
  test                                      every test: native, in the browser, on the built page
  test native | browser | page | package    one of the four
  test firefox                              the stories of the built page in Firefox
  lighthouse [--write]                      what Lighthouse says of the page in dist/
  package                                   build and pack the npm package
  schemas | vectors                         write the schemas of the answers, the conformance vectors anew
  ready                                     format, clippy for both targets, every test, size budget
  size                                      sizes of dist/ against the committed budget
  coverage                                  line coverage of the core against the committed budget
  accuracy                                  compare with the measured runs, and write the committed figures anew
  exporters every-push                      load the exports of six targets with their frameworks
  exporters [--source NAME=PATH]            load every export with its framework, and write the committed table anew
  compare                                   write the comparison with the original calculator anew
  cost                                      instructions of five answers against the committed budget
  report                                    sizes, cost, accuracy, vectors in one table
  deny [--advisories]                       licences, sources and doubled crates against deny.toml
  sbom                                      what is published, crate by crate, as CycloneDX
  fuzz [--seconds N] [TARGET ...] [FILE ...] each target of tests/fuzz for a minute, or one on files
  bench                                     how long one answer takes natively
  bench compare [--original PLACE] [--write] the same calls natively, in Node, in Chromium, and by the original
  bench page [--write]                      how long an edit of the page in dist/ takes until it is painted
  tools                                     bring every tool the commands above need, and say where it is

Tools are kept per user and version in <cache>/gpu-mem-calc/tools; <cache> is $XDG_CACHE_HOME or ~/.cache.";

fn main() -> ExitCode {
    match dispatch() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch() -> Result<()> {
    let mut arguments = std::env::args_os();
    let own_name = arguments.next().unwrap_or_default();
    if Path::new(&own_name)
        .file_stem()
        .is_some_and(|name| name == tools::WASM_BINDGEN)
    {
        return wasm_bindgen_cli::wasm_bindgen::run_cli_with_args(std::env::args_os());
    }
    let command = arguments.next().unwrap_or_default();
    let rest: Vec<OsString> = arguments.collect();
    if command == "wasm-test-runner" {
        let own = [OsString::from("wasm-bindgen-test-runner")];
        return wasm_bindgen_cli::wasm_bindgen_test_runner::run_cli_with_args(own.into_iter().chain(rest));
    }
    let rest: Vec<String> = rest
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let words: Vec<&str> = rest.iter().map(String::as_str).collect();
    match (command.to_string_lossy().as_ref(), words.as_slice()) {
        ("serve", options) => page::serve(options),
        ("build", []) => page::build(page::Profile::Release),
        ("build", ["--debug"]) => page::build(page::Profile::Debug),
        ("test", []) => test::all(),
        ("test", ["native"]) => test::native(),
        ("test", ["browser"]) => test::browser(),
        ("test", ["page", specs @ ..]) => test::page(specs),
        ("test", ["firefox"]) => test::firefox(),
        ("lighthouse", options) => lighthouse::check(options),
        ("test", ["package"]) => package::test(),
        ("package", []) => package::build().map(|_| ()),
        ("schemas", []) => written::schemas(),
        ("vectors", []) => written::vectors(),
        ("ready", []) => ready::ready(),
        ("embeddings", []) => embeddings::check(),
        ("single-file", []) => single::build().map(|_| ()),
        ("size", []) => size::check(),
        ("coverage", []) => coverage::check(),
        ("bench", ["compare", options @ ..]) => speed::compare(options),
        ("bench", options) => test::bench(options),
        ("tools", []) => tools::bring_all(),
        ("accuracy", []) => accuracy::refresh(),
        ("cost", []) => cost::check(),
        ("compare", []) => compare::write(),
        ("report", []) => report::print(),
        ("deny", options) => deny::check(options),
        ("sbom", []) => sbom::write(),
        ("fuzz", options) => fuzz::fuzz(options),
        ("exporters", ["every-push"]) => exporters::every_push(),
        ("exporters", options) => exporters::load(options),
        ("trunk-hook", []) => trunk::hook(),
        ("trunk-site", []) => site::hook(),
        ("" | "help" | "--help" | "-h", _) => {
            println!("{HELP}");
            Ok(())
        }
        (other, _) => bail!("unknown command or option: {other} {}\n\n{HELP}", rest.join(" ")),
    }
}
