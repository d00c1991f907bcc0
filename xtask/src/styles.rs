//! The style sheets of the built page as one file, so that a first visit asks for one and not for twenty.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::place;

/// Runs after each build of the page (`Trunk.toml`), when the module is cut.
pub fn hook() -> Result<()> {
    let site = std::env::var_os("TRUNK_STAGING_DIR").map_or_else(place::dist, PathBuf::from);
    join(&site)
}

/// Joins the style sheets that the document names, in its order, and names the one in their place.
fn join(site: &Path) -> Result<()> {
    let index = site.join("index.html");
    let text = fs::read_to_string(&index).context("reading the built index.html")?;
    let (mut all, mut rest) = (String::new(), String::new());
    let mut found = false;
    let mut left = text.as_str();
    while let Some(start) = left.find("<link ") {
        let (before, from) = left.split_at(start);
        let Some(end) = from.find('>') else { break };
        let (tag, after) = from.split_at(end + 1);
        rest.push_str(before);
        left = after;
        if !tag.contains("stylesheet") {
            rest.push_str(tag);
            continue;
        }
        let name =
            address(tag).with_context(|| format!("a style sheet without a relative address: {tag}"))?;
        let sheet = site.join(name);
        all.push_str(&fs::read_to_string(&sheet).with_context(|| format!("reading {name}"))?);
        fs::remove_file(&sheet).with_context(|| format!("removing {name}"))?;
        if !found {
            rest.push_str("<link rel=\"stylesheet\" href=\"./STYLE\">");
        }
        found = true;
    }
    rest.push_str(left);
    if !found {
        bail!("the built index.html names no style sheet");
    }
    let name = format!("page-{:016x}.css", fingerprint(all.as_bytes()));
    fs::write(site.join(&name), all).with_context(|| format!("writing {name}"))?;
    fs::write(&index, rest.replacen("STYLE", &name, 1)).context("writing the built index.html")
}

/// The relative address that a tag names, with or without quotes.
fn address(tag: &str) -> Option<&str> {
    let (_, from) = tag.split_once("href=")?;
    let from = from.trim_start_matches('"').strip_prefix("./")?;
    from.split(['"', ' ', '>', '/']).next()
}

/// A number that changes with the content (FNV-1a), so that a browser keeps the file no longer than it holds.
fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sheets_become_one_in_their_order() -> Result<()> {
        let site = std::env::temp_dir().join(format!("sheets-{}", std::process::id()));
        fs::create_dir_all(&site)?;
        fs::write(site.join("a.css"), "a{}")?;
        fs::write(site.join("b.css"), "b{}")?;
        let head = "<head><link rel=\"stylesheet\" href=\"./a.css\"/>x<link href=./b.css integrity=sha384-a rel=stylesheet></head>";
        fs::write(site.join("index.html"), head)?;
        join(&site)?;
        let name = format!("page-{:016x}.css", fingerprint(b"a{}b{}"));
        assert_eq!(fs::read_to_string(site.join(&name))?, "a{}b{}");
        let text = fs::read_to_string(site.join("index.html"))?;
        assert_eq!(
            text,
            format!("<head><link rel=\"stylesheet\" href=\"./{name}\">x</head>")
        );
        assert!(!site.join("a.css").exists());
        fs::remove_dir_all(&site)?;
        Ok(())
    }
}
