//! Everything that must hold before a change is handed in.

use anyhow::Result;

use crate::step::{cargo, command, output, run, step};
use crate::{size, test, tools};

/// Format, clippy for both targets, every test, size budget.
pub fn ready() -> Result<()> {
    tools::component("rustfmt", || {
        output(&mut command("cargo-fmt", &["--version"])).is_ok()
    })?;
    tools::component("clippy", || {
        output(&mut command("cargo-clippy", &["--version"])).is_ok()
    })?;
    tools::wasm_target()?;
    step("format", || run(&mut cargo(&["fmt", "--all", "--check"])))?;
    step("clippy, native", || {
        let what = [
            "clippy",
            "--locked",
            "--workspace",
            "--all-targets",
            "--features",
            "gpu-mem-calc/cli",
        ];
        run(cargo(&what).args(["--", "-D", "warnings"]))
    })?;
    step("clippy, WebAssembly", || {
        let what = [
            "clippy",
            "--locked",
            "--target",
            tools::WASM,
            "--features",
            "parts,js",
        ];
        run(cargo(&what).args(["--lib", "--bin", "page", "--test", "web", "--", "-D", "warnings"]))
    })?;
    test::all()?;
    size::check()
}
