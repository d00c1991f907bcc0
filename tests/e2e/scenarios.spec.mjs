// Undo and redo of the whole page; saved scenarios, their collection as a file, and several side by side.
import { readFile } from "node:fs/promises";
import { answer, set } from "./actions.mjs";
import { SCHEMES, WIDTHS, accessible, capture, check, openPage, reload, same, test } from "./lib/harness.mjs";

async function save(page, name) {
  await page.locator("#open-scenarios").click();
  await page.locator("#scenario-name").fill(name);
  await page.locator("#scenario-save").click();
  await page.locator(`[data-scenario="${name}"]`).waitFor();
}

const close = (page) => page.keyboard.press("Escape");

test("undo and redo walk through the questions, by buttons and by keys outside of text fields", async () => {
  const page = await openPage();
  check(await page.locator("#undo").isDisabled(), "there is something to undo at first");
  const answers = [await answer(page)];
  for (const [key, value] of [["model.id", "mistral-7b-v0.3"], ["hardware.num_gpus", 4], ["training.activation_checkpointing", "full"]]) {
    await set(page, key, value);
    answers.push(await answer(page));
  }
  for (const expected of answers.slice(0, -1).reverse()) {
    await page.locator("#undo").click();
    same(await answer(page), expected, "the answer after undo");
  }
  check(await page.locator("#undo").isDisabled(), "there is something before the first question");
  await page.locator("#main").focus();
  for (const expected of answers.slice(1)) {
    await page.keyboard.press("Control+Shift+z");
    same(await answer(page), expected, "the answer after redo");
  }
  await page.keyboard.press("Control+z");
  same(await answer(page), answers[2], "the answer after Ctrl+Z");
  await page.goBack();
  same(await answer(page), answers[3], "the browser's way back");
  const field = page.locator("#hardware-num-gpus");
  await field.fill("16");
  await field.press("Control+z");
  same(await page.evaluate(() => document.activeElement.id), "hardware-num-gpus", "the field keeps its own undo");
});

test("a scenario is saved, survives a reload, opens, is renamed, and is deleted", async () => {
  const page = await openPage();
  const first = await answer(page);
  await save(page, "eight H100");
  await close(page);
  await set(page, "training.batch_size", 4);
  await reload(page);
  await page.locator("#open-scenarios").click();
  await page.getByRole("button", { name: "Open eight H100" }).click();
  same(await answer(page), first, "the answer of the opened scenario");
  await page.locator("#open-scenarios").click();
  await page.getByLabel("Name of eight H100").fill("renamed");
  await page.getByLabel("Name of eight H100").press("Enter");
  await page.getByRole("button", { name: "Delete renamed" }).click();
  same(await page.locator("#scenario-list").count(), 0, "the list");
});

test("pinned scenarios stand side by side, with the inputs and parts in which they differ", async () => {
  const page = await openPage();
  await save(page, "as it was");
  await close(page);
  await set(page, "training.batch_size", 4);
  await set(page, "training.activation_checkpointing", "full");
  const own = await answer(page);
  await save(page, "with recomputation");
  await close(page);
  await set(page, "training.activation_checkpointing", "none");
  await page.locator("#open-scenarios").click();
  const table = page.locator("#compare-table");
  same(await table.locator("thead th").allInnerTexts(), ["Per GPU, GiB", "On screen", "with recomputation", "as it was"], "the columns");
  same(await table.locator('[data-row="training.batch_size"] td').allInnerTexts(), ["4", "4", "default"], "the micro-batches");
  same(await table.locator('[data-row="training.activation_checkpointing"] td').allInnerTexts(), ["default", "full", "default"], "recomputation");
  const allocated = await table.locator('[data-row="allocated"] td').evaluateAll((cells) => cells.map((cell) => Number(cell.dataset.bytes)));
  same(allocated[1], own.meters.allocated.expected_bytes, "the allocated bytes of a column");
  check((await table.locator('[data-row="activations"] td').nth(1).innerText()).includes("−"), "no difference is shown");
  // The same input is varied in all of them, and their lines lie over each other.
  const lines = page.locator("#overlay");
  await lines.waitFor();
  same(await lines.locator(".plot-head ~ .legend li, .plot-frame ~ .legend li").allInnerTexts(), ["On screen", "with recomputation", "as it was"], "the lines");
  same(await lines.locator('.plot-drawing [class^="line-"]').count(), 3, "lines drawn");
  await page.locator("#overlay-reader").focus();
  await page.keyboard.press("Home");
  const spoken = await page.locator("#overlay-reader").getAttribute("aria-valuetext");
  check(/On screen .*GiB.*; with recomputation .*GiB.*; as it was .*GiB/.test(spoken), `the plot says ${spoken}`);
  await page.locator('[data-overlay="batch_size"]').click();
  await page.waitForFunction(() => document.querySelector("#overlay-title").innerText.includes("micro-batch"));
  await lines.locator(".twin summary").click();
  await lines.locator(".twin tbody tr").first().waitFor();
  check((await lines.locator(".twin tbody tr").count()) > 4, "the table of the lines");
  await accessible(page);
  await page.getByLabel("Compare as it was").uncheck();
  same(await table.locator("thead th").count(), 3, "columns after unpinning");
});

test("a collection is saved as a file, and read back elsewhere", async () => {
  const page = await openPage();
  await save(page, "one");
  const [download] = await Promise.all([page.waitForEvent("download"), page.locator("#collection-out").click()]);
  const text = await readFile(await download.path());
  const other = await openPage();
  await other.locator("#open-scenarios").click();
  const file = { name: "collection.json", mimeType: "application/json", buffer: text };
  await other.locator("#collection-in").setInputFiles(file);
  await other.locator('[data-scenario="one"]').waitFor();
  await other.locator("#collection-in").setInputFiles(file);
  await other.getByText("1 were there already").waitFor();
  await other.locator("#collection-in").setInputFiles({ ...file, buffer: Buffer.from("{}") });
  await other.getByText("This is no collection of scenarios.").waitFor();
});

for (const [how, before, said] of [
  ["full", () => { Storage.prototype.setItem = () => { throw new DOMException("full", "QuotaExceededError"); }; }, "full"],
  ["forbidden", () => Object.defineProperty(window, "localStorage", { get() { throw new DOMException("no", "SecurityError"); } }), "keeps nothing"],
]) {
  test(`a storage that is ${how} is told, and scenarios stay for the visit`, async () => {
    const page = await openPage({ before });
    await save(page, "kept");
    check((await page.locator("dialog.dialog").innerText()).includes(said), "nothing is said");
    await close(page);
    await page.locator("#open-scenarios").click();
    same(await page.locator('[data-scenario="kept"]').count(), 1, "the scenario after closing and opening");
  });
}

test("two tabs save into one collection, and neither loses what the other saved", async () => {
  const page = await openPage();
  const other = await page.context().newPage();
  await other.goto(page.url());
  await other.waitForSelector("#verdict");
  await other.locator("#open-scenarios").click();
  await other.locator("#scenario-name").waitFor();
  await save(page, "first");
  await other.locator("#scenario-name").fill("second");
  await other.locator("#scenario-save").click();
  await other.locator('[data-scenario="second"]').waitFor();
  same(await other.locator('[data-scenario="first"]').count(), 1, "what the other tab saved");
  const kept = await page.evaluate(() => JSON.parse(localStorage.getItem("gpu-mem-calc.scenarios")).scenarios.map(({ name }) => name));
  same(kept, ["second", "first"], "what is kept");
});

test("a kept collection that cannot be read is told, and stays until something is saved", async () => {
  for (const text of ['{"version":1,"scenarios":[', "null", '{"version":9,"scenarios":[]}', '{"version":1,"scenarios":[{"name":5}]}']) {
    const page = await openPage();
    await page.evaluate((text) => localStorage.setItem("gpu-mem-calc.scenarios", text), text);
    await reload(page);
    await page.locator("#open-scenarios").click();
    await page.getByText("cannot be read by this version").waitFor();
    same(await page.evaluate(() => localStorage.getItem("gpu-mem-calc.scenarios")), text, "what is kept");
    await close(page);
    await save(page, "new");
    same(await page.getByText("cannot be read by this version").count(), 0, "the message after saving");
  }
});

for (const scheme of SCHEMES) {
  for (const width of WIDTHS) {
    test(`scenarios at ${width} px in ${scheme}`, async () => {
      const page = await openPage({ width, height: width < 600 ? 740 : 900, scheme });
      await save(page, "as it was");
      await close(page);
      await set(page, "training.batch_size", 4);
      await save(page, "four sequences");
      await capture(page, `scenarios-${width}-${scheme}`, { full: false });
      if (width !== 768) await accessible(page);
    });
  }
}
