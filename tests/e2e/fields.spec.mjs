// Fields that come with something beside them: words for a number, a slider, a text that counts, help that goes away.
import { answer, control, controlId, outcome, set } from "./actions.mjs";
import { check, openPage, same, test } from "./lib/harness.mjs";

const said = (page) => page.locator("#spoken-answer").innerText();

test("layers, hidden size, heads, vocabulary and sequence take numbers or text such as 8k, and each changes the answer", async () => {
  const page = await openPage({ place: "#m=llama-2-7b&gn=8&en=fsdp" });
  for (const [key, value] of [
    ["model.num_layers", "40"],
    ["model.hidden_size", "8k"],
    ["model.num_attention_heads", "64"],
    ["model.vocab_size", "128k"],
    ["training.seq_length", "8k"],
  ]) {
    const before = (await answer(page)).totals["per-gpu"];
    await set(page, key, value);
    same((await answer(page)).stale, false, `${key} = ${value} is an answer`);
    check((await answer(page)).totals["per-gpu"] !== before, `${key} = ${value} changes nothing`);
  }
});

test("a mixture of experts is switched on and off, and the page says how many of how many experts work on a token", async () => {
  const page = await openPage({ place: "#m=llama-2-7b&gn=8&en=fsdp" });
  same(await page.locator("#model-routed").innerText(), "", "a dense model");
  const dense = (await answer(page)).totals["per-gpu"];
  await set(page, "model.moe_enabled", "true");
  await page.getByText("2 of 8 experts active per token.").waitFor();
  check((await answer(page)).totals["per-gpu"] > dense, "experts cost nothing");
  for (const [key, value, words] of [["model.num_experts", "16", "2 of 16 experts"], ["model.top_k", "4", "4 of 16 experts"]]) {
    await set(page, key, value);
    await page.getByText(`${words} active per token.`).waitFor();
  }
  for (const [key, value] of [["model.expert_intermediate_size", "1024"], ["model.shared_expert_intermediate_size", "2048"]]) {
    const before = (await answer(page)).totals["per-gpu"];
    await set(page, key, value);
    check((await answer(page)).totals["per-gpu"] !== before, `${key} changes nothing`);
  }
  await set(page, "model.moe_enabled", "false");
  same(await page.locator("#model-routed").innerText(), "", "dense again");
});

test("the slider of the micro-batch goes from 1 to 128 in step with its field, which may go beyond", async () => {
  const page = await openPage();
  const field = page.locator("#training-batch-size");
  const slider = page.locator("#training-batch-size-slider");
  same(await slider.evaluate(({ min, max, step, value }) => [min, max, step, value]), ["1", "128", "1", "1"], "the slider");
  await slider.fill("16");
  same(await field.inputValue(), "16", "the field after the slider");
  await slider.press("ArrowRight");
  same(await field.inputValue(), "17", "the field after a key");
  await field.fill("64");
  same(await slider.inputValue(), "64", "the slider after the field");
  await field.fill("300");
  same(await slider.inputValue(), "128", "the slider at its end");
  same((await answer(page)).stale, false, "300 is an answer");
});

test("recomputation is chosen by name, and the numbers 0 to 4 of older files stand for a name", async () => {
  for (const [number, name] of [[0, "none"], [1, "selective"], [2, "selective"], [3, "every_n"], [4, "full"]]) {
    const page = await openPage({ place: `#m=llama-2-7b&gn=8&en=fsdp&ck=${number}` });
    const menu = await control(page, "training.activation_checkpointing");
    same(await menu.inputValue(), name, `number ${number}`);
    same((await answer(page)).stale, false, `number ${number} is an answer`);
    if (number > 0) continue;
    const help = page.locator(`#${controlId("training.activation_checkpointing")}-help`);
    check((await help.textContent()).includes("0 none, 1 and 2 selective, 3 full for half of the layers, 4 full"), "the help does not say it");
  }
});

test("help opens with the keyboard, stays while it is read, and goes away with Escape", async () => {
  const page = await openPage();
  const button = page.locator('.help-button[aria-controls="training-seq-length-help"]');
  const help = page.locator("#training-seq-length-help");
  same(await help.isVisible(), false, "help at first");
  await button.focus();
  await page.keyboard.press("Enter");
  same([await help.isVisible(), await button.getAttribute("aria-expanded")], [true, "true"], "help after Enter");
  await page.mouse.move(5, 5);
  await help.hover();
  same(await help.isVisible(), true, "help under the pointer");
  await page.keyboard.press("Escape");
  same([await help.isVisible(), await button.getAttribute("aria-expanded")], [false, "false"], "help after Escape");
  same(await button.evaluate((own) => own === document.activeElement), true, "the focus stays");
  // Who does not see it open hears it with the field.
  check((await page.locator("#training-seq-length").getAttribute("aria-describedby")).includes("training-seq-length-help"), "the field does not name its help");
});

test("a screen reader hears each change once, politely, in every tab with an answer", async () => {
  for (const [place, key, values] of [
    ["", "training.seq_length", ["4096", "many", "8192"]],
    ["#tab=inference&m=llama-3.1-8b&iet=vllm", "inference.batch_size", ["8", "16", "32"]],
  ]) {
    const page = await openPage({ place });
    const live = page.locator("#spoken-answer");
    same(await live.getAttribute("role"), "status", "its role");
    await page.evaluate(() => {
      window.heard = [];
      new MutationObserver(() => window.heard.push(document.querySelector("#spoken-answer").textContent))
        .observe(document.querySelector("#spoken-answer"), { childList: true, characterData: true, subtree: true });
    });
    const field = await control(page, key);
    for (const [index, value] of values.entries()) {
      const before = await outcome(page);
      await field.fill(value);
      await page.waitForFunction((count) => window.heard.length >= count, index + 1);
      await page.waitForTimeout(400);
      check((await outcome(page)) !== before, `${value} changes nothing`);
    }
    const heard = await page.evaluate(() => window.heard);
    same(heard.length, values.length, `${place}: heard ${JSON.stringify(heard)}`);
    check(/needs [0-9.]+ .*GiB/.test(await said(page)), await said(page));
  }
});

test("the layout does not depend on which tabs were open before", async () => {
  const TABS = ["Training", "Inference", "Multi-node", "Accuracy"];
  const page = await openPage({ width: 1400, height: 1000 });
  const places = async () => {
    const found = {};
    for (const tab of TABS) {
      await page.getByRole("tab", { name: tab }).click();
      await page.waitForFunction(() => !document.querySelector(".part-waiting"));
      await page.evaluate(() => scrollTo(0, 0));
      found[tab] = await page.evaluate(() => {
        const panel = document.querySelector("[role=tabpanel]:not([hidden])");
        return ["#questions", "#answer", ":scope > *"].map((selector) => {
          const box = panel.querySelector(selector)?.getBoundingClientRect();
          return box ? [box.left, box.width].map(Math.round) : null;
        });
      });
      const top = await page.evaluate(() => {
        const panel = document.querySelector("[role=tabpanel]:not([hidden])");
        return (panel.querySelector("#answer") ?? panel.firstElementChild).getBoundingClientRect().top;
      });
      check(top >= 0 && top < 1000, `${tab}: the results begin at ${top} px`);
    }
    return found;
  };
  const first = await places();
  same(await places(), first, "the columns after all tabs were open");
});
