// The calculator inside documents of others: as an element with a shadow root of its own, and in a frame.

import { accessible, BUILT, capture, check, openPage, same, test } from "./lib/harness.mjs";
import { serve } from "./lib/server.mjs";

const BASE = "/calc/";
const FALLBACK = "Llama 3.1 8B on 8 GPUs: see the table.";

/** A document of somebody else's, with styles that would break a page without a root of its own. */
const hostile = (body, head = "") => `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Handbook</title><link rel="icon" href="data:,">
<style>html{font-size:62.5%} *{box-sizing:content-box} body{margin:2rem;background:#fff;color:#222;font:16px serif}
button,input,select{background:red!important;font-size:40px} h2{color:red;font-size:80px} .panel{display:none} [hidden]{display:block}
html.dark body{background:#111;color:#eee}</style>${head}</head>
<body><header><h1>Handbook</h1></header><main><div id="app">mine</div>${body}</main>
<script type="module" src="${BASE}gpu-mem-calc.js"></script></body></html>`;

const element = (attributes = "", inside = FALLBACK) => `<gpu-mem-calc ${attributes}>${inside}</gpu-mem-calc>`;

/** Runs a test on documents of somebody else's, which lie beside the calculator. */
async function beside(documents, run, headers = {}) {
  const more = Object.fromEntries(Object.entries(documents).map(([name, text]) => [`/${name}`, { text, type: "text/html" }]));
  const asked = [];
  const site = await serve(BUILT, BASE, { more, headers, asked });
  const root = new URL("/", site.address).href;
  const pages = [];
  const open = async (name, options = {}) => {
    const page = await openPage({ site: root, place: name, ready: "body", newcomer: true, ...options });
    pages.push(page);
    return page;
  };
  try {
    await run(open, asked);
    // What a page still loads when it has nothing else to do needs its server.
    await Promise.all(pages.map((page) => page.waitForLoadState("networkidle")));
  } finally {
    await site.stop();
  }
}

/** What the document is told once an answer's question holds a text. Awaited later, so a test that fails before may drop it. */
function telling(page, text) {
  const told = page.evaluate((wanted) => new Promise((done) =>
    document.addEventListener("gpu-mem-calc-result", ({ detail }) => detail.question.includes(wanted) && done(detail))), text);
  told.catch(() => {});
  return told;
}

/** Waits until an element has its answer. */
const answered = (page, index = 0) => page.locator("gpu-mem-calc").nth(index).locator("#verdict").waitFor();

test("an element answers inside a document with styles of its own and touches nothing of it", () => beside(
  { "page.html": hostile(element('model="llama-3.1-8b" question="gn=8&en=fsdp"')) },
  async (open) => {
    const page = await open("page.html#mine");
    await answered(page);
    const state = await page.evaluate(() => ({
      address: location.hash,
      steps: history.length,
      focus: document.activeElement.tagName,
      storage: localStorage.length,
      mine: document.getElementById("app").textContent,
      root: document.documentElement.getAttributeNames(),
    }));
    same(state, { address: "#mine", steps: 2, focus: "BODY", storage: 0, mine: "mine", root: ["lang"] }, "the document");
    // Its own styles hold: neither the document's colours nor its size of text come in.
    const inside = await page.locator("gpu-mem-calc").locator("#reset").evaluate((button) => {
      const style = getComputedStyle(button);
      return { size: style.fontSize, red: style.backgroundColor === "rgb(255, 0, 0)", box: style.boxSizing };
    });
    same(inside, { size: "15px", red: false, box: "border-box" }, "a button inside");
    // What is typed changes the answer, and the document is told.
    const told = telling(page, "s=8192");
    await page.locator("gpu-mem-calc").locator("#training-seq-length").fill("8192");
    const detail = await told;
    same(detail.tab, "training", "the tab");
    check(detail.need.low_bytes <= detail.need.high_bytes && detail.usable_bytes > 0, "the figures");
    same(await page.evaluate(() => location.hash), "#mine", "the address after typing");
    await accessible(page);
    await capture(page, "embedded");
  }));

test("attributes are the question, and a change of one asks anew", () => beside(
  { "page.html": hostile(element('tab="inference" model="llama-3.1-8b"')) },
  async (open) => {
    const page = await open("page.html");
    await page.locator("gpu-mem-calc").locator("#panel-inference #verdict").waitFor();
    const told = telling(page, "llama-3.1-70b");
    await page.evaluate(() => document.querySelector("gpu-mem-calc").setAttribute("model", "llama-3.1-70b"));
    same((await told).tab, "inference", "the tab");
    await page.evaluate(() => document.querySelector("gpu-mem-calc").setAttribute("readonly", ""));
    check(await page.locator("gpu-mem-calc").locator("#questions").isHidden(), "a read-only element shows its questions");
    check(await page.locator("gpu-mem-calc").locator("#verdict").isVisible(), "a read-only element shows no answer");
  }));

test("an element speaks the language of its document, or that of its attribute", () => beside(
  { "page.html": hostile(`<section lang="zh-CN">${element('model="llama-3.1-8b" question="gn=8&en=fsdp"')}</section>`) },
  async (open) => {
    const page = await open("page.html");
    await answered(page);
    await page.locator("gpu-mem-calc #verdict h2", { hasText: "放得下" }).waitFor();
    same(await page.locator("html").getAttribute("lang"), "en", "the language of the document");
    await page.evaluate(() => document.querySelector("gpu-mem-calc").setAttribute("lang", "en"));
    await page.locator("gpu-mem-calc #verdict h2", { hasText: "Fits" }).waitFor();
  },
));

test("ten elements share one module, which is fetched when the first comes into view", () => beside(
  { "page.html": hostile(`<div style="height:4000px">long text</div>${element('model="llama-3.1-8b"').repeat(10)}`) },
  async (open, asked) => {
    const page = await open("page.html");
    await page.waitForFunction(() => customElements.get("gpu-mem-calc"));
    await page.waitForTimeout(300);
    const modules = () => asked.filter((path) => path.endsWith("_bg.wasm")).length;
    same(modules(), 0, "modules fetched before an element is in view");
    await page.locator("gpu-mem-calc").first().scrollIntoViewIfNeeded();
    await answered(page);
    for (let index = 1; index < 10; index += 1) {
      await page.locator("gpu-mem-calc").nth(index).scrollIntoViewIfNeeded();
      await answered(page, index);
    }
    same(modules(), 1, "modules fetched for ten elements");
    // Each has a question of its own.
    await page.locator("gpu-mem-calc").nth(3).locator("#training-seq-length").fill("16384");
    const other = await page.locator("gpu-mem-calc").nth(4).locator("#training-seq-length").inputValue();
    check(other !== "16384", "what is typed in one stands in another");
    // Taken away and put back, it answers again; and nothing is thrown.
    await page.evaluate(() => {
      const one = document.querySelector("gpu-mem-calc");
      one.remove();
      return new Promise((done) => setTimeout(() => { document.body.append(one); done(); }, 50));
    });
    await page.locator("gpu-mem-calc").nth(9).scrollIntoViewIfNeeded();
    await answered(page, 9);
  }));

test("it follows the theme of the document, or its attribute", () => beside(
  { "page.html": hostile(element('model="llama-3.1-8b"')) },
  async (open) => {
    const page = await open("page.html");
    await answered(page);
    const theme = () => page.locator("gpu-mem-calc").locator(".calculator").getAttribute("data-theme");
    same(await theme(), "light", "in a light document");
    await page.evaluate(() => document.documentElement.classList.add("dark"));
    await page.waitForFunction(() =>
      document.querySelector("gpu-mem-calc").shadowRoot.querySelector(".calculator").dataset.theme === "dark");
    await page.evaluate(() => document.querySelector("gpu-mem-calc").setAttribute("theme", "light"));
    same(await theme(), "light", "with the attribute");
  }));

test("what stands inside the element is shown without JavaScript and where WebAssembly is refused", async () => {
  const documents = { "page.html": hostile(element('model="llama-3.1-8b"')) };
  await beside(documents, async (open) => {
    const page = await open("page.html", { options: { javaScriptEnabled: false } });
    check(await page.getByText(FALLBACK).isVisible(), "without JavaScript");
  });
  await beside(documents, async (open) => {
    const page = await open("page.html", { expected: /WebAssembly|wasm|Content Security/i });
    await page.waitForFunction(() => customElements.get("gpu-mem-calc"));
    await page.waitForTimeout(1000);
    check(await page.getByText(FALLBACK).isVisible(), "where WebAssembly is refused");
  }, { "content-security-policy": "script-src 'self'; style-src 'self' 'unsafe-inline'" });
});

test("inside the element the keyboard works, and the choice of a model opens", () => beside(
  { "page.html": hostile(element('model="llama-3.1-8b"')) },
  async (open) => {
    const page = await open("page.html");
    await answered(page);
    const inside = () => page.evaluate(() => {
      const one = document.querySelector("gpu-mem-calc").shadowRoot.activeElement;
      return one?.id ?? "";
    });
    await page.locator("gpu-mem-calc").locator("#tab-training").focus();
    await page.keyboard.press("ArrowRight");
    same(await inside(), "tab-inference", "the focus after an arrow in the list of tabs");
    await page.keyboard.press("ArrowLeft");
    const model = page.locator("gpu-mem-calc").getByRole("combobox", { name: "Model" }).first();
    await model.focus();
    await model.fill("qwen3-0.6");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    check((await model.inputValue()).toLowerCase().includes("qwen3-0.6"), "the model is not taken");
  }));

test("a frame gets the height of its content", () => beside(
  {
    "page.html": `<!doctype html><html lang="en"><head><title>Handbook</title><link rel="icon" href="data:,"></head><body><h1>Handbook</h1>
      <iframe src="${BASE}#m=llama-3.1-8b" data-gpu-mem-calc title="GPU Memory Calculator" style="width:100%;border:0"></iframe>
      <script src="${BASE}frame.js" defer></script></body></html>`,
  },
  async (open) => {
    const page = await open("page.html", { width: 900 });
    const frame = page.frameLocator("iframe");
    await frame.locator("#verdict").waitFor();
    await page.waitForFunction(() => document.querySelector("iframe").clientHeight > 900);
    // Parts of the page come one after the other, and each makes it longer.
    let [outer, inner] = [0, 900];
    for (let i = 0; i < 50 && Math.abs(outer - inner) > 2; i += 1) {
      await page.waitForTimeout(100);
      outer = await page.evaluate(() => document.querySelector("iframe").clientHeight);
      inner = await page.frames()[1].evaluate(() => document.documentElement.scrollHeight);
    }
    check(Math.abs(outer - inner) <= 2, `the frame has ${outer} px, its content ${inner}`);
    // Somebody else's message changes nothing.
    await page.evaluate(() => window.postMessage({ type: "gpu-mem-calc:height", height: 5 }, "*"));
    await page.waitForTimeout(100);
    const after = await page.evaluate(() => document.querySelector("iframe").clientHeight);
    check(after >= outer, `a message of another made ${after} px of ${outer}`);
  }));

test("the lines to embed a question hold its figures, and a document with them shows it", async () => {
  const page = await openPage({ place: "#m=llama-3.1-8b&en=fsdp&gn=8&s=2048" });
  await page.waitForSelector("#verdict");
  await page.click("#embed");
  const lines = page.locator("#embed-text");
  await lines.waitFor();
  await accessible(page);
  await capture(page, "embed-dialog", { full: false });
  const text = await lines.inputValue();
  check(text.includes("s=2048") && /needs [\d.]+ – [\d.]+ GiB of [\d.]+ GiB/.test(text), `the lines are ${text}`);
  await page.click("#embed-copy");
  same(await page.evaluate(() => navigator.clipboard.readText()), text, "what is copied");
  await page.check("#embed-frame");
  check((await lines.inputValue()).startsWith("<iframe src="), "the frame's lines");
  await page.keyboard.press("Escape");
  await lines.waitFor({ state: "detached" });
  // The lines name the published address; here the document lies beside the site.
  const here = text.replaceAll(new URL("./", page.url()).href, BASE);
  await beside({ "page.html": hostile(here) }, async (open) => {
    const other = await open("page.html");
    await answered(other);
    same(await other.locator("gpu-mem-calc").locator("#training-seq-length").inputValue(), "2048", "the sequence length");
  });
});
