// A walk of a newcomer through the whole page. The harness fails it on an error in the console or a request elsewhere.
import { readFileSync } from "node:fs";
import { answer, choose, pasteConfig, set } from "./actions.mjs";
import { WIDTHS, capture, check, openPage, same, test } from "./lib/harness.mjs";

const QWEN = readFileSync(new URL("configs/qwen3-30b-a3b.json", import.meta.url), "utf8");

for (const width of WIDTHS) {
  test(`a pasted Qwen3-30B-A3B with FSDP on 16 H100s is explained, at ${width} px`, async () => {
    const page = await openPage({ width, height: width < 600 ? 740 : 1000 });
    await pasteConfig(page, QWEN);
    await choose(page, "hardware-gpu", "h100 sxm", "h100-sxm-80gb");
    await set(page, "hardware.num_gpus", 16);
    await set(page, "engine.type", "fsdp");
    const shown = await answer(page);
    check(shown !== null && !shown.stale, "there is no current answer");
    check(shown.ledger.length > 10, `the ledger has ${shown.ledger.length} rows`);
    check(Object.keys(shown.meters).length === 3, "there are not three meters");
    check((await page.locator("#binding-instant").innerText()).length > 20, "no binding instant is named");
    check((await page.locator("#accuracy-line").innerText()).length > 20, "nothing says how far this is checked");
    await page.locator(".ledger-open").first().click();
    check((await page.locator(".ledger-detail").first().innerText()).includes("Source"), "a row has no source");
    await capture(page, `qwen3-${width}`);
    // The picture of the README, assets/screenshot.png, is a copy of this one.
    if (width === WIDTHS[0]) await capture(page, "readme", { full: false });
  });
}

test("every button, tab, menu and row can be clicked, and nothing breaks", async () => {
  const page = await openPage();
  for (const tab of await page.getByRole("tab").all()) await tab.click();
  await page.getByRole("tab", { name: "Training" }).click();
  for (const group of await page.locator("details.group:not([hidden]) > summary").all()) await group.click();
  for (const help of await page.locator(".help-button:visible").all()) await help.click();
  for (const row of await page.locator(".ledger-open").all()) await row.click();
  const instants = page.locator("#ledger-instant");
  for (const value of await instants.locator("option").evaluateAll((all) => all.map((one) => one.value))) {
    await instants.selectOption(value);
  }
  await page.getByRole("button", { name: "Share", exact: true }).click();
  for (let click = 0; click < 3; click += 1) await page.getByRole("button", { name: /^Theme/ }).click();
  for (const twin of await page.locator(".twin summary").all()) await twin.click();
});

test("every preset can be taken, and Reset restores the start", async () => {
  const page = await openPage();
  const start = await answer(page);
  const presets = await page.locator("#preset option").evaluateAll((all) => all.map((one) => one.value).filter((value) => value !== ""));
  same(presets.length, 10, "presets");
  for (const preset of presets) {
    await page.locator("#preset").selectOption(preset);
    check((await page.locator("#model-facts").innerText()).length > 10, `${preset}: nothing is known about the model`);
  }
  await page.locator("#reset").click();
  same(await answer(page), start, "the answer after Reset");
});

test("every choice of every menu is answered or refused with a reason", async () => {
  const page = await openPage();
  for (const group of await page.locator("details.group:not([hidden]) > summary").all()) await group.click();
  const ids = await page.locator("#questions select:visible").evaluateAll((all) => all.map((one) => one.id).filter((id) => id !== "preset" && id !== "engine-type"));
  check(ids.length > 10, `only ${ids.length} menus`);
  for (const id of ids) {
    const menu = page.locator(`#${id}`);
    const first = await menu.inputValue();
    for (const value of await menu.locator("option").evaluateAll((all) => all.map((one) => one.value))) {
      await menu.selectOption(value);
      const { stale } = await answer(page);
      if (stale) check((await page.locator("#errors").innerText()).length > 20, `${id} = ${value}: refused without a reason`);
    }
    await menu.selectOption(first);
  }
});

test("the theme is chosen by hand and remembered", async () => {
  const page = await openPage({ scheme: "light" });
  // A colour follows the scheme with the next frame.
  const canvas = async () => {
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    return page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  };
  const light = await canvas();
  const button = page.getByRole("button", { name: /^Theme/ });
  await button.click();
  await button.click();
  const dark = await canvas();
  check(dark !== light, "the dark theme looks like the light one");
  await page.reload();
  await page.waitForSelector("h1");
  same(await canvas(), dark, "the theme after a reload");
});
