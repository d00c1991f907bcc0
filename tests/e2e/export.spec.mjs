// The menu of exports: the files are those of the command line, to the letter, in every tab that asks a question.
import { readFile } from "node:fs/promises";
import { SCHEMES, WIDTHS, accessible, answerOf, capture, check, openPage, same, test } from "./lib/harness.mjs";
import { link } from "./registry.mjs";

const TRAINING = { model: { id: "llama-3.1-8b" }, engine: { type: "deepspeed", zero_stage: 3 }, hardware: { num_gpus: 8 } };
const SERVING = { model: { id: "llama-3.1-8b" }, inference: { engine_type: "vllm", max_seq_len: 8192 }, hardware: { num_gpus: 2 } };

/** What a click saves. */
async function saved(page, selector) {
  const [download] = await Promise.all([page.waitForEvent("download"), page.locator(selector).click()]);
  return { name: download.suggestedFilename(), text: await readFile(await download.path(), "utf8") };
}

async function menu(request, tab) {
  const place = (await link(request)).replace("#", tab ? `#tab=${tab}&` : "#");
  const page = await openPage({ place });
  await page.locator("#open-export").click();
  await page.locator("#export-text").waitFor();
  return page;
}

test("every file is that of the command line, copied and saved", async () => {
  const page = await menu(TRAINING);
  const formats = await page.locator('[name="export-format"]').evaluateAll((all) => all.map((one) => one.value));
  for (const format of ["accelerate", "deepspeed", "axolotl", "slurm", "json", "yaml", "csv", "markdown"]) {
    check(formats.includes(format), `${format} is not among ${formats}`);
    await page.locator(`#export-${format}`).check();
    const expected = await answerOf(["export", format, "--config", "-"], JSON.stringify(TRAINING));
    same((await page.locator("#export-text").textContent()).trim(), expected.trim(), format);
  }
  check(!formats.includes("vllm"), "a target of serving is offered for training");
  check((await page.locator(".export-others").innerText()).includes("vLLM"), "the others are not named");
  await page.locator("#export-deepspeed").check();
  const expected = await answerOf(["export", "deepspeed", "--config", "-"], JSON.stringify(TRAINING));
  const file = await saved(page, "#export-download");
  same(file, { name: "ds_config.json", text: expected }, "the saved file");
  await page.locator("#export-copy").click();
  same(await page.evaluate(() => navigator.clipboard.readText()), expected, "the clipboard");
  await accessible(page);
});

test("the inference tab exports its own question, the multi-node tab that of training", async () => {
  let page = await menu(SERVING, "inference");
  await page.locator("#export-vllm").check();
  check((await page.locator("#export-text").textContent()).includes("vllm serve"), "no command of vLLM");
  page = await menu(TRAINING, "multi-node");
  await page.locator("#export-kubernetes").check();
  check((await page.locator("#export-text").textContent()).includes("nvidia.com/gpu"), "no Kubernetes object");
});

test("what an export cannot say stands beside it", async () => {
  const page = await menu({ ...TRAINING, training: { seq_length: 8192, loss: "chunked" } });
  await page.locator("#export-deepspeed").check();
  const notes = await page.locator("#export-notes").textContent();
  check(notes.includes("training.seq_length") && notes.includes("training.loss"), notes);
});

test("a drawing of the page is saved as SVG and PNG, with its labels", async () => {
  const page = await openPage({ place: await link(TRAINING) });
  await page.locator("#instants.plot, figure.plot").first().waitFor();
  await page.locator("#open-export").click();
  await page.locator(".export-group", { hasText: "Drawings" }).locator("input").first().check();
  const { name, text } = await saved(page, "#export-svg");
  check(name.endsWith(".svg") && text.startsWith("<svg") && text.includes(">Optimizer"), `${name}: ${text.slice(0, 300)}`);
  const [download] = await Promise.all([page.waitForEvent("download"), page.locator("#export-png").click()]);
  const bytes = await readFile(await download.path());
  same(bytes.subarray(1, 4).toString(), "PNG", "the kind of the file");
  check(bytes.length > 5000, `${bytes.length} bytes`);
});

test("a question that is not valid says why it cannot be exported", async () => {
  const page = await openPage();
  await page.locator("#hardware-num-gpus").fill("many");
  await page.locator("#open-export").click();
  await page.locator("dialog.dialog").getByText("Correct the marked fields").waitFor();
});

for (const scheme of SCHEMES) {
  for (const width of WIDTHS) {
    test(`the menu at ${width} px in ${scheme}`, async () => {
      const page = await openPage({ width, height: width < 600 ? 740 : 900, scheme });
      await page.locator("#open-export").click();
      await page.locator("#export-text").waitFor();
      await capture(page, `export-${width}-${scheme}`, { full: false });
      if (width !== 768) await accessible(page);
    });
  }
}

test("the question is saved under the name that the original used, with the time in it", async () => {
  const page = await menu(TRAINING);
  await page.locator("#export-json").check();
  const before = Date.now();
  const file = await saved(page, "#export-download");
  const [, time] = /^gpu-mem-config-([0-9]+)\.json$/.exec(file.name) ?? [];
  check(Number(time) >= before && Number(time) <= Date.now(), file.name);
  same(JSON.parse(file.text).engine.type, "deepspeed", "what is in it");
});

test("the answer is copied as an image and saved as one, with verdict, need and meters", async () => {
  const page = await menu(TRAINING);
  await page.locator("#export-answer").check();
  const shown = page.locator(".export-drawing > svg");
  const text = await shown.textContent();
  for (const word of ["Fits", "GiB", "Allocated", "Reserved", "Device"]) check(text.includes(word), `the picture says ${text}`);
  await page.locator("#export-copy-image").click();
  await page.getByText("The picture was copied.").waitFor({ state: "attached" });
  const copied = () => page.evaluate(async () => {
    const [item] = await navigator.clipboard.read();
    if (!item?.types.includes("image/png")) return null;
    const bitmap = await createImageBitmap(await item.getType("image/png"));
    return [bitmap.width, bitmap.height];
  });
  let size = await copied();
  for (let tries = 0; tries < 50 && !size; tries += 1) {
    await page.waitForTimeout(100);
    size = await copied();
  }
  const [width, height] = size ?? [0, 0];
  check(width > 1000 && height > 500, `the picture has ${width} by ${height} pixels`);
  const [download] = await Promise.all([page.waitForEvent("download"), page.locator("#export-png").click()]);
  same(download.suggestedFilename(), "answer.png", "the name");
  await page.locator(".export-drawing").screenshot({ path: `${process.env.SCREENSHOTS ?? "target/screenshots"}/export-answer.png` });
});

test("on paper stands the answer, in full width and dark on white", async () => {
  const page = await openPage({ place: await link(TRAINING), scheme: "dark" });
  await page.waitForSelector("#curve");
  await page.emulateMedia({ media: "print" });
  const hidden = await page.evaluate(() => [".header", "#all-settings", ".plot-save button", "#reset"]
    .filter((selector) => document.querySelector(selector)?.checkVisibility()));
  same(hidden, [], "what is printed and should not be");
  const dark = (colour) => colour.match(/[0-9.]+/g).slice(0, 3).map(Number).reduce((sum, part) => sum + part, 0) < 300;
  let text = "";
  for (let tries = 0; tries < 20 && !(text && dark(text)); tries += 1) {
    text = await page.evaluate(() => getComputedStyle(document.querySelector("#glance-title")).color);
    await page.waitForTimeout(50);
  }
  check(dark(text), `the text is ${text}`);
  const state = await page.evaluate(() => ({
    verdict: document.querySelector("#verdict").checkVisibility(),
    wide: document.documentElement.scrollWidth <= document.documentElement.clientWidth,
    apart: document.querySelector("#answer").getBoundingClientRect().top
      >= document.querySelector("#questions").getBoundingClientRect().bottom - 1,
  }));
  same([state.verdict, state.wide, state.apart], [true, true, true], "the page on paper");
  const paper = await page.pdf({ format: "A4", printBackground: true });
  check(paper.length > 20_000, `the PDF has ${paper.length} bytes`);
  await page.screenshot({ path: `${process.env.SCREENSHOTS ?? "target/screenshots"}/print.png`, fullPage: true });
});
