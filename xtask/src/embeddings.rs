//! Builds the small sites of `tests/e2e/embed` with the real generators, and opens the calculator in each. The generators are
//! some hundred megabytes, so this is a command of its own and no part of every test run.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::step::{cargo, command, output, run, step};
use crate::{browser, npm, place, python};

const MDBOOK: &str = "0.5.4";

/// Each generator with the page that it makes, as its own links name it: what Docusaurus makes is continued in the browser below that
/// address alone.
const PAGES: [&str; 5] = [
    "html=index.html",
    "mkdocs=index.html",
    "sphinx=index.html",
    "mdbook=index.html",
    "docusaurus=",
];

/// Builds each site and opens it.
pub fn check() -> Result<()> {
    let browser = browser::find_or_bring()?;
    npm::packages()?;
    let made = place::target().join("embeddings");
    std::fs::create_dir_all(&made).with_context(|| format!("making {}", made.display()))?;
    step("plain HTML", || {
        let folder = made.join("html");
        std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        std::fs::copy(sources().join("html/index.html"), folder.join("index.html")).context("copying")?;
        Ok(())
    })?;
    let python = step("MkDocs and Sphinx themselves", || environment(&made))?;
    step("MkDocs", || {
        let settings = sources().join("mkdocs/mkdocs.yml");
        run(
            command(&python, &["-m", "mkdocs", "build", "--quiet", "--config-file"])
                .arg(settings)
                .arg("--site-dir")
                .arg(made.join("mkdocs")),
        )
    })?;
    step("Sphinx", || {
        run(command(&python, &["-m", "sphinx", "-q"])
            .arg(sources().join("sphinx"))
            .arg(made.join("sphinx")))
    })?;
    let mdbook = step("mdBook itself", mdbook)?;
    step("mdBook", || {
        run(command(mdbook, &["build"])
            .arg(sources().join("mdbook"))
            .arg("--dest-dir")
            .arg(made.join("mdbook")))
    })?;
    step("Docusaurus", || docusaurus(&made))?;
    step("the calculator in each", || {
        let mut node = command("node", &["tests/e2e/embed/check.mjs"]);
        node.arg(&made).args(PAGES);
        node.env("DIST", place::dist());
        node.env("CHROMIUM", &browser.chromium);
        node.env("SCREENSHOTS", place::root().join("target/screenshots"));
        run(&mut node)
    })
}

fn sources() -> PathBuf {
    place::root().join("tests/e2e").join("embed")
}

/// Python with the packages of `requirements.txt`, made once.
fn environment(made: &Path) -> Result<PathBuf> {
    let folder = made.join("python");
    let python = folder.join("bin/python");
    if !python.is_file() {
        python::environment(&folder)?;
    }
    run(
        command(&python, &["-m", "pip", "install", "--quiet", "--requirement"])
            .arg(sources().join("requirements.txt")),
    )?;
    Ok(python)
}

/// mdBook, built once per machine.
fn mdbook() -> Result<PathBuf> {
    let folder = place::tool("mdbook", MDBOOK)?;
    let program = folder.join("bin/mdbook");
    if !program.is_file() {
        let root = folder.to_string_lossy();
        let install = [
            "install",
            "mdbook",
            "--version",
            MDBOOK,
            "--locked",
            "--debug",
            "--root",
            &root,
        ];
        run(cargo(&install).env("CARGO_TARGET_DIR", folder.join("build")))?;
        std::fs::remove_dir_all(folder.join("build")).context("removing the build folder of mdBook")?;
    }
    output(&mut command(&program, &["--version"]))?;
    Ok(program)
}

/// Docusaurus builds in a folder of its own, so that its packages do not lie in the project.
fn docusaurus(made: &Path) -> Result<()> {
    let work = made.join("docusaurus-work");
    std::fs::create_dir_all(work.join("docs")).with_context(|| format!("making {}", work.display()))?;
    for file in [
        "package.json",
        "package-lock.json",
        "docusaurus.config.js",
        "docs/index.mdx",
    ] {
        std::fs::copy(sources().join("docusaurus").join(file), work.join(file))
            .with_context(|| format!("copying {file}"))?;
    }
    run(command("npm", &["ci", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(&work))?;
    run(command("npx", &["docusaurus", "build", "--out-dir"])
        .arg(made.join("docusaurus"))
        .current_dir(&work))
}
