// The model: searched, pasted, dropped, opened, typed; every field of it can be changed, is marked, and can be put back.
import { readFileSync } from "node:fs";
import { answer, chooseModel, control, drop, pasteConfig, set } from "./actions.mjs";
import { answerOf, check, openPage, same, test } from "./lib/harness.mjs";

const QWEN = readFileSync(new URL("configs/qwen3-30b-a3b.json", import.meta.url), "utf8");
const total = (page) => page.locator('#model-facts [data-count="total"]').getAttribute("data-value");

test("every model of the catalogue is in the list, and words find it", async () => {
  const page = await openPage();
  const models = JSON.parse(await answerOf(["models", "--format", "json"]));
  const box = page.locator("#model-id");
  await box.click();
  await box.fill("");
  const values = await page.locator("#model-id-list [data-value]").evaluateAll((lines) => lines.map((line) => line.dataset.value));
  same(values.filter((value) => value !== "").sort(), models.map((model) => model.id).sort(), "the list");
  await box.fill("llama 70b");
  const found = await page.locator("#model-id-list [data-value]").evaluateAll((lines) => lines.map((line) => line.dataset.value));
  check(found.includes("llama-3.1-70b") && found.length < 20, `found ${found}`);
  await box.fill("no such model");
  check(await page.getByText("Nothing found").isVisible(), "an empty search says nothing");
  await box.press("Escape");
  check((await box.inputValue()).includes("Llama"), "Escape leaves the choice as it was");
});

test("a changed field is marked, named by its source's value, and can be put back", async () => {
  const page = await openPage();
  const before = await total(page);
  await set(page, "model.num_layers", 40);
  const field = page.locator('.field[data-input="model.num_layers"]');
  check((await field.getAttribute("class")).includes("field-changed"), "the field is not marked");
  check((await total(page)) !== before, "the count did not change");
  const back = field.getByRole("button", { name: /put back/ });
  same(await back.getAttribute("title"), "Changed. The model says 32.", "what the model says");
  await back.click();
  same(await (await control(page, "model.num_layers")).inputValue(), "32", "the value that was put back");
  same(await total(page), before, "the count after putting back");
  check(!(await field.getAttribute("class")).includes("field-changed"), "the field is still marked");
});

test("a pasted config.json answers, is named, and can be removed", async () => {
  const page = await openPage();
  await pasteConfig(page, QWEN);
  same(await total(page), "30532122624", "the parameters of the pasted model");
  check(await page.locator("#imported").isVisible(), "the import is not shown");
  same((await answer(page)).stale, false, "the answer is current");
  await page.getByRole("button", { name: "Remove the imported config.json" }).click();
  same(await page.locator("#imported").count(), 0, "the import is gone");
});

test("a dropped config.json answers", async () => {
  const page = await openPage();
  await drop(page, "config.json", QWEN);
  await page.locator("#import-apply").click();
  await page.locator("#imported").waitFor();
  same(await total(page), "30532122624", "the parameters of the dropped model");
});

test("an opened file answers", async () => {
  const page = await openPage();
  await page.locator("#paste-config").click();
  await page.locator("#import-file").setInputFiles({ name: "config.json", mimeType: "application/json", buffer: Buffer.from(QWEN) });
  await page.locator("#import-apply").click();
  await page.locator("#imported").waitFor();
  same(await total(page), "30532122624", "the parameters of the opened model");
});

test("Llama-2-7B typed field by field is the model of the catalogue to the byte", async () => {
  const page = await openPage();
  await chooseModel(page, "llama-2-7b");
  await set(page, "training.seq_length", 4096);
  const preset = await answer(page);
  await chooseModel(page, "");
  for (const [key, value] of [["num_layers", 32], ["hidden_size", 4096], ["num_attention_heads", 32],
    ["num_key_value_heads", 32], ["intermediate_size", 11008], ["vocab_size", 32000]]) {
    await set(page, `model.${key}`, value);
  }
  same(await total(page), "6738415616", "the parameters");
  same(await answer(page), preset, "the answer");
});

test("a parameter count alone answers with a named architecture and a wide interval", async () => {
  const page = await openPage();
  await chooseModel(page, "");
  await set(page, "model.num_parameters", "7B");
  const shown = await answer(page);
  same(shown.stale, false, "the answer is current");
  const { low_bytes, expected_bytes, high_bytes } = shown.meters.allocated;
  check((high_bytes - low_bytes) / expected_bytes > 0.2, `the interval is ${low_bytes} to ${high_bytes}`);
  check((await page.locator("#answer").innerText()).includes("Only a parameter count is known"), "the page does not say why");
  check((await page.locator("#model-facts").innerText()).toLowerCase().includes("llama"), "the architecture is not named");
});

test("a typed count that contradicts the architecture stands beside the exact one", async () => {
  const page = await openPage();
  await set(page, "model.num_parameters", "9B");
  const facts = await page.locator("#model-facts").innerText();
  check(facts.includes("9,000,000,000") && facts.includes("8,030,261,248"), `the facts say ${facts}`);
  check(await page.locator("#model-num_parameters-message, #model-num-parameters-message").isVisible(), "no message beside the field");
});
