//! Where an architecture comes from, what is typed over it, and what contradicts it.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use gpu_mem_calc::api::{self, InputId, ModelReport, ModelSource, Request};
use serde_json::{Value, json};

fn report(model: Value) -> ModelReport {
    let request = Request::from_json(&json!({"model": model})).expect("a request");
    match api::model_report(&request, true) {
        Ok(report) => report,
        Err(issues) => unreachable!("{model}: {issues:#?}"),
    }
}

fn codes(report: &ModelReport) -> Vec<(&'static str, &str)> {
    report
        .warnings
        .iter()
        .map(|issue| (issue.code, issue.path.as_str()))
        .collect()
}

fn llama_fields() -> Value {
    json!({"num_layers": 32, "hidden_size": 4096, "intermediate_size": 11008, "num_attention_heads": 32,
        "vocab_size": 32000, "max_seq_len": 4096})
}

#[test]
fn typed_fields_count_as_the_catalogue_does() {
    let typed = report(llama_fields());
    let listed = report(json!({"id": "llama-2-7b"}));
    assert_eq!(typed.summary.total_parameters.get(), 6_738_415_616);
    assert_eq!(typed.summary.total_parameters, listed.summary.total_parameters);
    assert_eq!(typed.summary.source, ModelSource::Fields);
    assert_eq!(codes(&typed), []);
    assert_eq!(listed.summary.id.as_deref(), Some("llama-2-7b"));
    let elements = |report: &ModelReport| {
        let rows = report.tensors.as_ref().expect("tensors");
        rows.iter().map(|row| row.elements.get()).sum::<u64>()
    };
    assert_eq!(elements(&typed), 6_738_415_616);
    assert_eq!(elements(&listed), 6_738_415_616);
}

#[test]
fn fields_typed_over_a_source_are_marked_and_keep_its_value() {
    let report = report(json!({"id": "llama-2-7b", "num_layers": 16, "hidden_size": 4096}));
    let field = |id: InputId| {
        report
            .summary
            .fields
            .iter()
            .find(|field| field.path == id.key())
            .expect("listed")
            .clone()
    };
    let layers = field(InputId::NumLayers);
    assert!(layers.edited);
    assert_eq!((layers.value, layers.source_value), (json!(16), Some(json!(32))));
    assert!(!field(InputId::HiddenSize).edited);
    assert_eq!(report.num_layers, 16);
}

#[test]
fn a_name_of_the_catalogue_is_a_source() {
    let named = report(json!({"name": "llama2-7b", "num_layers": 32}));
    assert_eq!(named.summary.source, ModelSource::Catalogue);
    let other = report(
        json!({"name": "mine", "num_layers": 32, "hidden_size": 4096, "num_attention_heads": 32,
        "num_parameters": "7B"}),
    );
    assert_eq!(
        (other.summary.source, other.summary.name.as_str()),
        (ModelSource::Fields, "mine")
    );
}

#[test]
fn a_pasted_config_comes_first() {
    let config = json!({"model_type": "llama", "hidden_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4,
        "intermediate_size": 512, "vocab_size": 1000, "max_position_embeddings": 128});
    let pasted = report(json!({"id": "llama-2-7b", "hf_config": config}));
    assert_eq!(pasted.summary.source, ModelSource::HfConfig);
    assert_eq!(pasted.num_layers, 2);
    let as_text = report(json!({"hf_config": config.to_string()}));
    assert_eq!(as_text.summary.total_parameters, pasted.summary.total_parameters);
}

#[test]
fn a_count_alone_takes_the_nearest_architecture_and_says_so() {
    let report = report(json!({"num_parameters": "7B"}));
    assert_eq!(report.summary.source, ModelSource::ParameterCount);
    assert_eq!(codes(&report), [("nearest_architecture", "model.num_parameters")]);
    assert!(
        report.warnings[0].message.contains("Llama-2-7b"),
        "{:?}",
        report.warnings
    );
}

#[test]
fn a_missing_width_follows_from_the_count() {
    let mut fields = llama_fields();
    fields
        .as_object_mut()
        .expect("object")
        .remove("intermediate_size");
    fields["num_parameters"] = json!("6738415616");
    let solved = report(fields.clone());
    assert_eq!(solved.summary.total_parameters.get(), 6_738_415_616);
    assert_eq!(codes(&solved), []);
    fields["num_parameters"] = json!("2B");
    let contradicted = report(fields.clone());
    assert_eq!(
        codes(&contradicted),
        [("count_differs_from_architecture", "model.num_parameters")]
    );
    fields["num_parameters"] = json!("1M");
    let impossible = report(fields);
    assert!(
        impossible.warnings[0].message.contains("No width"),
        "{:?}",
        impossible.warnings
    );
}

#[test]
fn a_count_that_contradicts_is_shown_beside_the_exact_one() {
    let mut fields = llama_fields();
    fields["num_parameters"] = json!("7B");
    let report = report(fields);
    assert_eq!(report.summary.given_parameters, Some(7_000_000_000));
    assert_eq!(report.summary.total_parameters.get(), 6_738_415_616);
    assert_eq!(report.warnings[0].code, "count_differs_from_architecture");
    assert_eq!(
        report.warnings[0].fixes[0]["model.num_parameters"],
        json!(6_738_415_616u64)
    );
}

#[test]
fn experts_can_be_switched_on_and_off() {
    let sparse = report(
        json!({"num_layers": 4, "hidden_size": 1024, "intermediate_size": 2816,
        "num_attention_heads": 16, "moe_enabled": true, "num_experts": 16, "top_k": 4, "expert_intermediate_size": 512}),
    );
    assert_eq!(sparse.summary.expert_parameters.get(), 4 * 16 * 3 * 512 * 1024);
    // 4 of 16 experts are visited.
    let idle = sparse.summary.expert_parameters.get() * 12 / 16;
    assert_eq!(
        sparse.summary.total_parameters.get() - sparse.summary.active_parameters.get(),
        idle
    );
    assert_eq!(sparse.summary.embedding_parameters.get(), 32_000 * 1024);
    let switched =
        report(json!({"id": "llama-2-7b", "moe_enabled": true, "expert_intermediate_size": 11008}));
    assert!(switched.summary.expert_parameters.get() > 0);
    assert!(codes(&switched).contains(&("assumed", "model.moe_enabled")));
}

#[test]
fn latent_attention_can_be_typed() {
    let latent = report(
        json!({"num_layers": 4, "hidden_size": 1024, "intermediate_size": 2816,
        "num_attention_heads": 16, "kv_lora_rank": 256, "q_lora_rank": 512, "qk_nope_head_dim": 64,
        "qk_rope_head_dim": 32, "v_head_dim": 64}),
    );
    let mixer = serde_json::to_value(&latent.layers[0].mixer).expect("JSON");
    assert_eq!(mixer["latent"]["kv_rank"], json!(256), "{mixer}");
}

#[test]
fn unknown_models_are_not_found_with_suggestions() {
    let request = Request::new().with(InputId::ModelId, "llama-2-7c");
    let issues = api::model_report(&request, false).expect_err("not found");
    assert_eq!(
        (issues[0].code, issues[0].path.as_str()),
        ("not_found", "model.id")
    );
    assert!(
        issues[0]
            .hint
            .as_deref()
            .unwrap_or_default()
            .contains("llama-2-7b"),
        "{issues:?}"
    );
}

#[test]
fn fields_are_found_under_the_names_of_each_family() {
    for (id, field, value) in [
        ("mixtral-8x7b", "expert_intermediate_size", 4096),
        ("mixtral-8x7b", "num_experts", 16),
        ("qwen3-30b-a3b", "expert_intermediate_size", 512),
        ("qwen3-30b-a3b", "num_key_value_heads", 8),
        ("gpt2", "hidden_size", 1536),
        ("gpt2", "num_layers", 24),
        ("deepseek-v3", "kv_lora_rank", 256),
        ("deepseek-v3", "top_k", 4),
        ("llama-3.1-8b", "head_dim", 64),
        ("gemma-2-9b", "num_layers", 50),
    ] {
        let mut model = json!({"id": id});
        model[field] = json!(value);
        let report = report(model);
        let path = format!("model.{field}");
        let found = report
            .summary
            .fields
            .iter()
            .find(|field| field.path == path)
            .expect("listed");
        assert_eq!(found.value, json!(value), "{id}: {field}: {:?}", report.warnings);
        assert!(found.edited, "{id}: {field}");
    }
}

#[test]
fn every_model_can_have_fewer_and_more_layers() {
    let mut failures = Vec::new();
    for model in api::models() {
        let usual = report(json!({"id": model.id}));
        for layers in [usual.num_layers.div_ceil(2), usual.num_layers + 2] {
            let request = Request::new()
                .with(InputId::ModelId, model.id)
                .with(InputId::NumLayers, layers);
            match api::model_report(&request, false) {
                Ok(changed) if changed.num_layers == layers => {}
                Ok(changed) => failures.push(format!("{}: {layers}: {}", model.id, changed.num_layers)),
                Err(issues) => failures.push(format!("{}: {layers}: {issues:?}", model.id)),
            }
        }
    }
    assert_eq!(failures, Vec::<String>::new());
}

#[test]
fn quantised_releases_are_trained_unquantised_and_it_is_said() {
    let report = report(json!({"id": "deepseek-v3"}));
    let found = report.warnings.iter().find(|issue| issue.message.contains("fp8"));
    assert_eq!(
        found.map(|issue| issue.code),
        Some("assumed"),
        "{:?}",
        report.warnings
    );
    assert_eq!(report.summary.total_parameters.get(), 671_026_404_352);
    assert!(report.summary.mtp_parameters.get() > 0);
}

/// Model parameters and the count beside them, on a question of training.
fn trained(model: Value) -> api::Answer {
    let request = json!({"model": model, "engine": {"type": "fsdp"}, "hardware": {"num_gpus": 8},
        "training": {"seq_length": 512}});
    match api::calculate(&Request::from_json(&request).expect("a request")) {
        Ok(answer) => answer,
        Err(issues) => unreachable!("{issues:?}"),
    }
}

#[test]
fn next_token_layers_are_counted_apart_and_loaded_where_they_draft() {
    let with = |layers: u64| trained(json!({"id": "deepseek-v3", "num_nextn_predict_layers": layers}));
    let (none, one) = (with(0), with(1));
    assert_eq!(none.model.mtp_parameters.get(), 0);
    assert!(one.model.mtp_parameters.get() > 10_000_000_000);
    assert_eq!(one.model.total_parameters, none.model.total_parameters);
    assert_eq!(one.ledger, none.ledger);
    let unused = |answer: &api::Answer| {
        let of = |issue: &&api::Issue| issue.path == "model.num_nextn_predict_layers";
        answer.warnings.iter().find(of).map(|issue| issue.code)
    };
    assert_eq!((unused(&none), unused(&one)), (None, Some("not_used")));
    let served = |drafts: u64| {
        let request = json!({"model": {"id": "deepseek-v3"}, "hardware": {"gpu": "h200-sxm-141gb", "num_gpus": 8},
            "inference": {"engine_type": "vllm", "tensor_parallel_size": 8, "num_speculative_tokens": drafts}});
        match api::calculate_inference(&Request::from_json(&request).expect("a request")) {
            Ok(answer) => answer.breakdown.model_params_bytes.get(),
            Err(issues) => unreachable!("{issues:?}"),
        }
    };
    // fp8 weights of a layer with 256 experts on 8 GPUs: more than a gigabyte each.
    assert!(served(1) > served(0) + 1_000_000_000);
}

#[test]
fn towers_are_counted_apart_and_can_be_left_out() {
    let with = |towers: Value| trained(json!({"id": "gemma-3-4b", "include_towers": towers}));
    let (none, frozen, usual) = (with(json!("none")), with(json!("frozen")), with(json!(null)));
    let tower = usual.model.tower_parameters.get();
    assert!((400_000_000..500_000_000).contains(&tower), "{tower}");
    assert_eq!(none.model.tower_parameters.get(), 0);
    assert_eq!(
        usual.model.total_parameters.get() - none.model.total_parameters.get(),
        tower
    );
    // Loaded and frozen is the default, and said: fp32 shards of 8 GPUs, and nothing else at any instant.
    assert_eq!(usual.ledger, frozen.ledger);
    assert!(
        usual
            .assumed
            .iter()
            .any(|assumed| assumed.path == "model.include_towers")
    );
    assert!(
        frozen
            .assumed
            .iter()
            .all(|assumed| assumed.path != "model.include_towers")
    );
    for (whole, text) in usual.instants.iter().zip(&none.instants) {
        let more = whole.allocated_bytes.get() - text.allocated_bytes.get();
        let share = 4 * tower / 8;
        assert!(
            more.abs_diff(share) < share / 100,
            "{}: {more} of {share}",
            whole.id
        );
    }
    // As the switch that it was.
    assert_eq!(with(json!(false)).ledger, none.ledger);
    assert_eq!(with(json!(true)).ledger, frozen.ledger);
    let issues = |model: Value| {
        let request = json!({"model": model, "engine": {"type": "fsdp"}, "hardware": {"num_gpus": 8}});
        let found = api::validate(&Request::from_json(&request).expect("a request"));
        let of = found
            .into_iter()
            .filter(|issue| issue.path == "model.include_towers");
        of.map(|issue| issue.code).collect::<Vec<_>>()
    };
    // What of it trains is an input of its own.
    assert_eq!(
        issues(json!({"id": "gemma-3-4b", "include_towers": "trained"})),
        ["unknown_value"]
    );
    assert_eq!(
        issues(json!({"id": "llama-3.1-8b", "include_towers": "frozen"})),
        ["not_used"]
    );
}
