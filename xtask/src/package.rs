//! The npm package: the module, its JavaScript, its types and schemas, packed into one file.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::budget::Budget;
use crate::step::{cargo, command, output, run, step};
use crate::{browser, npm, place, tools, types};

/// Packages of the build and the tests of the package.
const TOOLS: &str = "tests/package";

/// Where the package is put together.
fn folder() -> PathBuf {
    place::target().join("package/gpu-mem-calc")
}

/// Builds and packs it, checks its size, and says where it is.
pub fn build() -> Result<PathBuf> {
    tools::wasm_target()?;
    npm::packages_of(TOOLS)?;
    let wasm = step("the module", module)?;
    step("the package", || assemble(&wasm))?;
    let packed = step("packing", pack)?;
    Budget::read()?.check(&sizes()?)?;
    println!("{}", packed.display());
    Ok(packed)
}

/// The module of the calls alone, without the page.
fn module() -> Result<PathBuf> {
    let what = [
        "build",
        "--locked",
        "--lib",
        "--target",
        tools::WASM,
        "--features",
        "js",
        "--profile",
        "wasm-release",
    ];
    // The relocations of `.cargo/config.toml` are for the cut of the page.
    run(cargo(&what).env("CARGO_ENCODED_RUSTFLAGS", ""))?;
    Ok(place::target()
        .join(tools::WASM)
        .join("wasm-release/gpu_mem_calc.wasm"))
}

fn assemble(wasm: &Path) -> Result<()> {
    let folder = folder();
    if folder.exists() {
        fs::remove_dir_all(&folder).context("emptying the folder of the package")?;
    }
    for name in ["types", "schemas"] {
        fs::create_dir_all(folder.join(name)).context("making the folder of the package")?;
    }
    let bindings = tools::wasm_bindgen()?;
    let out = folder.to_string_lossy().into_owned();
    let wasm = wasm.to_string_lossy().into_owned();
    run(&mut command(
        &bindings,
        &[
            "--target",
            "web",
            "--no-typescript",
            "--remove-name-section",
            "--remove-producers-section",
            "--out-dir",
            &out,
            &wasm,
        ],
    ))?;
    fs::rename(folder.join("gpu_mem_calc.js"), folder.join("bindings.js")).context("the bindings")?;
    let root = place::root();
    for entry in fs::read_dir(root.join("package/src")).context("package/src")? {
        let entry = entry?;
        fs::copy(entry.path(), folder.join(entry.file_name()))?;
    }
    for (from, to) in [
        ("package/package.json", "package.json"),
        ("package/README.md", "README.md"),
        ("package/types/index.d.ts", "types/index.d.ts"),
        ("assets/schemas/responses.json", "schemas/responses.json"),
        ("LICENSE-MIT", "LICENSE-MIT"),
        ("LICENSE-APACHE", "LICENSE-APACHE"),
    ] {
        fs::copy(root.join(from), folder.join(to)).with_context(|| format!("copying {from}"))?;
    }
    let request = output(&mut cargo(&[
        "run",
        "--locked",
        "--quiet",
        "--features",
        "cli",
        "--bin",
        "gpu-mem-calc",
        "--",
        "schema",
        "request",
    ]))?;
    fs::write(folder.join("schemas/request.json"), &request).context("the schema of the request")?;
    let responses = fs::read_to_string(root.join("assets/schemas/responses.json"))
        .context("the schema of the answers")?;
    let request: Value = serde_json::from_str(&request).context("the schema of the request")?;
    let responses: Value = serde_json::from_str(&responses).context("the schema of the answers")?;
    let text = types::declarations(&request, &responses)?;
    fs::write(folder.join("types/data.d.ts"), text).context("the types")?;
    run(&mut command("node", &["tests/package/bundle.mjs", &out]))
}

fn pack() -> Result<PathBuf> {
    let folder = folder();
    let into = folder.parent().context("a folder")?.to_path_buf();
    let name = output(
        command(
            "npm",
            &["pack", "--silent", "--pack-destination", &into.to_string_lossy()],
        )
        .current_dir(&folder),
    )?;
    Ok(into.join(name.trim()))
}

/// The sizes of the module by the names of their budgets.
pub fn sizes() -> Result<Vec<(String, u64)>> {
    let file = folder().join("gpu_mem_calc_bg.wasm");
    let raw = fs::metadata(&file).context("the module of the package")?.len();
    let brotli = crate::size::compressed(&[file])?;
    Ok(vec![
        ("package_raw".to_owned(), raw),
        ("package_brotli".to_owned(), brotli),
    ])
}

/// The tests of the packed file: in Node, bundled and in Chromium, its types, and every vector to the byte.
pub fn test() -> Result<()> {
    let browser = browser::find_or_bring()?;
    npm::packages()?;
    let packed = build()?;
    let outcomes = place::target().join("package");
    step("outcomes of native code", || {
        let own = [
            "test",
            "--locked",
            "--quiet",
            "--features",
            "cli",
            "--test",
            "vectors",
            "outcomes_are_written",
        ];
        run(cargo(&own).env("GPU_MEM_CALC_OUTCOMES", &outcomes))
    })?;
    step("tests of the package", || {
        let mut node = command("node", &["tests/package/run.mjs"]);
        node.env("PACKAGE", &packed);
        node.env("WORK", outcomes.join("tests"));
        node.env("OUTCOMES", outcomes.join("outcomes.json"));
        node.env("CHROMIUM", &browser.chromium);
        run(&mut node)
    })
}
