// Without a network: the page keeps its files, says when a newer version is there, and stands in one file; and what it does
// where a policy refuses WebAssembly.

import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { BUILT, capture, check, openPage, reload, same, test } from "./lib/harness.mjs";
import { serve } from "./lib/server.mjs";

const KEPT = () => navigator.serviceWorker.ready.then((registration) => registration.active.state);

/** The page with its files kept: they are all there once the worker is active. */
async function keptPage(options = {}) {
  const page = await openPage({ kept: true, ...options });
  await page.evaluate(KEPT);
  await page.waitForFunction(() => navigator.serviceWorker.controller);
  return page;
}

/** Goes through the tabs, of which each needs files of its own. */
async function everyTab(page) {
  for (const [tab, shown] of [
    ["inference", "#panel-inference #verdict"],
    ["multi-node", "#panel-multi-node h2"],
    ["accuracy", "#panel-accuracy .run-list, #panel-accuracy table"],
    ["training", "#panel-training #verdict"],
  ]) {
    await page.click(`#tab-${tab}`);
    await page.waitForSelector(shown);
  }
}

test("the page opens without a network, with every tab and its documentation", async () => {
  const page = await keptPage();
  await page.context().setOffline(true);
  await reload(page);
  await everyTab(page);
  await page.goto(new URL("docs/index.html", page.url()).href);
  check((await page.textContent("h1")).includes("What the numbers mean"), "the documentation is not kept");
});

test("a newer version is announced and loaded when the reader wants it", async () => {
  const worker = await readFile(join(BUILT, "sw.js"), "utf8");
  const more = {};
  const site = await serve(BUILT, "/sub/path/", { more });
  try {
    const page = await keptPage({ site: site.address, place: "#m=llama-3.1-8b&gn=2&en=fsdp" });
    check(await page.locator("#update").count() === 0, "the first version is announced as a newer one");
    more["/sub/path/sw.js"] = { text: worker.replace(/VERSION = "[0-9a-f]+"/, 'VERSION = "0123456789abcdef"'), type: "text/javascript" };
    await page.evaluate(() => navigator.serviceWorker.getRegistration().then((one) => one.update()));
    const notice = page.locator("#update");
    await notice.waitFor();
    await capture(page, "update-notice", { full: false });
    const before = page.url();
    await Promise.all([page.waitForEvent("load"), notice.getByRole("button").click()]);
    await page.waitForSelector("#verdict");
    same(page.url(), before, "the address after the update");
    const caches = await page.evaluate(async () => (await window.caches.keys()).filter((name) => name.includes("0123456789abcdef")));
    same(caches.length, 1, "caches of the new version");
  } finally {
    await site.stop();
  }
});

test("the document's own policy allows no script but the site's", async () => {
  const page = await openPage({ expected: /Content Security Policy|TrustedScript/ });
  const ran = await page.evaluate(async () => {
    for (const fill of [(script) => { script.textContent = "window.ran = true"; }, (script) => script.append("window.ran = true")]) {
      const script = document.createElement("script");
      // Text does not become a script at all under the policy.
      try { fill(script); } catch { /* That is what is asked for. */ }
      document.body.append(script);
    }
    const image = document.createElement("img");
    try { image.setAttribute("onerror", "window.ran = true"); } catch { /* Nor a handler. */ }
    image.src = "data:,";
    document.body.append(image);
    await new Promise((done) => setTimeout(done, 200));
    return window.ran === true;
  });
  check(!ran, "a script that was put into the document ran");
  const elsewhere = await page.evaluate(() => fetch("http://127.0.0.1:1/").then(() => "asked", () => "refused"));
  same(elsewhere, "refused", "a request elsewhere");
});

test("a site whose policy refuses WebAssembly is told so, and the question stays", async () => {
  const site = await serve(BUILT, "/", { headers: { "content-security-policy": "script-src 'self'" } });
  try {
    const page = await openPage({ site: site.address, place: "#b=4", ready: "#not-started", expected: /WebAssembly|wasm/i });
    const words = await page.textContent("#not-started");
    check(words.includes("'wasm-unsafe-eval'"), `it says: ${words}`);
    check(page.url().endsWith("#b=4"), "the question is lost");
  } finally {
    await site.stop();
  }
});

test("the manifest names icons that are there", async () => {
  const manifest = JSON.parse(await readFile(join(BUILT, "manifest.webmanifest"), "utf8"));
  const files = await readdir(BUILT);
  for (const { src } of manifest.icons) check(files.includes(src), `${src} is not in the site`);
  const page = await openPage();
  const href = await page.getAttribute("link[rel=manifest]", "href");
  same(new URL(href, page.url()).pathname, new URL("manifest.webmanifest", page.url()).pathname, "the manifest");
});

test("one file holds the whole calculator and opens from a folder", async () => {
  const file = process.env.SINGLE_FILE;
  check(file, "SINGLE_FILE does not say where the file is");
  const page = await openPage({ site: pathToFileURL(file).href, ready: "#verdict" });
  await everyTab(page);
  // Without a worker the planner searches in slices, and the page goes on between them.
  await page.locator("#tab-multi-node").click();
  await page.locator("#find-plans").click();
  await page.waitForSelector("#plans-table, #plans-none", { timeout: 120_000 });
  const help = await page.getAttribute("#help", "href");
  check(help.startsWith("blob:"), `help leads to ${help}`);
  const [documentation] = await Promise.all([page.context().waitForEvent("page"), page.click("#help")]);
  await documentation.waitForSelector("#engines");
  check((await documentation.textContent("body")).includes("What the numbers mean"), "the documentation is not in it");
});
