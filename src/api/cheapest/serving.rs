//! The least number of GPUs of one kind that serve: those of the smallest copy, by tensor parallelism, as many times as the asked
//! traffic wants copies.

use super::super::inference::{answer, fewest, question};
use super::super::job::Strictness;
use super::{Card, Tried, words};
use crate::request::{InferenceAnswer, InputId, Request, ServerId};
use crate::units::Bytes;

/// The least number, or why there is none.
pub fn least(card: &Card<'_>, whole_nodes: bool) -> Result<Tried, String> {
    let mut alone = card.request.clone();
    for id in [
        InputId::ServerTensorParallel,
        InputId::ServerPipelineParallel,
        InputId::TgiShards,
    ] {
        alone.clear(id);
    }
    let asked = question(&alone, Strictness::default()).map_err(|issues| words(&issues))?;
    let file = asked.engine == ServerId::LlamaCpp;
    let ranks = fewest(&asked).ok_or("no copy fits by tensor parallelism among as many as 64")?;
    if ranks > 1 && card.gpu.slice.is_some() {
        return Err("ranks on slices of a card cannot talk to each other".to_owned());
    }
    let sized = |gpus: u64| -> Result<InferenceAnswer, String> {
        let request = of(&alone, if file { 1 } else { ranks }, gpus);
        let question = question(&request, Strictness::default()).map_err(|issues| words(&issues))?;
        answer(question).map_err(|issues| words(&issues))
    };
    let copy = sized(ranks)?;
    let speed = copy.speed.as_ref();
    if let Some(reason) = speed.and_then(|speed| speed.sizing_missing.clone()) {
        return Err(reason);
    }
    let traffic = speed.and_then(|speed| speed.sizing.as_ref());
    let copies = traffic.map_or(1, |sizing| {
        Bytes::nearest(sizing.replicas.expected.ceil()).get().max(1)
    });
    let mut gpus = ranks.saturating_mul(copies);
    if whole_nodes && card.gpu.slice.is_none() {
        gpus = gpus.div_ceil(card.per_node.max(1)).saturating_mul(card.per_node);
        // A node is filled with whole copies; what is left over stays idle.
    }
    let whole = gpus / ranks.max(1);
    Ok(Tried {
        gpus,
        usable: copy.capacity.usable_bytes,
        need: copy.need,
        verdict: copy.verdict,
        rate: speed.map(|speed| speed.output_tokens_per_second.expected * whole as f64),
        ranks: (!file).then_some(ranks),
    })
}

fn of(request: &Request, ranks: u64, gpus: u64) -> Request {
    let own = request.clone().with(InputId::NumGpus, gpus);
    match ranks {
        1 => own,
        ranks => own.with(InputId::ServerTensorParallel, ranks),
    }
}
