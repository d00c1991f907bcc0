// The planner: it searches in a worker while the page answers, can be stopped, finds what the command line finds, and a plan
// becomes the question by one click.
import { accessible, answerOf, capture, check, openPage, same, test } from "./lib/harness.mjs";
import { set } from "./actions.mjs";
import { link } from "./registry.mjs";

const ASKED = {
  model: { id: "llama-3-70b" },
  hardware: { gpu: "h100-sxm-80gb", num_gpus: 256 },
};

const open = async (options = {}) => {
  const page = await openPage({ ...options, place: (await link(ASKED)).replace("#", "#tab=multi-node&") });
  await page.waitForSelector("#find-plans");
  return page;
};

const plans = (page) => page.locator("#plans-table tbody tr").evaluateAll((rows) =>
  rows.map((row) => [Number(row.dataset.step), Number(row.dataset.need)]));

test("the planner finds what the command line finds, and a plan becomes the question", async () => {
  const page = await open();
  await page.locator("#find-plans").click();
  await page.waitForSelector("#plans-table", { timeout: 60_000 });
  const printed = JSON.parse(await answerOf(["plan", "--config", "-", "--format", "json"], JSON.stringify(ASKED)));
  same(await plans(page), printed.plans.map((plan) => [plan.step_ms, plan.need_bytes]), "plans");
  await page.locator("#front-plot .twin summary").click();
  await page.waitForSelector("#front-table tbody tr");
  same(await page.locator("#front-table tbody tr").count(), printed.front.length, "plans of the front");
  check((await page.locator("#plans-why").innerText()).includes(printed.why.words), "why the first is the first");
  await accessible(page);
  await capture(page, "planner");
  await page.locator("#plans-table button").first().click();
  await page.waitForFunction((step) => document.querySelector("#step-table tbody tr")?.textContent.replaceAll(/[^0-9.]/g, "").includes(step),
    String(Math.round(printed.plans[0].step_ms)));
});

test("the front is read with the keyboard and saved, and a plan of it is taken", async () => {
  const page = await open();
  await page.locator("#find-plans").click();
  const reader = page.locator("#front-plot-reader");
  await reader.waitFor({ timeout: 60_000 });
  await reader.focus();
  await page.keyboard.press("Home");
  const first = await reader.getAttribute("aria-valuetext");
  await page.keyboard.press("ArrowRight");
  const second = await reader.getAttribute("aria-valuetext");
  check(/ms a step, [0-9.]+ GiB per GPU/.test(first) && first !== second, `the front reads ${first} and ${second}`);
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.locator("#front-plot").getByRole("button", { name: "Download the plot as SVG" }).click(),
  ]);
  same(download.suggestedFilename(), "front-plot.svg", "the file");
  const before = page.url();
  await page.locator("#front-plot .plot-told button").click();
  await page.waitForFunction((before) => location.href !== before, before);
});

test("the planner knows models of every family, DeepSpeed and Megatron-LM where it searches", async () => {
  const asked = { model: { id: "qwen3-30b-a3b" }, hardware: { gpu: "h100-sxm-80gb", num_gpus: 16 } };
  const page = await openPage({ place: (await link(asked)).replace("#", "#tab=multi-node&") });
  await page.locator("#find-plans").click();
  await page.waitForSelector("#plans-table", { timeout: 120_000 });
  const printed = JSON.parse(await answerOf(["plan", "--config", "-", "--format", "json"], JSON.stringify(asked)));
  same(await plans(page), printed.plans.map((plan) => [plan.step_ms, plan.need_bytes]), "plans");
});

test("the page answers while the planner searches, first results come at once, and Stop ends it", async () => {
  const page = await open();
  // Once before, so that the module is in the cache of the browser as in a visit that lasts.
  await page.locator("#find-plans").click();
  await page.waitForSelector("#plans-table", { timeout: 60_000 });
  await page.evaluate(() => {
    window.longest = 0;
    let last = performance.now();
    const tick = () => {
      window.longest = Math.max(window.longest, performance.now() - last);
      last = performance.now();
      window.ticking = setTimeout(tick, 5);
    };
    tick();
  });
  await page.locator("#find-plans").click();
  await page.waitForFunction(() => document.querySelector("#plans-progress p")?.textContent.includes("Best so far"));
  await page.locator("#stop-plans").click();
  check((await page.locator("#plans").innerText()).includes("Stopped"), "it was not stopped");
  check((await page.locator("#plans button").count()) === 1, "the best until then cannot be taken");
  const longest = await page.evaluate(() => (clearTimeout(window.ticking), window.longest));
  check(longest < 1500, `the page did nothing else for ${longest} ms`);
});

test("what is refused is told by field, and options change what is found", async () => {
  const page = await open({ width: 360, height: 740, scheme: "dark" });
  await set(page, "hybrid.engines", ["no such engine"]);
  await page.locator("#find-plans").click();
  await page.waitForSelector("#plans-refused");
  check((await page.locator("#plans-refused").innerText()).includes("hybrid.engines"), "no field is named");
  await set(page, "hybrid.engines", ["fsdp"]);
  await page.locator("#find-plans").click();
  await page.waitForSelector("#plans-table, #plans-none", { timeout: 60_000 });
  const names = await page.locator("#plans-table th[scope=row]").allInnerTexts();
  check(names.every((name) => name.startsWith("PyTorch FSDP")), `other engines: ${names.join("; ")}`);
  await accessible(page);
});
