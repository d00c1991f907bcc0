// Plots: they follow the answer, can be read with the keyboard, have a table twin, and can be saved.
import { readFile } from "node:fs/promises";
import { set } from "./actions.mjs";
import { answerOf, check, openPage, same, test } from "./lib/harness.mjs";

/** The rows of a plot's table, which is made when it is opened. */
const opened = async (page, id) => {
  await page.locator(`#${id} .twin summary`).click();
  await page.waitForSelector(`#${id} .twin tbody tr`);
  return rows(page, id);
};
const rows = (page, id) => page.locator(`#${id} .twin tbody tr`).evaluateAll((rows) => rows.map((row) => row.innerText));

test("the bar shows every group against the capacity, with patterns, names and a table", async () => {
  const page = await openPage();
  const names = await page.locator("#answer .stack-legend li").allInnerTexts();
  const held = await page.locator("#breakdown-table tbody tr[data-group]").evaluateAll((rows) =>
    rows.filter((row) => Number(row.dataset.bytes) > 0).map((row) => row.querySelector(".breakdown-group").firstElementChild.nextSibling.textContent));
  same(names.map((name) => name.replace(/\s*[0-9.]+$/, "").trim()), held, "the groups of the bar");
  check(held.length > 3, `the bar has ${held}`);
  check(await page.locator("#answer .stack-frame .capacity-mark").isVisible(), "no line at the capacity");
  const plain = await page.locator("#answer .stack-part").evaluateAll((parts) =>
    parts.filter((part) => getComputedStyle(part).backgroundImage === "none").length);
  check(plain <= 1, `${plain} groups have no pattern`);
  same(await page.locator("#breakdown-table tbody tr[data-group]").count(), 5, "rows of the table");
});

test("a verdict is a word, a sign and a colour, and says how far a micro-batch can go", async () => {
  const page = await openPage();
  const seen = new Set();
  for (const batch of [1, 4096]) {
    await set(page, "training.batch_size", batch);
    const badge = page.locator(".verdict-badge");
    seen.add(`${(await badge.innerText()).trim()} ${await badge.locator("path").getAttribute("d")}`);
  }
  same(seen.size, 2, "words and signs");
  check(/Largest micro-batch that fits: [0-9]+\./.test(await page.locator(".glance").first().innerText()), "no micro-batch is recommended");
});

test("a plot follows the question, is read with the keyboard, and says the same as its table", async () => {
  const page = await openPage();
  await page.waitForSelector("#curve");
  const before = await opened(page, "curve");
  check(before.length > 6, `${before.length} points`);
  const reader = page.locator("#curve-reader");
  await reader.focus();
  await page.keyboard.press("Home");
  const first = await reader.getAttribute("aria-valuetext");
  check(before[0].includes(first.split(":")[0].replace(" (asked)", "")), `the first point is ${first}, the first row ${before[0]}`);
  // The largest value that can fit is the one that the command line solves for.
  const printed = JSON.parse(await answerOf(["solve", "--model", "llama-3.1-8b", "--engine", "fsdp", "--gpus", "8", "--format", "json"]));
  const longest = printed.seq_length.value.toLocaleString("en");
  const description = await page.locator("#curve-description").innerText();
  check(description.includes(longest), `${description} does not name ${longest}`);
  await set(page, "training.batch_size", 4);
  await page.waitForFunction((old) => document.querySelector("#curve-description").innerText !== old, description);
});

test("plots are saved as SVG and PNG with the colours that are seen", async () => {
  const page = await openPage({ scheme: "dark" });
  await page.waitForSelector("#instants");
  const saved = async (kind) => {
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.locator("#instants").getByRole("button", { name: `Download the plot as ${kind}` }).click(),
    ]);
    return [download.suggestedFilename(), await readFile(await download.path())];
  };
  const [name, svg] = await saved("SVG");
  same(name, "instants.svg", "the name");
  const text = svg.toString();
  check(text.startsWith("<svg xmlns") && text.includes("<title>") && !text.includes("var("), "the SVG does not stand by itself");
  const shown = await page.locator("#instants .plot-drawing .fill-model_params").first().evaluate((shape) => getComputedStyle(shape).fill);
  check(text.includes(`fill:${shown}`), `the SVG has no ${shown}`);
  const parsed = await page.evaluate((text) => new DOMParser().parseFromString(text, "image/svg+xml").querySelector("parsererror")?.textContent, text);
  check(parsed === undefined || parsed === null, `the SVG is not well-formed: ${parsed}`);
  const [, png] = await saved("PNG");
  same([...png.subarray(1, 4)].map((byte) => String.fromCharCode(byte)).join(""), "PNG", "the magic of the file");
  check(png.length > 10_000, `the PNG has ${png.length} bytes`);
});

test("ranks that differ are drawn, and each can be read", async () => {
  const page = await openPage();
  await set(page, "engine.type", "megatron_lm");
  await set(page, "parallelism.pipeline_parallel_size", 4);
  await page.waitForSelector("#rank-heat");
  const reader = page.locator("#rank-heat-reader");
  await reader.focus();
  await page.keyboard.press("End");
  const last = await reader.getAttribute("aria-valuetext");
  check(/^pipeline rank 3: [0-9.]+ GiB/.test(last), `the last is ${last}`);
  same((await opened(page, "rank-heat")).length, 4, "rows of the table");
  // The table stays open, and follows the question.
  await set(page, "parallelism.pipeline_parallel_size", 2);
  await page.waitForFunction(() => document.querySelectorAll("#rank-heat .twin tbody tr").length === 2);
});
