// What is typed stays in its field, valid or not; what is wrong stands beside it; the last valid answer is marked as
// belonging to the previous input until the field is right again.
import { answer, control, controlId, set } from "./actions.mjs";
import { check, openPage, reload, same, test } from "./lib/harness.mjs";

const WRONG = [
  ["training.batch_size", "-3"],
  ["training.batch_size", "many"],
  ["training.seq_length", "0"],
  ["training.seq_length", "4k tokens"],
  ["hardware.num_gpus", "1.5"],
  ["model.hidden_size", "wide"],
  ["model.num_key_value_heads", "7"],
  ["model.num_parameters", "7X"],
  ["hardware.used_memory_gb", "NaN"],
  ["training.momentum", "1e999"],
];

for (const [key, wrong] of WRONG) {
  test(`${key} = ${wrong} stays, has a message, and the answer is marked as the previous one`, async () => {
    const page = await openPage();
    const before = await answer(page);
    check(before !== null && !before.stale, "the page starts without a current answer");
    await set(page, key, wrong);
    const field = await control(page, key);
    same(await field.inputValue(), wrong, "what stands in the field");
    same(await field.getAttribute("aria-invalid"), "true", "aria-invalid");
    const id = `${controlId(key)}-message`;
    const message = page.locator(`#${id}`);
    check((await message.innerText()).trim().length > 10, "no message beside the field");
    check((await field.getAttribute("aria-describedby")).split(" ").includes(id), "the message does not describe the field");
    const marked = await answer(page);
    same(marked.stale, true, "the answer is marked");
    check(await page.locator("#stale-note").isVisible(), "no note on the answer");
    same(marked.meters, before.meters, "the meters are those of the previous input");
    same(marked.ledger, before.ledger, "the ledger is that of the previous input");

    await reload(page);
    const again = await control(page, key);
    same(await again.inputValue(), wrong, "what stands in the field after a reload");
    await again.fill("");
    await again.blur();
    same((await answer(page)).stale, false, "the answer is current again");
    same(await page.locator(`#${id}.messages .message-error`).count(), 0, "messages of a field that is right");
  });
}

test("a message about a wrong number of GPUs offers a correction that one click applies", async () => {
  const page = await openPage();
  await set(page, "parallelism.data_parallel_size", "3");
  check((await answer(page)).stale, "a wrong mesh is answered");
  await page.locator("#errors, .messages").getByRole("button", { name: /^Set / }).first().click();
  same((await answer(page)).stale, false, "the answer is current again");
});
