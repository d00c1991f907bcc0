//! An inference request becomes a job: every value read, every default filled in, every error reported at once.

use super::super::given::Given;
use super::super::job::Strictness;
use super::super::resolve::{self, Card, Model, Report};
use super::division::{Division, copies, indivisible};
use super::speed::Traffic;
use super::{cards, formats, settings, shared, usage};
use crate::inference::job::CacheType;
use crate::inference::weights::Quantisation;
use crate::inference::{Device, InferenceJob};
use crate::memory::Interval;
use crate::request::{Assumed, InputId, Request, ServerId, Sharing};
use crate::units::{DType, sort_by_key};
use crate::warn::Issue;

/// A validated inference request.
pub struct Question {
    /// What the engine is asked.
    pub job: InferenceJob,
    /// The engine.
    pub engine: ServerId,
    /// The model.
    pub model: Model,
    /// The card.
    pub card: Card,
    /// Cards of other kinds among the GPUs, and how many of each.
    pub others: Vec<(Card, u64)>,
    /// The engines that share each GPU.
    pub sharing: Option<Sharing>,
    /// The traffic that is asked.
    pub traffic: Traffic,
    /// GPUs of the whole job.
    pub gpus: u64,
    /// Defaults that were taken.
    pub assumed: Vec<Assumed>,
    /// What the reader must know.
    pub warnings: Vec<Issue>,
}

impl Question {
    /// GPUs of one copy.
    pub const fn gpus_per_copy(&self) -> u64 {
        self.job.tensor.saturating_mul(self.job.pipeline)
    }
}

/// The job of a request, or every issue (errors and warnings) by field.
pub fn job(request: &Request, strictness: Strictness) -> Result<Question, Vec<Issue>> {
    let mut report = Report::default();
    let given = Given::read(request, &mut report.issues);
    if strictness.unknown_fields {
        for issue in &mut report.issues {
            if issue.code == "unknown_field" {
                issue.severity = crate::warn::Severity::Error;
            }
        }
    }
    let question = build(&given, &mut report);
    sort_by_key(&mut report.issues, |issue| !issue.is_error());
    match question {
        Some(mut question) if !report.has_errors() => {
            question.assumed = report.assumed;
            question.warnings = report.issues;
            Ok(question)
        }
        _ => Err(report.issues),
    }
}

fn build(given: &Given, report: &mut Report) -> Option<Question> {
    let engine = settings::server(given, report);
    let model = resolve::model(given, report);
    usage::unused(given, engine, report);
    let (tensor, pipeline) = settings::sharding(given, engine, model.as_ref(), report);
    let gpus = settings::gpus(given, tensor.saturating_mul(pipeline), report);
    let card = resolve::hardware(given, gpus, report);
    let (model, card) = (model?, card?);
    let device = device(&card);
    let (prompt, new_tokens) = settings::lengths(given, &model, report);
    // A file has its own types, and its layers go to equal GPUs.
    let from_file = engine == Some(ServerId::LlamaCpp);
    let (compute, weights, cache) = if from_file {
        (DType::Fp16, Quantisation::none(), CacheType::Compute)
    } else {
        (
            formats::compute(given, &model, engine, &device, report),
            formats::weights(given, &model, engine, &device, report)?,
            formats::cache(given, &model, engine, &device, report),
        )
    };
    let options = settings::options(given, engine?, &model, pipeline, report)?;
    let others = if from_file {
        Vec::new()
    } else {
        cards::others(given, gpus, &card, report)
    };
    let mut job = InferenceJob {
        network: model.network.clone(),
        engine: options,
        weights,
        compute,
        cache,
        sequences: given.integer(InputId::Sequences).unwrap_or(1),
        prompt,
        new_tokens,
        shared_prefix: given.integer(InputId::SharedPrefixTokens).unwrap_or(0),
        tensor,
        pipeline,
        device,
    };
    if indivisible(&job.network, tensor, copies(engine)).is_none()
        && let Some(why) = Division::of(&job, engine).refused(&job.network)
    {
        let issue = Issue::error("not_divisible", InputId::ServerTensorParallel.key(), why)
            .with_value(tensor)
            .with_hint(
                "A checkpoint that is published in this format may be padded: its config.json says so.",
            );
        report.add(issue);
    }
    if !others.is_empty() && given.has(InputId::OtherEngines) {
        report.error(
            "unsupported_combination",
            InputId::OtherEngines,
            "Engines that share GPUs are answered for GPUs of one kind.",
        );
    }
    if !others.is_empty() && pipeline > 1 {
        report.warn(
            "assumed",
            InputId::OtherGpus,
            "Pipeline stages are not equal, and which card has which is not asked: every kind is judged with the fullest stage.",
        );
    }
    let sharing = shared::divide(given, &mut job, report);
    let price = resolve::prices(given, &mut report.issues)
        .get(&card.gpu.id)
        .copied();
    Some(Question {
        job,
        engine: engine?,
        model,
        card,
        others,
        sharing,
        traffic: Traffic {
            price,
            ..traffic(given)
        },
        gpus,
        assumed: Vec::new(),
        warnings: Vec::new(),
    })
}

/// The traffic that is asked, with its limits.
fn traffic(given: &Given) -> Traffic {
    Traffic {
        requests: given.number(InputId::RequestsPerSecond),
        users: given.integer(InputId::ConcurrentUsers),
        p95: (
            given.integer(InputId::P95PromptTokens),
            given.integer(InputId::P95NewTokens),
        ),
        limits: (given.number(InputId::MaxTtft), given.number(InputId::MaxTpot)),
        bandwidth: given.number(InputId::BandwidthEfficiency),
        price: None,
    }
}

/// What an engine must know about a card.
pub fn device(card: &Card) -> Device {
    let visible = card.visible;
    let ecc = card.gpu.ecc.map(|ecc| ecc.usual).unwrap_or(true);
    let driver = card.gpu.driver_visible_with_ecc(ecc);
    Device {
        name: card.gpu.name.clone(),
        total: Interval::new(visible.low, visible.expected, visible.high),
        driver: driver.unwrap_or(visible.expected),
        usable: card.usable.expected,
        capability: card.compute_capability,
        nvidia: card.gpu.vendor != "AMD",
        unified: card.gpu.unified,
    }
}
