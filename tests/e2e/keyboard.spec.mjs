// With the keyboard alone: everything can be reached, shows that it is, and does what it says.
import { answer } from "./actions.mjs";
import { check, openPage, same, test } from "./lib/harness.mjs";

/** What has the focus: enough to name it, and whether a reader can see that it has. */
const focused = (page) => page.evaluate(async () => {
  // One frame for the focus to be drawn, one for what moves with it.
  await new Promise(requestAnimationFrame);
  await new Promise(requestAnimationFrame);
  const element = document.activeElement;
  await Promise.allSettled(element.getAnimations().map((animation) => animation.finished));
  const box = element.getBoundingClientRect();
  const style = getComputedStyle(element);
  const inside = document.elementsFromPoint(box.x + box.width / 2, box.y + Math.min(box.height, 40) / 2);
  return {
    name: element.id || element.getAttribute("aria-label") || element.textContent.trim().slice(0, 40),
    body: element === document.body,
    marked: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0,
    seen: box.width > 0 && inside.some((other) => other === element || element.contains(other)),
  };
});

for (const width of [1440, 360]) test(`Tab goes through everything that can be used, visibly, and comes to the end, at ${width} px`, async () => {
  const page = await openPage({ width, height: 740 });
  const wanted = await page.evaluate(() => [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']")]
    .filter((element) => element.tabIndex >= 0 && !element.disabled && element.checkVisibility() && !element.closest("[hidden]"))
    .map((element) => element.id || element.getAttribute("aria-label") || element.textContent.trim().slice(0, 40)));
  const met = new Set();
  const faults = [];
  for (let step = 0; step < 400; step += 1) {
    await page.keyboard.press("Tab");
    const { name, body, marked, seen } = await focused(page);
    if (body) break;
    // Buttons that come later (what would fit) are met as well, so names are compared and not counted.
    if (met.has(name) && wanted.every((one) => met.has(one))) break;
    met.add(name);
    if (!marked) faults.push(`${name}: nothing shows that it has the focus`);
    if (!seen) faults.push(`${name}: has the focus out of sight`);
  }
  same(faults, [], "faults of the focus");
  same(wanted.filter((name) => !met.has(name)), [], "what Tab does not reach");
});

test("the first Tab leads past the bar to the calculator", async () => {
  const page = await openPage();
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  same((await focused(page)).name, "main", "what has the focus");
});

test("arrows, Home and End move between the tabs", async () => {
  const page = await openPage();
  await page.locator("#tab-training").focus();
  const seen = [];
  for (const key of ["ArrowRight", "ArrowRight", "End", "ArrowRight", "ArrowLeft", "Home"]) {
    await page.keyboard.press(key);
    seen.push((await focused(page)).name);
    check(await page.locator(`#${seen.at(-1).replace("tab-", "panel-")}`).isVisible(), `${seen.at(-1)}: its panel is hidden`);
  }
  same(seen, ["tab-inference", "tab-multi-node", "tab-accuracy", "tab-training", "tab-accuracy", "tab-training"], "the tabs");
});

test("a model, a GPU and their number are chosen with the keyboard", async () => {
  const page = await openPage();
  await page.locator("#model-id").focus();
  await page.keyboard.press("ControlOrMeta+A");
  await page.keyboard.type("qwen3-30b-a3b");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("Enter");
  check((await page.locator("#model-id").inputValue()).startsWith("Qwen3-30B-A3B"), "the model was not taken");
  await page.locator("#hardware-gpu").focus();
  await page.keyboard.press("ControlOrMeta+A");
  await page.keyboard.type("h200 sxm");
  await page.keyboard.press("Enter");
  same(await page.locator("#hardware-gpu").inputValue(), "H200 SXM 141GB", "the GPU");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  await page.keyboard.type("16");
  same((await answer(page)).stale, false, "the answer is current");
});

test("a group opens with Enter, and its fields follow in the order of Tab", async () => {
  const page = await openPage();
  await page.locator("#group-precision summary").focus();
  await page.keyboard.press("Enter");
  await page.locator("#training-dtype").waitFor({ state: "visible" });
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  same((await focused(page)).name, "training-dtype", "what follows");
});

test("a row of the ledger opens with Enter and shows formula, values and source", async () => {
  const page = await openPage();
  await page.locator(".ledger-open").first().focus();
  await page.keyboard.press("Enter");
  const detail = await page.locator(".ledger-detail").first().innerText();
  for (const word of ["Bytes of one", "Alive", "Source"]) check(detail.includes(word), `the row says ${detail}`);
  await page.keyboard.press("Enter");
  same(await page.locator(".ledger-detail").count(), 0, "the row is closed again");
});
