//! The catalogue: configurations of well-known models, each with its source and how far it can be trusted; search by
//! name, and the typical model nearest to a bare parameter count. The networks are built by the import.

use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Network;
use super::import::{Imported, SharedImport, at_hand, network_from_config, waits};
use crate::units::sort_by_key;

/// How far the shape fields of an entry can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// From a public copy of the model's own `config.json`.
    High,
    /// Assembled from other tables, vendor code or class defaults, and confirmed by the total.
    Medium,
    /// Recalled, or the total is not confirmed.
    Low,
}

/// One model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Entry {
    /// Short id: `llama-2-7b`.
    pub id: String,
    /// Name on the Hugging Face hub.
    pub hf_id: String,
    /// Other names.
    pub aliases: Vec<String>,
    /// How far its fields can be trusted.
    pub confidence: Confidence,
    /// Where its fields come from.
    pub source: Vec<String>,
    /// Its configuration, with the fields that shape it.
    pub config: Value,
    /// What was imported from it: once, when it is first asked for.
    #[serde(skip)]
    shared: OnceLock<Option<Arc<SharedImport>>>,
}

impl Entry {
    /// Its network with warnings; `None` only for an entry that the import refuses (a test finds those).
    pub fn import(&self) -> Option<Imported> {
        network_from_config(&self.config).ok()
    }

    /// The same, imported once and shared by all who ask.
    pub fn shared(&self) -> Option<Arc<SharedImport>> {
        // What is not at hand yet is asked for again.
        if waits(&self.config) {
            return None;
        }
        self.shared
            .get_or_init(|| SharedImport::of(Arc::new(self.config.clone())).ok().map(Arc::new))
            .clone()
    }

    /// Its network.
    pub fn network(&self) -> Option<Network> {
        self.import().map(|imported| imported.network)
    }

    /// `model_type` of the text stack.
    pub fn family(&self) -> &str {
        let text = self.config.get("text_config").unwrap_or(&self.config);
        text.get("model_type")
            .or_else(|| self.config.get("model_type"))
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// Its name without the organisation: `Llama-2-7b-hf`.
    pub fn short_name(&self) -> &str {
        self.hf_id
            .rsplit_once('/')
            .map_or(self.hf_id.as_str(), |(_, name)| name)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        [self.id.as_str(), self.hf_id.as_str(), self.short_name()]
            .into_iter()
            .chain(self.aliases.iter().map(String::as_str))
    }
}

/// All models, once they are at hand.
static ENTRIES: OnceLock<Vec<Entry>> = OnceLock::new();

fn read(lines: &str) -> Vec<Entry> {
    lines
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// Brings the whole list; where the module is in parts, it lies with the families.
pub fn bring() -> &'static [Entry] {
    ENTRIES.get_or_init(|| read(include_str!("../../assets/models/models.jsonl")))
}

/// All models, in the order of the list: by family, smaller ones first. Where the module is in parts, these are those of the first
/// answer until the others were brought.
pub fn all() -> &'static [Entry] {
    #[cfg(feature = "parts")]
    {
        static FIRST: OnceLock<Vec<Entry>> = OnceLock::new();
        ENTRIES
            .get()
            .unwrap_or_else(|| FIRST.get_or_init(|| read(include_str!("../../assets/models/first.jsonl"))))
    }
    #[cfg(not(feature = "parts"))]
    bring()
}

/// The model of this id, hub name (with or without the organisation) or alias, in any case. An id comes before a name.
pub fn find(name: &str) -> Option<&'static Entry> {
    let wanted = name.trim();
    let by_id = all().iter().find(|entry| entry.id.eq_ignore_ascii_case(wanted));
    by_id.or_else(|| {
        all()
            .iter()
            .find(|entry| entry.names().any(|known| known.eq_ignore_ascii_case(wanted)))
    })
}

/// Models whose names contain every word of the text, the closest first.
pub fn search(text: &str) -> Vec<&'static Entry> {
    let text = text.trim().to_ascii_lowercase();
    let words: Vec<&str> = text
        .split([' ', '-', '_', '/'])
        .filter(|w| !w.is_empty())
        .collect();
    let mut found: Vec<(u8, usize, &Entry)> = all()
        .iter()
        .enumerate()
        .filter_map(|(place, entry)| Some((rank(entry, &text, &words)?, place, entry)))
        .collect();
    sort_by_key(&mut found, |(rank, place, _)| (*rank, *place));
    found.into_iter().map(|(_, _, entry)| entry).collect()
}

/// 0 for the name itself, then names that begin with the text, names that contain it, names that contain its words.
fn rank(entry: &Entry, text: &str, words: &[&str]) -> Option<u8> {
    let mut best = None;
    let mut joined = entry.family().to_ascii_lowercase();
    for name in entry.names().map(str::to_ascii_lowercase) {
        let rank = if name == text {
            0
        } else if name.starts_with(text) {
            1
        } else if name.contains(text) {
            2
        } else {
            3
        };
        best = Some(best.map_or(rank, |best: u8| best.min(rank)));
        joined.push(' ');
        joined.push_str(&name);
    }
    match best {
        Some(rank) if rank < 3 => Some(rank),
        _ => words.iter().all(|word| joined.contains(word)).then_some(3),
    }
}

/// Dense models that are widely trained and served, one per size, with Llama's layer or close to it: what a bare parameter
/// count most likely means. Sparse models are left out, because their total says little about their layers.
pub const TYPICAL: &[&str] = &[
    "pythia-70m",
    "smollm2-135m",
    "smollm2-360m",
    "qwen2.5-0.5b",
    "llama-3.2-1b",
    "tinyllama-1.1b",
    "qwen2.5-1.5b",
    "qwen2.5-3b",
    "llama-3.2-3b",
    "qwen3-4b",
    "yi-6b",
    "llama-2-7b",
    "llama-3.1-8b",
    "gemma-2-9b",
    "mistral-nemo-12b",
    "llama-2-13b",
    "qwen2.5-14b",
    "mistral-small-24b",
    "gemma-2-27b",
    "qwen2.5-32b",
    "yi-34b",
    "llama-3.1-70b",
    "qwen2.5-72b",
    "mistral-large-2407",
    "gpt3-175b",
    "llama-3.1-405b",
];

/// The model of [`TYPICAL`] whose total is nearest to a parameter count, by ratio.
pub fn nearest(count: u64) -> Option<&'static Entry> {
    static TOTALS: OnceLock<Vec<(u64, &'static Entry)>> = OnceLock::new();
    if !at_hand() {
        return None;
    }
    let totals = TOTALS.get_or_init(|| {
        TYPICAL
            .iter()
            .filter_map(|id| find(id))
            .filter_map(|entry| Some((entry.network()?.total_parameters().get(), entry)))
            .collect()
    });
    let distance = |total: u64| {
        let (low, high) = (count.min(total).max(1), count.max(total).max(1));
        u128::from(high) * 1_000_000 / u128::from(low)
    };
    totals
        .iter()
        .min_by_key(|(total, _)| distance(*total))
        .map(|(_, entry)| *entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_an_entry() {
        let lines = include_str!("../../assets/models/models.jsonl").lines().count();
        assert_eq!(all().len(), lines);
        let mut names: Vec<_> = all().iter().map(|entry| entry.id.to_ascii_lowercase()).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), lines);
    }

    #[test]
    fn what_the_first_answer_needs_is_a_part_of_the_list() {
        let lines: Vec<&str> = include_str!("../../assets/models/models.jsonl").lines().collect();
        let first = include_str!("../../assets/models/first.jsonl");
        assert!(first.lines().count() > 0 && first.lines().all(|line| lines.contains(&line)));
    }

    #[test]
    fn finds_by_every_name() {
        for name in [
            "llama-2-7b",
            "LLAMA2-7B",
            "meta-llama/Llama-2-7b-hf",
            "Llama-2-7b-hf",
        ] {
            assert_eq!(
                find(name).map(|entry| entry.id.as_str()),
                Some("llama-2-7b"),
                "{name}"
            );
        }
        assert!(find("llama-17").is_none());
    }

    #[test]
    fn search_puts_the_closest_first() {
        let ids = |text: &str| -> Vec<_> { search(text).iter().map(|entry| entry.id.as_str()).collect() };
        assert_eq!(ids("llama-2-7b").first(), Some(&"llama-2-7b"));
        assert!(ids("llama 3 70b").contains(&"llama-3-70b"));
        assert!(ids("no such model").is_empty());
        assert_eq!(ids("").len(), all().len());
    }

    #[test]
    fn a_count_has_a_typical_model() {
        let id = |count| nearest(count).map(|entry| entry.id.as_str());
        assert_eq!(id(7_000_000_000), Some("llama-2-7b"));
        assert_eq!(id(70_000_000_000), Some("llama-3.1-70b"));
        assert_eq!(id(1), Some("pythia-70m"));
        assert!(TYPICAL.iter().all(|id| find(id).is_some()));
    }
}
