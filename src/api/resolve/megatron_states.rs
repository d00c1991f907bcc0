//! What Megatron-LM stores beyond its defaults: narrow formats, Megatron-FSDP, states on the host, written layouts, layers for
//! further tokens, adapters; and the wrapper of DeepSpeed's fork. What contradicts each other is refused by field.

use super::super::given::Given;
use super::Report;
use crate::parallel::Written;
use crate::request::InputId;
use crate::training::{
    Dispatcher, Megatron, Narrow, NarrowRecipe, Sharding, Wrapper, has_flex_configuration,
};
use crate::warn::Issue;

/// The written layout.
pub fn layout(given: &Given, report: &mut Report) -> Option<Written> {
    let text = given.text(InputId::PipelineLayout)?;
    match Written::read(&text) {
        Ok(layout) => {
            let ends = [
                InputId::FirstStageLayers,
                InputId::LastStageLayers,
                InputId::CountEmbedding,
                InputId::CountLoss,
            ];
            for id in ends.into_iter().filter(|id| given.differs_from_default(*id)) {
                report.error(
                    "unsupported_combination",
                    id,
                    "The written layout says which layers every stage has: give only one of the two.",
                );
            }
            Some(layout)
        }
        Err(why) => {
            let issue = Issue::error("unknown_value", InputId::PipelineLayout.key(), why.to_string());
            report.add(issue.with_value(text));
            None
        }
    }
}

/// Layers for further tokens: those of the layout, where one is written.
pub fn further(given: &Given, written: Option<Written>, report: &mut Report) -> u64 {
    let stated = given.integer(InputId::FurtherLayers).unwrap_or(0);
    match written {
        Some(layout) if given.has(InputId::FurtherLayers) && layout.further != stated => {
            report.add(
                Issue::error(
                    "unsupported_combination",
                    InputId::FurtherLayers.key(),
                    format!(
                        "The written layout has {} layers for further tokens (m).",
                        layout.further
                    ),
                )
                .with_value(stated),
            );
            stated
        }
        Some(layout) => layout.further,
        None => stated,
    }
}

/// The recipe of narrow products.
pub fn narrow(given: &Given, compute_capability: u16, report: &mut Report) -> Option<Narrow> {
    let recipe = match given.choice(InputId::NarrowRecipe) {
        Some("delayed" | "tensorwise") => NarrowRecipe::Tensor,
        Some("blockwise") => NarrowRecipe::Block,
        Some("mxfp8") => NarrowRecipe::Mxfp8,
        Some("nvfp4") => NarrowRecipe::Nvfp4,
        _ => return None,
    };
    let (least, name) = match recipe {
        NarrowRecipe::Tensor => (
            89,
            "FP8 products need compute capability 8.9 (Ada, Hopper) or newer.",
        ),
        NarrowRecipe::Block => (90, "FP8 in blocks needs Hopper or newer."),
        NarrowRecipe::Mxfp8 | NarrowRecipe::Nvfp4 => (100, "MXFP8 and NVFP4 need Blackwell."),
    };
    if compute_capability < least {
        report.error("unsupported_combination", InputId::NarrowRecipe, name);
    }
    if given.choice(InputId::Dtype) == Some("fp32") {
        report.error(
            "unsupported_combination",
            InputId::NarrowRecipe,
            "Narrow products are a part of training in 16 bits: choose bf16.",
        );
    }
    let primary = given.toggle(InputId::NarrowPrimary) == Some(true);
    Some(Narrow { recipe, primary })
}

/// How tokens come to the experts of other ranks.
pub fn dispatcher(given: &Given) -> Dispatcher {
    match given.choice(InputId::TokenDispatcher) {
        Some("allgather") => Dispatcher::Gathered,
        Some("flex") => Dispatcher::Flex,
        _ => Dispatcher::Exchanged,
    }
}

/// What a dispatcher does not do.
pub fn check_dispatcher(settings: &Megatron, report: &mut Report) {
    let mut refuse = |message| report.error("unsupported_combination", InputId::TokenDispatcher, message);
    match settings.dispatcher {
        Dispatcher::Gathered if settings.capacity_thousandths.is_some() => {
            refuse("The all-gather dispatcher has no capacity: Megatron-LM refuses the two together.");
        }
        Dispatcher::Flex if settings.padded => {
            refuse("DeepEP does not pad experts to their capacity: Megatron-LM refuses the two together.");
        }
        Dispatcher::Flex if !has_flex_configuration(settings.expert_group()) => {
            refuse(
                "DeepEP has configurations for 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 144 and 160 expert ranks.",
            );
        }
        _ => {}
    }
}

/// What Megatron-FSDP divides.
pub fn sharding(given: &Given, report: &mut Report) -> Sharding {
    let found = match given.choice(InputId::MegatronSharding) {
        Some("optim") => Sharding::Optimizer,
        Some("optim_grads") => Sharding::Gradients,
        Some("optim_grads_params") => Sharding::Weights,
        _ => return Sharding::None,
    };
    let pipeline = given.integer(InputId::PipelineParallelSize).unwrap_or(1) > 1;
    let primary = given.toggle(InputId::NarrowPrimary) == Some(true);
    for (id, found, why) in [
        (
            InputId::PipelineParallelSize,
            pipeline,
            "Megatron-FSDP with a pipeline is not built yet.",
        ),
        (
            InputId::NarrowPrimary,
            primary,
            "Narrow weights under Megatron-FSDP are not built yet.",
        ),
    ] {
        if found {
            report.error("not_available_yet", id, why);
        }
    }
    found
}

/// Whose wrapper of the optimizer it is.
pub fn wrapper(given: &Given, own: bool, report: &mut Report) -> Wrapper {
    adapters(given, own, report);
    if own {
        return Wrapper::Megatron;
    }
    let stage = given
        .integer(InputId::ZeroStage)
        .filter(|_| given.has(InputId::ZeroStage))
        .unwrap_or(1);
    if stage > 1 {
        report.add(
            Issue::error(
                "not_available_yet",
                InputId::ZeroStage.key(),
                "Under Megatron-DeepSpeed stages 0 and 1 are built: its pipeline engine has no others.",
            )
            .with_value(stage)
            .with_allowed(["0", "1"]),
        );
    }
    let larger = |id| given.integer(id).unwrap_or(1) > 1;
    for (id, found, why) in [
        (
            InputId::ContextParallelSize,
            larger(InputId::ContextParallelSize),
            "Context parallelism under Megatron-DeepSpeed is not built.",
        ),
        (
            InputId::ExpertParallelSize,
            larger(InputId::ExpertParallelSize),
            "Experts under Megatron-DeepSpeed are not built.",
        ),
        (
            InputId::VirtualPipelineSize,
            larger(InputId::VirtualPipelineSize),
            "DeepSpeed's pipeline has one chunk per rank.",
        ),
        (
            InputId::OffloadOptimizer,
            given
                .choice(InputId::OffloadOptimizer)
                .is_some_and(|place| place != "none"),
            "Offload under Megatron-DeepSpeed is not built.",
        ),
        (
            InputId::Adapter,
            given.differs_from_default(InputId::Adapter),
            "Adapters under Megatron-DeepSpeed are not built.",
        ),
        (
            InputId::Objective,
            given.differs_from_default(InputId::Objective),
            "Preference training under Megatron-DeepSpeed is not built.",
        ),
    ] {
        if found {
            report.error("not_available_yet", id, why);
        }
    }
    Wrapper::DeepSpeed {
        stage: u8::try_from(stage).unwrap_or(1),
    }
}

/// Adapters beside Megatron's layers are plain LoRA in the type of the weights.
fn adapters(given: &Given, own: bool, report: &mut Report) {
    if !own || !given.differs_from_default(InputId::Adapter) {
        return;
    }
    if given.choice(InputId::Adapter) != Some("lora") {
        report.error(
            "not_available_yet",
            InputId::Adapter,
            "With Megatron only LoRA is built.",
        );
    }
    for (id, why) in [
        (
            InputId::BaseFormat,
            "Quantised weights beside adapters are not built with Megatron.",
        ),
        (
            InputId::ModulesToSave,
            "Whole modules beside adapters are not built with Megatron yet.",
        ),
        (
            InputId::NarrowRecipe,
            "Narrow products beside adapters are not built with Megatron yet.",
        ),
        (
            InputId::MegatronSharding,
            "Adapters under Megatron-FSDP are not built yet.",
        ),
    ] {
        if given.differs_from_default(id) {
            report.error("not_available_yet", id, why);
        }
    }
}

/// Why an input of these means nothing to a job, where it does.
pub fn usage(id: InputId, given: &Given) -> Option<&'static str> {
    let unless = |used: bool, why| if used { None } else { Some(why) };
    match id {
        InputId::TokenDispatcher => unless(
            given.integer(InputId::ExpertParallelSize).unwrap_or(1) > 1
                || given.integer(InputId::TensorParallelSize).unwrap_or(1) > 1,
            "With all experts on every rank no token is sent.",
        ),
        InputId::NarrowPrimary => unless(
            given
                .choice(InputId::NarrowRecipe)
                .is_some_and(|recipe| recipe != "none"),
            "Without a narrow recipe there is no narrow format.",
        ),
        InputId::LayerWiseLayout => unless(
            given.choice(InputId::Optimizer) == Some("muon")
                && given.toggle(InputId::UseDistributedOptimizer) == Some(true),
            "Only Muon with the distributed optimizer lays out or deals out whole matrices.",
        ),
        InputId::PipelineLayout => unless(
            given.integer(InputId::PipelineParallelSize).unwrap_or(1) > 1,
            "Without a pipeline there is one stage.",
        ),
        InputId::AdapterDtype | InputId::KbitPrepared | InputId::KbitNormsOnly => {
            Some("Megatron's adapters are in the type of the weights, with fp32 master weights.")
        }
        InputId::LogProbabilities => Some("Megatron computes log-probabilities over the divided vocabulary."),
        _ => None,
    }
}
