// No input is ignored in silence on the page either: every input of the registry is changed through its control on a
// question where it applies, and the answer, a warning or an error changes.
import { outcome, set } from "./actions.mjs";
import { check, openPage, same, test } from "./lib/harness.mjs";
import { change, changed, inputs, link } from "./registry.mjs";

// What decides time alone shows on the tab that tells it.
const TIMED = /^(node_config\.(node_shape|interconnect|ports|network|collectives|compute|attention|peak|token|price)|hardware\.gpu_prices|engine\.(overlap_grad|overlap_param|tp_comm))/;

/** How many inputs one test changes: tests run side by side, and one that changed all would be the last to end. */
const SHARE = 20;

test("every input of the registry is changed by one of these tests", async () => {
  const all = (await inputs()).map(({ key }) => key);
  check(all.length > 80, `only ${all.length} inputs were exported`);
  same([...all].sort(), changed().sort(), "inputs, and those that a test changes");
});

for (const [what, keys] of shares(changed())) {
  test(`every input of the registry changes the answer, a warning or an error: ${what}`, async () => {
    const page = await openPage();
    const faults = [];
    for (const key of keys) {
      const fault = await effect(page, key);
      if (fault) faults.push(`${key}: ${fault}`);
    }
    same(faults, [], "inputs without a visible effect");
  });
}

/** Keys in shares of one section each, with their names. */
function shares(keys) {
  const sections = [...new Set(keys.map((key) => key.split(".")[0]))];
  return sections.flatMap((section) => {
    const own = keys.filter((key) => key.startsWith(`${section}.`));
    const count = Math.ceil(own.length / SHARE);
    return Array.from({ length: count }, (_, share) =>
      [`${section}, ${share + 1} of ${count}`, own.filter((_, place) => place % count === share)]);
  });
}

/** Changes one input on a question where it applies; says what is wrong, or nothing. */
async function effect(page, key) {
  const { question, value } = change(key);
  const plans = key.startsWith("hybrid.");
  const tab = key.startsWith("inference.") ? "inference" : plans || TIMED.test(key) ? "multi-node" : "training";
  // Through an empty page, so that every question starts from nothing that the last one left open.
  await ask(page, `#tab=${tab === "training" ? "inference" : "training"}`);
  const own = await link(question);
  await ask(page, tab === "training" ? own : own.replace("#", `#tab=${tab}&`));
  if (plans) await plan(page);
  const before = await outcome(page);
  try {
    await set(page, key, value);
  } catch (error) {
    return `its control could not be used: ${String(error.message).split("\n")[0]}`;
  }
  if (plans) await plan(page);
  return (await outcome(page)) === before ? `${JSON.stringify(value)} changed nothing` : undefined;
}

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
