//! Chromium and its driver for the tests: found, or installed where that is possible without asking.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::place;
use crate::step::{command, output, run, step};

const INSTALL: &str = "apt-get install -y chromium chromium-driver fonts-liberation";

/// The browser of the tests.
pub struct Browser {
    pub chromium: PathBuf,
    pub driver: PathBuf,
}

/// Finds the browser, installing it from the distribution's packages as root; without it the tests fail, they are never
/// left out.
pub fn find_or_bring() -> Result<Browser> {
    if let Some(browser) = find() {
        return Ok(browser);
    }
    if place::on_path("apt-get").is_none() || !is_root() {
        bail!(
            "the tests need Chromium and ChromeDriver. Install them with\n    sudo {INSTALL}\n\
             or name them in the variables CHROMIUM and CHROMEDRIVER"
        );
    }
    step("Chromium and its driver", || {
        let mut words = INSTALL.split(' ');
        let program = words.next().unwrap_or_default();
        let arguments: Vec<&str> = words.collect();
        let install = || run(command(program, &arguments).env("DEBIAN_FRONTEND", "noninteractive"));
        // The lists of packages may be missing or old on a new machine.
        run(&mut command(program, &["update", "-q"])).and_then(|()| install())
    })?;
    find().context("Chromium was installed, but is not found on the search path")
}

fn find() -> Option<Browser> {
    let chromium = named(
        "CHROMIUM",
        &[
            "chromium",
            "chromium-browser",
            "google-chrome",
            "google-chrome-stable",
        ],
    )?;
    let driver = named("CHROMEDRIVER", &["chromedriver"])?;
    Some(Browser { chromium, driver })
}

fn named(variable: &str, programs: &[&str]) -> Option<PathBuf> {
    let by_variable = env::var_os(variable)
        .map(PathBuf::from)
        .filter(|path| path.is_file());
    by_variable.or_else(|| programs.iter().find_map(|program| place::on_path(program)))
}

/// Firefox of the distribution, where there is one.
pub fn firefox() -> Option<PathBuf> {
    named("FIREFOX", &["firefox-esr", "firefox"])
}

/// Whether packages of the distribution can be installed without asking.
pub fn is_root() -> bool {
    output(&mut command("id", &["-u"])).is_ok_and(|text| text.trim() == "0")
}
