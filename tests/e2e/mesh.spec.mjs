// The mesh: sizes as buttons with the reason where one does not work, and the schedule of a pipeline.

import { answer, control, set } from "./actions.mjs";
import { accessible, check, openPage, same, test } from "./lib/harness.mjs";

const row = (page, size) => page.locator(`[data-mesh="parallelism.${size}_size"]`);

test("a size of the mesh is taken at once, and one that does not work says why", async () => {
  const page = await openPage();
  await set(page, "engine.type", "megatron_lm");
  await control(page, "parallelism.tensor_parallel_size");
  const tensor = row(page, "tensor_parallel");
  await tensor.waitFor();
  same(await tensor.getByRole("button").allInnerTexts(), ["1", "2", "4", "8"], "sizes of 8 GPUs");
  await tensor.getByRole("button", { name: "2", exact: true }).click();
  same(await (await control(page, "parallelism.tensor_parallel_size")).inputValue(), "2", "the field");
  check(!(await answer(page)).stale, "the size is refused");
  // A dense model has no experts to divide.
  await row(page, "expert_parallel").locator('[aria-disabled="true"]').first().focus();
  await page.keyboard.press("Enter");
  const reason = page.locator('#mesh-sizes [role="status"]');
  check(/expert/i.test(await reason.innerText()), `the reason is ${await reason.innerText()}`);
  check(!(await answer(page)).stale, "a size that does not work was taken");
  await accessible(page);
});

test("the schedule of a pipeline shows what is in flight, and says the same as its table", async () => {
  const page = await openPage();
  check((await page.locator("#schedule").count()) === 0, "a schedule without a pipeline");
  await set(page, "engine.type", "megatron_lm");
  await set(page, "parallelism.pipeline_parallel_size", 4);
  await set(page, "training.gradient_accumulation_steps", 8);
  await page.waitForSelector("#schedule");
  const reader = page.locator("#schedule-reader");
  await reader.focus();
  await page.keyboard.press("Home");
  const first = await reader.getAttribute("aria-valuetext");
  same(first, "step 0: in flight by rank 1, 0, 0, 0", "the first step");
  await page.locator("#schedule .twin summary").click();
  await page.waitForSelector("#schedule .twin tbody tr");
  const flying = await page.locator("#schedule .twin tbody td.number").allInnerTexts();
  same(flying, ["4", "3", "2", "1"], "most in flight under 1F1B");
  await accessible(page);
});
