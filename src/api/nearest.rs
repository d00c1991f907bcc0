//! "Did you mean": the nearest known word.

/// The word among `known` that is nearest to `given`, where one is near enough to be a slip.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = given.to_ascii_lowercase();
    let limit = (wanted.chars().count() / 3).clamp(1, 4);
    known
        .into_iter()
        .map(|word| (distance(&wanted, &word.to_ascii_lowercase()), word))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// Edits (insert, delete, replace, swap neighbours) between two words.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    let mut last = None;
    for (line, letter) in left.chars().enumerate() {
        let mut next = vec![line + 1];
        for (column, other) in right.iter().enumerate() {
            let at = |cells: &[usize], index: usize| cells.get(index).copied().unwrap_or(usize::MAX / 2);
            let mut cost = (at(&row, column + 1) + 1)
                .min(at(&next, column) + 1)
                .min(at(&row, column) + usize::from(letter != *other));
            let swapped = column > 0 && last == Some(*other) && right.get(column - 1) == Some(&letter);
            if swapped {
                cost = cost.min(at(&before, column - 1) + 1);
            }
            next.push(cost);
        }
        last = Some(letter);
        before = std::mem::replace(&mut row, next);
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_edits() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("bf61", "bf16"), 1);
        assert_eq!(distance("sdg", "sgd"), 1);
        assert_eq!(distance("layres", "layers"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    #[test]
    fn finds_slips_and_nothing_else() {
        assert_eq!(nearest("sdg", ["adam", "sgd"]), Some("sgd"));
        assert_eq!(
            nearest("num_hidden_layres", ["num_layers", "num_hidden_layers"]),
            Some("num_hidden_layers")
        );
        assert_eq!(nearest("colossal", ["fsdp", "deepspeed"]), None);
    }
}
