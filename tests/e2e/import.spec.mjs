// The box for anything at hand: one sample of each kind is listed before it is applied, applied, and undone in one step.
import { readFileSync } from "node:fs";
import { answer, drop, fragment, paste, set } from "./actions.mjs";
import { SCHEMES, WIDTHS, accessible, answerOf, capture, check, openPage, same, test } from "./lib/harness.mjs";
import { inputs } from "./registry.mjs";

const SAMPLES = new URL("../interop/", import.meta.url);
const sample = (name) => readFileSync(new URL(`samples/${name}`, SAMPLES), "utf8");

/** The first sample of each kind. */
const ofEachKind = () => {
  const kinds = new Map();
  for (const [name, { kind }] of Object.entries(JSON.parse(readFileSync(new URL("samples.json", SAMPLES), "utf8")))) {
    if (!kinds.has(kind)) kinds.set(kind, name);
  }
  return [...kinds];
};

test("one sample of each kind is recognised, listed, applied, and undone in one step", async () => {
  const known = new Map((await inputs()).map(({ key, link }) => [key, link]));
  const page = await openPage();
  await set(page, "training.batch_size", 3);
  check(ofEachKind().length >= 18, `only ${ofEachKind().length} kinds`);
  for (const [kind, name] of ofEachKind()) {
    const told = JSON.parse(await answerOf(["import", "-", "--format", "json"], sample(name)));
    const before = page.url();
    await paste(page, sample(name));
    await page.waitForFunction((kind) => document.querySelector("#import-result [data-kind]")?.dataset.kind === kind, kind);
    const listed = await page.locator("#import-found [data-path]").evaluateAll((rows) => rows.map((row) => row.dataset.path));
    same(listed, told.found.map(({ path }) => path), `${name}: the values found`);
    const lines = async (id) => page.locator(`#${id} li`).allInnerTexts();
    same((await lines("import-assumed")).length, told.assumed.length, `${name}: what is assumed`);
    same((await lines("import-strange")).length, told.not_understood.length, `${name}: what is not understood`);
    if (told.found.length === 0) {
      same(await page.locator("#import-apply").count(), 0, `${name}: nothing can be applied`);
      await page.keyboard.press("Escape");
      continue;
    }
    await page.locator("#import-apply").click();
    await page.locator("dialog[open]").waitFor({ state: "hidden" });
    await page.waitForFunction((before) => location.href !== before, before);
    const held = fragment(page);
    for (const { path, value } of told.found) {
      if (typeof value === "object") continue;
      const text = held[known.get(path)]?.replace(/^~"(.*)"$/, "$1") ?? "";
      same(typeof value === "number" ? Number(text) : text, typeof value === "number" ? value : String(value), `${name}: ${path}`);
    }
    // Every field of the form that got another value is marked.
    const marked = await page.locator(".field-brought").evaluateAll((fields) => fields.map((field) => field.dataset.input));
    const was = fragment({ url: () => before });
    const now = fragment(page);
    for (const { path } of told.found) {
      if (was[known.get(path)] === now[known.get(path)]) continue;
      if (await page.locator(`.field[data-input="${path}"]`).count()) check(marked.includes(path), `${name}: ${path} is not marked`);
    }
    await page.getByRole("button", { name: "Undo", exact: true }).first().click();
    await page.waitForFunction((before) => location.href === before, before);
    same(await page.locator(".field-brought").count(), 0, `${name}: marks after undo`);
  }
});

test("a dropped log opens the tab of its engine, and shows measured beside predicted with a reason", async () => {
  const page = await openPage();
  await drop(page, "vllm.log", sample("vllm-log-v1.txt"));
  await page.locator("#import-compared").waitFor();
  const rows = page.locator("#import-compared [data-part]");
  const parts = await rows.evaluateAll((rows) => rows.map((row) => row.dataset.part));
  check(["weights", "kv_cache"].every((part) => parts.includes(part)), `compared are ${parts}`);
  for (const text of await rows.allInnerTexts()) check(/measured .* GiB[^]*predicted .* GiB[^]*%[^]*\w{4}/.test(text), text);
  await capture(page, "import-log", { full: false });
  await page.getByRole("button", { name: "Apply and open Inference" }).click();
  same(await page.getByRole("tab", { name: "Inference" }).getAttribute("aria-selected"), "true", "the tab");
  await page.locator(".notice").getByRole("button", { name: "Undo" }).click();
  same(await page.getByRole("tab", { name: "Training" }).getAttribute("aria-selected"), "true", "the tab after undo");
});

test("an out-of-memory message stands beside the question on screen", async () => {
  const page = await openPage();
  await paste(page, sample("oom-new.txt"));
  const text = await page.locator('#import-compared [data-part="needed"]').innerText();
  check(text.includes("at least 75.83 GiB"), text);
});

test("nonsense is refused with what can be read, and the question stays", async () => {
  const page = await openPage();
  const before = await answer(page);
  for (const [text, said] of [["{ \"model_type\": ", "line 1"], ["hello", "config.json"], ["{}", "config.json"]]) {
    await paste(page, text);
    await page.locator('[data-kind="unknown"]').waitFor();
    await page.waitForFunction((said) => document.querySelector("#import-result").innerText.includes(said), said);
    same(await page.locator("#import-apply").count(), 0, "nothing can be applied");
    await page.keyboard.press("Escape");
    await page.locator("#open-import").click();
    same(await page.locator("#import-text").inputValue(), text, "the text stays in the box");
    await page.keyboard.press("Escape");
  }
  same(await answer(page), before, "the answer");
});

test("text pasted outside of fields opens the box with it", async () => {
  const page = await openPage();
  await page.evaluate(() => navigator.clipboard.writeText("vllm serve meta-llama/Llama-3.1-8B -tp 2"));
  await page.locator("#main").focus();
  await page.keyboard.press("Control+v");
  await page.locator('[data-kind="vllm"]').waitFor();
});

test("a config.json is fetched by its id only when that is switched on", async () => {
  // A model in one file has no index, and the browser says so.
  const page = await openPage({ elsewhere: ["https://huggingface.co/"], expected: /^404: .*index\.json$|status of 404/ });
  const asked = [];
  await page.route("https://huggingface.co/**", (route) => {
    asked.push(route.request().url());
    const { range } = route.request().headers();
    if (route.request().url().endsWith(".index.json")) return route.fulfill({ status: 404, headers: { "access-control-allow-origin": "*" } });
    if (route.request().url().endsWith(".safetensors")) {
      const header = Buffer.from('{"a":{"dtype":"BF16","shape":[3,5],"data_offsets":[0,30]}}');
      const length = Buffer.alloc(8);
      length.writeBigUInt64LE(BigInt(header.length));
      const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(range);
      return route.fulfill({
        status: 206,
        headers: { "access-control-allow-origin": "*" },
        body: Buffer.concat([length, header, Buffer.alloc(30)]).subarray(Number(from), Number(to) + 1),
      });
    }
    return route.fulfill({
      status: 200,
      headers: { "access-control-allow-origin": "*" },
      body: readFileSync(new URL("configs/qwen3-30b-a3b.json", import.meta.url), "utf8"),
    });
  });
  await page.locator("#open-import").click();
  await page.locator(".hub summary").click();
  check(await page.locator("#hub-fetch").isDisabled(), "it is on by itself");
  await page.getByLabel("Let this page ask huggingface.co").check();
  await page.locator("#hub-id").fill("Qwen/Qwen3-30B-A3B");
  await page.locator("#hub-fetch").click();
  await page.locator('[data-kind="hf_config"]').waitFor();
  await page.waitForFunction(() => document.querySelector(".hub [role=status]").innerText.startsWith("Its files hold 15 parameters"));
  const folder = "https://huggingface.co/Qwen/Qwen3-30B-A3B/resolve/main";
  const files = ["config.json", "model.safetensors.index.json", "model.safetensors", "model.safetensors"];
  same(asked, files.map((file) => `${folder}/${file}`), "what was asked");
});

test("a token goes to the hub alone and is not kept, a strange id asks nothing, and a request can be cancelled", async () => {
  const page = await openPage({ elsewhere: ["https://huggingface.co/"], expected: /huggingface|status of 40|^40/ });
  const asked = [];
  let answer = "hang";
  await page.route("https://huggingface.co/**", async (route) => {
    const request = route.request();
    if (request.method() === "OPTIONS") {
      return route.fulfill({ status: 204, headers: { "access-control-allow-origin": "*", "access-control-allow-headers": "*" } });
    }
    asked.push([new URL(request.url()).host, (await request.allHeaders()).authorization ?? ""]);
    if (answer === "hang") return undefined;
    return route.fulfill({ status: 401, headers: { "access-control-allow-origin": "*" } });
  });
  await page.locator("#open-import").click();
  await page.locator(".hub summary").click();
  check(await page.locator("#hub-token").isDisabled(), "a token is asked for while the hub is not allowed");
  await page.getByLabel("Let this page ask huggingface.co").check();
  const told = page.locator(".hub [role=status]");
  for (const strange of ["../../x", "a/b/c", "a/b?c"]) {
    await page.locator("#hub-id").fill(strange);
    await page.locator("#hub-fetch").click();
    await told.getByText("organisation/model").waitFor();
  }
  same(asked, [], "what a strange id asked");
  await page.locator("#hub-id").fill("meta-llama/Llama-3.1-8B");
  await page.locator("#hub-token").fill("hf_secret");
  same(await page.locator("#hub-token").getAttribute("type"), "password", "the kind of the field");
  await page.locator("#hub-fetch").click();
  await page.waitForFunction(() => !document.querySelector("#hub-cancel").disabled);
  await page.locator("#hub-cancel").click();
  await told.getByText("Cancelled").waitFor();
  check(await page.locator("#hub-fetch").isEnabled(), "nothing can be fetched after a request was cancelled");
  answer = "refuse";
  await page.locator("#hub-fetch").click();
  await told.getByText("does not let this token read the model").waitFor();
  check(asked.every(([host, token]) => host === "huggingface.co" && token === "Bearer hf_secret"), JSON.stringify(asked));
  const kept = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, location.href, document.cookie]));
  check(!kept.includes("hf_secret"), `the token is kept: ${kept}`);
  await page.keyboard.press("Escape");
  await page.locator("#open-import").click();
  await page.locator(".hub summary").click();
  same(await page.locator("#hub-token").inputValue(), "", "the token after the box was closed");
});

for (const scheme of SCHEMES) {
  for (const width of WIDTHS) {
    test(`the box at ${width} px in ${scheme}`, async () => {
      const page = await openPage({ width, height: width < 600 ? 740 : 900, scheme });
      await page.locator("#open-import").click();
      await page.locator("#import-text").waitFor();
      await capture(page, `import-empty-${width}-${scheme}`, { full: false });
      await paste(page, sample("ds-zero2.json"));
      await capture(page, `import-${width}-${scheme}`, { full: false });
      check(await page.evaluate(() => {
        const dialog = document.querySelector("dialog");
        return dialog.scrollWidth <= dialog.clientWidth;
      }), "the box scrolls sideways");
      if (width !== 768) await accessible(page);
    });
  }
}
