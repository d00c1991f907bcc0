//! Scales: round ticks from zero upwards, and the place of a value on a logarithmic axis.

/// Round values from zero to a little above `most`: the top of the scale and its ticks.
pub fn linear(most: f64) -> (f64, Vec<f64>) {
    let most = most.max(0.01);
    let rough = most / 4.0;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= rough)
        .unwrap_or(rough);
    let count = (most * 1.02 / step).ceil();
    let ticks = (0..20)
        .map(f64::from)
        .take_while(|index| *index <= count)
        .map(|index| index * step)
        .collect();
    (count * step, ticks)
}

/// Where a value lies between two others on a logarithmic axis, from 0 to 1.
pub fn logarithmic(value: u64, first: u64, last: u64) -> f64 {
    let place = |value: u64| (value.max(1) as f64).ln();
    let span = place(last) - place(first);
    if span <= 0.0 {
        return 0.5;
    }
    ((place(value) - place(first)) / span).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_enclose_the_most() {
        let (top, ticks) = linear(79.2);
        assert!((top - 100.0).abs() < 1e-9, "{top}");
        assert_eq!(ticks, [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert!(linear(0.0).0 > 0.0);
    }

    #[test]
    fn a_doubling_is_the_same_way_everywhere() {
        assert!((logarithmic(2048, 1024, 4096) - 0.5).abs() < 1e-12);
        assert!((logarithmic(7, 7, 7) - 0.5).abs() < 1e-12);
    }
}
