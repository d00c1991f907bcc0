//! Loads every export with the framework that it is for, from one pinned environment, and writes which version loaded what.
//!
//! The table is committed: a native test fails when an export is another than the one that was loaded. The environment is a
//! few gigabytes of Python packages, so it is made here and not with every push.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::place;
use crate::step::{cargo, command, run, step};

/// The packages with their exact versions; frameworks that ask for other versions of each other are installed all the same.
const PACKAGES: &str = "tests/exporters/requirements.txt";

/// Options: `--source NAME=PATH` for frameworks that are read from their sources (megatron, vllm, sglang, tgi), each with
/// `--source NAME-version=VERSION`, and `--python PATH` for an environment that is there already.
pub fn load(options: &[&str]) -> Result<()> {
    let folder = place::target().join("exports");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("emptying {}", folder.display()))?;
    }
    step("the exports", || {
        let name = "exports_are_those_that_the_frameworks_loaded";
        let own = ["test", "--locked", "--quiet", "--test", "exports", name];
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        run(cargo(&own).env("GPU_MEM_CALC_EXPORTS", &folder))
    })?;
    let (mut python, mut sources) = (None, Vec::new());
    let mut words = options.iter();
    while let Some(word) = words.next() {
        let value = words.next().with_context(|| format!("{word} wants a value"))?;
        match *word {
            "--python" => python = Some((*value).to_owned()),
            "--source" => sources.push(*value),
            other => bail!("unknown option {other}"),
        }
    }
    let python = match python {
        Some(python) => python,
        None => step("the environment", environment)?,
    };
    let folder = folder.to_string_lossy().into_owned();
    let mut arguments = vec![
        "tests/exporters/check.py",
        &folder,
        "tests/exporters/results.json",
    ];
    for source in sources {
        arguments.extend(["--source", source]);
    }
    step("the frameworks", || run(&mut command(&python, &arguments)))
}

/// The environment, made once.
fn environment() -> Result<String> {
    let folder = place::target().join("exporters-env");
    let python = folder.join("bin/python").to_string_lossy().into_owned();
    if !folder.exists() {
        run(&mut command(
            "python3",
            &["-m", "venv", &folder.to_string_lossy()],
        ))?;
    }
    run(&mut command(
        &python,
        &[
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--requirement",
            PACKAGES,
        ],
    ))?;
    Ok(python)
}
