//! `explain`: each part of an answer as its formula, the formula with the numbers put in, its result and its source. The
//! lines are made from the answer's ledger, so they follow the current result and add up to its total.

use super::answer;
use super::arithmetic::evaluate;
use super::given::Given;
use super::job::{Job, Strictness, job};
use crate::cite::Evidence;
use crate::request::{
    Answer, Component, Degrees, Explanation, FormulaLine, InputId, LedgerRow, Reference, Request, SymbolRow,
};
use crate::training::Engine;
use crate::units::Bytes;
use crate::warn::Issue;

/// The explanation of the answer to a request, or every issue by field.
pub fn explain(request: &Request) -> Result<Explanation, Vec<Issue>> {
    let job = job(request, Strictness::default())?;
    // What is wrong with the request was reported with the job.
    let given = Given::read(request, &mut Vec::new());
    let answer = answer::answer(job.clone())?;
    let lines = lines(&answer);
    let rows = answer.ledger.iter().filter(|row| row.bytes == Bytes::ZERO);
    let elsewhere: Vec<FormulaLine> = rows.map(|row| line(row, 1)).collect();
    let (zero, fsdp) = match job.training.engine {
        Engine::DeepSpeed(zero) => (Some(zero), false),
        Engine::Fsdp1 { .. } | Engine::Fsdp2 { .. } => (None, true),
        Engine::Single | Engine::Ddp { .. } | Engine::Megatron(_) => (None, false),
    };
    let device = |id| zero.and(given.choice(id)).map(str::to_string);
    let strategy = given.choice_entry(InputId::ShardingStrategy).filter(|_| fsdp);
    let binding = answer.instants.iter().find(|instant| instant.binding);
    Ok(Explanation {
        engine_type: job.engine.id.key(),
        engine_name: job.engine.id.name(),
        formula_description: description(&job),
        instant: binding.map_or_else(String::new, |instant| instant.label.clone()),
        references: references(lines.iter().chain(&elsewhere)),
        formula_components: lines,
        elsewhere,
        total_memory_gb: two_decimals(answer.total_memory_per_gpu_bytes),
        total_memory_bytes: answer.total_memory_per_gpu_bytes,
        breakdown: answer.breakdown,
        zero_stage: zero.map(|zero| u64::from(zero.stage)),
        offload_optimizer: device(InputId::OffloadOptimizer),
        offload_param: device(InputId::OffloadParam),
        sharding_strategy: strategy.map(|choice| choice.value),
        strategy_name: strategy.map(|choice| choice.label),
        parallelism: Degrees {
            tensor_parallel_size: job.mesh.tensor,
            pipeline_parallel_size: job.mesh.pipeline,
            data_parallel_size: job.mesh.data,
            context_parallel_size: job.mesh.context,
            expert_parallel_size: job.mesh.expert,
        },
    })
}

fn two_decimals(bytes: Bytes) -> f64 {
    (bytes.to_gib() * 100.0).round() / 100.0
}

/// What is summed up, in words: what every engine has in common, and what this one divides.
fn description(job: &Job) -> String {
    let divided = match job.training.engine {
        Engine::Single => "Nothing is divided: one GPU holds weights, gradients and optimizer states whole.",
        Engine::Ddp { .. } => {
            "Nothing is divided: each GPU holds all states, and the buckets of the reduction."
        }
        Engine::DeepSpeed(zero) => match zero.stage {
            0 => "Stage 0 divides nothing.",
            1 => "Stage 1 divides the optimizer's states, fp32 master weights among them.",
            2 => "Stage 2 divides the optimizer's states and the gradients.",
            _ => {
                "Stage 3 divides the optimizer's states, the gradients and the weights, which are gathered while they are used."
            }
        },
        Engine::Megatron(_) => {
            "Each GPU holds its part of the matrices of its pipeline stage's layers, with main gradients that never go away, and the activations of the micro-batches that its schedule has in flight. The answer is of the fullest stage."
        }
        Engine::Fsdp1 { .. } | Engine::Fsdp2 { .. } => {
            "Each GPU holds its shards of weights, gradients and optimizer states, and the gathered weights and whole gradients of the units that run."
        }
    };
    format!(
        "The tensors that are alive at the tightest instant of a step, what the caching allocator is expected to lose, and what lies outside it. {divided} block() is what torch's caching allocator hands out for so many bytes: a multiple of 512, and from 10 MiB on with the rest of its segment of 2 MiB multiples where that is at most 1 MiB."
    )
}

/// The parts of the total: the ledger's rows at the binding instant, then what else the answer lists.
fn lines(answer: &Answer) -> Vec<FormulaLine> {
    let alive: Vec<&LedgerRow> = answer
        .ledger
        .iter()
        .filter(|row| row.bytes > Bytes::ZERO)
        .collect();
    let mut lines: Vec<FormulaLine> = alive.iter().map(|row| line(row, row.held)).collect();
    for component in answer.components.iter().skip(alive.len()) {
        let listed: Bytes = lines.iter().map(|line| line.bytes).sum();
        lines.push(other(component, answer.total_memory_per_gpu_bytes, listed));
    }
    lines
}

/// A ledger row, so many times.
pub fn line(row: &LedgerRow, held: u64) -> FormulaLine {
    let unit = substituted(row);
    let bytes = row.unit_bytes * held;
    let times = |inner: &str| match held {
        1 => inner.to_string(),
        _ if inner.contains(" + ") => format!("{held}·({inner})"),
        _ => format!("{held}·{inner}"),
    };
    let place = if row.place.is_empty() {
        String::new()
    } else {
        format!(", {}", row.place)
    };
    let dtype = row
        .dtype
        .map_or_else(String::new, |dtype| format!(" in {}", dtype.name()));
    FormulaLine {
        id: row.id.to_string(),
        name: format!("{}{place}", row.label),
        group: row.group,
        formula: if held == 1 {
            row.formula.to_string()
        } else {
            format!("{held} × ({})", row.formula)
        },
        substituted: times(&unit),
        symbols: row.symbols.clone(),
        result: gib(bytes),
        bytes,
        description: format!("{held} × {} B{dtype}", row.unit_bytes.get()),
        source: row.citation.source.to_string(),
        evidence: row.citation.evidence,
    }
}

/// What is no tensor: an expected value of an interval, or the rest of the expected need.
pub fn other(component: &Component, need: Bytes, listed: Bytes) -> FormulaLine {
    let rest = need.saturating_sub(listed);
    let substituted = if component.id == "fragmentation" && rest == component.bytes {
        format!("{} − {}", need.get(), listed.get())
    } else {
        component.bytes.get().to_string()
    };
    FormulaLine {
        id: component.id.clone(),
        name: component.label.clone(),
        group: component.group,
        formula: component.formula.clone(),
        substituted,
        symbols: Vec::new(),
        result: gib(component.bytes),
        bytes: component.bytes,
        description: "expected value; the answer's interval tells how far it can lie from it".to_string(),
        source: component.source.clone(),
        evidence: Evidence::Measured,
    }
}

fn gib(bytes: Bytes) -> String {
    format!("{:.3} GiB", bytes.to_gib())
}

/// The formula of one instance with numbers put in: the sum over its tensors, or the formula with the values of its
/// symbols, within `block()` where the allocator rounds. It evaluates to the size of one.
pub fn substituted(row: &LedgerRow) -> String {
    let unit = row.unit_bytes.get();
    if !row.terms.is_empty() {
        return sum(&row.terms);
    }
    let text = put_in(row.formula, &row.symbols);
    if evaluate(&text) == Some(unit) {
        return text;
    }
    let block = format!("block({text})");
    if evaluate(&block) == Some(unit) {
        return block;
    }
    unit.to_string()
}

/// Equal terms are counted.
fn sum(terms: &[Bytes]) -> String {
    let mut counted: Vec<(u64, u64)> = Vec::new();
    for term in terms {
        match counted.iter_mut().find(|(bytes, _)| *bytes == term.get()) {
            Some((_, count)) => *count += 1,
            None => counted.push((term.get(), 1)),
        }
    }
    let words: Vec<String> = counted
        .iter()
        .map(|(bytes, count)| match count {
            1 => bytes.to_string(),
            _ => format!("{count}·{bytes}"),
        })
        .collect();
    words.join(" + ")
}

/// Replaces each symbol by its value, the longest symbol first. What follows the formula in words is left out, and so are
/// the commas of large numbers; MiB are counted in bytes.
fn put_in(formula: &str, symbols: &[SymbolRow]) -> String {
    let words = [" of ", " over ", " ("];
    let end = words.iter().filter_map(|word| formula.find(word)).min();
    let mut rest = formula.get(..end.unwrap_or(formula.len())).unwrap_or(formula);
    let mut symbols: Vec<&SymbolRow> = symbols.iter().collect();
    symbols.sort_by_key(|symbol| std::cmp::Reverse(symbol.name.len()));
    let mut text = String::new();
    while let Some(letter) = rest.chars().next() {
        let inside_word = text.ends_with(char::is_alphabetic);
        let symbol = symbols.iter().find(|symbol| {
            !inside_word
                && rest
                    .strip_prefix(symbol.name)
                    .is_some_and(|after| !after.starts_with(char::is_alphanumeric))
        });
        let length = match symbol {
            Some(symbol) => {
                text.push_str(&symbol.value.to_string());
                symbol.name.len()
            }
            None => {
                text.push(letter);
                letter.len_utf8()
            }
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    let text = text.replace(" MiB", "·1048576");
    let thousands = text.replace(',', "");
    if thousands.chars().all(|letter| letter.is_ascii_digit()) {
        thousands
    } else {
        text
    }
}

fn references<'a>(lines: impl Iterator<Item = &'a FormulaLine>) -> Vec<Reference> {
    let mut all: Vec<Reference> = Vec::new();
    for line in lines {
        if all.iter().any(|reference| reference.title == line.source) {
            continue;
        }
        all.push(Reference {
            title: line.source.clone(),
            url: line
                .source
                .split_whitespace()
                .find(|word| word.starts_with("https://"))
                .map(str::to_string),
            description: line.evidence.words(),
        });
    }
    all
}
