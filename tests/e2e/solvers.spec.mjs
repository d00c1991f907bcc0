// What would fit: the page finds what the command line finds, and a button takes a value over.
import assert from "node:assert/strict";
import { answerOf, openPage, test } from "./lib/harness.mjs";

test("the page solves as the command line does, and takes the value over", async () => {
  const page = await openPage();
  const printed = JSON.parse(
    await answerOf(["solve", "--model", "llama-3.1-8b", "--engine", "fsdp", "--gpus", "8", "--format", "json"]),
  );
  const { certain, value } = printed.batch_size;
  assert.ok(certain >= 1 && value >= certain);
  const batch = page.locator("#solved-batch button").first();
  await batch.waitFor();
  assert.equal(Number((await batch.innerText()).replaceAll(",", "")), certain);
  const card = page.locator("#solved-card button").first();
  await card.waitFor();
  assert.ok((await card.innerText()).length > 0);

  await batch.click();
  const field = page.locator("#training-batch-size");
  assert.equal(await field.inputValue(), String(certain));
  assert.equal(await page.locator("#verdict").getAttribute("data-verdict"), "fits");
});
