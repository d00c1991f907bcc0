//! Loads every export with the framework that it is for, from one pinned environment, and writes which version loaded what.
//!
//! The table is committed: a native test fails when an export is another than the one that was loaded. Six of the frameworks
//! are also asked with every push, in an environment that is kept per user: it is 3.7 GB, which take some minutes the first
//! time. The others need more packages, or sources, and are asked here alone.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::step::{cargo, command, run, step};
use crate::{place, python};

/// The packages with their exact versions; frameworks that ask for other versions of each other are installed all the same.
const PACKAGES: &str = "tests/exporters/requirements.txt";

/// Names of the packages, without versions, that the frameworks of every push need.
const EVERY_PUSH_PACKAGES: &str = "tests/exporters/every_push.txt";

/// The targets whose frameworks are asked with every push.
const EVERY_PUSH: [&str; 6] = [
    "accelerate",
    "deepspeed",
    "lightning",
    "axolotl",
    "training_arguments",
    "torchtitan",
];

/// Loads the exports of six targets with their frameworks, and fails where one is refused.
pub fn every_push() -> Result<()> {
    let folder = place::target().join("exports");
    write_exports(&folder)?;
    let python = environment_of_every_push()?;
    let folder = folder.to_string_lossy().into_owned();
    let result = format!("{folder}/results.json");
    let mut arguments = vec!["tests/exporters/check.py", &folder, &result];
    for target in EVERY_PUSH {
        arguments.extend(["--only", target]);
    }
    step("the frameworks", || run(&mut command(&python, &arguments)))
}

/// The exports of every question, in one folder for each target.
fn write_exports(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("emptying {}", folder.display()))?;
    }
    step("the exports", || {
        let name = "exports_are_those_that_the_frameworks_loaded";
        let own = [
            "test",
            "--locked",
            "--quiet",
            "--features",
            "cli",
            "--test",
            "exports",
            name,
        ];
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        run(cargo(&own).env("GPU_MEM_CALC_EXPORTS", folder))
    })
}

/// The environment of every push, kept per user under the versions that it was made of.
pub fn environment_of_every_push() -> Result<String> {
    let read =
        |name: &str| fs::read_to_string(place::root().join(name)).with_context(|| format!("reading {name}"));
    let packages = read(EVERY_PUSH_PACKAGES)?;
    let made_of = read(PACKAGES)? + &packages;
    // FNV-1a: a name for the folder, and no protection against anything.
    let hash = made_of.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let folder = place::tool("exporters", &format!("{hash:016x}"))?;
    let python = folder.join("bin/python").to_string_lossy().into_owned();
    let complete = folder.join("complete");
    if complete.exists() {
        return Ok(python);
    }
    step(
        "the Python packages of six frameworks (once per machine, some minutes)",
        || {
            if folder.exists() {
                fs::remove_dir_all(&folder).with_context(|| format!("emptying {}", folder.display()))?;
            }
            python::environment(&folder)?;
            python::install(&folder, &packages, PACKAGES)?;
            fs::write(&complete, "").context("noting that the environment is complete")
        },
    )?;
    Ok(python)
}

/// Options: `--source NAME=PATH` for frameworks that are read from their sources (megatron, vllm, sglang, tgi), each with
/// `--source NAME-version=VERSION`, and `--python PATH` for an environment that is there already.
pub fn load(options: &[&str]) -> Result<()> {
    let folder = place::target().join("exports");
    write_exports(&folder)?;
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
        python::environment(&folder)?;
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
