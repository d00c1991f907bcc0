//! Doubling, then bisection: the last of the values 1, 2, 3 ... at which something holds that never holds again after it
//! fails. What is asked at a value is the caller's.

/// The last value up to the limit at which it holds, and what was found one value further; nothing where it holds up to the
/// limit. It holds at 1.
pub fn last<P>(limit: u64, probe: impl Fn(u64) -> P, holds: impl Fn(&P) -> bool) -> (u64, Option<P>) {
    let mut met = 1;
    let (mut over, mut beyond) = loop {
        if met >= limit {
            return (limit.max(1), None);
        }
        let next = met.saturating_mul(2).min(limit);
        let found = probe(next);
        if !holds(&found) {
            break (next, found);
        }
        met = next;
    };
    while over - met > 1 {
        let middle = u64::midpoint(met, over);
        let found = probe(middle);
        if holds(&found) {
            met = middle;
        } else {
            (over, beyond) = (middle, found);
        }
    }
    (met, Some(beyond))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_border_and_looks_no_further_than_the_limit() {
        for limit in 1..40 {
            for border in 1..60 {
                let probe = |value: u64| {
                    assert!((1..=limit).contains(&value), "{value} of {limit}");
                    value
                };
                let found = last(limit, probe, |value| *value <= border);
                let beyond = (border < limit).then_some(border + 1);
                assert_eq!(found, (border.min(limit), beyond), "{border} of {limit}");
            }
        }
    }
}
