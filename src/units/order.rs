//! Sorting by a key as the standard library does, stably, with the program text of one sort for all kinds of lists: the page's module
//! is loaded before its first answer, and a sort for each kind would be a fortieth of it.

use std::cmp::Ordering;

/// Sorts by a key; what has the same key keeps its order.
pub fn sort_by_key<T, K: Ord>(list: &mut [T], key: impl Fn(&T) -> K) {
    let keys: Vec<K> = list.iter().map(key).collect();
    let mut order = order(keys.len(), &|one, other| keys.get(one).cmp(&keys.get(other)));
    for at in 0..order.len() {
        // Along the circle of places whose contents move round; each place is left as one that is filled.
        let mut place = at;
        while let Some(from) = order.get_mut(place).map(|from| std::mem::replace(from, place))
            && from != at
        {
            list.swap(place, from);
            place = from;
        }
    }
}

/// For each place, where what belongs there stands.
fn order(count: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|one, other| compare(*one, *other));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted_as_the_standard_library_sorts_them() {
        let mut seed = 7_u32;
        for length in 0..60 {
            let list: Vec<(u32, usize)> = (0..length)
                .map(|place| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    ((seed >> 16) % 9, place)
                })
                .collect();
            let (mut ours, mut theirs) = (list.clone(), list);
            sort_by_key(&mut ours, |(key, _)| *key);
            theirs.sort_by_key(|(key, _)| *key);
            assert_eq!(ours, theirs);
        }
    }
}
