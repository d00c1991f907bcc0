//! The whole calculator as one HTML file, which opens from a folder without a server: styles and bindings stand in it as they
//! are, the module, the measured runs and the documentation compressed.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use crate::step::{cargo, run, step};
use crate::{docs, embed, place, tools};

/// The binary that is the page.
const BINARY: &str = "page";

/// The profile of the page that is published.
const PROFILE: &str = "wasm-release";

/// Builds the file and says where it is.
pub fn build() -> Result<PathBuf> {
    tools::wasm_target()?;
    step("module in one piece", || {
        let what = ["build", "--locked", "--target", tools::WASM, "--profile", PROFILE];
        run(cargo(&what).args(["--features", "web", "--bin", BINARY]))
    })?;
    let folder = place::target().join("single-file");
    bind(&folder)?;
    let read = |name: &str| {
        let path = folder.join(name);
        fs::read(&path).with_context(|| format!("reading {}", path.display()))
    };
    let bindings = String::from_utf8(read(&format!("{BINARY}.js"))?).context("bindings are text")?;
    let start = place::root().join("assets/shell/single.js");
    let start = fs::read_to_string(&start).context("reading single.js")?;
    let packed = [
        element("module", None, &read(&format!("{BINARY}_bg.wasm"))?)?,
        element(
            "records",
            Some(("records.jsonl", "application/jsonl")),
            docs::records()?.as_bytes(),
        )?,
        element(
            "documentation",
            Some(("docs/index.html", "text/html;charset=utf-8")),
            docs::whole(false)?.as_bytes(),
        )?,
        element(
            "documentation-zh",
            Some(("docs/zh/index.html", "text/html;charset=utf-8")),
            docs::whole(true)?.as_bytes(),
        )?,
    ];
    let text = document(&styles()?, &[&bindings, &start], &packed.concat())?;
    let file = place::target().join(format!("gpu-mem-calc-{}.html", embed::version()?));
    fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
    println!("{}", file.display());
    Ok(file)
}

/// Bindings as a script that is no module: browsers load no modules from `file://`.
fn bind(folder: &Path) -> Result<()> {
    let linked = place::target()
        .join(tools::WASM)
        .join(PROFILE)
        .join(BINARY)
        .with_extension("wasm");
    let mut arguments: Vec<std::ffi::OsString> = [
        tools::WASM_BINDGEN,
        "--target=no-modules",
        "--no-typescript",
        "--remove-name-section",
        "--remove-producers-section",
        "--out-dir",
    ]
    .map(std::ffi::OsString::from)
    .into();
    arguments.extend([folder.into(), linked.into()]);
    wasm_bindgen_cli::wasm_bindgen::run_cli_with_args(arguments)
}

/// The page's style sheets in the order of `index.html`.
fn styles() -> Result<String> {
    let index = fs::read_to_string(place::root().join("index.html")).context("reading index.html")?;
    let mut all = String::new();
    for piece in index.split("rel=\"css\" href=\"").skip(1) {
        let name = piece.split('"').next().unwrap_or_default();
        all.push_str(
            &fs::read_to_string(place::root().join(name)).with_context(|| format!("reading {name}"))?,
        );
    }
    Ok(all)
}

/// What the script unpacks: gzip in base64. `file` is the name under which the page asks for it, and its type.
fn element(id: &str, file: Option<(&str, &str)>, content: &[u8]) -> Result<String> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(content).context("compressing")?;
    let text = STANDARD.encode(packed.finish().context("compressing")?);
    let named = file.map_or_else(String::new, |(name, kind)| {
        format!(" data-file=\"{name}\" data-type=\"{kind}\"")
    });
    Ok(format!(
        "<script type=\"text/plain\" id=\"{id}\"{named}>{text}</script>\n"
    ))
}

/// The document, whose policy allows its own scripts by their digest and no address at all.
fn document(styles: &str, scripts: &[&str], packed: &str) -> Result<String> {
    let mut digests = Vec::new();
    let mut elements = String::new();
    for script in scripts {
        if script.contains("</script") {
            bail!("a script holds the end of a script");
        }
        digests.push(format!(
            "'sha256-{}'",
            STANDARD.encode(Sha256::digest(script.as_bytes()))
        ));
        elements.push_str(&format!("<script>{script}</script>\n"));
    }
    let icon = fs::read(place::root().join("assets/shell/icon.svg")).context("reading the icon")?;
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src {} 'wasm-unsafe-eval'; \
         style-src 'unsafe-inline'; img-src data: blob:; connect-src blob:; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>GPU Memory Calculator</title>\n\
         <link rel=\"icon\" href=\"data:image/svg+xml;base64,{}\">\n<style>\n{styles}</style>\n</head>\n<body>\n\
         <noscript><p>The GPU Memory Calculator computes in your browser and needs JavaScript and WebAssembly.</p></noscript>\n\
         <div data-gpu-mem-calc=\"page\"></div>\n{packed}{elements}</body>\n</html>\n",
        digests.join(" "),
        STANDARD.encode(icon)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_scripts_of_the_file_may_run() -> Result<()> {
        let made = document("p{}", &["a()", "b()"], "")?;
        let digest = STANDARD.encode(Sha256::digest(b"a()"));
        assert!(made.contains(&format!("script-src 'sha256-{digest}'")));
        assert!(!made.contains("script-src 'unsafe-inline'"));
        assert!(document("", &["</script>"], "").is_err());
        Ok(())
    }
}
