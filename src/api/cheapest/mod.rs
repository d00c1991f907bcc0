//! The cheapest GPU: across the table, of each kind the least number on which a question can be answered, with everything else as
//! it is asked. Up to a node every number is tried that the mesh allows, beyond it whole nodes. What a number is judged by lives
//! in `training` and `serving`; the search over numbers and the order of the answer here.

mod serving;
mod training;

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::given::Given;
use super::job::Strictness;
use super::part::part;
use super::plan::{Pause, spread};
use super::resolve::prices;
use crate::hardware::{self, Gpu, nodes};
use crate::request::{Cheapest, CheapestLeftOut, CheapestRow, InputId, Range, Request, Task, Verdict};
use crate::units::Bytes;
use crate::warn::Issue;

/// No job is larger here.
const MOST_NODES: u64 = 256;

/// Inputs that belong to the GPU of the question or to their number.
const OF_CARD: [InputId; 11] = [
    InputId::GpuMemoryGb,
    InputId::TotalGpuMemoryGb,
    InputId::Ecc,
    InputId::UnifiedMemoryGb,
    InputId::NumGpus,
    InputId::NodeShape,
    InputId::NumNodes,
    InputId::GpusPerNode,
    InputId::DataParallelSize,
    InputId::PeakTflops,
    InputId::OtherGpus,
];

/// By what the answer is sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CheapestSort {
    /// The fewest GPUs, then the smallest.
    #[default]
    Gpus,
    /// The fewest GPU-hours for as many tokens.
    GpuHours,
    /// The least money for as many tokens; kinds without a typed price come last.
    Cost,
}

impl CheapestSort {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Gpus, Self::GpuHours, Self::Cost];

    /// The word in JSON and on the command line.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Gpus => "gpus",
            Self::GpuHours => "gpu_hours",
            Self::Cost => "cost",
        }
    }

    /// The one with this word.
    pub fn from_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|sort| sort.key() == key)
    }
}

/// A number of GPUs that was tried.
struct Tried {
    gpus: u64,
    usable: Bytes,
    need: Range,
    verdict: Verdict,
    /// Tokens per second of all of them.
    rate: Option<f64>,
    /// Tensor-parallel ranks of a copy that serves; nothing where the question's own hold.
    ranks: Option<u64>,
}

impl Tried {
    fn works(&self) -> bool {
        self.verdict != Verdict::DoesNotFit
    }
}

/// A question about one kind of GPU.
struct Card<'a> {
    /// The question with this GPU, without numbers of GPUs and nodes.
    request: Request,
    gpu: &'a Gpu,
    /// GPUs of a node.
    per_node: u64,
}

/// The GPUs on which a question can be answered: of serving where inputs of section `inference` are given, else of training.
pub fn cheapest(request: &Request, sort: CheapestSort, whole_nodes: bool) -> Result<Cheapest, Vec<Issue>> {
    let search = Search::new(request, sort, whole_nodes)?;
    let mut found = Vec::new();
    spread(&search.cards, || (), |(), card| search.least(card), &mut |row| {
        found.push(row);
        true
    });
    Ok(search.answer(found))
}

/// As [`cheapest`], with a pause between the GPUs, until `goes_on` says no more.
pub async fn cheapest_slowly(
    request: &Request,
    (sort, whole_nodes): (CheapestSort, bool),
    goes_on: &dyn Fn() -> bool,
    pause: Pause<'_>,
) -> Result<Cheapest, Vec<Issue>> {
    let search = Search::new(request, sort, whole_nodes)?;
    let mut found = Vec::new();
    for card in &search.cards {
        if !goes_on() {
            break;
        }
        found.push(search.least(card));
        pause().await;
    }
    Ok(search.answer(found))
}

/// A question about every kind of GPU.
struct Search {
    cards: Vec<Card<'static>>,
    serves: bool,
    sort: CheapestSort,
    whole_nodes: bool,
    by_gpu: BTreeMap<String, f64>,
    /// The GPU of the question, and the price of an hour of it.
    asked: Option<(String, f64)>,
    warnings: Vec<Issue>,
}

impl Search {
    fn new(request: &Request, sort: CheapestSort, whole_nodes: bool) -> Result<Self, Vec<Issue>> {
        let serves = request.serves();
        let task = if serves { Task::Inference } else { Task::Training };
        let own = part(&super::plan::without_options(request), task);
        let warnings = if serves {
            super::inference::question(&own, Strictness::default())?.warnings
        } else {
            super::job::job(&own, Strictness::default())?.warnings
        };
        let given = Given::read(&own, &mut Vec::new());
        let named = given.text(InputId::Gpu).and_then(|name| hardware::find(&name));
        let asked = named
            .map(|gpu| gpu.id.clone())
            .zip(given.number(InputId::GpuHourPrice));
        Ok(Self {
            cards: hardware::gpus().iter().map(|gpu| Card::new(&own, gpu)).collect(),
            serves,
            sort,
            whole_nodes,
            by_gpu: prices(&given, &mut Vec::new()),
            asked,
            warnings,
        })
    }

    /// The least number of a kind, or why there is none.
    fn least(&self, card: &Card<'static>) -> Result<CheapestRow, CheapestLeftOut> {
        let found = if self.serves {
            serving::least(card, self.whole_nodes)
        } else {
            training::least(card, self.whole_nodes)
        };
        let id = card.gpu.id.clone();
        match found {
            Ok(tried) => {
                let own = self.asked.as_ref().filter(|(gpu, _)| *gpu == id);
                let price = own.map(|(_, price)| *price).or(self.by_gpu.get(&id).copied());
                Ok(card.row(&tried, price, self.per_tokens()))
            }
            Err(reason) => Err(CheapestLeftOut { gpu: id, reason }),
        }
    }

    const fn per_tokens(&self) -> u64 {
        if self.serves { 1_000_000 } else { 1_000_000_000 }
    }

    fn answer(self, found: Vec<Result<CheapestRow, CheapestLeftOut>>) -> Cheapest {
        let (mut rows, mut left_out) = (Vec::new(), Vec::new());
        let per_tokens = self.per_tokens();
        for one in found {
            match one {
                Ok(row) => rows.push(row),
                Err(reason) => left_out.push(reason),
            }
        }
        rows.sort_by(|left, right| compare(self.sort, left, right));
        left_out.sort_by(|left, right| left.gpu.cmp(&right.gpu));
        Cheapest {
            kind: if self.serves { "serving" } else { "training" },
            sorted_by: self.sort.key(),
            whole_nodes: self.whole_nodes,
            per_tokens,
            rows,
            left_out,
            warnings: self
                .warnings
                .into_iter()
                .filter(|issue| !matches!(issue.code, "not_used" | "assumed"))
                .collect(),
        }
    }
}

/// The first error, for a reason.
fn words(issues: &[Issue]) -> String {
    let first = issues.iter().find(|issue| issue.is_error());
    first.map_or_else(String::new, |issue| format!("{}: {}", issue.path, issue.message))
}

/// The better first; what is not known comes last.
fn compare(sort: CheapestSort, left: &CheapestRow, right: &CheapestRow) -> Ordering {
    let known = |value: Option<f64>| value.unwrap_or(f64::INFINITY);
    let first = match sort {
        CheapestSort::Gpus => Ordering::Equal,
        CheapestSort::GpuHours => known(left.gpu_hours).total_cmp(&known(right.gpu_hours)),
        CheapestSort::Cost => known(left.cost).total_cmp(&known(right.cost)),
    };
    first
        .then_with(|| left.gpus.cmp(&right.gpus))
        .then_with(|| left.usable_bytes.cmp(&right.usable_bytes))
        .then_with(|| left.gpu.cmp(&right.gpu))
}

impl<'a> Card<'a> {
    fn new(request: &Request, gpu: &'a Gpu) -> Self {
        let mut own = request.clone();
        for id in OF_CARD {
            own.clear(id);
        }
        let shape = nodes().iter().find(|shape| shape.gpu == gpu.id);
        let usual = gpu.node_gpus.map_or(8, u64::from);
        Self {
            request: own.with(InputId::Gpu, gpu.id.clone()),
            gpu,
            // Ranks on slices of a card cannot talk to each other (NVIDIA Multi-Instance GPU user guide).
            per_node: match gpu.slice {
                Some(_) => 1,
                None => shape.map_or(usual, |shape| shape.gpus),
            },
        }
    }

    fn row(&self, tried: &Tried, price: Option<f64>, per_tokens: u64) -> CheapestRow {
        let gpus = tried.gpus as f64;
        let hours = tried
            .rate
            .map(|rate| per_tokens as f64 / rate.max(1e-9) * gpus / 3600.0);
        CheapestRow {
            gpu: self.gpu.id.clone(),
            name: self.gpu.name.clone(),
            gpus: tried.gpus,
            nodes: tried.gpus.div_ceil(self.per_node.max(1)),
            gpus_per_node: self.per_node,
            usable_bytes: tried.usable,
            need: tried.need,
            verdict: tried.verdict,
            tokens_per_second: tried.rate,
            gpu_hours: hours,
            price_per_gpu_hour: price,
            cost_per_hour: price.map(|price| price * gpus),
            cost: price.zip(hours).map(|(price, hours)| price * hours),
            values: self.values(tried),
        }
    }

    /// The inputs of a row: those of another GPU are taken away.
    fn values(&self, tried: &Tried) -> Map<String, Value> {
        let mut values = Map::new();
        for id in OF_CARD {
            values.insert(id.key().to_owned(), Value::Null);
        }
        let mut set = |id: InputId, value: Value| values.insert(id.key().to_owned(), value);
        set(InputId::Gpu, json!(self.gpu.id));
        set(InputId::NumGpus, json!(tried.gpus));
        match tried.ranks {
            Some(ranks) => {
                set(InputId::ServerPipelineParallel, Value::Null);
                set(InputId::ServerTensorParallel, json!(ranks));
            }
            None if tried.gpus > self.per_node => {
                set(InputId::GpusPerNode, json!(self.per_node));
            }
            None => {}
        }
        values
    }
}
