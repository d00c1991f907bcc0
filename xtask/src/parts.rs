//! The page's module in several files: what a tab alone needs is loaded when the tab is opened.
//!
//! The page marks functions with `wasm_split`; here, after a build, the linked module is cut at them, and the main file and
//! its bindings take the place of those that Trunk made of the whole.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use wasm_encoder::{Module, RawSection};
use wasm_split_cli_support::{Options, transform};
use wasmparser::{Parser, Payload};

use crate::{place, tools};

/// The binary whose module is cut.
const BINARY: &str = "page";

/// What the name of each file begins with in the splitting tool.
const PREFIX: &str = "split_";

/// Cuts the module that was built last, in the profile of the page that is published or in that of development.
pub fn put(site: &Path, release: bool) -> Result<()> {
    let profile = if release { "wasm-release" } else { "debug" };
    let linked = place::target()
        .join(tools::WASM)
        .join(profile)
        .join(BINARY)
        .with_extension("wasm");
    cut(&linked, site)
}

/// Cuts the linked module and puts its files into the site, under the name that Trunk gave the whole.
fn cut(linked: &Path, site: &Path) -> Result<()> {
    let name = name_in(site)?;
    let input = fs::read(linked).with_context(|| format!("reading {}", linked.display()))?;
    let work = place::target().join("page-parts");
    if work.exists() {
        fs::remove_dir_all(&work).with_context(|| format!("emptying {}", work.display()))?;
    }
    fs::create_dir_all(&work).with_context(|| format!("making {}", work.display()))?;
    let main = work.join("main.wasm");
    let (link, bindings) = (format!("./{name}-parts.js"), format!("./{name}.js"));
    let mut options = Options::new(&input);
    options.output_dir = &work;
    options.main_out_path = &main;
    options.link_name = &link;
    options.main_module = &bindings;
    let made = transform(options).map_err(|error| anyhow!("cutting {}: {error:#}", linked.display()))?;

    bind(&main, &work, &name)?;
    let (script, module) = (format!("{name}.js"), format!("{name}_bg.wasm"));
    fs::copy(work.join(&module), site.join(&module)).with_context(|| format!("copying {module}"))?;
    let bindings = fs::read_to_string(work.join(&script)).context("reading the bindings")?;
    fs::write(site.join(&script), uncommented(&bindings)).with_context(|| format!("writing {script}"))?;
    let mut loader = fs::read_to_string(work.join(&link)).context("reading the loader of the parts")?;
    for part in &made.split_modules {
        let own = part.file_name().context("a part is a file")?.to_string_lossy();
        let public = format!("{name}-{}", own.strip_prefix(PREFIX).unwrap_or(&own));
        loader = loader.replace(&format!("./{own}"), &format!("./{public}"));
        fs::write(site.join(&public), bare(&fs::read(part)?)?)
            .with_context(|| format!("writing {public}"))?;
    }
    fs::write(site.join(&link), loader).context("writing the loader of the parts")?;
    announce(&site.join("index.html"), &name)
}

/// The name, with its hash, that Trunk gave the module.
pub fn name_in(site: &Path) -> Result<String> {
    let entries = fs::read_dir(site).with_context(|| format!("reading {}", site.display()))?;
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if let Some(name) = name.strip_suffix("_bg.wasm")
            && name.starts_with(BINARY)
        {
            return Ok(name.to_owned());
        }
    }
    bail!("no module of the page in {}", site.display())
}

/// Bindings of the main file. The table and the memory stay exported under their own names, which the parts import.
fn bind(main: &Path, folder: &Path, name: &str) -> Result<()> {
    let mut arguments: Vec<OsString> = [
        tools::WASM_BINDGEN,
        "--target=web",
        "--no-typescript",
        "--keep-lld-exports",
        "--remove-name-section",
        "--remove-producers-section",
        "--out-name",
        name,
        "--out-dir",
    ]
    .map(OsString::from)
    .into();
    arguments.extend([folder.into(), main.into()]);
    wasm_bindgen_cli::wasm_bindgen::run_cli_with_args(arguments)
}

/// Generated JavaScript without the lines that are comments alone, which every visit would fetch.
fn uncommented(script: &str) -> String {
    let mut inside = false;
    let mut kept = String::with_capacity(script.len());
    for line in script.lines() {
        let text = line.trim_start();
        if inside || text.starts_with("/**") {
            inside = !text.ends_with("*/");
        } else if !text.starts_with("//") {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// The module without names, relocations and other sections that do not run.
fn bare(module: &[u8]) -> Result<Vec<u8>> {
    let mut kept = Module::new();
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload.context("reading a part")?;
        if matches!(payload, Payload::CustomSection(_)) {
            continue;
        }
        if let Some((id, range)) = payload.as_section() {
            let (start, end) = (usize::try_from(range.start)?, usize::try_from(range.end)?);
            let data = module.get(start..end).context("a section lies in its module")?;
            kept.section(&RawSection { id, data });
        }
    }
    Ok(kept.finish())
}

/// Lets the browser fetch the loader beside the bindings that import it.
fn announce(index: &Path, name: &str) -> Result<()> {
    let text = fs::read_to_string(index).context("reading the built index.html")?;
    let head = "</head>";
    let hint = format!("<link rel=\"modulepreload\" crossorigin href=\"./{name}-parts.js\">{head}");
    if !text.contains(head) {
        bail!("the built index.html has no {head}");
    }
    fs::write(index, text.replacen(head, &hint, 1)).context("writing the built index.html")
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_encoder::CustomSection;

    #[test]
    fn only_lines_that_are_comments_go() {
        let script =
            "/**\n * What it is.\n */\nlet a = 2 // two\n    * 3;\n  // why\n  /** one line */\nf(a);\n";
        assert_eq!(uncommented(script), "let a = 2 // two\n    * 3;\nf(a);\n");
    }

    #[test]
    fn what_does_not_run_is_dropped() -> Result<()> {
        let mut whole = Module::new();
        whole.section(&wasm_encoder::TypeSection::new());
        let kept = whole.clone().finish();
        whole.section(&CustomSection {
            name: "name".into(),
            data: b"names".as_slice().into(),
        });
        assert_eq!(bare(&whole.finish())?, kept);
        Ok(())
    }

    #[test]
    fn a_site_without_the_module_is_said() {
        let nothing = std::env::temp_dir().join("no-such-site");
        assert!(name_in(&nothing).is_err());
    }
}
