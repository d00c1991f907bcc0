//! Which inputs an inference question uses: those of its own section that mean something to the engine, the model and the
//! card. Everything else that is given is reported.

use super::super::given::Given;
use super::super::resolve::{Report, other_question};
use crate::request::{Availability, InputId, ServerId, Task};
use crate::warn::Issue;

/// Every given input that the question does not use.
pub fn unused(given: &Given, engine: Option<ServerId>, report: &mut Report) {
    for (id, typed) in given.iter() {
        let input = id.input();
        if !given.differs_from_default(id) {
            continue;
        }
        if !input.section.belongs_to(Task::Inference) {
            report.add(other_question(input, typed.to_json()));
            continue;
        }
        let Some(engine) = engine else { continue };
        let why = if !input.engines.serves(engine) {
            Some(format!("{} means nothing to {}.", input.label, engine.name()))
        } else if input.availability == Availability::ExportsOnly {
            Some(format!("{} has no effect on memory.", input.label))
        } else {
            reason(id, given).map(str::to_string)
        };
        if id == InputId::UseKvCache && engine != ServerId::Huggingface {
            report.add(
                Issue::warning(
                    "not_supported_by_engine",
                    input.key,
                    format!("{} always keeps a cache.", engine.name()),
                )
                .with_value(typed.to_json()),
            );
        }
        if let Some(why) = why {
            report.add(Issue::warning("not_used", input.key, why).with_value(typed.to_json()));
        }
    }
}

/// Why an input changes nothing in this question.
fn reason(id: InputId, given: &Given) -> Option<&'static str> {
    let unless = |used: bool, why: &'static str| (!used).then_some(why);
    match id {
        InputId::P95PromptTokens | InputId::P95NewTokens | InputId::MaxTtft | InputId::MaxTpot => unless(
            given.has(InputId::RequestsPerSecond) || given.has(InputId::ConcurrentUsers),
            "No traffic is asked: type requests per second or requests at the same time.",
        ),
        InputId::SamplingTopK | InputId::SamplingTopP => unless(
            given.toggle(InputId::DoSample) == Some(true),
            "Nothing is sampled: the likeliest token is taken.",
        ),
        InputId::ModelId => unless(
            !given.has(InputId::HfConfig),
            "The pasted config.json is the source of the architecture.",
        ),
        InputId::CacheImplementation | InputId::KvCacheType => unless(
            given.toggle(InputId::UseKvCache) != Some(false),
            "No cache is kept.",
        ),
        _ => None,
    }
}
