//! The committed limits of `xtask/budgets.toml`.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, bail};

use crate::place;

/// Limits by name.
pub struct Budget(BTreeMap<String, u64>);

impl Budget {
    /// The committed file.
    pub fn read() -> Result<Self> {
        let text = fs::read_to_string(place::root().join("xtask/budgets.toml"))
            .context("reading xtask/budgets.toml")?;
        Self::parse(&text)
    }

    /// Lines of `name = whole number`; the rest is comment or empty.
    fn parse(text: &str) -> Result<Self> {
        let mut limits = BTreeMap::new();
        for line in text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            let (name, value) = line
                .split_once('=')
                .with_context(|| format!("no '=' in '{line}'"))?;
            let value = value
                .trim()
                .parse()
                .with_context(|| format!("not a whole number in '{line}'"))?;
            limits.insert(name.trim().to_owned(), value);
        }
        Ok(Self(limits))
    }

    /// A limit that must be there.
    pub fn limit(&self, name: &str) -> Result<u64> {
        self.0
            .get(name)
            .copied()
            .with_context(|| format!("xtask/budgets.toml has no '{name}'"))
    }

    /// Every limit.
    pub fn all(&self) -> impl Iterator<Item = (&String, &u64)> {
        self.0.iter()
    }

    /// Prints figures beside their limits and fails where one is above.
    pub fn check(&self, sizes: &[(String, u64)]) -> Result<()> {
        println!("{:<24} {:>10} {:>10}", "figure", "now", "budget");
        let mut above = Vec::new();
        for (name, bytes) in sizes {
            let limit = self.limit(name)?;
            println!("{name:<24} {bytes:>10} {limit:>10}");
            if *bytes > limit {
                above.push(name.as_str());
            }
        }
        if !above.is_empty() {
            bail!("above the budget of xtask/budgets.toml: {}", above.join(", "));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Budget;

    #[test]
    fn names_and_numbers_are_read_and_nonsense_is_refused() {
        let budget = Budget::parse("# sizes\n\nwasm_raw = 12\n");
        assert_eq!(budget.and_then(|read| read.limit("wasm_raw")).ok(), Some(12));
        assert!(Budget::parse("wasm_raw 12").is_err());
        assert!(Budget::parse("wasm_raw = much").is_err());
        assert!(Budget::parse("").and_then(|read| read.limit("wasm_raw")).is_err());
    }
}
