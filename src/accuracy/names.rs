//! The model of the catalogue that a record's name means, where no table says so: its name stands among the words of the record,
//! whatever is said beside it about publisher, tuning, format and date. A word that makes another model of it (another size, a
//! distillation, a tower) refuses it.

use crate::hardware::{Gpu, gpus};
use crate::model::catalogue::{self, Entry};

/// Words that change neither layers nor sizes.
const BESIDE: &[&str] = &[
    "meta", "instruct", "chat", "it", "hf", "base", "coder", "math", "thinking", "preview", "terminus", "exp",
];
/// Words that make another model.
const OTHER: &[&str] = &[
    "distill",
    "vl",
    "vision",
    "omni",
    "audio",
    "draft",
    "eagle",
    "eagle3",
    "mtp",
    "embedding",
];
/// Names of models with the layers of another.
const SAME: &[(&str, &str)] = &[
    ("vicuna-7b", "llama-2-7b"),
    ("vicuna-13b", "llama-2-13b"),
    ("mistral-7b", "mistral-7b-v0.1"),
    ("mistral-7b-v0.2", "mistral-7b-v0.1"),
    ("mixtral-46.7b", "mixtral-8x7b"),
    ("yi-1.5-34b", "yi-34b"),
    ("yi-1.5-6b", "yi-6b"),
    ("devstral-small", "mistral-small-24b"),
];

/// The words of a name: letters, digits and points.
fn words(name: &str) -> Vec<String> {
    let own = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
    own.split(|letter: char| !letter.is_alphanumeric() && letter != '.')
        .filter(|word| !word.is_empty() && !BESIDE.contains(word))
        .map(str::to_owned)
        .collect()
}

/// Whether a word states a number of parameters: `7b`, `8x7b`, `a3b`, `125m`.
fn is_size(word: &str) -> bool {
    let Some(number) = word.strip_suffix(['b', 'm']) else {
        return false;
    };
    let number = number.strip_prefix('a').unwrap_or(number);
    let mut digits = number
        .chars()
        .filter(|letter| !matches!(letter, '.' | 'x'))
        .peekable();
    digits.peek().is_some() && digits.all(|letter| letter.is_ascii_digit())
}

/// The words of a name that stand around a known one; `None` where it does not stand there as a whole.
fn around<'a>(words: &'a [String], known: &[String]) -> Option<Vec<&'a str>> {
    let place = words
        .windows(known.len().max(1))
        .position(|window| window == known)?;
    let end = place.saturating_add(known.len());
    let before = words.iter().take(place);
    Some(before.chain(words.iter().skip(end)).map(String::as_str).collect())
}

/// The model that a name means.
pub fn named(name: &str) -> Option<&'static Entry> {
    meant(&words(name))
}

/// The model whose text layers a name with a tower has: `Qwen2.5-VL-7B` has those of `Qwen2.5-7B`.
pub fn backbone(name: &str) -> Option<&'static Entry> {
    let mut words = words(name);
    words.retain(|word| !matches!(word.as_str(), "vl" | "omni" | "vision" | "audio"));
    meant(&words)
}

fn meant(own: &[String]) -> Option<&'static Entry> {
    let of_catalogue = catalogue::all().iter().flat_map(|entry| {
        let names = [entry.id.as_str(), entry.short_name()];
        let aliases = entry.aliases.iter().map(String::as_str);
        names
            .into_iter()
            .chain(aliases)
            .map(move |name| (words(name), entry))
    });
    let same = SAME
        .iter()
        .filter_map(|(name, id)| Some((words(name), catalogue::find(id)?)));
    let mut best: Option<(usize, &'static Entry)> = None;
    for (known, entry) in of_catalogue.chain(same) {
        // One word is too little unless it states its size.
        if known.len() < 2
            && !known
                .iter()
                .any(|word| word.contains(|letter: char| letter.is_ascii_digit()))
        {
            continue;
        }
        let Some(rest) = around(own, &known) else {
            continue;
        };
        let another = rest.iter().any(|word| is_size(word) || OTHER.contains(word));
        let length = known.iter().map(String::len).sum();
        if !another && best.is_none_or(|(longest, _)| length > longest) {
            best = Some((length, entry));
        }
    }
    best.map(|(_, entry)| entry)
}

/// Words of a card's name that logs leave out.
const MAKERS: &[&str] = &[
    "nvidia",
    "tesla",
    "geforce",
    "quadro",
    "amd",
    "instinct",
    "generation",
    "edition",
    "gpu",
    "device",
    "dgx",
    "spark",
];
/// Words that logs leave out and that tell kinds of one card apart.
const KINDS: &[&str] = &["sxm", "sxm2", "sxm4", "sxm5", "sxm6", "pcie", "hbm3"];

/// The card of the table that a log's name means; of several kinds of one card that with most words in the name, the first among
/// equals.
pub fn card(name: &str) -> Option<&'static Gpu> {
    let all = |text: &str| -> Vec<String> {
        words(text)
            .into_iter()
            .filter(|word| !MAKERS.contains(&word.as_str()))
            .collect()
    };
    let own = all(name);
    if name.contains([',', '/']) {
        return None;
    }
    let extra = |word: &String| KINDS.contains(&word.as_str()) || word.ends_with("gb");
    let mut best: Option<(usize, usize, &'static Gpu)> = None;
    for gpu in gpus().iter().filter(|gpu| gpu.slice.is_none()) {
        let (kinds, known): (Vec<String>, Vec<String>) = all(&gpu.name).into_iter().partition(extra);
        let laptop = |words: &[String]| words.iter().any(|word| word == "laptop");
        if known.is_empty() || laptop(&own) != laptop(&known) {
            continue;
        }
        let plain: Vec<String> = own.iter().filter(|word| !extra(word)).cloned().collect();
        if around(&plain, &known).is_none() {
            continue;
        }
        let length = known.iter().map(String::len).sum();
        let shared = kinds.iter().filter(|word| own.contains(word)).count();
        if best.is_none_or(|(longest, most, _)| (length, shared) > (longest, most)) {
            best = Some((length, shared, gpu));
        }
    }
    best.map(|(.., gpu)| gpu)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn means(name: &str, id: &str) {
        assert_eq!(named(name).map_or("", |entry| entry.id.as_str()), id, "{name}");
    }

    #[test]
    fn names_mean_models_whatever_is_said_beside_them() {
        means("meta-llama/Meta-Llama-3.1-8B-Instruct", "llama-3.1-8b");
        means("Meta_Llama_3.1_8b_it", "llama-3.1-8b");
        means("RedHatAI/Llama-3.3-70B-Instruct-FP8-dynamic", "llama-3.3-70b");
        means("Qwen3 235B A22B Thinking 2507", "qwen3-235b-a22b");
        means("Qwen3 Coder 480B A35B Instruct", "qwen3-coder-480b-a35b");
        means("GLM 4.5 Air", "glm-4.5-air");
        means("Qwen/Qwen2.5-Coder-7B-Instruct-AWQ", "qwen2.5-7b");
        means("google/gemma-2-9b-it", "gemma-2-9b");
        means("mistralai/Mixtral-8x7B-Instruct-v0.1", "mixtral-8x7b");
        means(
            "DeepSeek-R1-Distill-Qwen-7B GPTQ-int4",
            "deepseek-r1-distill-qwen-7b",
        );
        means("Vicuna 7B", "llama-2-7b");
    }

    #[test]
    fn names_of_logs_mean_cards() {
        for (name, id) in [
            ("NVIDIA GeForce RTX 4090", "rtx-4090"),
            ("NVIDIA GeForce RTX 3090 Ti", "rtx-3090-ti"),
            ("NVIDIA A100-PCIE-40GB", "a100-pcie-40gb"),
            ("NVIDIA A40", "a40"),
            ("NVIDIA H20", "h20-96gb"),
            ("Tesla T4", "t4"),
            (
                "NVIDIA RTX PRO 6000 Blackwell Workstation Edition",
                "rtx-pro-6000-blackwell-workstation",
            ),
            ("AMD Instinct MI325X", "instinct-mi325x"),
            ("NVIDIA GeForce RTX 3070 Laptop GPU", ""),
            ("24GB GPU", ""),
            ("RTX 4090, RTX 5090", ""),
        ] {
            assert_eq!(card(name).map_or("", |gpu| gpu.id.as_str()), id, "{name}");
        }
    }

    #[test]
    fn other_models_are_not_taken_for_known_ones() {
        for name in [
            "Qwen2.5-VL-7B-Instruct",
            "DeepSeek-R1-Distill-Qwen-99B",
            "Llama-3.1-8B with a 1B draft",
            "model of issue 2748 (2 GPUs)",
            "Llama-2 class, 2 shards",
            "",
        ] {
            means(name, "");
        }
        assert_eq!(
            backbone("Qwen/Qwen2.5-VL-7B-Instruct").map(|entry| entry.id.as_str()),
            Some("qwen2.5-7b")
        );
    }
}
