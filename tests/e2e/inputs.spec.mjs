// No input is ignored in silence on the page either: every input of the registry is changed through its control on a
// question where it applies, and the answer, a warning or an error changes.
import { outcome, set } from "./actions.mjs";
import { check, openPage, same, test } from "./lib/harness.mjs";
import { change, inputs, link } from "./registry.mjs";

// What decides time alone shows on the tab that tells it.
const TIMED = /^(node_config\.(node_shape|interconnect|ports|network|collectives|compute|attention|peak|token|price)|hardware\.gpu_prices|engine\.(overlap_grad|overlap_param|tp_comm))/;

test("every input of the registry changes the answer, a warning or an error", async () => {
  const all = await inputs();
  check(all.length > 80, `only ${all.length} inputs were exported`);
  const page = await openPage();
  const faults = [];
  for (const { key } of all) {
    const { question, value } = change(key);
    // Through an empty page, so that every question starts from nothing that the last one left open.
    await ask(page, "#tab=accuracy");
    const own = await link(question);
    const plans = key.startsWith("hybrid.");
    const tab = key.startsWith("inference.") ? "inference" : plans || TIMED.test(key) ? "multi-node" : null;
    await ask(page, tab ? own.replace("#", `#tab=${tab}&`) : own);
    if (plans) await plan(page);
    const before = await outcome(page);
    try {
      await set(page, key, value);
    } catch (error) {
      faults.push(`${key}: its control could not be used: ${String(error.message).split("\n")[0]}`);
      continue;
    }
    if (plans) await plan(page);
    if ((await outcome(page)) === before) faults.push(`${key} = ${JSON.stringify(value)}: nothing changed`);
  }
  same(faults, [], "inputs without a visible effect");
});

/** Searches for plans and waits for the answer. */
async function plan(page) {
  await page.locator("#find-plans").click();
  await page.waitForSelector("#plans[aria-busy=true], #plans-sentence");
  await page.waitForSelector("#plans[aria-busy=false] #plans-sentence", { timeout: 60_000 });
}

/** Goes to a link of the same page and waits until it is read. */
async function ask(page, fragment) {
  await page.evaluate((fragment) => { location.hash = fragment; }, fragment);
  await page.waitForFunction((tab) => document.querySelector(tab)?.getAttribute("aria-selected") === "true",
    `#tab-${/^#tab=([a-z-]+)/.exec(fragment)?.[1] ?? "training"}`);
  await page.evaluate(() => new Promise(requestAnimationFrame));
}
