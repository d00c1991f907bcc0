// Settings of an engine show only for it; what was typed there stays, is not sent meanwhile, and comes back with the engine.
import { answer, chooseModel, control, controlId, enter, fromCommandLine, sameAnswer, set } from "./actions.mjs";
import { answerOf, check, openPage, same, test } from "./lib/harness.mjs";

/** Which of these inputs have a place in a group that shows. */
async function shown(page, keys) {
  const found = [];
  for (const key of keys) {
    if ((await page.locator(`details.group:not([hidden])[data-inputs~="${controlId(key)}"]`).count()) > 0) found.push(key);
  }
  return found;
}

const ZERO = ["engine.zero_stage", "engine.offload_optimizer", "engine.offload_param", "engine.zero_init"];
const FSDP = ["engine.fsdp_version", "engine.sharding_strategy", "engine.reshard_after_forward"];
const DDP = ["engine.gradient_as_bucket_view"];

test("settings of an engine show only for it", async () => {
  const page = await openPage();
  for (const [engine, own] of [["deepspeed", ZERO], ["fsdp", FSDP], ["pytorch_ddp", DDP]]) {
    await set(page, "engine.type", engine);
    same(await shown(page, [...ZERO, ...FSDP, ...DDP]), own, `settings that show with ${engine}`);
  }
});

test("hidden settings are not sent, and come back with their engine", async () => {
  const page = await openPage();
  const request = {
    model: { id: "llama-3.1-8b" },
    engine: { type: "deepspeed", zero_stage: 3, offload_optimizer: "cpu" },
    hardware: { gpu: "h100-sxm-80gb", num_gpus: 8 },
  };
  await enter(page, request);
  const deepspeed = await answer(page);
  for (const type of ["fsdp", "pytorch_ddp"]) {
    await set(page, "engine.type", type);
    const printed = await answerOf(["calculate", "--config", "-", "--format", "json"], JSON.stringify({ ...request, engine: { type } }));
    sameAnswer(await answer(page), fromCommandLine(JSON.parse(printed)), type);
  }
  await set(page, "engine.type", "deepspeed");
  same(await answer(page), deepspeed, "the answer after the detour");
  same(await (await control(page, "engine.zero_stage")).inputValue(), "3", "the stage after the detour");
});

test("hidden settings of a server are not sent, and come back with it", async () => {
  const page = await openPage();
  const request = {
    model: { id: "llama-3.1-8b" },
    inference: { engine_type: "vllm", max_seq_len: 2048, max_num_seqs: 64, enforce_eager: true },
    hardware: { gpu: "h100-sxm-80gb", num_gpus: 1 },
  };
  await page.getByRole("tab", { name: "Inference" }).click();
  await enter(page, request);
  const vllm = await answer(page);
  await set(page, "inference.engine_type", "huggingface");
  check(!(await page.locator("body").innerText()).includes("means nothing to"), "a hidden setting is sent");
  check((await answer(page)) !== vllm, "the answer does not follow the server");
  await set(page, "inference.engine_type", "vllm");
  same(await answer(page), vllm, "the answer after the detour");
  same(await (await control(page, "inference.max_num_seqs")).inputValue(), "64", "the sequences after the detour");
});

test("the slider of the share of a GPU and its field say the same", async () => {
  const page = await openPage();
  await page.getByRole("tab", { name: "Inference" }).click();
  await set(page, "inference.engine_type", "vllm");
  const field = await control(page, "inference.gpu_memory_utilization");
  const slider = page.locator(`#${controlId("inference.gpu_memory_utilization")}-slider`);
  same(await slider.evaluate(({ min, max, step }) => [min, max, step]), ["0.5", "0.95", "0.05"], "the range of the slider");
  const before = await answer(page);
  await slider.fill("0.6");
  same(await field.inputValue(), "0.6", "the field after the slider");
  check((await answer(page)) !== before, "the answer does not follow the slider");
  await field.fill("0.75");
  same(await slider.inputValue(), "0.75", "the slider after the field");
  await slider.press("ArrowRight");
  same(await field.inputValue(), "0.8", "the field after a key");
});

test("Reset puts hidden settings back too", async () => {
  const page = await openPage();
  const start = await answer(page);
  await set(page, "engine.type", "deepspeed");
  const untouched = await answer(page);
  await set(page, "engine.zero_stage", 3);
  await set(page, "engine.type", "fsdp");
  await page.locator("#reset").click();
  same(await answer(page), start, "the answer after Reset");
  await set(page, "engine.type", "deepspeed");
  same(await answer(page), untouched, "DeepSpeed after Reset");
});

test("one model is chosen in all tabs", async () => {
  const page = await openPage();
  await chooseModel(page, "qwen3-8b");
  const facts = await page.locator("#model-facts").innerText();
  await page.getByRole("tab", { name: "Inference" }).click();
  same(await page.locator("#model-facts").innerText(), facts, "the model in the other tab");
  await chooseModel(page, "smollm2-135m");
  await page.getByRole("tab", { name: "Training" }).click();
  check((await page.locator("#model-facts").innerText()) !== facts, "the model that was chosen there is chosen here");
});

test("whole numbers as the compute type need adapters", async () => {
  const page = await openPage();
  await set(page, "engine.type", "pytorch_ddp");
  const types = await (await control(page, "training.dtype")).locator("option").evaluateAll((all) => all.map((one) => one.value));
  for (const type of ["fp32", "fp16", "bf16", "int8", "int4"]) check(types.includes(type), `${type} is no compute type`);
  await control(page, "training.precision_mode");
  for (const type of ["int8", "int4"]) {
    await set(page, "training.dtype", type);
    check((await answer(page)).stale, `${type} without adapters is answered`);
    check((await page.locator("#errors").innerText()).includes("adapters"), `${type}: the reason is not told`);
    await set(page, "training.adapter", "lora");
    check(!(await answer(page)).stale, `${type} with adapters is refused`);
    await set(page, "training.adapter", "none");
  }
});
