// How long the calls of cases.json take as WebAssembly, in Node and in Chromium, how long the page takes to its first answer, and how
// long the whole command takes: `node speed.mjs CASES`, with PACKAGE (the unpacked npm package), DIST (the built page), COMMAND (the
// program) and CHROMIUM. Prints JSON. `cargo xtask bench compare` calls it.

import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { createRequire } from "node:module";
import { serve } from "../../tests/e2e/lib/server.mjs";

const { chromium } = createRequire(new URL("../../tests/e2e/package.json", import.meta.url))("playwright-core");
const { PACKAGE, DIST, COMMAND, CHROMIUM } = process.env;
const cases = JSON.parse(readFileSync(process.argv[2], "utf8"));

/** The median duration of each case in microseconds, over a second of calls. It is sent to the browser as text. */
function medians(calculator, cases) {
  const found = {};
  for (const { name, call, arguments: given } of cases) {
    const times = [];
    const end = performance.now() + 1000;
    while (performance.now() < end || times.length < 5) {
      // Clocks of browsers tick in tenths of a millisecond: calls are timed by the dozen.
      const start = performance.now();
      let count = 0;
      do {
        calculator[call](...given);
        count += 1;
      } while (performance.now() - start < 5);
      times.push((performance.now() - start) / count);
    }
    times.sort((a, b) => a - b);
    found[name] = times[Math.floor(times.length / 2)] * 1000;
  }
  return found;
}

const median = (times) => times.sort((a, b) => a - b)[Math.floor(times.length / 2)];

async function inNode() {
  const { load } = await import(pathToFileURL(join(PACKAGE, "node.js")));
  return medians(await load(), cases);
}

async function inBrowser(browser) {
  const site = await serve(PACKAGE, "/package/", {
    more: { "/package/page.html": "<!doctype html><meta charset=utf-8><title>speed</title>" },
  });
  const page = await browser.newPage();
  await page.goto(`${site.address}page.html`);
  const found = await page.evaluate(async ([source, cases]) => {
    const { load } = await import("./index.js");
    return new Function(`return ${source}`)()(await load(), cases);
  }, [medians.toString(), cases]);
  await page.close();
  await site.stop();
  return found;
}

/** Milliseconds from asking for the page until its first answer stands in the document, nothing cached. */
async function firstAnswer(browser) {
  const site = await serve(DIST, "/calc/", { compressed: true });
  const times = [];
  for (let round = 0; round < 7; round += 1) {
    const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
    const page = await context.newPage();
    await page.addInitScript(() => {
      new MutationObserver((_, observer) => {
        if (!document.querySelector("#verdict")) return;
        globalThis.answered = performance.now();
        observer.disconnect();
      }).observe(document, { childList: true, subtree: true });
    });
    await page.goto(site.address);
    await page.waitForFunction(() => globalThis.answered !== undefined);
    // The first round fills the server's own cache of compressed files.
    if (round > 0) times.push(await page.evaluate(() => globalThis.answered));
    await context.close();
  }
  await site.stop();
  return median(times);
}

/** Milliseconds of the whole command, from its start to its end. */
function command() {
  const question = join(tmpdir(), `gpu-mem-calc-${process.pid}.json`);
  writeFileSync(question, JSON.stringify(cases[0].arguments[0]));
  const times = [];
  for (let round = 0; round < 40; round += 1) {
    const start = performance.now();
    const { status } = spawnSync(COMMAND, ["calculate", "--config", question, "--format", "json"], { stdio: "ignore" });
    times.push(performance.now() - start);
    if (status !== 0) throw new Error(`the command ended with ${status}`);
  }
  return median(times);
}

const browser = await chromium.launch({
  executablePath: CHROMIUM,
  args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"],
});
const found = {
  command: command(),
  node: await inNode(),
  chromium: await inBrowser(browser),
  first_answer: await firstAnswer(browser),
};
await browser.close();
console.log(JSON.stringify(found));
