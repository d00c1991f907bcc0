//! What makes a site of the built page: the script that starts the module, the policy that the document sets itself, icons and
//! manifest, and the worker that keeps every file for use without a network.
//!
//! The files lie in `assets/shell`; here the build's own names are put into them. Compare `embed.rs` for what other documents
//! load from the site.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::{docs, embed, parts, place, styles};

/// What the page may do. What becomes markup or the address of a script is looked at in `assets/shell/boot.js`. Scripts are files of the site and WebAssembly. Styles stand in attributes too: bars and plots are
/// as long as their numbers say. The one address outside is asked only when the reader asks for a model's file by its name.
pub const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; \
                          img-src 'self' data: blob:; connect-src 'self' https://huggingface.co; manifest-src 'self'; \
                          worker-src 'self' blob:; frame-src 'self'; base-uri 'none'; form-action 'none'; \
                          require-trusted-types-for 'script'; trusted-types default";

/// Copied as they are.
const COPIED: [&str; 6] = [
    "frame.js",
    "manifest.webmanifest",
    "icon.svg",
    "icon-192.png",
    "icon-512.png",
    "icon-maskable-512.png",
];

/// The head's lines for what is copied.
const LINKS: &str = "<link rel=\"manifest\" href=\"./manifest.webmanifest\">\
                     <link rel=\"icon\" href=\"./icon.svg\" type=\"image/svg+xml\">\
                     <link rel=\"apple-touch-icon\" href=\"./icon-192.png\">";

/// Runs after each build of the page (`Trunk.toml`), which says in which folder the build stands.
pub fn hook() -> Result<()> {
    let site = std::env::var_os("TRUNK_STAGING_DIR").map_or_else(place::dist, PathBuf::from);
    let release = std::env::var("TRUNK_PROFILE").is_ok_and(|profile| profile == "release");
    docs::put(&site)?;
    parts::put(&site, release)?;
    styles::join(&site)?;
    let module = parts::name_in(&site)?;
    let boot = start(&site, &module)?;
    for name in COPIED {
        fs::copy(shell(name), site.join(name)).with_context(|| format!("copying {name}"))?;
    }
    embed::write(&site, &module)?;
    let index = site.join("index.html");
    let text = fs::read_to_string(&index).context("reading the built index.html")?;
    let mut text = with_boot(&text, &boot)?.replacen("</head>", &format!("{LINKS}</head>"), 1);
    // A served debug build has Trunk's own script in it, which reloads the page, and nothing to keep.
    if release {
        text = with_policy(&text)?;
    }
    fs::write(&index, text).context("writing the built index.html")?;
    if release { keep(&site) } else { Ok(()) }
}

/// A file of the shell.
fn shell(name: &str) -> PathBuf {
    place::root().join("assets/shell").join(name)
}

/// The first digits of a digest, which stand in the names of files.
pub fn digest(content: &[u8]) -> String {
    let digits = Sha256::digest(content);
    digits.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Writes the script that starts the module, under a name with its digest.
fn start(site: &Path, module: &str) -> Result<String> {
    let text = fs::read_to_string(shell("boot.js")).context("reading boot.js")?;
    let text = text.replace("MODULE", module);
    let name = format!("boot-{}.js", digest(text.as_bytes()));
    fs::write(site.join(&name), text).with_context(|| format!("writing {name}"))?;
    Ok(name)
}

/// The document with a script file in place of the lines that Trunk wrote to start the module, which a policy without
/// inline scripts would refuse.
fn with_boot(index: &str, boot: &str) -> Result<String> {
    let close = "</script>";
    let found = index.match_indices("<script").find_map(|(start, _)| {
        let end = start + index.get(start..)?.find(close)? + close.len();
        let script = index.get(start..end)?;
        script.contains("import init").then_some((start, end))
    });
    let Some((start, end)) = found else {
        bail!("the built index.html does not start the module");
    };
    let mut document = index.to_owned();
    document.replace_range(
        start..end,
        &format!("<script type=\"module\" src=\"./{boot}\"></script>"),
    );
    Ok(document)
}

/// The document with the policy before everything that it governs: behind the encoding, which stands first.
fn with_policy(index: &str) -> Result<String> {
    let encodings = ["<meta charset=utf-8>", "<meta charset=\"utf-8\">"];
    let Some(encoding) = encodings.into_iter().find(|mark| index.contains(mark)) else {
        bail!("the built index.html does not say its encoding");
    };
    let policy = format!("{encoding}<meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">");
    Ok(index.replacen(encoding, &policy, 1))
}

/// Writes the worker with the list of all files and a digest of their content.
fn keep(site: &Path) -> Result<()> {
    let mut files = Vec::new();
    list(site, site, &mut files)?;
    files.sort();
    let mut all = Sha256::new();
    for file in &files {
        all.update(file.as_bytes());
        all.update(fs::read(site.join(file)).with_context(|| format!("reading {file}"))?);
    }
    let text = fs::read_to_string(shell("sw.js")).context("reading sw.js")?;
    let list = serde_json::to_string(&files).context("writing the list of files")?;
    let text = text
        .replace("VERSION_HASH", &digest(&all.finalize()))
        .replace("FILE_LIST", &list);
    fs::write(site.join("sw.js"), text).context("writing sw.js")
}

/// All files below a folder, relative to the site, with `/` between the names.
fn list(site: &Path, folder: &Path, files: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            list(site, &path, files)?;
        } else {
            let inside = path.strip_prefix(site).context("a file of the site lies in it")?;
            let names: Vec<_> = inside.iter().map(|name| name.to_string_lossy()).collect();
            files.push(names.join("/"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Trunk writes it, with and without minifying.
    const BUILT: [&str; 2] = [
        "<html lang=en><meta charset=utf-8><meta content=w name=viewport><link href=./a.css rel=stylesheet>\
         <script type=module>import init from './page.js';await init();</script></head><body></body></html>",
        "<html><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"w\">\
         <script type=\"module\">import init from './page.js';await init();</script></head><body></body></html>",
    ];

    #[test]
    fn no_script_stays_in_the_document() -> Result<()> {
        for built in BUILT {
            let document = with_policy(&with_boot(built, "boot-1.js")?)?;
            assert!(document.contains("<script type=\"module\" src=\"./boot-1.js\"></script></head>"));
            assert!(!document.contains("import init"));
            let policy = document.find("Content-Security-Policy");
            assert!(policy.is_some() && policy < document.find("viewport"));
        }
        Ok(())
    }

    #[test]
    fn a_document_that_starts_nothing_is_said() {
        assert!(with_boot("<html></html>", "boot-1.js").is_err());
        assert!(with_policy("<html></html>").is_err());
    }

    #[test]
    fn scripts_are_never_allowed_inline() {
        let scripts = POLICY
            .split(';')
            .find(|part| part.trim().starts_with("script-src"));
        assert_eq!(
            scripts.map(str::trim),
            Some("script-src 'self' 'wasm-unsafe-eval'")
        );
        assert!(POLICY.contains("require-trusted-types-for 'script'"));
    }
}
