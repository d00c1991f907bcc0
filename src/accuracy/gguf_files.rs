//! Bytes of a GGUF file of which a log prints how many tensors have each type: exactly where that is the named mix; else between
//! the least and the most over every choice that gives each kind of tensors (attention, the downs of all experts) one type, or
//! where there is none, each name. Mixes that change types inside a name stay unknown: only their header lists them.

use std::collections::BTreeMap;

use crate::inference::engines::llama_cpp::mix::Class;
use crate::inference::engines::llama_cpp::tensors::GgufTensor;
use crate::inference::engines::llama_cpp::types::{F32, GgmlType};

/// Choices that differ by more than this share of the file say too little.
const APART: f64 = 0.004;

/// Least, likely and most bytes of the file.
pub fn bytes(all: &[GgufTensor], printed: &[(GgmlType, u64)]) -> Option<[u64; 3]> {
    let sizes = sizes(printed);
    let named = |size: GgmlType| {
        let of = |tensor: &&GgufTensor| unnamed(tensor.kind) == size;
        all.iter().filter(of).count() as u64
    };
    let sum = |of: &dyn Fn(&&GgufTensor) -> bool| {
        let sizes = all.iter().filter(of).map(GgufTensor::bytes);
        sizes.fold(0, u64::saturating_add)
    };
    if !sizes.is_empty() && sizes.iter().all(|(size, count)| named(*size) == *count) {
        return Some([sum(&|_| true); 3]);
    }
    let kinds = classes(all, kind);
    let by_kind = by_class(&kinds, &sizes, |class| class.experts)
        .or_else(|| by_class(&kinds, &sizes, |class| class.experts && !class.down));
    // Names say less; where they say as much, they are the bounds.
    let names = classes(all, |tensor| leaf(tensor).into());
    let close = |(least, most): &(u64, u64)| most.saturating_sub(*least) as f64 <= APART * *least as f64;
    let by_name = by_class(&names, &sizes, |class| class.experts).filter(close);
    let (least, most) = by_kind.filter(close).or(by_name)?;
    let (low, high) = by_name.unwrap_or((least, most));
    let kept = sum(&|tensor| tensor.kind == F32);
    let found = [low.min(least), least.midpoint(most), high.max(most)];
    Some(found.map(|bytes| bytes.saturating_add(kept)))
}

/// What is not a vector in 32 bits: those are few bytes, and not every converter writes the same ones.
pub fn matrices(printed: &[(GgmlType, u64)]) -> impl Iterator<Item = (GgmlType, u64)> {
    printed.iter().copied().filter(|(kind, _)| *kind != F32)
}

/// A type as far as its size goes.
const fn unnamed(kind: GgmlType) -> GgmlType {
    GgmlType { name: "", ..kind }
}

/// For the order of types: bytes of so many weights that every block divides them.
const fn order(kind: GgmlType) -> u64 {
    kind.size(1 << 16, 1)
}

/// Tensors of each size, from the smallest on.
fn sizes(printed: &[(GgmlType, u64)]) -> Vec<(GgmlType, u64)> {
    let mut found: Vec<(GgmlType, u64)> = Vec::new();
    for (kind, count) in matrices(printed) {
        match found.iter_mut().find(|(size, _)| *size == unnamed(kind)) {
            Some((_, all)) => *all = all.saturating_add(count),
            None => found.push((unnamed(kind), count)),
        }
    }
    found.sort_by_key(|(size, _)| order(*size));
    found
}

/// Tensors that have one type.
struct Together {
    count: u64,
    /// Length of a row and number of rows of each.
    shapes: Vec<(u64, u64)>,
    experts: bool,
    down: bool,
}

impl Together {
    /// All of them in this type, where its blocks divide their rows.
    fn bytes(&self, size: GgmlType) -> Option<u64> {
        self.shapes.iter().try_fold(0_u64, |sum, (row, rows)| {
            let whole = row % size.block == 0;
            whole.then(|| sum.saturating_add(size.size(*row, *rows)))
        })
    }
}

/// The name without its layer.
fn leaf(tensor: &GgufTensor) -> &str {
    let inner = tensor.name.strip_prefix("blk.");
    inner
        .and_then(|rest| rest.split_once('.'))
        .map_or(&tensor.name, |(_, name)| name)
}

/// What mixes give one type: attention; gates and ups, and downs, of experts, of shared ones and of dense layers. Rows that the usual
/// blocks of 256 do not divide have another one.
fn kind(tensor: &GgufTensor) -> String {
    let leaf = leaf(tensor);
    let whole = tensor.row.is_multiple_of(256);
    match leaf.split_once('_') {
        Some(("attn", _)) if whole => "attn".into(),
        Some(("ffn", rest)) => rest.replace("gate", "up"),
        _ => leaf.into(),
    }
}

fn classes(all: &[GgufTensor], key: impl Fn(&GgufTensor) -> String) -> Vec<Together> {
    let mut found: BTreeMap<String, Together> = BTreeMap::new();
    for tensor in all.iter().filter(|tensor| tensor.kind != F32) {
        let class = found.entry(key(tensor)).or_insert(Together {
            count: 0,
            shapes: Vec::new(),
            experts: tensor.routed,
            down: tensor.class == Class::Down,
        });
        class.count = class.count.saturating_add(1);
        let rows = tensor.rows.saturating_mul(tensor.copies);
        class.shapes.push((tensor.row, rows));
    }
    found.into_values().collect()
}

/// Least and most over the choices of one type per class that use up every count. What is `small` has no more bits than anything
/// else: mixes of one's own exist to make experts small.
fn by_class(
    classes: &[Together],
    sizes: &[(GgmlType, u64)],
    small: impl Fn(&Together) -> bool,
) -> Option<(u64, u64)> {
    let counts: Vec<u64> = sizes.iter().map(|(_, count)| *count).collect();
    let mut found: Option<(u64, u64)> = None;
    for border in 0..sizes.len() {
        // What is left of each type, and the bytes so far.
        let mut states = BTreeMap::from([(counts.clone(), (0_u64, 0_u64))]);
        for class in classes {
            let mut next: BTreeMap<Vec<u64>, (u64, u64)> = BTreeMap::new();
            for (left, (least, most)) in &states {
                for (place, (size, _)) in sizes.iter().enumerate() {
                    let allowed = if small(class) {
                        place <= border
                    } else {
                        place >= border
                    };
                    let mut after = left.clone();
                    let slot = after.get_mut(place).filter(|slot| **slot >= class.count);
                    let (true, Some(slot), Some(more)) = (allowed, slot, class.bytes(*size)) else {
                        continue;
                    };
                    *slot -= class.count;
                    let (low, high) = (least.saturating_add(more), most.saturating_add(more));
                    next.entry(after)
                        .and_modify(|both| *both = (both.0.min(low), both.1.max(high)))
                        .or_insert((low, high));
                }
            }
            states = next;
        }
        if let Some((low, high)) = states.get(&vec![0; sizes.len()]) {
            found = Some(found.map_or((*low, *high), |(least, most)| (least.min(*low), most.max(*high))));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(count: u64, rows: u64, experts: bool) -> Together {
        Together {
            count,
            shapes: vec![(256, rows); usize::try_from(count).unwrap_or(0)],
            experts,
            down: false,
        }
    }

    fn of(names: &[(&str, u64)]) -> Vec<(GgmlType, u64)> {
        let kinds = names
            .iter()
            .map(|(name, count)| (GgmlType::find(name).expect("a type"), *count));
        sizes(&kinds.collect::<Vec<_>>())
    }

    #[test]
    fn experts_take_the_smallest_types() {
        let classes = [class(4, 100, true), class(4, 1, false), class(1, 10, false)];
        let found = by_class(&classes, &of(&[("q2_K", 4), ("q8_0", 4), ("q6_K", 1)]), |class| {
            class.experts
        });
        let expected = 4 * 100 * 84 + 4 * 272 + 10 * 210;
        assert_eq!(found, Some((expected, expected)));
    }

    #[test]
    fn a_type_inside_a_class_has_no_answer() {
        let classes = [class(4, 100, true), class(4, 1, false)];
        assert_eq!(
            by_class(&classes, &of(&[("q2_K", 2), ("q4_K", 6)]), |class| class.experts),
            None
        );
    }

    #[test]
    fn copies_with_other_rows_are_as_large() {
        let merged = of(&[("q8_0", 612), ("q8_0_r8", 174)]);
        assert_eq!(merged.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [786]);
    }

    #[test]
    fn choices_that_differ_are_both_ends() {
        let classes = [class(2, 3, false), class(2, 5, false)];
        let found = by_class(&classes, &of(&[("q4_K", 2), ("q6_K", 2)]), |class| class.experts);
        assert_eq!(
            found,
            Some((2 * 5 * 144 + 2 * 3 * 210, 2 * 3 * 144 + 2 * 5 * 210))
        );
    }
}
