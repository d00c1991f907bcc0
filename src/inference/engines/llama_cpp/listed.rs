//! Tensors as the header of a file lists them, written in one line for each name, type and shape: `q4_k 4096x4096 attn_q.weight
//! 0-15+20`. A list replaces the rules of the named mix and the shapes made from the network: publishers' own mixes follow no
//! rule.

use super::mix::Class;
use super::tensors::GgufTensor;
use super::types::GgmlType;

/// Layers that are believed.
const MOST_LAYERS: u64 = 10_000;

/// A line for each name, type and shape; `tensors` in the order of the file.
pub fn write(tensors: impl Iterator<Item = (String, GgmlType, u64, u64)>) -> Vec<String> {
    // The line without its layers, and its layers.
    let mut lines: Vec<(String, Vec<u64>)> = Vec::new();
    for (name, kind, row, rows) in tensors {
        let (layer, leaf) = split(&name);
        let line = format!("{} {row}x{rows} {leaf}", kind.name);
        match lines
            .iter_mut()
            .find(|(own, layers)| *own == line && layer.is_some() != layers.is_empty())
        {
            Some((_, layers)) => layers.extend(layer),
            None => lines.push((line, layer.into_iter().collect())),
        }
    }
    lines
        .into_iter()
        .map(|(line, mut layers)| {
            layers.sort_unstable();
            let text = ranges(&layers);
            if text.is_empty() {
                line
            } else {
                format!("{line} {text}")
            }
        })
        .collect()
}

/// The layer of a name, and the rest of it.
fn split(name: &str) -> (Option<u64>, &str) {
    let inner = name.strip_prefix("blk.").and_then(|rest| rest.split_once('.'));
    match inner.and_then(|(layer, leaf)| Some((layer.parse().ok()?, leaf))) {
        Some((layer, leaf)) => (Some(layer), leaf),
        None => (None, name),
    }
}

/// `0-15+20`.
fn ranges(layers: &[u64]) -> String {
    let mut found: Vec<(u64, u64)> = Vec::new();
    for layer in layers {
        match found.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*layer) => *last = *layer,
            _ => found.push((*layer, *layer)),
        }
    }
    let text = |(first, last): &(u64, u64)| {
        if first == last {
            first.to_string()
        } else {
            format!("{first}-{last}")
        }
    };
    found.iter().map(text).collect::<Vec<_>>().join("+")
}

/// The tensors of a line; `None` where it is not written so.
pub fn read(line: &str) -> Option<Vec<GgufTensor>> {
    let mut words = line.split_whitespace();
    let kind = GgmlType::find(words.next()?)?;
    let (row, rows) = words.next()?.split_once('x')?;
    let (row, rows): (u64, u64) = (row.parse().ok()?, rows.parse().ok()?);
    let leaf = words.next()?;
    let layers = words.next();
    if row == 0 || words.next().is_some() {
        return None;
    }
    let of = |layer: Option<u64>| {
        let prefix = layer.map_or_else(String::new, |layer| format!("blk.{layer}."));
        GgufTensor {
            name: format!("{prefix}{leaf}"),
            layer,
            class: class(leaf),
            routed: leaf.contains("_exps"),
            kind,
            row,
            rows,
            copies: 1,
        }
    };
    let Some(layers) = layers else {
        return Some(vec![of(None)]);
    };
    let mut found = Vec::new();
    for part in layers.split('+') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last >= MOST_LAYERS || found.len() as u64 >= MOST_LAYERS {
            return None;
        }
        found.extend((first..=last).map(|layer| of(Some(layer))));
    }
    Some(found)
}

/// What places and buffers ask of a name.
fn class(leaf: &str) -> Class {
    match leaf.strip_suffix(".weight").unwrap_or(leaf) {
        "token_embd" | "per_layer_token_embd" => Class::TokenEmbedding,
        "output" => Class::Output,
        name if name.starts_with("ffn_down") => Class::Down,
        _ if leaf.ends_with(".bias") || leaf.contains("norm") => Class::Kept,
        _ => Class::Matrix,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<(String, GgmlType, u64, u64)> {
        let kind = |name| GgmlType::find(name).expect("a type");
        let mut list = vec![("token_embd.weight".to_owned(), kind("q6_k"), 4096, 32_000)];
        for layer in [0, 1, 2, 3, 7] {
            list.push((
                format!("blk.{layer}.ffn_down_exps.weight"),
                kind("q4_k"),
                1024,
                4096,
            ));
        }
        list.push(("blk.5.ffn_down_exps.weight".to_owned(), kind("q6_k"), 1024, 4096));
        list
    }

    #[test]
    fn a_list_comes_back() {
        let lines = write(all().into_iter());
        assert_eq!(
            lines,
            [
                "q6_k 4096x32000 token_embd.weight",
                "q4_k 1024x4096 ffn_down_exps.weight 0-3+7",
                "q6_k 1024x4096 ffn_down_exps.weight 5",
            ]
        );
        let read: Vec<GgufTensor> = lines.iter().filter_map(|line| read(line)).flatten().collect();
        let sum: u64 = read.iter().map(GgufTensor::bytes).sum();
        let own: u64 = all()
            .iter()
            .map(|(_, kind, row, rows)| kind.size(*row, *rows))
            .sum();
        assert_eq!((read.len(), sum), (7, own));
        assert!(read.iter().skip(1).all(|tensor| tensor.routed));
    }

    #[test]
    fn other_lines_are_not_read() {
        for line in [
            "",
            "q4_k",
            "q4_k 10 a",
            "q4_k 0x1 a",
            "q4_k 1x1 a 3-1",
            "q4_k 1x1 a 0-99999999999",
            "q4_k 1x1 a 1 2",
            "zz 1x1 a",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
    }
}
