//! The committed table of evidence, `assets/evidence.csv`: one row per option, one column per engine, in each cell `t` where
//! a traced run stands behind it, `r` for a published record, `w` for a calculation by hand. Further rows hold pairs of
//! options that act on each other. `cargo xtask accuracy` writes it from the runs themselves; a test keeps it equal to them.

use std::collections::HashMap;
use std::sync::OnceLock;

const TABLE: &str = include_str!("../../../assets/evidence.csv");

/// The engines of the columns, as answers name them.
pub const ENGINES: [&str; 8] = [
    "single",
    "ddp",
    "fsdp1",
    "fsdp2",
    "hsdp",
    "deepspeed",
    "tp",
    "megatron",
];

type Cells = [&'static str; ENGINES.len()];

fn table() -> &'static HashMap<&'static str, Cells> {
    static PARSED: OnceLock<HashMap<&'static str, Cells>> = OnceLock::new();
    PARSED.get_or_init(|| {
        TABLE
            .lines()
            .skip(1)
            .filter_map(|line| {
                let mut parts = line.split(',');
                let option = parts.next()?;
                let mut cells = [""; ENGINES.len()];
                for (cell, found) in cells.iter_mut().zip(parts) {
                    *cell = found;
                }
                Some((option, cells))
            })
            .collect()
    })
}

/// What stands behind an option with an engine, or with any: letters of the table, none where nothing does.
pub fn kinds(option: &str, engine: Option<&str>) -> String {
    let Some(cells) = table().get(option) else {
        return String::new();
    };
    let columns = ENGINES.iter().zip(cells);
    columns
        .filter(|(name, _)| engine.is_none_or(|engine| engine == **name))
        .map(|(_, cell)| *cell)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_the_columns_that_are_read() {
        let head = TABLE.lines().next().unwrap_or_default();
        assert_eq!(head, format!("option,{}", ENGINES.join(",")));
        assert_ne!(kinds("training.optimizer=adamw", Some("single")), "");
        assert_eq!(kinds("training.optimizer=none of these", None), "");
    }
}
