//! One question to every inference engine. Each gets what all of them read, and the asked one also its own settings; what
//! makes the largest difference between neighbours in the order is found among the parts of their answers.

use super::super::given::Given;
use super::super::job::Strictness;
use super::{answer, job};
use crate::inference::{Engine, PartId};
use crate::request::{
    Difference, InferenceAnswer, InputId, Request, Section, ServerAnswer, ServerId, ServerRow, SideBySide,
};
use crate::units::Bytes;
use crate::warn::Issue;

/// Every engine's answer to a question.
pub fn side_by_side(request: &Request) -> SideBySide {
    let asked = asked(request);
    let mut found: Vec<(ServerRow, Option<Told>)> = ServerId::ALL
        .iter()
        .map(|engine| row(request, *engine, asked))
        .collect();
    // Stable, so that engines with as many tokens stay in the order of the list.
    found.sort_by_key(|(row, _)| {
        std::cmp::Reverse(
            row.answer
                .as_ref()
                .map_or((false, 0), |answer| (true, answer.tokens)),
        )
    });
    let differences: Vec<Option<Difference>> = found
        .windows(2)
        .map(|pair| match pair {
            [(_, Some(more)), (row, Some(less))] => difference(more, (row, less)),
            _ => None,
        })
        .collect();
    let mut engines: Vec<ServerRow> = found.into_iter().map(|(row, _)| row).collect();
    for (row, difference) in engines.iter_mut().zip(differences) {
        if let Some(answer) = &mut row.answer {
            answer.difference = difference;
        }
    }
    SideBySide { engines }
}

/// The engine of the question.
fn asked(request: &Request) -> Option<ServerId> {
    let given = Given::read(request, &mut Vec::new());
    ServerId::from_key(given.choice(InputId::ServerType)?)
}

fn row(request: &Request, engine: ServerId, asked: Option<ServerId>) -> (ServerRow, Option<Told>) {
    let mut question = request.clone();
    let mut left_out = Vec::new();
    let is_asked = asked == Some(engine);
    if !is_asked {
        for (id, _) in request.given() {
            let input = id.input();
            let own = !input.engines.serves(engine) || id == InputId::ServerVersion;
            if input.section == Section::Inference && own {
                question.clear(id);
                left_out.push(input.key);
            }
        }
        question.set(InputId::ServerType, engine.key());
    }
    let (answer, issues) = match told(&question) {
        Ok(told) => (Some(told), Vec::new()),
        Err(issues) => (None, issues.into_iter().filter(Issue::is_error).collect()),
    };
    let row = ServerRow {
        engine: engine.key(),
        name: engine.name(),
        asked: is_asked,
        answer: answer.as_ref().map(Told::row),
        issues,
        left_out,
    };
    (row, answer)
}

/// An answer with what it does not say itself.
struct Told {
    answer: InferenceAnswer,
    /// The format of the weights.
    weights: String,
    /// Tokens of the asked sequences in the cache.
    cached: u64,
}

fn told(request: &Request) -> Result<Told, Vec<Issue>> {
    let question = job::job(request, Strictness::default())?;
    let job = &question.job;
    let weights = match &job.engine {
        Engine::LlamaCpp(options) => options.file.mix.name.to_string(),
        _ => job
            .weights
            .format
            .name()
            .unwrap_or(job.compute.name())
            .to_string(),
    };
    let cached = job.sequences.saturating_mul(job.length().saturating_sub(1));
    Ok(Told {
        answer: answer(question)?,
        weights,
        cached,
    })
}

impl Told {
    fn row(&self) -> ServerAnswer {
        let answer = &self.answer;
        ServerAnswer {
            verdict: answer.verdict,
            need: answer.need,
            weights_bytes: part(answer, PartId::Weights),
            weights: self.weights.clone(),
            tokens: tokens(answer),
            sequences: answer.max_supported_batch_size.saturating_mul(answer.replicas),
            replicas: answer.replicas,
            difference: None,
        }
    }
}

/// Tokens of all copies.
const fn tokens(answer: &InferenceAnswer) -> u64 {
    answer.kv_pool_tokens.saturating_mul(answer.replicas)
}

fn part(answer: &InferenceAnswer, id: PartId) -> Bytes {
    let parts = answer.parts.iter().filter(|part| part.id == id.key());
    parts.map(|part| part.bytes.expected_bytes).sum()
}

/// One thing in which two engines differ.
struct Reason {
    part: &'static str,
    label: &'static str,
    here: u64,
    there: u64,
    /// How many bytes more for tokens it leaves here, of all GPUs.
    gain: i128,
}

/// The largest reason why the first holds more tokens than the second.
fn difference(more: &Told, (next, less): (&ServerRow, &Told)) -> Option<Difference> {
    let reasons = reasons(more, less);
    let found = reasons.into_iter().max_by_key(|reason| reason.gain)?;
    if found.gain <= 0 {
        return None;
    }
    let gib = |bytes: u64| format!("{:.2} GiB", Bytes::new(bytes).to_gib());
    let ahead = tokens(&more.answer).saturating_sub(tokens(&less.answer));
    let all = i128::from(ahead) * i128::from(per_token(less)) * i128::from(less.answer.gpus_used.max(1));
    let most = found.gain.saturating_mul(2) >= all;
    let mut words = match found.part {
        "copies" => format!("{} here, {} there: {}", found.here, found.there, found.label),
        "per_token" => format!(
            "{}: {} bytes here, {} there",
            found.label, found.here, found.there
        ),
        _ => format!(
            "{}: {} here, {} there",
            found.label,
            gib(found.here),
            gib(found.there)
        ),
    };
    if !most {
        words.push_str(", which is less than half of it");
    }
    Some(Difference {
        to: next.engine,
        name: next.name,
        part: found.part,
        here: found.here,
        there: found.there,
        words,
    })
}

/// Everything in which two answers differ, as bytes that it leaves for tokens.
fn reasons(first: &Told, second: &Told) -> Vec<Reason> {
    let (more, less) = (&first.answer, &second.answer);
    let gpus = i128::from(more.gpus_used.max(1));
    let gain = |here: u64, there: u64| (i128::from(there) - i128::from(here)) * gpus;
    let ids = [
        PartId::Weights,
        PartId::State,
        PartId::Activations,
        PartId::Workspaces,
        PartId::Graphs,
        PartId::NonTorch,
        PartId::Context,
    ];
    let mut found: Vec<Reason> = ids
        .into_iter()
        .map(|id| {
            let (here, there) = (part(more, id).get(), part(less, id).get());
            Reason {
                part: id.key(),
                label: id.label(),
                here,
                there,
                gain: gain(here, there),
            }
        })
        .collect();
    let kept = |answer: &InferenceAnswer| {
        let usable = answer.capacity.usable_bytes;
        usable.saturating_sub(answer.budget_bytes).get()
    };
    let (here, there) = (kept(more), kept(less));
    found.push(Reason {
        part: "kept_back",
        label: "what it leaves of the card",
        here,
        there,
        gain: gain(here, there),
    });
    let (here, there) = (per_token(first), per_token(second));
    found.push(Reason {
        part: "per_token",
        label: "the cache of a token on one GPU, with what the engine rounds up",
        here,
        there,
        gain: gain(here, there) * i128::from(less.kv_pool_tokens),
    });
    let (here, there) = (more.replicas, less.replicas);
    // Each copy has weights of its own.
    let weights = i128::from(part(less, PartId::Weights).get()) * gpus;
    found.push(Reason {
        part: "copies",
        label: "copies of the weights on the GPUs",
        here,
        there,
        gain: weights * (i128::from(there) - i128::from(here)) / i128::from(there.max(1)),
    });
    found
}

/// Bytes of the asked sequences' cache per token of theirs.
fn per_token(told: &Told) -> u64 {
    part(&told.answer, PartId::KvCache).get() / told.cached.max(1)
}
