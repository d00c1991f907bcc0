//! Plain text tables: columns as wide as their widest cell, numbers to the right.

use gpu_mem_calc::units::Bytes;

/// How a column is set.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// Rows of equally many cells.
pub struct Table {
    align: Vec<Align>,
    rows: Vec<Vec<String>>,
    ruled: bool,
}

impl Table {
    /// A table without a heading.
    pub fn plain(align: &[Align]) -> Self {
        Self {
            align: align.to_vec(),
            rows: Vec::new(),
            ruled: false,
        }
    }

    /// A table with a heading over a rule.
    pub fn headed(columns: &[(&str, Align)]) -> Self {
        Self {
            align: columns.iter().map(|(_, align)| *align).collect(),
            rows: vec![columns.iter().map(|(name, _)| (*name).to_owned()).collect()],
            ruled: true,
        }
    }

    /// Adds a row.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// Whether there is nothing but the heading.
    pub fn is_empty(&self) -> bool {
        self.rows.len() <= usize::from(self.ruled)
    }

    /// The text, each line indented by so many spaces.
    pub fn text(&self, indent: usize) -> String {
        let widths: Vec<usize> = (0..self.align.len())
            .map(|column| self.rows.iter().map(|row| width(row, column)).max().unwrap_or(0))
            .collect();
        let mut text = String::new();
        for (index, row) in self.rows.iter().enumerate() {
            let cells: Vec<String> = row
                .iter()
                .zip(&self.align)
                .zip(&widths)
                .map(|((cell, align), width)| {
                    let room = " ".repeat(width.saturating_sub(cell.chars().count()));
                    match align {
                        Align::Left => format!("{cell}{room}"),
                        Align::Right => format!("{room}{cell}"),
                    }
                })
                .collect();
            let line = format!("{}{}", " ".repeat(indent), cells.join("  "));
            text.push_str(line.trim_end());
            text.push('\n');
            if self.ruled && index == 0 {
                let rule: usize = widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1);
                text.push_str(&format!("{}{}\n", " ".repeat(indent), "-".repeat(rule)));
            }
        }
        text
    }
}

fn width(row: &[String], column: usize) -> usize {
    row.get(column).map_or(0, |cell| cell.chars().count())
}

/// "12.34 GiB".
pub fn gib(bytes: Bytes) -> String {
    format!("{:.2} GiB", bytes.to_gib())
}

/// A count with thousands separated: "8,030,261,248".
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
