// The accuracy tab: every measured run is predicted in the browser, listed, filtered, read out and opened as a question.
import { readFile } from "node:fs/promises";
import { accessible, capture, check, openPage, same, SCHEMES, test, WIDTHS } from "./lib/harness.mjs";

/** Opens the tab and waits until all records were asked. */
async function openRuns(options = {}) {
  const page = await openPage({ place: "#tab=accuracy", ...options });
  await page.waitForFunction(() => document.querySelector("#runs-progress")?.textContent.startsWith("Predicted just now"),
    null, { timeout: 120_000 });
  return page;
}

const count = async (page) =>
  Number((await page.locator("#runs-summary").innerText()).split(" ")[0].replaceAll(",", ""));

test("every run is predicted, and the figures are those of the committed table", async () => {
  const page = await openRuns();
  check((await count(page)) > 1500, "too few runs are listed");
  await page.selectOption("#runs-engine", "deepspeed");
  const summary = await page.locator("#runs-summary").innerText();
  const row = page.locator("#accuracy-table tr[data-engine=deepspeed][data-quantity=max_allocated] td");
  const [, , predicted, median, , , worst] = await row.allInnerTexts();
  check(summary.startsWith(`${predicted} values`), `${summary} does not count ${predicted}`);
  check(summary.includes(`median error ${median}`), `${summary} has another median than ${median}`);
  check(summary.includes(`worst ${worst}`), `${summary} has another worst than ${worst}`);
});

test("filters narrow the list, and a run opens as the question that it was", async () => {
  const page = await openRuns();
  const all = await count(page);
  await page.fill("#runs-text", "qwen3-30b");
  const some = await count(page);
  check(some > 0 && some < all, `${some} of ${all} runs`);
  await page.fill("#runs-text", "no such model");
  same(await page.locator("#runs-summary").innerText(), "No run of this kind is listed.", "nothing found");
  await page.fill("#runs-text", "");
  await page.selectOption("#runs-engine", "ddp");
  await page.selectOption("#runs-kind", "traced");
  const measured = Number(await page.locator("#runs-table tbody tr").nth(3).locator("td").nth(1).innerText());
  const expected = (await page.locator("#runs-table tbody tr").nth(3).locator("td").nth(2).innerText()).split(/\s/)[0];
  check(measured > 0, "a measured value");
  await page.locator("#runs-table tbody tr").nth(3).getByRole("button").click();
  await page.waitForSelector("#tab-training[aria-selected=true]");
  const allocated = (await page.locator("[data-meter=allocated]").innerText()).match(/([0-9.]+) GiB/)[1];
  same(allocated, Number(expected).toFixed(2), "the expected peak of the opened question");
});

test("the drawing is read out by pointer and by keyboard", async () => {
  const page = await openRuns();
  await page.selectOption("#runs-engine", "megatron");
  const drawing = page.locator(".runs-drawing");
  await drawing.focus();
  await page.keyboard.press("ArrowRight");
  const first = await page.locator(".runs-read").innerText();
  await page.keyboard.press("ArrowRight");
  const second = await page.locator(".runs-read").innerText();
  check(first.includes("measured") && second.includes("measured") && first !== second, `${first} then ${second}`);
  await drawing.hover({ position: { x: 200, y: 150 } });
  check((await page.locator(".runs-read").innerText()).includes("predicted"), "nothing is read out under the pointer");
  check(await page.locator(".runs-ring").isVisible(), "the run is not marked");
});

test("records that cannot be had are said, and fetched again", async () => {
  const page = await openPage();
  await page.route("**/records.jsonl", (route) => route.fulfill({ status: 200, body: "not a record" }));
  await page.click("#tab-accuracy");
  await page.getByText("The records could not be loaded").waitFor();
  await page.unroute("**/records.jsonl");
  await page.getByRole("button", { name: "Try again" }).click();
  await page.waitForFunction(() => document.querySelector("#runs-progress")?.textContent.startsWith("Predicted"), null,
    { timeout: 120_000 });
});

for (const scheme of SCHEMES) {
  test(`the list is accessible and looked at (${scheme})`, async () => {
    const page = await openRuns({ scheme });
    for (const width of WIDTHS) {
      await page.setViewportSize({ width, height: 900 });
      await capture(page, `accuracy-${width}-${scheme}`);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      check(wide <= 0, `the page is ${wide} px too wide at ${width}`);
    }
    await accessible(page);
  });
}

test("the drawing has a title and a description, and is saved as SVG and PNG", async () => {
  const page = await openRuns();
  const figure = page.locator("#runs-figure");
  same(await figure.locator("h3").innerText(), "Predicted against measured", "the title");
  const saved = async (kind) => {
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      figure.getByRole("button", { name: `Download the plot as ${kind}` }).click(),
    ]);
    return [download.suggestedFilename(), await readFile(await download.path())];
  };
  const [name, svg] = await saved("SVG");
  same(name, "runs-figure.svg", "the name");
  const text = svg.toString();
  check(text.startsWith("<svg xmlns") && text.includes("<title>") && !text.includes("var("), "the SVG does not stand by itself");
  check((text.match(/<circle/g) ?? []).length > 100, "the SVG has too few points");
  const [, png] = await saved("PNG");
  check(png.length > 10_000, `the PNG has ${png.length} bytes`);
});
