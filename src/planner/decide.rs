//! Why one plan is faster than another: the parts of their steps side by side, the largest difference first.

/// A part of two steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part {
    /// Which.
    pub label: &'static str,
    /// Milliseconds of the better.
    pub better: f64,
    /// Milliseconds of the other.
    pub other: f64,
}

impl Part {
    /// What the better saves; negative where it takes longer.
    pub fn saved(&self) -> f64 {
        self.other - self.better
    }
}

/// The parts in which two steps differ, the largest difference first.
pub fn decisive(better: &[(&'static str, f64)], other: &[(&'static str, f64)]) -> Vec<Part> {
    let of = |parts: &[(&'static str, f64)], label: &str| {
        let own = parts.iter().find(|(own, _)| *own == label);
        own.map_or(0.0, |(_, time)| *time)
    };
    let mut labels: Vec<&'static str> = better.iter().chain(other).map(|(label, _)| *label).collect();
    labels.sort_unstable();
    labels.dedup();
    let mut parts: Vec<Part> = labels
        .into_iter()
        .map(|label| Part {
            label,
            better: of(better, label),
            other: of(other, label),
        })
        .filter(|part| part.saved().abs() > 1e-6)
        .collect();
    parts.sort_by(|left, right| right.saved().abs().total_cmp(&left.saved().abs()));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_difference_comes_first() {
        let parts = decisive(&[("a", 1.0), ("b", 5.0)], &[("a", 1.5), ("b", 2.0), ("c", 4.0)]);
        let labels: Vec<&str> = parts.iter().map(|part| part.label).collect();
        assert_eq!(labels, ["c", "b", "a"]);
        assert!(parts.iter().map(Part::saved).sum::<f64>() > 0.0);
    }
}
