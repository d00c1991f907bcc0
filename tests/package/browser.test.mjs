// The package in Chromium: by a script tag, as a module, and bundled; every vector to the byte; no request but for its files.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { readFileSync, writeFileSync } from "node:fs";
import { extname, join, normalize } from "node:path";
import { build } from "esbuild";
import { TRAINING, WORK, imported, test } from "./lib.mjs";

const { chromium } = createRequire(new URL("../e2e/package.json", import.meta.url))("playwright-core");
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm", ".json": "application/json" };
const POLICY = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'";
const PACKAGE = "/node_modules/gpu-mem-calc";

/** Opens a page of the project and gives what `window.result` becomes. */
async function inBrowser(body, files = {}) {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(WORK, name), text);
  writeFileSync(join(WORK, "page.html"), `<!doctype html><meta charset="utf-8"><title>t</title>${body}`);
  const server = createServer((request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, "http://x").pathname));
    try {
      const content = readFileSync(path === "/outcomes.json" ? process.env.OUTCOMES : join(WORK, path));
      response.writeHead(200, { "content-type": TYPES[extname(path)] ?? "text/plain", "content-security-policy": POLICY });
      response.end(content);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking"] });
  try {
    const page = await browser.newPage();
    const problems = [];
    const asked = [];
    page.on("pageerror", (error) => problems.push(String(error)));
    page.on("console", (message) => message.type() === "error" && !message.text().includes("favicon") && problems.push(message.text()));
    page.on("request", (request) => asked.push(new URL(request.url()).pathname));
    await page.goto(`http://127.0.0.1:${server.address().port}/page.html`);
    await page.waitForFunction(() => globalThis.result !== undefined, null, { timeout: 120_000 });
    const result = await page.evaluate(() => globalThis.result);
    assert.deepEqual(problems.filter((problem) => !problem.includes("404")), []);
    return { result, asked };
  } finally {
    await browser.close();
    server.close();
  }
}

const ask = `const answer = calculator.calculate(${JSON.stringify(TRAINING)});
  let type; try { calculator.preset("nope"); } catch (error) { type = error.type; }
  globalThis.result = [answer.total_memory_per_gpu_bytes, type];`;

async function expected() {
  const calculator = await (await imported()).load();
  return [calculator.calculate(TRAINING).total_memory_per_gpu_bytes, "not_found"];
}

test("a script tag gives the calculator, under a policy without inline script", async () => {
  const script = `gpuMemCalc.load().then((calculator) => { ${ask} });`;
  const { result, asked } = await inBrowser(`<script src="${PACKAGE}/script.js"></script><script src="own.js"></script>`, { "own.js": script });
  assert.deepEqual(result, await expected());
  assert.deepEqual(asked.filter((path) => path.includes("gpu-mem-calc")).length, 2);
});

test("a module of the browser imports it without a bundler", async () => {
  const script = `import { load } from "${PACKAGE}/index.js"; const calculator = await load(); ${ask}`;
  const { result } = await inBrowser('<script type="module" src="own.js"></script>', { "own.js": script });
  assert.deepEqual(result, await expected());
});

test("a bundler bundles it, with the module as a file of its own or inside", async () => {
  for (const loader of ["file", "binary"]) {
    writeFileSync(join(WORK, "entry.js"), `import { load } from "gpu-mem-calc"; import wasm from "gpu-mem-calc/wasm"; const calculator = await load(wasm); ${ask}`);
    const { warnings } = await build({
      entryPoints: [join(WORK, "entry.js")],
      outdir: WORK,
      entryNames: "bundled",
      bundle: true,
      minify: true,
      format: "esm",
      platform: "browser",
      loader: { ".wasm": loader },
      logLevel: "silent",
    });
    assert.deepEqual(warnings, []);
    const { result } = await inBrowser('<script type="module" src="bundled.js"></script>');
    assert.deepEqual(result, await expected(), loader);
  }
});

test("every vector gives in Chromium what native code says, to the byte", async () => {
  const script = `import init, { call } from "${PACKAGE}/bindings.js";
    await init();
    const outcomes = await (await fetch("outcomes.json")).json();
    const different = Object.entries(outcomes).filter(([, { call: name, arguments: given, text }]) => call(name, given) !== text);
    globalThis.result = [Object.keys(outcomes).length, different.map(([name]) => name)];`;
  const { result: [count, different] } = await inBrowser('<script type="module" src="own.js"></script>', { "own.js": script });
  assert.ok(count >= 200, count);
  assert.deepEqual(different.slice(0, 10), [], `${different.length} differ`);
});
