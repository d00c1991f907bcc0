// How the page looks: every tab fits every width, and axe finds no fault in either colour scheme, nor with everything
// opened that can be opened. Axe looks at both layouts, of a desktop and of a phone. Pictures are kept.

import { openEverything } from "./actions.mjs";
import { SCHEMES, WIDTHS, accessible, capture, check, openPage, test } from "./lib/harness.mjs";

const TABS = ["training", "inference", "multi-node", "accuracy"];
const LOOKED_AT = [1440, 360];
const height = (width) => (width < 600 ? 740 : 900);

async function fits(page, width) {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  check(wide <= width, `the page is ${wide} px wide in a window of ${width} px`);
}

for (const scheme of SCHEMES) {
  for (const width of WIDTHS) {
    const judged = LOOKED_AT.includes(width);
    const how = `at ${width} px in ${scheme}, without sideways scrolling${judged ? " and without a fault for axe" : ""}`;
    test(`every tab ${how}`, async () => {
      for (const tab of TABS) {
        const page = await openPage({ width, height: height(width), scheme, place: tab === "training" ? "" : `#tab=${tab}` });
        await capture(page, `${tab}-${width}-${scheme}`);
        await fits(page, width);
        if (judged) await accessible(page);
      }
    });

    test(`everything opened ${how}`, async () => {
      const page = await openPage({ width, height: height(width), scheme });
      await openEverything(page);
      await capture(page, `opened-${width}-${scheme}`);
      await fits(page, width);
      if (judged) await accessible(page);
    });
  }

  test(`errors and an answer of the previous input in ${scheme}, without a fault for axe`, async () => {
    const page = await openPage({ scheme });
    await page.locator("#hardware-num-gpus").fill("many");
    await page.locator("#model-id").click();
    await capture(page, `errors-${scheme}`);
    await accessible(page);
  });
}

test("at 320 px nothing is cut off", async () => {
  const page = await openPage({ width: 320, height: 640 });
  await openEverything(page);
  await fits(page, 320);
});

test("says without JavaScript what it needs", async () => {
  const page = await openPage();
  const text = await page.evaluate(() => document.querySelector("noscript")?.textContent ?? "");
  check(text.includes("WebAssembly"), `noscript says: ${text}`);
});
