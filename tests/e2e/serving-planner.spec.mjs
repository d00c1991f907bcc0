// Plans of serving and the cheapest GPU: found in the worker, as the command line finds them, and a row becomes the question by one
// click.
import { accessible, answerOf, capture, check, openPage, same, test } from "./lib/harness.mjs";
import { link } from "./registry.mjs";

const SERVED = {
  model: { id: "llama-3.1-8b" },
  hardware: { gpu: "l40s", num_gpus: 4, gpu_prices: ["l40s=0.9", "h100-sxm-80gb=2.5"] },
  inference: { prompt_tokens: 2000, new_tokens: 200 },
};

const open = async (question, tab, options = {}) =>
  openPage({ ...options, place: (await link(question)).replace("#", `#tab=${tab}&`) });

test("plans of serving are those of the command line, and one becomes the question", async () => {
  const page = await open(SERVED, "inference");
  await page.waitForSelector("#find-serving-plans");
  await page.locator("#find-serving-plans").click();
  await page.waitForSelector("#serving-plans-table", { timeout: 120_000 });
  const printed = JSON.parse(await answerOf(["plan", "--config", "-", "--format", "json"], JSON.stringify(SERVED)));
  const rows = await page.locator("#serving-plans-table tbody tr").evaluateAll((rows) =>
    rows.map((row) => [Number(row.dataset.rate), Number(row.dataset.need)]));
  same(rows, printed.plans.map((plan) => [plan.tokens_per_second_per_gpu, plan.need_bytes]), "plans");
  same(await page.locator("#serving-front-table tbody tr").count(), printed.front.length, "plans of the front");
  check((await page.locator("#serving-plans-why").innerText()).includes(printed.why.words), "why the first is the first");
  await accessible(page);
  await capture(page, "serving-planner");
  await page.locator("#serving-plans-table button").first().click();
  await page.waitForFunction((engine) => location.hash.includes(engine), printed.plans[0].engine);
});

test("the cheapest GPU is that of the command line, by each order, and a row becomes the question", async () => {
  const trained = { model: { id: "llama-3.1-8b" }, engine: { type: "fsdp" }, hardware: { gpu_prices: SERVED.hardware.gpu_prices } };
  for (const [question, tab, kind] of [[SERVED, "inference", "cheapest-serving"], [trained, "multi-node", "cheapest"]]) {
    const page = await open(question, tab, { width: 360, height: 740 });
    for (const sort of ["gpus", "cost"]) {
      await page.locator(`#${kind}-${sort}`).click();
      const printed = JSON.parse(await answerOf(["cheapest", "--sort", sort, "--config", "-", "--format", "json"], JSON.stringify(question)));
      await page.waitForFunction(([kind, gpu]) => document.querySelector(`#${kind}-table tbody tr`)?.dataset.gpu === gpu,
        [kind, printed.rows[0].gpu], { timeout: 120_000 });
      const rows = await page.locator(`#${kind}-table tbody tr`).evaluateAll((rows) => rows.map((row) => [row.dataset.gpu, Number(row.dataset.gpus)]));
      same(rows, printed.rows.map((row) => [row.gpu, row.gpus]), `${kind} by ${sort}`);
    }
    await accessible(page);
    const first = await page.locator(`#${kind}-table tbody tr`).first().getAttribute("data-gpu");
    await page.locator(`#${kind}-table tbody button`).first().click();
    await page.waitForFunction((gpu) => decodeURIComponent(location.hash).includes(gpu), first);
  }
});
