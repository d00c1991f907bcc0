//! The predictions against measured runs: every record reads, and the gates of `tests/measured/gates.toml` hold.

// A test says what it expected by panicking, and prints the figures that it judged.
#![allow(clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod servers;

use std::collections::BTreeMap;
use std::path::Path;

use gpu_mem_calc::accuracy::compare;
use gpu_mem_calc::accuracy::predict::{answer, question};
use gpu_mem_calc::accuracy::quantity::measurements;
use gpu_mem_calc::accuracy::record::{EngineName, Format, Record, read};
use gpu_mem_calc::accuracy::statistics::percentile;
use serde::Deserialize;
use serde_json::Value;

fn file(name: &str) -> Vec<Record> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/measured")
        .join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    read(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn every_record_is_read_in_its_format() {
    for (name, count, format) in [
        ("torch-trace.jsonl", 271, Format::TorchTrace),
        ("torch-trace-variants.jsonl", 470, Format::TorchTrace),
        ("options-trace.jsonl", 146, Format::TorchTrace),
        ("settings-trace.jsonl", 140, Format::TorchTrace),
        ("vision-trace.jsonl", 67, Format::TorchTrace),
        ("deepspeed-trace.jsonl", 76, Format::DeepSpeedTrace),
        ("deepspeed-variants-trace.jsonl", 22, Format::DeepSpeedTrace),
        ("fsdp2-adapter-trace.jsonl", 20, Format::TorchTrace),
        ("deepspeed-adapter-trace.jsonl", 23, Format::DeepSpeedTrace),
        ("deepspeed-preference-trace.jsonl", 25, Format::DeepSpeedTrace),
        ("training-extras-trace.jsonl", 138, Format::TrainingExtras),
        ("training.jsonl", 901, Format::Training),
        (
            "transformers-inference-trace.jsonl",
            302,
            Format::TransformersInference,
        ),
        ("assisted-trace.jsonl", 17, Format::TransformersInference),
        ("vllm.jsonl", 140, Format::Vllm),
        ("serving.jsonl", 193, Format::Serving),
        ("saved-activations.jsonl", 54, Format::SavedActivations),
        ("smallest-card.jsonl", 15, Format::SmallestCard),
        ("throughput.jsonl", 184, Format::Speed),
        ("serving-speed.jsonl", 55, Format::Speed),
    ] {
        let records = file(name);
        assert_eq!(records.len(), count, "{name}");
        for record in &records {
            assert_eq!(record.format, format, "{name}: {}", record.id);
        }
    }
}

#[test]
fn published_quantities_are_as_many_as_their_description_says() {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut failed = 0;
    for record in file("training.jsonl") {
        let own = measurements(&record);
        let first = own.first().expect("a quantity");
        match first.bytes {
            Some(_) => *counts.entry(first.quantity.key()).or_default() += 1,
            None => failed += 1,
        }
    }
    assert_eq!(failed, 113);
    assert_eq!(counts.get("max_active"), Some(&10));
    assert_eq!(counts.get("max_reserved"), Some(&220));
    assert_eq!(counts.get("max_allocated").copied().unwrap_or(0), 370);
    assert_eq!(counts.values().sum::<usize>(), 788);
}

/// One entry of `gates.toml`; what is absent is not judged. Percentages.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Gate {
    select: String,
    quantity: Option<String>,
    /// Several quantities together, where that is judged.
    quantities: Option<Vec<String>>,
    min_mapped: f64,
    max_median: Option<f64>,
    max_p90: Option<f64>,
    max_p95: Option<f64>,
    min_inside: Option<f64>,
    max_median_width: Option<f64>,
    /// Share of failed runs whose expected need reaches the card, and whose high end does.
    min_failed_expected: Option<f64>,
    min_failed_high: Option<f64>,
}

/// Bounds on wrong verdicts. Percentages.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VerdictGate {
    max_completed_called_too_large: f64,
    max_failed_called_to_fit: f64,
    max_tight: f64,
    min_judged: usize,
}

#[derive(Deserialize)]
struct Gates {
    gate: Vec<Gate>,
    verdicts: VerdictGate,
}

/// Published runs of the engines without pipeline, context and expert parallelism, without layers divided by hand, and with
/// 16 bits or more; those whose decisive fields are known.
fn known(record: &Record) -> bool {
    let text = |key: &str| record.text(key).unwrap_or_default().to_lowercase();
    let parallel = ["pp", "cp", "ep"]
        .iter()
        .any(|key| record.whole(key).is_some_and(|size| size > 1));
    let strategy = text("strategy");
    let elsewhere = ["megatron", "device_map", "sequence parallel"]
        .iter()
        .any(|word| strategy.contains(word))
        || record.engine() == EngineName::MegatronDeepSpeed;
    let narrow = ["fp8", "float8", "mxfp8", "nvfp4"]
        .iter()
        .any(|word| text("precision").contains(word));
    record.text("confidence") != Some("low") && !parallel && !elsewhere && !narrow
}

/// Whether every batch has the length that the record states.
fn fixed(record: &Record) -> bool {
    !record.text("seq_len_note").unwrap_or_default().contains("cap")
}

/// Whether a record belongs to a selection.
type Select = Box<dyn Fn(&Record) -> bool>;

/// Whether a record of vLLM prints this figure.
fn served(record: &Record, figure: &str) -> bool {
    record.engine() == EngineName::Vllm && record.number(figure).is_some()
}

/// Whether the peak of a published run is predicted where the loss is computed or in the optimizer's step.
fn bound_by_loss_or_step(record: &Record) -> bool {
    let Ok(asked) = question(record) else {
        return false;
    };
    answer(&asked).is_ok_and(|answer| {
        let binding = answer.instants.iter().find(|instant| instant.binding);
        binding
            .is_some_and(|instant| matches!(instant.id, "loss_forward" | "loss_backward" | "optimizer_step"))
    })
}

/// The framework traces of training that the issue names, in three files.
fn traces() -> Vec<Record> {
    [
        "torch-trace.jsonl",
        "deepspeed-trace.jsonl",
        "training-extras-trace.jsonl",
    ]
    .iter()
    .flat_map(|name| file(name))
    .collect()
}

/// The records that a gate is about.
fn select(name: &str) -> Vec<Record> {
    if let Some(phase) = name.strip_prefix("traces-") {
        let chosen = |record: &Record| record.text("peak_phase") == Some(phase);
        return traces().into_iter().filter(chosen).collect();
    }
    if name == "traces" {
        return traces();
    }
    let trained_in_full =
        |record: &Record| record.object("peft").is_none() && record.text("quant_base").is_none();
    let resharded = |record: &Record| {
        let args = record.object("strategy_args");
        args.and_then(|args| args.get("reshard")) == Some(&Value::Bool(true))
    };
    let strategy = |record: &Record, name: &str| record.text("strategy") == Some(name);
    let (file_name, chosen): (&str, Select) = match name {
        "trace-single" => (
            "torch-trace.jsonl",
            Box::new(move |record| strategy(record, "single")),
        ),
        "trace-ddp" => (
            "torch-trace.jsonl",
            Box::new(move |record| strategy(record, "ddp")),
        ),
        "trace-fsdp1" => (
            "torch-trace.jsonl",
            Box::new(move |record| strategy(record, "fsdp1")),
        ),
        "trace-tp" => (
            "torch-trace.jsonl",
            Box::new(|record| record.engine() == EngineName::Tp),
        ),
        "variants-tp" => (
            "torch-trace-variants.jsonl",
            Box::new(|record| record.engine() == EngineName::Tp),
        ),
        // torchtitan over tensor, pipeline, context and expert ranks, and ms-swift's scripts over Megatron-LM.
        "published-composed" => (
            "training.jsonl",
            Box::new(|record| {
                let runner = record.text("engine").unwrap_or_default();
                let composed = ["tp", "pp", "cp", "ep"]
                    .iter()
                    .any(|key| record.whole(key).is_some_and(|size| size > 1));
                let titan = runner.starts_with("torchtitan") && composed;
                (titan || runner == "ms-swift megatron-core")
                    && record.text("confidence") != Some("low")
                    && !record.flag("oom")
            }),
        ),
        "published-tp-reserved" => (
            "training.jsonl",
            Box::new(move |record| {
                record.engine() == EngineName::Tp
                    && record.whole("pp").unwrap_or(1) == 1
                    && !record
                        .object("extra")
                        .is_some_and(|extra| extra.contains_key("float8_linear"))
                    && record.text("quantity") == Some("max_reserved")
                    && record.text("confidence") != Some("low")
                    && !record.flag("oom")
            }),
        ),
        "trace-hsdp" => (
            "torch-trace.jsonl",
            Box::new(move |record| strategy(record, "hsdp")),
        ),
        "trace-adapters" => (
            "torch-trace.jsonl",
            Box::new(move |record| record.object("lora").is_some()),
        ),
        "options" => ("options-trace.jsonl", Box::new(|_| true)),
        "vision" | "vision-sharded" => {
            let wanted = name == "vision-sharded";
            let sharded = |record: &Record| matches!(record.engine(), EngineName::Fsdp1 | EngineName::Fsdp2);
            (
                "vision-trace.jsonl",
                Box::new(move |record| sharded(record) == wanted),
            )
        }
        "settings" => ("settings-trace.jsonl", Box::new(|_| true)),
        "published-known" => (
            "training.jsonl",
            Box::new(move |record| known(record) && !record.flag("oom")),
        ),
        "published-known-fixed" => (
            "training.jsonl",
            Box::new(move |record| known(record) && fixed(record) && !record.flag("oom")),
        ),
        "published-known-failed" => (
            "training.jsonl",
            Box::new(move |record| known(record) && record.flag("oom")),
        ),
        "published-bound" => (
            "training.jsonl",
            Box::new(move |record| {
                known(record)
                    && fixed(record)
                    && record.text("quantity") == Some("max_allocated")
                    && !record.flag("oom")
                    && bound_by_loss_or_step(record)
            }),
        ),
        "published-high" => (
            "training.jsonl",
            Box::new(move |record| {
                known(record) && record.text("confidence") == Some("high") && !record.flag("oom")
            }),
        ),
        "published-full-known" => (
            "training.jsonl",
            Box::new(move |record| known(record) && trained_in_full(record) && !record.flag("oom")),
        ),
        "published-full-known-fixed" => (
            "training.jsonl",
            Box::new(move |record| {
                known(record) && fixed(record) && trained_in_full(record) && !record.flag("oom")
            }),
        ),
        "published-full-known-failed" => (
            "training.jsonl",
            Box::new(move |record| known(record) && trained_in_full(record) && record.flag("oom")),
        ),
        "published-full-high" => (
            "training.jsonl",
            Box::new(move |record| {
                known(record)
                    && trained_in_full(record)
                    && record.text("confidence") == Some("high")
                    && !record.flag("oom")
            }),
        ),
        "trace-deepspeed" => ("deepspeed-trace.jsonl", Box::new(|_| true)),
        "trace-deepspeed-variants" => ("deepspeed-variants-trace.jsonl", Box::new(|_| true)),
        "trace-deepspeed-adapters" => ("deepspeed-adapter-trace.jsonl", Box::new(|_| true)),
        "trace-deepspeed-preference" => ("deepspeed-preference-trace.jsonl", Box::new(|_| true)),
        "trace-inference" => ("transformers-inference-trace.jsonl", Box::new(|_| true)),
        "trace-assisted" => ("assisted-trace.jsonl", Box::new(|_| true)),
        "published-adapters" => (
            "training.jsonl",
            Box::new(move |record| {
                record.object("peft").is_some()
                    && record
                        .text("source_group")
                        .is_some_and(|group| group.starts_with("fms"))
                    && !record.flag("oom")
            }),
        ),
        "trace-fsdp2-adapters" => ("fsdp2-adapter-trace.jsonl", Box::new(|_| true)),
        "trace-adapters-more" => ("adapter-trace.jsonl", Box::new(|_| true)),
        "trace-extras" => ("training-extras-trace.jsonl", Box::new(|_| true)),
        "variants" => ("torch-trace-variants.jsonl", Box::new(|_| true)),
        "published-fsdp1-full" => (
            "training.jsonl",
            Box::new(move |record| {
                record.engine() == EngineName::Fsdp1
                    && trained_in_full(record)
                    && record
                        .text("source_group")
                        .is_some_and(|group| group.starts_with("fms"))
                    && !record.flag("oom")
            }),
        ),
        "trace-fsdp2-reshard" => (
            "torch-trace.jsonl",
            Box::new(move |record| strategy(record, "fsdp2") && resharded(record)),
        ),
        "published-single-full-high" => (
            "training.jsonl",
            Box::new(move |record| {
                strategy(record, "single")
                    && trained_in_full(record)
                    && record.text("offload").is_none()
                    && record.text("confidence") == Some("high")
                    && !record.flag("oom")
                    && !record.text("optimizer").unwrap_or_default().contains("backward")
            }),
        ),
        "published-fsdp2-reserved" => (
            "training.jsonl",
            Box::new(move |record| {
                strategy(record, "FSDP2")
                    && record.text("quantity") == Some("max_reserved")
                    && !record.flag("oom")
            }),
        ),
        "megatron-dense" => (
            "training.jsonl",
            Box::new(|record| record.text("source_group") == Some("megatron-golden-gpt")),
        ),
        "megatron-scripts" => (
            "training.jsonl",
            Box::new(|record| record.text("engine") == Some("ms-swift megatron-core")),
        ),
        // Without what came later: other optimizers, Megatron-FSDP, narrow formats, layers for further tokens.
        "megatron-experts" => (
            "training.jsonl",
            Box::new(|record| {
                let args = record.object("extra").and_then(|extra| extra.get("args"));
                let says = |name: &str| args.and_then(|args| args.get(name)).is_some();
                let later = [
                    "optimizer",
                    "use-megatron-fsdp",
                    "fp8-format",
                    "pipeline-model-parallel-layout",
                ];
                record.text("source_group") == Some("megatron-golden-moe") && !later.into_iter().any(says)
            }),
        ),
        "megatron-experts-all" => (
            "training.jsonl",
            Box::new(|record| record.text("source_group") == Some("megatron-golden-moe")),
        ),
        "megatron-encoders" => (
            "training.jsonl",
            Box::new(|record| {
                let group = record.text("source_group").unwrap_or_default();
                matches!(group, "megatron-golden-bert" | "megatron-golden-t5")
            }),
        ),
        "megatron-deepspeed" => (
            "training.jsonl",
            Box::new(|record| record.engine() == EngineName::MegatronDeepSpeed),
        ),
        "vllm-all" => ("vllm.jsonl", Box::new(|_| true)),
        "vllm-transformers" => (
            "vllm.jsonl",
            Box::new(|record| record.engine() == EngineName::Transformers),
        ),
        "vllm-weights" => (
            "vllm.jsonl",
            Box::new(|record| {
                let format = record.text("quantization").unwrap_or_default();
                let name = record.text("model").unwrap_or_default();
                let mixed = format.starts_with("modelopt") || format == "gguf" || name.contains("NVFP4");
                served(record, "weights_gib") && !mixed
            }),
        ),
        "vllm-cache" => (
            "vllm.jsonl",
            Box::new(|record| {
                let tokens = record.whole("kv_tokens").or(record.whole("num_gpu_blocks"));
                served(record, "kv_cache_gib") && tokens.is_some()
            }),
        ),
        "vllm-peak" => (
            "vllm.jsonl",
            Box::new(|record| served(record, "activation_peak_gib") && record.text("arch_key").is_some()),
        ),
        "vllm-flags" => (
            "vllm.jsonl",
            Box::new(|record| {
                served(record, "kv_cache_gib")
                    && record.text("arch_key").is_some()
                    && record.number("total_gpu_memory_gib").is_some()
                    && record.number("gpu_memory_utilization").is_some()
            }),
        ),
        other => {
            servers::select(other).unwrap_or_else(|| panic!("gates.toml names the unknown selection {other}"))
        }
    };
    file(file_name)
        .into_iter()
        .filter(|record| chosen(record))
        .collect()
}

/// The figures of a selection: mapped share, and errors of one quantity (or of what each record mainly measured).
fn judge(gate: &Gate) -> Vec<String> {
    let records = select(&gate.select);
    let report = compare(&records);
    let main: BTreeMap<&str, &str> = records
        .iter()
        .filter_map(|record| Some((record.id.as_str(), measurements(record).first()?.quantity.key())))
        .collect();
    let lines: Vec<_> = report
        .lines
        .iter()
        .filter(|line| {
            let key = line.quantity.key();
            match &gate.quantities {
                Some(all) => all.iter().any(|one| one == key),
                None => gate.quantity.as_deref().or(main.get(line.id.as_str()).copied()) == Some(key),
            }
        })
        .collect();
    let mut errors: Vec<f64> = lines.iter().filter_map(|line| line.error_percent()).collect();
    errors.sort_by(f64::total_cmp);
    let mut widths: Vec<f64> = lines.iter().map(|line| line.width_percent()).collect();
    widths.sort_by(f64::total_cmp);
    let share = |part: usize, whole: usize| 100.0 * part as f64 / whole.max(1) as f64;
    let inside = lines.iter().filter(|line| line.inside() == Some(true)).count();
    let asked: std::collections::BTreeSet<&str> = lines.iter().map(|line| line.id.as_str()).collect();
    let mapped = share(asked.len(), records.len());
    let failed: Vec<_> = lines.iter().filter(|line| line.measured.is_none()).collect();
    let reached = |need: fn(&gpu_mem_calc::accuracy::statistics::Predicted) -> u64| {
        let count = failed
            .iter()
            .filter(|line| {
                line.capacity
                    .is_some_and(|capacity| need(&line.predicted) >= capacity.get())
            })
            .count();
        share(count, failed.len())
    };
    let (failed_expected, failed_high) = (
        reached(|predicted| predicted.expected.get()),
        reached(|predicted| predicted.high.get()),
    );
    let median = percentile(&errors, 50.0).unwrap_or(f64::INFINITY);
    let p90 = percentile(&errors, 90.0).unwrap_or(f64::INFINITY);
    let p95 = percentile(&errors, 95.0).unwrap_or(f64::INFINITY);
    let inside = share(inside, lines.len());
    let width = percentile(&widths, 50.0).unwrap_or(f64::INFINITY);
    println!(
        "{}: {} records, {mapped:.1} % mapped, median {median:.2} %, p90 {p90:.2} %, p95 {p95:.2} %, inside {inside:.1} %, width {width:.1} %, failed {failed_expected:.1} / {failed_high:.1} %",
        gate.select,
        records.len()
    );
    let mut missed = Vec::new();
    let mut at_most = |what: &str, value: f64, bound: Option<f64>| {
        if let Some(bound) = bound.filter(|bound| value > *bound) {
            missed.push(format!("{}: {what} {value:.2} % is above {bound} %", gate.select));
        }
    };
    at_most("median error", median, gate.max_median);
    at_most("90th percentile", p90, gate.max_p90);
    at_most("95th percentile", p95, gate.max_p95);
    at_most("median width", width, gate.max_median_width);
    let mut at_least = |what: &str, value: f64, bound: Option<f64>| {
        if let Some(bound) = bound.filter(|bound| value < *bound) {
            missed.push(format!("{}: {what} {value:.2} % is below {bound} %", gate.select));
        }
    };
    at_least("mapped", mapped, Some(gate.min_mapped));
    at_least("inside the interval", inside, gate.min_inside);
    at_least(
        "failed runs whose expected need reaches the card",
        failed_expected,
        gate.min_failed_expected,
    );
    at_least(
        "failed runs whose high end reaches the card",
        failed_high,
        gate.min_failed_high,
    );
    missed
}

fn gates() -> Gates {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/measured/gates.toml");
    let text = std::fs::read_to_string(path).expect("gates.toml");
    toml::from_str(&text).expect("gates.toml")
}

/// Verdicts on published runs whose card is known and whose record is not of low confidence.
#[test]
fn verdicts_agree_with_what_became_of_the_runs() {
    let bound = gates().verdicts;
    let confusion = compare(&file("training.jsonl")).table().verdicts;
    let (too_large, to_fit, tight) = confusion.wrong_percent();
    println!("{confusion:?}: {too_large:.1} {to_fit:.1} {tight:.1} %");
    assert!(confusion.all() >= bound.min_judged, "{} judged", confusion.all());
    assert!(
        too_large <= bound.max_completed_called_too_large,
        "{too_large:.1} %"
    );
    assert!(to_fit <= bound.max_failed_called_to_fit, "{to_fit:.1} %");
    assert!(tight <= bound.max_tight, "{tight:.1} %");
}

/// Each published run that cannot be asked names what is missing of it.
#[test]
fn a_run_that_is_not_asked_names_what_is_missing() {
    let mut records = file("training.jsonl");
    records.extend(file("serving.jsonl"));
    let report = compare(&records);
    for missing in &report.not_mapped {
        let words = missing.reason.split_whitespace().count();
        assert!(words >= 2, "{}: {:?}", missing.id, missing.reason);
    }
}

#[test]
fn every_gate_holds() {
    let gates = gates();
    let missed: Vec<String> = gates.gate.iter().flat_map(judge).collect();
    assert!(missed.is_empty(), "\n{}", missed.join("\n"));
}

/// An allocator frees what it holds in vain before it fails, so a run needs little more than its live blocks: every
/// smallest card lies inside the verdict's band over the predicted allocated peak, give or take the search step.
#[test]
fn the_smallest_card_that_worked_is_inside_the_band() {
    let step = 0.25;
    let traces: BTreeMap<String, Record> = file("torch-trace.jsonl")
        .into_iter()
        .map(|record| (record.id.clone(), record))
        .collect();
    let mut outside = Vec::new();
    let mut judged = 0;
    for card in file("smallest-card.jsonl") {
        let trace = traces.get(&card.id).expect("a trace of that id");
        let Ok(question) = question(trace) else {
            continue;
        };
        let Ok(answer) = answer(&question) else {
            continue;
        };
        judged += 1;
        let allocated = answer.meters.allocated;
        let (low, high) = (allocated.low_bytes.to_gib(), allocated.high_bytes.to_gib() * 1.11);
        let capacity = card.number("min_capacity_gib").expect("a capacity");
        if capacity + step < low || capacity - step > high {
            outside.push(format!(
                "{}: {capacity} GiB is outside {low:.2} - {high:.2}",
                card.id
            ));
        }
    }
    assert!(judged >= 13, "only {judged} of the cases can be asked");
    assert!(outside.is_empty(), "\n{}", outside.join("\n"));
}
