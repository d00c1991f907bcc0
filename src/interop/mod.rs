//! In and out: exporters write a question as the configuration of a framework, one file each in `export/`; importers read
//! configurations, commands and logs, in `import/`; the formats of text that they share (YAML, TOML, command lines) are here.
//!
//! Everything works on settings that `api` has validated; nothing here computes memory, and nothing knows the page.

pub mod export;
pub mod import;
mod shell;
mod toml;
mod toml_in;
mod yaml;
mod yaml_in;

pub use yaml::emit as yaml_text;
