//! What `deny.toml` refuses: licences, sources and doubled crates; known advisories where their database can be had.

use anyhow::Result;

use crate::step::{clean, command, run, step};
use crate::tools;

/// Judges the crates of `Cargo.lock`; `--advisories` asks the database of advisories as well, which needs a network that reaches it.
pub fn check(options: &[&str]) -> Result<()> {
    let program = tools::cargo_deny()?;
    let mut asked = vec!["bans", "licenses", "sources"];
    if options.contains(&"--advisories") {
        asked.push("advisories");
    }
    step("licences, sources and doubled crates", || {
        let mut deny = command(&program, &["deny", "--locked", "check", "--hide-inclusion-graph"]);
        deny.args(&asked);
        clean(&mut deny);
        run(&mut deny)
    })
}
