//! The tools of the build, each at one version: taken from the search path or the cache, else brought there.
//!
//! `wasm-opt` is not among them. It would save about one percent of the compressed page, and its older versions write
//! modules that do not start; Trunk is told not to look for one (`data-wasm-opt="0"` in `index.html`).

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::place;
use crate::step::{cargo, command, output, run, step};
use crate::{browser, npm};

/// The newest release of Trunk that the compiler of `rust-toolchain.toml` builds.
const TRUNK: &str = "0.21.14";
const LLVM_COV: &str = "0.9.1";
const CARGO_FUZZ: &str = "0.13.2";
const CARGO_DENY: &str = "0.20.2";

/// The program that Trunk calls to generate the bindings; its version is that of `xtask/Cargo.toml`.
pub const WASM_BINDGEN: &str = "wasm-bindgen";
pub const WASM_BINDGEN_VERSION: &str = "0.2.130";

pub const WASM: &str = "wasm32-unknown-unknown";

/// Everything that the other commands need.
pub fn bring_all() -> Result<()> {
    wasm_target()?;
    for program in [trunk()?, wasm_bindgen()?, llvm_cov()?] {
        println!("{}", program.display());
    }
    npm::packages()?;
    let browser = browser::find_or_bring()?;
    println!("{}\n{}", browser.chromium.display(), browser.driver.display());
    Ok(())
}

/// The standard library for WebAssembly.
pub fn wasm_target() -> Result<()> {
    let folder = output(&mut command(
        "rustc",
        &["--print", "target-libdir", "--target", WASM],
    ))?;
    if Path::new(folder.trim()).is_dir() {
        return Ok(());
    }
    step("standard library for WebAssembly", || {
        run(&mut command("rustup", &["target", "add", WASM]))
    })
}

/// A component of the compiler, by the program that shows it is there.
pub fn component(name: &str, shows: impl Fn() -> bool) -> Result<()> {
    if shows() {
        return Ok(());
    }
    step(&format!("component {name}"), || {
        run(&mut command("rustup", &["component", "add", name]))
    })
}

/// All crates of the lock file, so that later steps need no network.
pub fn crates() -> Result<()> {
    step("crates of Cargo.lock", || {
        run(&mut cargo(&["fetch", "--locked", "--quiet"]))
    })
}

/// Trunk, which builds the page.
pub fn trunk() -> Result<PathBuf> {
    // Without TLS and update check, since it never downloads anything, and unoptimised: it takes half as long to build
    // and waits for cargo most of its life.
    installed(
        "trunk",
        TRUNK,
        &["trunk", "--version"],
        &["--locked", "--debug", "--no-default-features"],
    )
}

/// The program that counts covered lines.
pub fn llvm_cov() -> Result<PathBuf> {
    installed(
        "cargo-llvm-cov",
        LLVM_COV,
        &["cargo-llvm-cov", "llvm-cov", "--version"],
        &["--locked", "--debug"],
    )
}

/// The program that runs fuzz targets.
pub fn cargo_fuzz() -> Result<PathBuf> {
    installed(
        "cargo-fuzz",
        CARGO_FUZZ,
        &["cargo-fuzz", "fuzz", "--version"],
        &["--locked", "--debug"],
    )
}

/// The program that judges licences and sources of crates.
pub fn cargo_deny() -> Result<PathBuf> {
    installed(
        "cargo-deny",
        CARGO_DENY,
        &["cargo-deny", "--version"],
        &["--locked", "--debug"],
    )
}

/// A program of a published crate: from the search path or the cache, else built into the cache.
fn installed(name: &str, version: &str, probe: &[&str], options: &[&str]) -> Result<PathBuf> {
    let folder = place::tool(name, version)?;
    let cached = folder.join("bin").join(name);
    let candidates = [Some(cached.clone()), place::on_path(name)];
    let asked = probe.get(1..).unwrap_or_default();
    let fits = |program: &PathBuf| says_version(program, asked, version);
    if let Some(program) = candidates.into_iter().flatten().find(fits) {
        return Ok(program);
    }
    step(
        &format!("{name} {version} (once per machine, some minutes)"),
        || {
            let root = folder.to_string_lossy();
            let mut arguments = vec!["install", name, "--version", version, "--root", root.as_ref()];
            arguments.extend_from_slice(options);
            // Built apart from the project's outputs, which another build may hold at this moment.
            run(cargo(&arguments).env("CARGO_TARGET_DIR", folder.join("build")))?;
            fs::remove_dir_all(folder.join("build")).context("removing the build folder of the tool")
        },
    )?;
    if !fits(&cached) {
        bail!(
            "{} was installed but does not call itself {version}",
            cached.display()
        );
    }
    Ok(cached)
}

/// The bindings generator: a copy of this program under that name.
pub fn wasm_bindgen() -> Result<PathBuf> {
    let cached = place::tool(WASM_BINDGEN, WASM_BINDGEN_VERSION)?
        .join("bin")
        .join(WASM_BINDGEN);
    let fits = |program: &PathBuf| says_version(program, &["--version"], WASM_BINDGEN_VERSION);
    if let Some(program) = [Some(cached.clone()), place::on_path(WASM_BINDGEN)]
        .into_iter()
        .flatten()
        .find(fits)
    {
        return Ok(program);
    }
    let own = std::env::current_exe().context("where this program is")?;
    place_copy(&own, &cached)?;
    if !fits(&cached) {
        bail!(
            "{} does not call itself {WASM_BINDGEN_VERSION}: xtask/Cargo.toml and tools.rs differ",
            cached.display()
        );
    }
    Ok(cached)
}

/// Puts a program in place in one move, so that nobody meets half of it.
pub fn place_copy(program: &Path, place: &Path) -> Result<()> {
    let folder = place.parent().context("a program lies in a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let partial = place.with_extension(format!("new-{}", std::process::id()));
    fs::copy(program, &partial).with_context(|| format!("writing {}", partial.display()))?;
    fs::rename(&partial, place).with_context(|| format!("writing {}", place.display()))
}

/// Whether a program runs and names this version as one of its words.
fn says_version(program: &PathBuf, arguments: &[&str], version: &str) -> bool {
    program.is_file()
        && output(&mut command(program, arguments))
            .is_ok_and(|text| text.split_whitespace().any(|word| word == version))
}
