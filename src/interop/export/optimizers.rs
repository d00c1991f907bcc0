//! The optimizer of a question as Python: an import and an expression over `parameters`.

use super::python::truth;
use super::sheet::Sheet;
use crate::request::InputId;

/// What a script imports and calls.
pub struct Optimizer {
    /// The import.
    pub import: &'static str,
    /// The expression.
    pub call: String,
}

/// The optimizer; `None`, and untold, where one call does not make it.
pub fn optimizer(sheet: &mut Sheet<'_>) -> Option<Optimizer> {
    const BNB: &str = "import bitsandbytes as bnb\n";
    const AO: &str = "from torchao.optim import AdamW4bit, AdamW8bit, AdamWFp8\n";
    let rate = sheet.number(InputId::LearningRate).unwrap_or(1e-4);
    let decay = sheet.number(InputId::WeightDecay).unwrap_or(0.01);
    let both = format!("parameters, lr={rate}, weight_decay={decay}");
    let (import, call) = match sheet.peek_word(InputId::Optimizer) {
        "adamw" => ("", torch(sheet, "AdamW", &both)),
        "adam" => ("", torch(sheet, "Adam", &format!("parameters, lr={rate}"))),
        "sgd" => {
            let momentum = sheet.number(InputId::Momentum).unwrap_or(0.9);
            ("", torch(sheet, "SGD", &format!("{both}, momentum={momentum}")))
        }
        "adafactor" => ("", format!("torch.optim.Adafactor({both})")),
        "adamw_8bit" => (BNB, format!("bnb.optim.AdamW8bit({both})")),
        "adamw_32bit" => (BNB, format!("bnb.optim.AdamW32bit({both})")),
        "paged_adamw_32bit" => (BNB, format!("bnb.optim.PagedAdamW32bit({both})")),
        "paged_adamw_8bit" => (BNB, format!("bnb.optim.PagedAdamW8bit({both})")),
        "lion" => (BNB, format!("bnb.optim.Lion32bit({both})")),
        "lion_8bit" => (BNB, format!("bnb.optim.Lion8bit({both})")),
        "paged_lion_8bit" => (BNB, format!("bnb.optim.PagedLion8bit({both})")),
        "paged_lion_32bit" => (BNB, format!("bnb.optim.PagedLion32bit({both})")),
        "ademamix" => (BNB, format!("bnb.optim.AdEMAMix32bit({both})")),
        "ademamix_8bit" => (BNB, format!("bnb.optim.AdEMAMix8bit({both})")),
        "paged_ademamix" => (BNB, format!("bnb.optim.PagedAdEMAMix32bit({both})")),
        "paged_ademamix_8bit" => (BNB, format!("bnb.optim.PagedAdEMAMix8bit({both})")),
        "adamw_8bit_torchao" => (AO, format!("AdamW8bit({both})")),
        "adamw_4bit_torchao" => (AO, format!("AdamW4bit({both})")),
        "adamw_fp8_torchao" => (AO, format!("AdamWFp8({both})")),
        "adafactor_transformers" => (
            "from transformers.optimization import Adafactor\n",
            format!("Adafactor({both}, scale_parameter=False, relative_step=False)"),
        ),
        _ => {
            sheet.note("The optimizer needs groups of parameters of its own: AdamW stands in its place.");
            return None;
        }
    };
    sheet.tell(&[InputId::Optimizer]);
    Some(Optimizer { import, call })
}

/// A torch optimizer with its implementation.
fn torch(sheet: &mut Sheet<'_>, class: &str, arguments: &str) -> String {
    let word = sheet.word(InputId::OptimizerImplementation);
    let fused = sheet.facts().fused_optimizer;
    let how = match word {
        "foreach" => "foreach=True".to_owned(),
        "loop" => "foreach=False".to_owned(),
        _ => format!("fused={}", truth(fused)),
    };
    format!("torch.optim.{class}({arguments}, {how})")
}
