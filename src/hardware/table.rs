//! Reading the tables of `assets/hardware/` and finding a row by any of its names.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Deserialize;

use super::gpu::{Ecc, Gpu, Slice, Span};
use super::link::{Link, LinkKind};
use crate::units::{Bytes, sort_by_key};

const GPUS: &str = include_str!("../../assets/hardware/gpus.json");
const LINKS: &str = include_str!("../../assets/hardware/links.json");

#[derive(Deserialize)]
struct GpuFile {
    sources: BTreeMap<String, String>,
    gpus: Vec<GpuRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GpuRow {
    id: String,
    vendor: String,
    name: String,
    #[serde(default)]
    aliases: Vec<String>,
    gb: f64,
    smi: Option<u64>,
    smi_note: Option<String>,
    torch: Option<(u64, u64)>,
    torch_note: Option<String>,
    torch_believed: Option<(u64, u64)>,
    ecc: Option<Switch>,
    #[serde(default)]
    unified: bool,
    bandwidth: Option<f64>,
    bf16: Option<f64>,
    product: Option<f64>,
    fp8: Option<f64>,
    fp4: Option<f64>,
    link: Option<String>,
    link_gbs: Option<f64>,
    pcie: Option<u8>,
    node: Option<u32>,
    watts: Option<f64>,
    architecture: String,
    cc: Option<String>,
    #[serde(default)]
    formats: Vec<String>,
    #[serde(default)]
    specs: Vec<String>,
    #[serde(default)]
    memory: Vec<String>,
    notes: Option<String>,
    #[serde(default)]
    mig: Vec<(String, u32, f64, f64)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Switch {
    On,
    Off,
}

#[derive(Deserialize)]
struct LinkFile {
    sources: BTreeMap<String, String>,
    links: Vec<LinkRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LinkRow {
    id: String,
    kind: LinkKind,
    name: String,
    lanes: Option<String>,
    lane_gbs: Option<f64>,
    gbs: Option<f64>,
    both_gbs: Option<f64>,
    achievable_gbs: Option<f64>,
    switch_gbs: Option<f64>,
    latency_us: Option<String>,
    domain: Option<String>,
    #[serde(default)]
    sources: Vec<String>,
    notes: Option<String>,
}

/// Every GPU of the table in its order, then the slices of those that can be divided.
pub fn gpus() -> &'static [Gpu] {
    static TABLE: OnceLock<Vec<Gpu>> = OnceLock::new();
    TABLE.get_or_init(|| read_gpus(GPUS).unwrap_or_default())
}

/// Every link of the table.
pub fn links() -> &'static [Link] {
    static TABLE: OnceLock<Vec<Link>> = OnceLock::new();
    TABLE.get_or_init(|| read_links(LINKS).unwrap_or_default())
}

/// The GPU of this id, name or alias, whatever its case, spaces, hyphens and vendor words.
pub fn find(name: &str) -> Option<&'static Gpu> {
    let wanted = plain(name);
    if wanted.is_empty() {
        return None;
    }
    gpus()
        .iter()
        .find(|gpu| plain(&gpu.id) == wanted)
        .or_else(|| gpus().iter().find(|gpu| names(gpu).any(|known| known == wanted)))
}

/// The link of this id or name.
pub fn find_link(name: &str) -> Option<&'static Link> {
    let wanted = plain(name);
    links()
        .iter()
        .find(|link| plain(&link.id) == wanted || plain(&link.name) == wanted)
}

/// Ids of GPUs whose names resemble the text, the likeliest first: for "did you mean".
pub fn nearest(name: &str, most: usize) -> Vec<&'static str> {
    let wanted = plain(name);
    let mut scored: Vec<(usize, &'static str)> = gpus()
        .iter()
        .filter(|gpu| gpu.slice.is_none() || wanted.contains("mig"))
        .filter_map(|gpu| {
            let score = names(gpu).map(|known| likeness(&wanted, &known)).max()?;
            (score >= 2).then_some((score, gpu.id.as_str()))
        })
        .collect();
    sort_by_key(&mut scored, |(score, _)| std::cmp::Reverse(*score));
    scored.into_iter().take(most).map(|(_, id)| id).collect()
}

fn names(gpu: &Gpu) -> impl Iterator<Item = String> {
    [&gpu.id, &gpu.name]
        .into_iter()
        .chain(&gpu.aliases)
        .map(|name| plain(name))
}

/// Lower case, letters, digits and dots only, without the words that people leave out.
fn plain(name: &str) -> String {
    name.to_ascii_lowercase()
        .split(|letter: char| !(letter.is_alphanumeric() || letter == '.'))
        .filter(|word| {
            !matches!(
                *word,
                "nvidia" | "amd" | "intel" | "apple" | "google" | "geforce" | "tesla"
            )
        })
        .collect()
}

/// The longest common run of letters.
fn likeness(left: &str, right: &str) -> usize {
    let letters: Vec<char> = left.chars().collect();
    (0..letters.len())
        .flat_map(|start| (start + 1..=letters.len()).map(move |end| (start, end)))
        .filter(|(start, end)| {
            letters
                .get(*start..*end)
                .is_some_and(|run| right.contains(&run.iter().collect::<String>()))
        })
        .map(|(start, end)| end - start)
        .max()
        .unwrap_or(0)
}

/// A row names a source in full or, with an `@`, by its key in the file's list.
fn resolve(sources: &BTreeMap<String, String>, given: Vec<String>) -> Vec<String> {
    given
        .into_iter()
        .map(|source| {
            source
                .strip_prefix('@')
                .and_then(|key| sources.get(key).cloned())
                .unwrap_or(source)
        })
        .collect()
}

fn span((low, high): (u64, u64)) -> Span {
    Span {
        low: Bytes::from_mib(low),
        high: Bytes::from_mib(high),
    }
}

fn read_gpus(text: &str) -> serde_json::Result<Vec<Gpu>> {
    let GpuFile { sources, gpus } = serde_json::from_str(text)?;
    let mut cards = Vec::with_capacity(gpus.len());
    let mut slices = Vec::new();
    for mut row in gpus {
        let profiles = std::mem::take(&mut row.mig);
        let card = card(&sources, row);
        slices.extend(profiles.into_iter().map(|profile| slice(&card, profile)));
        cards.push(card);
    }
    cards.extend(slices);
    Ok(cards)
}

fn card(sources: &BTreeMap<String, String>, row: GpuRow) -> Gpu {
    let torch_logged = row.torch.is_some();
    let notes = [row.notes, row.torch_note]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>();
    Gpu {
        estimated: !torch_logged && (row.torch_believed.is_some() || row.smi.is_none() || row.unified),
        torch_visible: row.torch.or(row.torch_believed).map(span),
        torch_logged,
        driver_visible: row.smi.map(Bytes::from_mib),
        driver_visible_note: row.smi_note,
        ecc: row.ecc.map(|usual| Ecc {
            usual: matches!(usual, Switch::On),
        }),
        id: row.id,
        vendor: row.vendor,
        name: row.name,
        aliases: row.aliases,
        marketing_gb: row.gb,
        unified: row.unified,
        bandwidth_gb_per_s: row.bandwidth,
        bf16_tflops: row.bf16,
        product_tflops: row.product,
        fp8_tflops: row.fp8,
        fp4_tflops: row.fp4,
        link: row.link,
        link_gb_per_s: row.link_gbs,
        pcie_generation: row.pcie,
        node_gpus: row.node,
        watts: row.watts,
        architecture: row.architecture,
        compute_capability: row.cc,
        formats: row.formats,
        sources: resolve(sources, row.specs),
        memory_sources: resolve(sources, row.memory),
        notes: (!notes.is_empty()).then(|| notes.join("; ")),
        slice: None,
    }
}

/// A slice has the card's architecture and formats; its rates are a share that the vendor does not state, so they are
/// left unknown, and slices have no link between them.
fn slice(card: &Gpu, (profile, instances, low, high): (String, u32, f64, f64)) -> Gpu {
    let size = profile
        .split_once('.')
        .and_then(|(_, size)| size.strip_suffix("gb"))
        .and_then(|size| size.parse().ok());
    Gpu {
        id: format!("{}-mig-{profile}", card.id),
        name: format!("{} MIG {profile}", card.name),
        aliases: card
            .aliases
            .iter()
            .map(|alias| format!("{alias}-mig-{profile}"))
            .collect(),
        marketing_gb: size.unwrap_or(high),
        driver_visible: None,
        driver_visible_note: None,
        torch_visible: Some(Span {
            low: Bytes::from_gib(low),
            high: Bytes::from_gib(high),
        }),
        torch_logged: false,
        estimated: true,
        bandwidth_gb_per_s: None,
        bf16_tflops: None,
        product_tflops: None,
        fp8_tflops: None,
        fp4_tflops: None,
        link: None,
        link_gb_per_s: None,
        node_gpus: Some(instances),
        watts: None,
        memory_sources: vec![
            "nvidia-smi mig -lgip in public logs; the range where driver versions differ".into(),
        ],
        notes: Some("memory as the profile lists it; torch's own total is believed to be the same".into()),
        slice: Some(Slice {
            parent: card.id.clone(),
            profile,
            instances,
        }),
        ..card.clone()
    }
}

fn read_links(text: &str) -> serde_json::Result<Vec<Link>> {
    let LinkFile { sources, links } = serde_json::from_str(text)?;
    Ok(links
        .into_iter()
        .map(|row| Link {
            id: row.id,
            kind: row.kind,
            name: row.name,
            lanes: row.lanes,
            lane_gb_per_s: row.lane_gbs,
            one_direction_gb_per_s: row.gbs,
            both_directions_gb_per_s: row.both_gbs,
            achievable_gb_per_s: row.achievable_gbs,
            switch_gb_per_s: row.switch_gbs,
            latency_us: row.latency_us,
            domain: row.domain,
            sources: resolve(&sources, row.sources),
            notes: row.notes,
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn both_tables_read_completely() {
        let cards = read_gpus(GPUS).expect("gpus.json");
        let rows = |text: &str, list: &str| {
            let file: serde_json::Value = serde_json::from_str(text).expect("JSON");
            file[list].as_array().map_or(0, Vec::len)
        };
        let whole = cards.iter().filter(|gpu| gpu.slice.is_none()).count();
        assert!(whole >= 141 && whole == rows(GPUS, "gpus"), "{whole}");
        let links = read_links(LINKS).expect("links.json").len();
        assert!(links >= 52 && links == rows(LINKS, "links"), "{links}");
        let ids: BTreeSet<&str> = cards.iter().map(|gpu| gpu.id.as_str()).collect();
        assert_eq!(ids.len(), cards.len(), "ids are unique");
    }

    #[test]
    fn every_row_names_its_sources() {
        for gpu in gpus() {
            assert!(!gpu.sources.is_empty(), "{}", gpu.id);
            assert!(
                gpu.sources
                    .iter()
                    .chain(&gpu.memory_sources)
                    .all(|source| !source.starts_with('@'))
            );
        }
        assert!(links().iter().all(|link| !link.sources.is_empty()));
    }

    #[test]
    fn a_name_leads_to_one_card() {
        let mut seen = BTreeMap::new();
        for gpu in gpus() {
            for name in names(gpu).collect::<BTreeSet<_>>() {
                let other = seen.insert(name.clone(), &gpu.id);
                assert!(other.is_none(), "{name}: {} and {other:?}", gpu.id);
            }
        }
    }

    #[track_caller]
    fn finds(name: &str, id: &str) {
        assert_eq!(find(name).map(|gpu| gpu.id.as_str()), Some(id), "{name}");
    }

    #[test]
    fn names_are_found_in_many_spellings() {
        finds("h100-sxm-80gb", "h100-sxm-80gb");
        finds("NVIDIA H100 SXM5 80GB", "h100-sxm-80gb");
        finds("H100", "h100-sxm-80gb");
        finds("h100-80gb", "h100-sxm-80gb");
        finds("NVIDIA GeForce RTX 4090", "rtx-4090");
        finds("4090", "rtx-4090");
        finds("A100 80GB", "a100-sxm-80gb");
        finds("mi300x", "instinct-mi300x");
        finds("l4", "l4");
        finds("H100-SXM-80GB-MIG-3g.40gb", "h100-sxm-80gb-mig-3g.40gb");
        finds("h100-mig-3g.40gb", "h100-sxm-80gb-mig-3g.40gb");
        assert!(find("h1000").is_none());
        assert!(find("").is_none());
        assert!(find("  ").is_none());
    }

    #[test]
    fn an_unknown_name_gets_suggestions() {
        assert_eq!(nearest("h100-sxm-8gb", 3).first().copied(), Some("h100-sxm-80gb"));
        assert!(nearest("???", 3).is_empty());
    }

    #[test]
    fn slices_are_cards_of_their_own() {
        let slice = find("h100-sxm-80gb-mig-3g.40gb").expect("slice");
        let memory = slice.torch_visible.expect("memory");
        assert!((39.3..39.6).contains(&memory.low.to_gib()));
        assert_eq!(slice.capability_times_ten(), Some(90));
        assert!(slice.estimated && slice.link.is_none());
        assert_eq!(slice.slice.as_ref().map(|part| part.instances), Some(2));
    }

    #[test]
    fn compute_capabilities_are_those_that_torch_prints() {
        for (id, capability) in [
            ("rtx-5090", Some(120)),
            ("dgx-spark-gb10", Some(121)),
            ("jetson-agx-thor", Some(110)),
            ("b200-sxm", Some(100)),
            ("b300-sxm6", Some(103)),
            ("a100-sxm-80gb", Some(80)),
            ("instinct-mi300x", None),
        ] {
            assert_eq!(find(id).and_then(Gpu::capability_times_ten), capability, "{id}");
        }
        let supports = |id: &str, format: &str| find(id).is_some_and(|gpu| gpu.supports(format));
        assert!(supports("a100-sxm-80gb", "bf16") && !supports("t4", "bf16"));
        assert!(supports("l4", "fp8") && !supports("a100-sxm-80gb", "fp8"));
        assert!(supports("b200-sxm", "fp4") && !supports("h100-sxm-80gb", "fp4"));
        assert!(!supports("m1-16gb", "bf16") && supports("m2-24gb", "bf16"));
    }

    #[test]
    fn known_errors_of_other_tables_are_not_repeated() {
        let nvl = find("h100-nvl-94gb").and_then(|gpu| gpu.bf16_tflops);
        assert_eq!(nvl, Some(835.0));
        assert_eq!(find("a10").map(|gpu| gpu.marketing_gb), Some(24.0));
        let pcie4 = find_link("PCIe 4.0 x16").expect("pcie 4");
        assert_eq!(pcie4.one_direction_gb_per_s, Some(31.5));
        assert_eq!(pcie4.both_directions_gb_per_s, Some(63.0));
        assert_eq!(pcie4.kind, LinkKind::Host);
    }
}
