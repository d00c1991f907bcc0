//! The tests: native, in the browser, and on the built page. None is left out without saying so: what cannot run fails.

use std::path::Path;

use anyhow::{Context, Result};

use crate::page::{self, Profile};
use crate::step::{cargo, command, run, step};
use crate::{browser, exporters, npm, package, place, single, tools};

/// Every test.
pub fn all() -> Result<()> {
    // First what can fail for want of a tool, so that it does so in the first minute.
    tools::wasm_target()?;
    browser::find_or_bring()?;
    npm::packages()?;
    exporters::environment_of_every_push()?;
    native()?;
    exporters::every_push()?;
    browser()?;
    page(&[])?;
    match browser::firefox() {
        Some(path) => stories(&path)?,
        None => println!(
            "==> left out: the stories in Firefox, which is not installed (apt-get install firefox-esr)"
        ),
    }
    package::test()
}

/// The seed of generated cases: every run judges the same ones. A bare `cargo test` draws new ones, and so does a value of
/// your own in this variable.
const SEED: (&str, &str) = ("PROPTEST_RNG_SEED", "20261126");

/// Questions that each of the seven properties in tests/properties.rs is tried on, some twenty seconds of one core; the
/// 100,000 scenarios of tests/scenarios.rs are always all tried.
const CASES: (&str, &str) = ("PROPERTY_CASES", "4000");

/// Unit and integration tests of the library and of the command line, with the gates of accuracy.
pub fn native() -> Result<()> {
    step("native tests", || {
        let mut tests = cargo(&["test", "--locked", "--features", "cli"]);
        if std::env::var_os(SEED.0).is_none() {
            tests.env(SEED.0, SEED.1);
        }
        if std::env::var_os(CASES.0).is_none() {
            tests.env(CASES.0, CASES.1);
        }
        run(&mut tests)
    })?;
    step("tests of xtask", || {
        run(&mut cargo(&["test", "--locked", "--package", "xtask"]))
    })
}

/// Tests of the page's parts, run in the browser.
pub fn browser() -> Result<()> {
    tools::wasm_target()?;
    let browser = browser::find_or_bring()?;
    step("tests in the browser", || {
        let arguments = [
            "test",
            "--locked",
            "--target",
            tools::WASM,
            "--features",
            "web",
            "--test",
            "web",
        ];
        run(cargo(&arguments)
            .env("CHROMEDRIVER", &browser.driver)
            .env("WASM_BINDGEN_TEST_TIMEOUT", "120"))
    })
}

/// Tests of the release build of the page, driven as a visitor would; names of specs restrict them.
pub fn page(specs: &[&str]) -> Result<()> {
    let browser = browser::find_or_bring()?;
    npm::packages()?;
    step("command line for comparison", || {
        run(&mut cargo(&[
            "build",
            "--locked",
            "--features",
            "cli",
            "--bin",
            "gpu-mem-calc",
        ]))
    })?;
    page::build(Profile::Release)?;
    let single = single::build()?;
    step("tests of the built page", || {
        let mut node = command("node", &["tests/e2e/run.mjs"]);
        node.args(specs);
        node.env("DIST", place::dist());
        node.env("CHROMIUM", &browser.chromium);
        node.env("GPU_MEM_CALC", place::target().join("debug/gpu-mem-calc"));
        node.env("SINGLE_FILE", &single);
        node.env("SCREENSHOTS", place::root().join("target/screenshots"));
        run(&mut node)
    })
}

/// The stories of the release build of the page in Firefox.
pub fn firefox() -> Result<()> {
    let path = browser::firefox()
        .context("no Firefox: install it with apt-get install firefox-esr, or name it in FIREFOX")?;
    npm::packages()?;
    page::build(Profile::Release)?;
    stories(&path)
}

fn stories(firefox: &Path) -> Result<()> {
    step("stories in Firefox", || {
        let mut node = command("node", &["tests/e2e/run.mjs", "stories"]);
        node.env("DIST", place::dist());
        node.env("FIREFOX", firefox);
        node.env("SCREENSHOTS", place::root().join("target/screenshots/firefox"));
        run(&mut node)
    })
}

/// How long one answer takes natively; with `page`, how long it takes in the browser from an edit to the painted answer.
pub fn bench(options: &[&str]) -> Result<()> {
    if let ["page", rest @ ..] = options {
        return paint(rest);
    }
    let mut arguments = vec!["bench", "--locked", "--bench", "answer"];
    if !options.is_empty() {
        arguments.push("--");
        arguments.extend_from_slice(options);
    }
    step("benchmarks", || run(&mut cargo(&arguments)))
}

/// From an edit to the painted answer, on the page in `dist/`, against the committed limits; `--write` commits the figures.
fn paint(options: &[&str]) -> Result<()> {
    let browser = browser::find_or_bring()?;
    npm::packages()?;
    step("edits in the browser", || {
        let mut node = command("node", &["tests/e2e/paint.mjs"]);
        node.args(options);
        node.env("DIST", place::dist());
        node.env("CHROMIUM", &browser.chromium);
        run(&mut node)
    })
}
