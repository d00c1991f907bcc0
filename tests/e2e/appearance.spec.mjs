// The page as it opens: nothing goes wrong, it fits every width, and axe finds no fault in either colour scheme.

import { SCHEMES, WIDTHS, accessible, capture, check, openPage, test } from "./lib/harness.mjs";

for (const scheme of SCHEMES) {
  for (const width of WIDTHS) {
    test(`opens at ${width} px in ${scheme}, without sideways scrolling and without a fault for axe`, async () => {
      const page = await openPage({ width, height: width < 600 ? 740 : 900, scheme });
      await capture(page, `start-${width}-${scheme}`);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      check(wide <= width, `the page is ${wide} px wide in a window of ${width} px`);
      await accessible(page);
    });
  }
}

test("says without JavaScript what it needs", async () => {
  const page = await openPage();
  const text = await page.evaluate(() => document.querySelector("noscript")?.textContent ?? "");
  check(text.includes("WebAssembly"), `noscript says: ${text}`);
});
