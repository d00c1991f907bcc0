//! `text-generation-launcher`. Source: huggingface/text-generation-inference at db931fc `launcher/src/main.rs`.

use super::Body;
use super::sheet::Sheet;
use super::vllm::requests;
use crate::interop::shell::Command;
use crate::request::InputId;

pub(super) fn write(sheet: &mut Sheet<'_>) -> Body {
    let variables = variables(sheet);
    Body::Shell(format!("{variables}{}", command(sheet).text()))
}

/// What is set in the environment.
fn variables(sheet: &mut Sheet<'_>) -> String {
    let mut text = String::new();
    if let Some(room) = sheet.typed_number(InputId::TgiWiggleRoom) {
        text.push_str(&format!("export TGI_WIGGLE_ROOM={room}\n"));
    }
    if sheet.typed(InputId::TgiAttention) {
        text.push_str(&format!(
            "export ATTENTION={}\n",
            sheet.word(InputId::TgiAttention)
        ));
    }
    if sheet.typed(InputId::PrefixCaching) {
        let on = u8::from(sheet.toggle(InputId::PrefixCaching));
        text.push_str(&format!("export PREFIX_CACHING={on}\n"));
    }
    text
}

/// The command.
pub(super) fn command(sheet: &mut Sheet<'_>) -> Command {
    let model = sheet.model();
    let mut command = Command::new(&["text-generation-launcher"]);
    command.flag("--model-id", model);
    formats(sheet, &mut command);
    let shards = sheet
        .typed_integer(InputId::TgiShards)
        .or_else(|| sheet.integer(InputId::ServerTensorParallel))
        .unwrap_or(1);
    sheet.tell(&[InputId::ServerTensorParallel]);
    if sheet.typed(InputId::TgiSharded) {
        command.flag("--sharded", sheet.toggle(InputId::TgiSharded));
    }
    if shards > 1 {
        command.flag("--num-shard", shards);
    }
    for (flag, id) in [
        ("--max-total-tokens", InputId::TgiMaxTotalTokens),
        ("--max-input-tokens", InputId::TgiMaxInputTokens),
        ("--max-batch-prefill-tokens", InputId::TgiPrefillTokens),
        ("--max-batch-total-tokens", InputId::TgiBatchTotalTokens),
    ] {
        command.maybe(flag, sheet.typed_integer(id));
    }
    command.maybe(
        "--cuda-memory-fraction",
        sheet.typed_number(InputId::GpuMemoryUtilization),
    );
    if sheet.typed(InputId::EnforceEager) && sheet.toggle(InputId::EnforceEager) {
        command.flag("--cuda-graphs", 0);
    }
    if let Some(tokens) = sheet.typed_integer(InputId::SpeculativeTokens) {
        command.flag("--speculate", tokens);
    }
    requests(sheet, "--max-total-tokens and --max-concurrent-requests");
    command
}

fn formats(sheet: &mut Sheet<'_>, command: &mut Command) {
    let format = match sheet.peek_word(InputId::WeightFormat) {
        "fp8" => Some("fp8"),
        "bnb_int8" => Some("bitsandbytes"),
        "nf4" => Some("bitsandbytes-nf4"),
        "gptq" => Some("gptq"),
        "awq" => Some("awq"),
        _ => None,
    };
    if let Some(word) = format.filter(|_| sheet.typed(InputId::WeightFormat)) {
        sheet.tell(&[InputId::WeightFormat]);
        command.flag("--quantize", word);
    } else if sheet.typed(InputId::TgiQuantize) {
        command.flag("--quantize", sheet.word(InputId::TgiQuantize));
    }
    let dtype = match sheet.peek_word(InputId::ServerDtype) {
        "fp16" => Some("float16"),
        "bf16" => Some("bfloat16"),
        _ => None,
    };
    if let Some(word) = dtype.filter(|_| sheet.typed(InputId::ServerDtype)) {
        sheet.tell(&[InputId::ServerDtype]);
        command.flag("--dtype", word);
    } else if sheet.typed(InputId::TgiDtype) {
        command.flag("--dtype", sheet.word(InputId::TgiDtype));
    }
    if sheet.among(InputId::KvCacheType, &["none", "fp8"]) == Some("fp8") {
        command.flag("--kv-cache-dtype", "fp8_e4m3fn");
    }
}
