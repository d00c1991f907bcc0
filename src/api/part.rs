//! Which of the typed values a question asks: those of its kind, and of the chosen engine. What a form hides is kept where it
//! is typed, and is not sent meanwhile.

use super::given::default_of;
use super::read::{Typed, read};
use crate::request::{EngineId, INPUTS, InputId, Request, Section, ServerId, Task};

/// The value of a choice that holds, where what is typed names one.
pub fn chosen(request: &Request, id: InputId) -> Option<&'static str> {
    let typed = match request.get(id) {
        Some(value) if !value.is_null() => read(id.input(), value).ok().map(|(typed, _)| typed),
        _ => default_of(id.input()),
    };
    match typed {
        Some(Typed::Choice(choice)) => Some(choice.value),
        _ => None,
    }
}

/// The part of what is typed that belongs to a kind of question and means something to its engine. Unknown keys and shapes
/// stay, and so does everything where the engine is not known.
pub fn part(request: &Request, task: Task) -> Request {
    let engine = chosen(request, InputId::EngineType).and_then(EngineId::from_key);
    let server = chosen(request, InputId::ServerType).and_then(ServerId::from_key);
    let mut own = request.clone();
    for input in INPUTS {
        let shown = match task {
            Task::Training | Task::Plan => engine.is_none_or(|engine| input.engines.to(engine)),
            Task::Inference => server.is_none_or(|server| input.engines.serves(server)),
        };
        if !shown || !input.section.belongs_to(task) {
            own.clear(input.id);
        }
    }
    own
}

/// The part that a search for plans reads: that of a question of this kind, with the options of the search.
pub fn plan_part(request: &Request, task: Task) -> Request {
    let mut own = part(request, task);
    for (id, value) in request.given() {
        if id.input().section == Section::Hybrid {
            own.set(id, value.clone());
        }
    }
    own
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::{calculate, validate};

    fn typed(engine: &str) -> Request {
        Request::from_json(&json!({
            "model": {"id": "llama-3.1-8b"},
            "engine": {"type": engine, "zero_stage": 3, "offload_optimizer": "cpu", "sharding_strategy": "shard_grad_op",
                "fsdp_version": 1, "gradient_as_bucket_view": true},
            "parallelism": {"expert_tensor_parallel_size": 4},
            "hardware": {"num_gpus": 8},
            "inference": {"batch_size": 3},
        }))
        .unwrap()
    }

    #[test]
    fn hidden_values_are_not_sent_and_come_back_with_their_engine() {
        let deepspeed = part(&typed("deepspeed"), Task::Training);
        assert!(deepspeed.has(InputId::ZeroStage) && !deepspeed.has(InputId::ShardingStrategy));
        let mut request = typed("deepspeed");
        for engine in ["fsdp", "pytorch_ddp", "FSDP2", "deepspeed"] {
            request = request.with(InputId::EngineType, engine);
            let sent = part(&request, Task::Training);
            assert!(!sent.has(InputId::ExpertTensorParallelSize) && !sent.has(InputId::Sequences));
            let unused: Vec<_> = validate(&sent)
                .into_iter()
                .filter(|issue| issue.code == "not_used" || issue.is_error())
                .collect();
            assert_eq!(unused, [], "{engine}");
        }
        // The detour changed nothing of what is sent for the first engine.
        assert_eq!(part(&request, Task::Training), deepspeed);
        assert_eq!(calculate(&part(&request, Task::Training)), calculate(&deepspeed));
    }

    #[test]
    fn one_model_is_asked_in_both_kinds_of_question() {
        let request = typed("fsdp").with(InputId::NumLayers, 12);
        for task in [Task::Training, Task::Inference] {
            let part = part(&request, task);
            for id in [InputId::ModelId, InputId::NumLayers, InputId::NumGpus] {
                assert_eq!(part.get(id), request.get(id), "{}", id.key());
            }
        }
    }

    #[test]
    fn a_name_that_is_no_engine_hides_nothing() {
        let request = typed("no such engine");
        let part = part(&request, Task::Training);
        assert!(part.has(InputId::ZeroStage) && part.has(InputId::ShardingStrategy));
    }
}
