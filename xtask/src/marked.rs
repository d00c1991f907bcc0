//! What is written into a document between `<!-- name -->` and `<!-- /name -->`; everything else there is written by hand.

use std::fs;

use anyhow::{Context, Result};

use crate::place;

/// Puts a text between the marks of a document.
pub fn put(document: &str, name: &str, new: &str) -> Result<()> {
    let path = place::root().join(document);
    let text = fs::read_to_string(&path).with_context(|| format!("reading {document}"))?;
    let text = replaced(&text, name, new).with_context(|| document.to_owned())?;
    fs::write(&path, text).with_context(|| format!("writing {document}"))
}

/// The text with what stands between the marks replaced.
fn replaced(text: &str, name: &str, new: &str) -> Result<String> {
    let [first, last] = [format!("<!-- {name} -->"), format!("<!-- /{name} -->")];
    let (before, rest) = text
        .split_once(&first)
        .with_context(|| format!("there is no {first}"))?;
    let (_, after) = rest
        .split_once(&last)
        .with_context(|| format!("there is no {last} behind {first}"))?;
    Ok(format!("{before}{first}\n\n{}\n\n{last}{after}", new.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let text = "a\n<!-- accuracy -->\nold\n<!-- /accuracy -->\nb\n";
        let expected = "a\n<!-- accuracy -->\n\nnew\n\n<!-- /accuracy -->\nb\n";
        assert_eq!(
            replaced(text, "accuracy", "new\n").ok().as_deref(),
            Some(expected)
        );
        assert!(replaced("no marks", "accuracy", "new").is_err());
    }
}
