//! In and out: exporters write a question as the configuration of a framework, one file each in `export/`; the formats of
//! text that they share (YAML, TOML, command lines) are here.
//!
//! Everything works on settings that `api` has validated; nothing here computes memory, and nothing knows the page.

pub mod export;
mod shell;
mod toml;
mod yaml;
