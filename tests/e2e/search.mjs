// How long the planner takes in Chromium, from the click to the first plan on the page and to all of them: what `paint.mjs` writes
// beside the times of edits. The question is that of the design: Llama-3-70B on 256 H100s, more than 17 million combinations.

const ASKED = "#tab=multi-node&m=llama-3-70b&g=h100-sxm-80gb&gn=256";
const ROUNDS = 7;

/** Milliseconds to the first plan and to the table of plans; `soon` is the click right after the tab has opened. */
export async function searches(browser, address) {
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
  await page.goto(`${address}${ASKED}`);
  await page.waitForSelector("#find-plans");
  const soon = await search(page);
  const all = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    // The worker of the next search is made ready meanwhile, as while a reader looks at the plans.
    await page.waitForTimeout(1500);
    all.push(await search(page));
  }
  await page.close();
  const median = (of) => Math.round(all.map(of).sort((a, b) => a - b)[Math.floor(all.length / 2)]);
  const worst = (of) => Math.round(Math.max(...all.map(of)));
  const both = (of) => ({ median: median(of), worst: worst(of), soon: Math.round(of(soon)) });
  return { first: both(({ first }) => first), all: both(({ done }) => done) };
}

/** One search, timed in the page. */
async function search(page) {
  return page.evaluate(() => new Promise((done) => {
    const button = document.querySelector("#find-plans");
    let click;
    let first;
    const watch = new MutationObserver(() => {
      const now = performance.now();
      if (document.querySelector("#plans-progress p")?.textContent.includes("Best so far")) first ??= now;
      if (!document.querySelector("#plans-table")) return;
      watch.disconnect();
      done({ first: (first ?? now) - click, done: now - click });
    });
    button.addEventListener("click", () => {
      click = performance.now();
      // What an earlier search left goes first.
      setTimeout(() => watch.observe(document.querySelector("#plans"), { childList: true, subtree: true, characterData: true }));
    }, { once: true, capture: true });
    button.click();
  }));
}
