//! A script with `generate` of transformers. Source: huggingface/transformers 5.23.0 `generation/configuration_utils.py`,
//! `modeling_utils.py`.

use super::Body;
use super::python::{call, text, truth};
use super::sheet::Sheet;
use crate::request::InputId;

pub(super) fn write(sheet: &mut Sheet<'_>) -> Body {
    let name = text(&sheet.model());
    let mut imports = vec!["AutoModelForCausalLM"];
    let load = load(sheet, &mut imports);
    let generate = generate(sheet);
    let total = sheet.integer(InputId::TotalTokens);
    let new = sheet.integer(InputId::NewTokens).unwrap_or(20);
    let prompt = sheet
        .integer(InputId::PromptTokens)
        .or_else(|| total.map(|total| total.saturating_sub(new).max(1)))
        .unwrap_or(512);
    let batch = sheet.integer(InputId::Sequences).unwrap_or(1);
    let padding = sheet.toggle(InputId::Padding);
    let mask = if padding {
        "\nmask[:, 0] = 0  # prompts of different lengths"
    } else {
        ""
    };
    let assistant = if sheet.typed(InputId::AssistantModel) {
        sheet.note("The assistant is named as in the catalogue: give the path of its checkpoint.");
        format!(
            "assistant = AutoModelForCausalLM.from_pretrained({}, dtype=\"auto\", device_map=\"auto\")\nassistant.generation_config.num_assistant_tokens = {}\n",
            text(sheet.word(InputId::AssistantModel)),
            sheet.integer(InputId::AssistantTokens).unwrap_or(20)
        )
    } else {
        String::new()
    };
    let parallel = sheet.peek_integer(InputId::ServerTensorParallel).unwrap_or(1);
    if parallel > 1 {
        sheet.note(format!(
            "Start it with torchrun --nproc_per_node {parallel} generate.py."
        ));
    }
    let imports = imports.join(", ");
    Body::Python(format!(
        "import torch\nfrom transformers import {imports}\n\nMODEL = {name}\nmodel = {load}\n{assistant}\
prompts = torch.randint(0, model.config.get_text_config().vocab_size, ({batch}, {prompt}), device=model.device)\n\
mask = torch.ones_like(prompts){mask}\noutput = {generate}\n"
    ))
}

fn load(sheet: &mut Sheet<'_>, imports: &mut Vec<&'static str>) -> String {
    let mut arguments: Vec<(&str, String)> = Vec::new();
    let dtype = if sheet.typed(InputId::ServerDtype) {
        match sheet.word(InputId::ServerDtype) {
            "fp16" => "torch.float16".to_owned(),
            "fp32" => "torch.float32".to_owned(),
            _ => "torch.bfloat16".to_owned(),
        }
    } else {
        text("auto")
    };
    arguments.push(("dtype", dtype));
    if sheet.typed(InputId::ServerAttention) {
        let kernel = match sheet.among(InputId::ServerAttention, &["sdpa", "eager", "flash_attention_2"]) {
            Some(word) => word,
            None => {
                sheet.tell(&[InputId::ServerAttention]);
                sheet.note("The math kernel (inference.attention): run under torch.nn.attention.sdpa_kernel(SDPBackend.MATH).");
                "sdpa"
            }
        };
        arguments.push(("attn_implementation", text(kernel)));
    }
    if sheet.integer(InputId::ServerTensorParallel).unwrap_or(1) > 1 {
        arguments.push(("tp_plan", text("auto")));
    } else if sheet.integer(InputId::ServerPipelineParallel).unwrap_or(1) > 1 {
        arguments.push(("device_map", text("balanced")));
    } else {
        arguments.push(("device_map", text("auto")));
    }
    let quantised = match sheet.peek_word(InputId::WeightFormat) {
        "bnb_int8" => Some("BitsAndBytesConfig(load_in_8bit=True)".to_owned()),
        "nf4" | "nf4_double" => Some(format!(
            "BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type=\"nf4\", bnb_4bit_use_double_quant={})",
            truth(sheet.peek_word(InputId::WeightFormat) == "nf4_double")
        )),
        _ => None,
    };
    if let Some(config) = quantised {
        sheet.tell(&[InputId::WeightFormat]);
        imports.push("BitsAndBytesConfig");
        arguments.push(("quantization_config", config));
    } else if sheet.typed(InputId::WeightFormat) {
        sheet.note("A format of published weights comes with the checkpoint: load a model that has it.");
    }
    if sheet
        .among(InputId::ExpertsImplementation, &["grouped_mm", "batched_mm"])
        .is_some()
    {
        let word = sheet.word(InputId::ExpertsImplementation);
        arguments.push(("experts_implementation", text(word)));
    }
    let mut first = vec![("pretrained_model_name_or_path", "MODEL".to_owned())];
    first.extend(arguments);
    call("AutoModelForCausalLM.from_pretrained", &first, 0)
}

fn generate(sheet: &mut Sheet<'_>) -> String {
    let mut arguments = vec![
        ("input_ids", "prompts".to_owned()),
        ("attention_mask", "mask".to_owned()),
    ];
    let new = sheet.integer(InputId::NewTokens).unwrap_or(20);
    arguments.push(("max_new_tokens", new.to_string()));
    arguments.push(("min_new_tokens", new.to_string()));
    arguments.push(("use_cache", truth(sheet.toggle(InputId::UseKvCache)).to_owned()));
    let beams = sheet.integer(InputId::NumBeams).unwrap_or(1);
    if beams > 1 {
        arguments.push(("num_beams", beams.to_string()));
    }
    let samples = sheet.toggle(InputId::DoSample);
    arguments.push(("do_sample", truth(samples).to_owned()));
    if samples {
        let top_k = sheet.integer(InputId::SamplingTopK).unwrap_or(50);
        let top_p = sheet.number(InputId::SamplingTopP).unwrap_or(1.0);
        arguments.push(("top_k", top_k.to_string()));
        arguments.push(("top_p", top_p.to_string()));
    }
    if sheet.toggle(InputId::OutputScores) {
        arguments.push(("output_scores", "True".to_owned()));
        arguments.push(("return_dict_in_generate", "True".to_owned()));
    }
    if let Some(size) = sheet.typed_integer(InputId::PrefillChunk) {
        arguments.push(("prefill_chunk_size", size.to_string()));
    }
    match sheet.among(InputId::KvCacheType, &["none", "int8", "int4", "int2"]) {
        Some("none") | None => {
            if sheet.typed(InputId::CacheImplementation) {
                let word = sheet.word(InputId::CacheImplementation);
                arguments.push(("cache_implementation", text(word)));
            }
        }
        Some(word) => {
            let (backend, bits) = match word {
                "int8" => ("hqq", 8),
                "int4" => ("quanto", 4),
                _ => ("quanto", 2),
            };
            arguments.push(("cache_implementation", text("quantized")));
            arguments.push((
                "cache_config",
                format!("{{\"backend\": \"{backend}\", \"nbits\": {bits}}}"),
            ));
        }
    }
    if sheet.typed(InputId::AssistantModel) {
        arguments.push(("assistant_model", "assistant".to_owned()));
    }
    call("model.generate", &arguments, 0)
}
