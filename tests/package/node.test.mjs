// The package in Node: every call, its errors, `require`, and every vector to the byte.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CONFIG, INFERENCE, NODES, TRAINING, WORK, imported, required, test } from "./lib.mjs";

const { load } = await imported();
const calculator = await load();

test("the package answers a training question", () => {
  const answer = calculator.calculate(TRAINING);
  assert.ok(["fits", "tight"].includes(answer.verdict));
  const parts = answer.components.reduce((sum, part) => sum + part.bytes, 0);
  assert.equal(parts, answer.total_memory_per_gpu_bytes);
  assert.deepEqual(calculator.calculate(JSON.stringify(TRAINING)), answer);
  assert.deepEqual(calculator.calculate(calculator.toConfig(TRAINING, "yaml")), answer);
});

test("engines, optimizers and types are lists of ids with their names", () => {
  assert.ok(calculator.engines().deepspeed.startsWith("DeepSpeed"));
  assert.deepEqual(Object.keys(calculator.optimizers()).slice(0, 2), ["adamw", "adam"]);
  for (const id of ["pytorch_ddp", "deepspeed", "megatron_lm", "fsdp", "megatron_deepspeed"]) assert.ok(id in calculator.engines(), id);
  for (const id of ["adam", "adamw", "sgd", "adamw_8bit"]) assert.ok(id in calculator.optimizers(), id);
  for (const id of ["fp32", "fp16", "bf16", "int8", "int4"]) assert.ok(id in calculator.dtypes(), id);
  for (const id of ["huggingface", "vllm", "tgi", "tensorrt_llm", "sglang"]) assert.ok(id in calculator.inferenceEngines(), id);
  for (const id of ["infiniband", "nvlink", "ethernet_10g"]) assert.ok(id in calculator.interconnects(), id);
});

test("presets are complete requests under ids that are known", () => {
  const ids = Object.keys(calculator.presets());
  assert.equal(ids.length, 10);
  for (const id of ids) {
    const preset = calculator.preset(id);
    assert.equal(preset.id, id);
    assert.ok(calculator.validate(preset.config).issues);
  }
  assert.throws(() => calculator.preset("nope"), { name: "CalculatorError", type: "not_found" });
});

test("other questions are answered: serving, nodes, explanation, largest batch, validation, solvers, changes", () => {
  assert.ok(calculator.calculateInference(INFERENCE).pool.tokens > 0);
  assert.ok(calculator.calculateMultiNode(NODES).traffic.length > 0);
  assert.ok(calculator.explainFormula(TRAINING).formula_components.length > 3);
  const largest = calculator.optimizeBatchSize(TRAINING);
  assert.equal(calculator.solve(TRAINING, "batch_size").value, largest.max_batch_size);
  assert.ok(calculator.smallestCard(TRAINING));
  assert.ok(calculator.cheapest(TRAINING, { sort: "gpu_hours" }).rows.length > 10);
  assert.ok(calculator.fixes({ ...TRAINING, training: { batch_size: 64 } }).single.length > 0);
  assert.equal(calculator.sideBySide(INFERENCE).engines.length >= 5, true);
  assert.deepEqual(calculator.validate(TRAINING).errors, []);
  const wrong = calculator.validate({ model: { num_layers: -5 }, training: { optimizer: "sdg" } });
  assert.equal(wrong.valid, false);
  assert.ok(wrong.errors.length >= 2 && wrong.issues.every((issue) => issue.path !== undefined && issue.code));
  assert.equal(calculator.validate("{").issues[0].code, "json_invalid");
});

test("the best plans are found, under both names", () => {
  const request = { model: { id: "gpt2" }, hardware: { gpu: "h100-sxm-80gb", num_gpus: 2 } };
  const found = calculator.plan(request);
  assert.ok(found.plans.length > 0 && found.front.length > 0);
  assert.deepEqual(calculator.optimizeHybridParallelism(request), found);
});

test("exports have format, content, text, filename and notes, and DeepSpeed's also the answer", () => {
  const formats = calculator.exportFormats().map((format) => format.name);
  for (const name of ["accelerate", "lightning", "axolotl", "deepspeed", "yaml", "json"]) assert.ok(formats.includes(name), name);
  const yaml = calculator.exportConfig("ACCELERATE", TRAINING);
  assert.equal(yaml.format, "accelerate");
  assert.ok(yaml.text.includes("distributed_type: FSDP") && yaml.filename.endsWith(".yaml") && Array.isArray(yaml.notes));
  assert.ok(calculator.exportConfig("lightning", TRAINING).text.includes("Trainer("));
  const deepspeed = calculator.exportConfig("deepspeed", { ...TRAINING, engine: { type: "deepspeed", zero_stage: 3 } });
  assert.equal(deepspeed.config.zero_optimization.stage, 3);
  assert.deepEqual(deepspeed.content, deepspeed.config);
  assert.ok(deepspeed.memory_result.total_memory_per_gpu_bytes > 0);
  assert.throws(() => calculator.exportConfig("deepspeed", TRAINING), { type: "validation_error" });
});

test("configurations and links come back exactly", () => {
  for (const format of ["json", "yaml"]) assert.deepEqual(calculator.parseConfig(calculator.toConfig(NODES, format)), NODES);
  const url = calculator.shareUrl(NODES, "https://example.org/calculator/#old");
  assert.ok(url.startsWith("https://example.org/calculator/#"));
  assert.deepEqual(calculator.parseShareUrl(url), { request: NODES, issues: [] });
});

test("a parameter count is exact, and types have their bytes", () => {
  assert.equal(calculator.parseParameterCount("16.4B").count, 16_400_000_000);
  assert.throws(() => calculator.parseParameterCount("7.9"), { type: "validation_error" });
  assert.deepEqual(["fp32", "fp16", "bf16", "int8", "int4"].map((type) => calculator.dtypeBytes(type)), [4, 2, 2, 1, 0.5]);
});

test("a config.json is imported with what was found, missing and derived", () => {
  const found = calculator.importHfConfig(CONFIG, { model_id: "a/b" });
  assert.equal(found.model_id, "a/b");
  assert.equal(found.parameters.total, 8_030_261_248);
  assert.ok(found.found_fields.includes("model.num_layers") && found.architecture === "llama");
  assert.deepEqual(found.missing_fields, []);
  assert.ok(calculator.calculate(found.config).total_memory_per_gpu_bytes > 0);
  const nested = calculator.importHfConfig({ model_type: "gemma3", text_config: { ...CONFIG, model_type: "gemma3_text" } });
  assert.ok(nested.parameters.total > 1e9);
  assert.throws(() => calculator.importHfConfig("hello"), { type: "invalid_config" });
  assert.throws(() => calculator.importHfConfig({ a: 1 }), { type: "invalid_config" });
});

test("errors are structured, and wrong input is never an internal error", () => {
  const error = (() => {
    try {
      calculator.calculate({ model: { id: "llama-3.1-8b" }, training: { batch_size: 0 } });
    } catch (thrown) {
      return thrown;
    }
  })();
  assert.ok(error instanceof Error);
  assert.deepEqual(Object.keys(error.toJSON()), ["error", "message", "type", "errors"]);
  assert.equal(error.type, "validation_error");
  assert.equal(error.errors.find((issue) => issue.severity === "error").path, "training.batch_size");
  for (const strange of [undefined, null, 5, [], true, "", "[]", { model: 5 }, { model: { hf_config: { hidden_size: 1e300 } } }, 10n]) {
    assert.throws(() => calculator.calculate(strange), { name: "CalculatorError", type: "validation_error" }, String(strange));
  }
  assert.throws(() => calculator.calculate(TRAINING, {}, 1), { type: "validation_error" });
});

test("unknown keys are a warning, and an error where it is asked for", () => {
  const request = { ...TRAINING, training: { ...TRAINING.training, batch_sice: 4 } };
  const warning = calculator.calculate(request).warnings.find((issue) => issue.code === "unknown_field");
  assert.equal(warning.path, "training.batch_sice");
  assert.throws(() => calculator.calculate(request, { strict: true }), { type: "validation_error" });
});

test("sizes in GiB are their bytes over 2^30, and bytes are exact", () => {
  const answer = calculator.calculate(TRAINING);
  const walk = (value) => {
    for (const [key, inner] of Object.entries(value)) {
      if (key.endsWith("_bytes") && typeof inner === "number") assert.ok(Number.isSafeInteger(inner), key);
      if (key.endsWith("_gb") && typeof value[key.replace(/_gb$/, "_bytes")] === "number") {
        assert.equal(inner, value[key.replace(/_gb$/, "_bytes")] / 2 ** 30, key);
      }
      if (inner !== null && typeof inner === "object") walk(inner);
    }
  };
  walk(answer);
});

test("lists of hardware, models and schemas", () => {
  assert.ok(calculator.gpus("h100").every((gpu) => /h100/i.test(gpu.id + gpu.name)) && calculator.gpus().length > 50);
  assert.ok(calculator.nodes().length > 10 && calculator.links().length > 10);
  assert.equal(calculator.models("llama-3.1-8b")[0].id, "llama-3.1-8b");
  assert.equal(calculator.modelReport(TRAINING, { tensors: true }).tensors.length > 3, true);
  for (const name of ["request", "responses", "error", "calculate"]) assert.equal(calculator.schema(name).$schema.includes("2020-12"), true, name);
  const own = JSON.parse(readFileSync(join(WORK, "node_modules/gpu-mem-calc/package.json"), "utf8"));
  assert.equal(calculator.version(), own.version);
});

test("the calls of the package are those of the module", () => {
  const calls = Object.keys(calculator.schema("responses")["x-calls"]);
  assert.deepEqual(Object.keys(calculator).filter((name) => name !== "fetchHfModel"), calls);
});

test("require gives the same calculator, also at once", () => {
  const { loadSync, CalculatorError } = required();
  const other = loadSync();
  assert.deepEqual(other.calculate(TRAINING), calculator.calculate(TRAINING));
  assert.throws(() => other.preset("nope"), CalculatorError);
});

test("a program of a project imports the package by its name", () => {
  const program = 'import { load } from "gpu-mem-calc"; const c = await load(); console.log(c.version());';
  writeFileSync(join(WORK, "program.mjs"), program);
  const said = execFileSync(process.execPath, ["program.mjs"], { cwd: WORK, encoding: "utf8" });
  assert.equal(said.trim(), calculator.version());
});

test("every vector gives in Node what native code says, to the byte", async () => {
  const outcomes = JSON.parse(readFileSync(process.env.OUTCOMES, "utf8"));
  const bindings = await import(join(WORK, "node_modules/gpu-mem-calc/bindings.js"));
  const different = Object.entries(outcomes)
    .map(([name, { call, arguments: given, text }]) => [name, text, bindings.call(call, given)])
    .filter(([, native, here]) => native !== here);
  const place = ([name, native, here]) => {
    let at = 0;
    while (native[at] === here[at]) at += 1;
    return `${name}: native ${native.slice(at - 60, at + 30)} here ${here.slice(at - 60, at + 30)}`;
  };
  assert.ok(Object.keys(outcomes).length >= 200);
  assert.deepEqual(different.slice(0, 10).map(place), [], `${different.length} differ`);
});
