//! Lists with an entry per layer, made longer or shorter by their own pattern.

/// The list with `length` entries: cut, or continued with the period in which it ends.
pub fn resize<T: Clone + PartialEq>(list: &[T], length: usize) -> Vec<T> {
    let mut longer: Vec<T> = list.iter().take(length).cloned().collect();
    let period = period(list);
    while longer.len() < length {
        match longer
            .len()
            .checked_sub(period)
            .and_then(|place| longer.get(place))
            .cloned()
        {
            Some(entry) => longer.push(entry),
            None => break,
        }
    }
    longer
}

/// The shortest period that the second half of the list has.
fn period<T: PartialEq>(list: &[T]) -> usize {
    let half = list.get(list.len() / 2..).unwrap_or_default();
    (1..=half.len() / 2)
        .find(|period| half.iter().zip(half.iter().skip(*period)).all(|(a, b)| a == b))
        .unwrap_or_else(|| list.len().max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn continues_the_pattern() {
        let list: Vec<char> = "dsssfsssfsssfsss".chars().collect();
        assert_eq!(
            resize(&list, 20).into_iter().collect::<String>(),
            "dsssfsssfsssfsssfsss"
        );
        assert_eq!(resize(&list, 3), ['d', 's', 's']);
        assert!(resize::<u8>(&[], 3).is_empty());
        assert_eq!(resize(&[1, 2, 3], 5), [1, 2, 3, 1, 2]);
    }
}
