// The address holds the whole question: reload, back, forward and a copied link restore inputs and answer.
import { answer, control, set } from "./actions.mjs";
import { address, check, openPage, reload, same, test } from "./lib/harness.mjs";

test("a reload restores every input and the same answer", async () => {
  const page = await openPage();
  await set(page, "model.id", "qwen3-30b-a3b");
  await set(page, "hardware.gpu", "h200-sxm-141gb");
  await set(page, "hardware.num_gpus", 16);
  await set(page, "training.seq_length", 8192);
  await set(page, "training.activation_checkpointing", "full");
  await set(page, "model.num_experts", 64);
  const before = await answer(page);
  await reload(page);
  same(await answer(page), before, "the answer after a reload");
  same(await (await control(page, "model.num_experts")).inputValue(), "64", "a changed field");
  same(await page.locator("#hardware-gpu").inputValue(), "H200 SXM 141GB", "the GPU");
});

test("back and forward go through the questions one by one", async () => {
  const page = await openPage();
  const answers = [await answer(page)];
  for (const [key, value] of [["model.id", "mistral-7b-v0.3"], ["hardware.num_gpus", 4], ["training.batch_size", 3]]) {
    await set(page, key, value);
    answers.push(await answer(page));
  }
  for (const expected of answers.slice(0, -1).reverse()) {
    await page.goBack();
    same(await answer(page), expected, "the answer after going back");
  }
  for (const expected of answers.slice(1)) {
    await page.goForward();
    same(await answer(page), expected, "the answer after going forward");
  }
});

test("typing a number is one step of the history", async () => {
  const page = await openPage();
  const steps = await page.evaluate(() => history.length);
  await page.locator("#hardware-num-gpus").fill("");
  await page.locator("#hardware-num-gpus").pressSequentially("1024");
  same(await page.evaluate(() => history.length), steps + 1, "steps of the history");
});

test("the copied link opens the same question on another page", async () => {
  const page = await openPage();
  await set(page, "training.batch_size", 4);
  await set(page, "training.loss", "chunked");
  await page.getByRole("button", { name: "Share", exact: true }).click();
  const link = await page.evaluate(() => navigator.clipboard.readText());
  check(link.startsWith(await address()), `copied: ${link}`);
  const other = await openPage({ place: new URL(link).hash });
  same(await answer(other), await answer(page), "the answer of the link");
});

test("a tab is part of the address, and the question survives the way there and back", async () => {
  const page = await openPage();
  await set(page, "training.batch_size", 4);
  const before = await answer(page);
  await page.getByRole("tab", { name: "Accuracy" }).click();
  check(page.url().includes("tab=accuracy"), `the address is ${page.url()}`);
  await reload(page);
  same(await page.getByRole("tab", { name: "Accuracy" }).getAttribute("aria-selected"), "true", "the tab after a reload");
  await page.getByRole("tab", { name: "Training" }).click();
  same(await answer(page), before, "the answer after the way there and back");
});

test("a link with an unknown key is read as far as it goes, and says so", async () => {
  const page = await openPage({ place: "#m=llama-3.1-8b&gn=2&en=fsdp&unknown=1" });
  check((await page.locator("#link-notes").innerText()).includes("unknown"), "nothing is said about the unknown key");
  same(await page.locator("#hardware-num-gpus").inputValue(), "2", "a known key of the link");
});
