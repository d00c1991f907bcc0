// The reader's documentation beside the page: reached from the page, every link leads somewhere, no fault for axe.

import { readdirSync } from "node:fs";
import { SCHEMES, accessible, capture, check, openPage, test } from "./lib/harness.mjs";

/** In each of the two languages. */
const PAGES = 2 * readdirSync(new URL("../../assets/docs", import.meta.url)).filter((name) => name.endsWith(".md")).length;

test("the original's figures stand beside ours, labelled as a comparison and no truth", async () => {
  const page = await openPage();
  await page.goto(new URL("docs/COMPARE.html", page.url()).href);
  const text = await page.locator("main").innerText();
  check(/facts for a comparison and no truth/.test(text), "it is not labelled");
  const heads = await page.locator("main th").allInnerTexts();
  check(["original", "right"].every((head) => heads.includes(head)), `the columns are ${heads}`);
  check((await page.locator("main tbody tr").count()) > 60, "too few rows");
});

for (const scheme of SCHEMES) {
  test(`the documentation opens from the page in ${scheme}, at 360 px, without a fault for axe`, async () => {
    const page = await openPage({ width: 360, height: 740, scheme });
    const link = page.locator("#help");
    check((await link.getAttribute("target")) === "_blank", "the question is left");
    const seen = new Set();
    const open = [new URL(await link.getAttribute("href"), page.url()).href];
    for (let address = open.pop(); address; address = open.pop()) {
      if (seen.has(address)) continue;
      seen.add(address);
      await page.goto(address);
      await page.waitForSelector("main h1");
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      check(wide <= 360, `${address} is ${wide} px wide`);
      await accessible(page);
      const links = await page.locator("a").evaluateAll((all) => all.map((one) => one.href.split("#")[0]));
      open.push(...links.filter((other) => other.includes("/docs/calc/docs/")));
    }
    check(seen.size === PAGES, `${seen.size} of ${PAGES} pages`);
    await capture(page, `documentation-${scheme}`);
    await page.locator("nav a").first().click();
    await page.waitForSelector("#help");
  });
}
