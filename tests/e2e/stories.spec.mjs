// Stories of people who come with a question (reference/landscape.md, section 6), each walked as a newcomer on a desktop and on
// a phone: the page must say the answer plainly, where the person looks.
import { choose, chooseModel, set } from "./actions.mjs";
import { capture, check, openPage, reload, same, test } from "./lib/harness.mjs";

const SIZES = [["desktop", 1440, 900], ["phone", 360, 740]];

/** Registers a story for both sizes. */
const story = (name, walk) => {
  for (const [device, width, height] of SIZES) {
    test(`story, ${device}: ${name}`, async () => {
      const page = await openPage({ width, height, newcomer: true });
      await walk(page, device);
      await capture(page, `story-${device}-${name.replaceAll(/[^a-z0-9]+/gi, "-").slice(0, 40).toLowerCase()}`, { full: false });
    });
  }
};

const text = (page, selector) => page.locator(selector).first().innerText();
const says = async (page, selector, pattern) => {
  await page.locator(selector).first().waitFor();
  await page.waitForFunction(([selector, source]) => {
    const found = document.querySelector(selector);
    return found && new RegExp(source, "is").test(found.innerText);
  }, [selector, pattern.source]).catch(async () => {
    throw new Error(`${selector} says ${JSON.stringify(await text(page, selector))}, not ${pattern}`);
  });
};
const tab = (page, name) => page.getByRole("tab", { name }).click();

story("QLoRA of a 70B on two 24 GB cards", async (page) => {
  await chooseModel(page, "llama-3.1-70b");
  await choose(page, "hardware-gpu", "rtx-4090", "rtx-4090");
  await set(page, "hardware.num_gpus", 2);
  await set(page, "training.seq_length", 512);
  await page.getByRole("button", { name: "QLoRA", exact: true }).click();
  await says(page, "#verdict", /(Fits|Tight|Does not fit).*needs [0-9.]+ – [0-9.]+ GiB.* of 2[0-9.]+ GiB per GPU/);
  // If it does not fit, what would; if it does, how far it goes.
  await says(page, "#fixes", /(What would make it fit|To save memory)/);
  // Only adapters train: no 16 bytes for each parameter.
  await page.locator('[data-rule="states"]').waitFor();
  await says(page, '[data-rule="states"]', /only the adapter/);
});

story("why does vLLM take 90 % of my H100", async (page) => {
  await tab(page, "Inference");
  await choose(page, "hardware-gpu", "h100 sxm", "h100-sxm-80gb");
  await set(page, "inference.engine_type", "vllm");
  await says(page, "#why-so-much", /takes 7[0-9.]+ GiB of the card whatever is asked.*cached tokens.*need/);
  await says(page, "#learn", /Why the engine takes so much.*what it is allowed/);
});

story("every expert of Mixtral is held while it serves, and the number opens", async (page) => {
  await tab(page, "Inference");
  await chooseModel(page, "mixtral-8x7b");
  await choose(page, "hardware-gpu", "h100 sxm", "h100-sxm-80gb");
  await set(page, "inference.engine_type", "vllm");
  await page.locator('[data-explains="part-weights"]').first().click();
  // 46.7 billion parameters in 16 bits, not the 12.9 that work on a token.
  await says(page, "#explained", /8[67]\.[0-9]+ GiB.*What it is made of.*weights of one rank/);
});

story("the longest context for Gemma 3 27B on one L40S", async (page) => {
  await tab(page, "Inference");
  await chooseModel(page, "gemma-3-27b");
  await choose(page, "hardware-gpu", "l40s", "l40s");
  // 27 billion parameters in 16 bits are more than 48 GB: the page says so, and which format fits.
  await says(page, "#verdict", /Does not fit/);
  await page.locator("#fixes").waitFor();
  const fix = page.locator("#fixes button").filter({ hasText: /^Apply$/ }).first();
  await fix.click();
  await says(page, "#capacity-table", /Longest sequence with so many at once, in tokens\s+[1-9][0-9,]+/);
  await says(page, "#curve-description", /It can fit (up to [0-9,]+ tokens|at all)/);
});

story("compare ZeRO-2 and ZeRO-3", async (page) => {
  await set(page, "engine.type", "deepspeed");
  const ours = async (stage) => {
    const rule = page.locator(`[data-rule="zero_${stage}"]`);
    await rule.waitFor();
    return Number(await rule.getAttribute("data-ours"));
  };
  const [two, three] = [await ours(2), await ours(3)];
  check(two > three, `stage 2 holds ${two} and stage 3 ${three}`);
  await says(page, '[data-rule="zero_3"]', /rule [0-9.]+ GiB.*here [0-9.]+ GiB.*leaves out the layers that are gathered/);
});

story("how many GPUs for full fine-tuning of an 8B model", async (page) => {
  await page.locator("#solved-gpus button").first().waitFor();
  check(Number(await text(page, "#solved-gpus button")) >= 1, "no number of GPUs");
  await page.locator('[data-along="num_gpus"]').click();
  await says(page, "#curve-description", /It can fit from [0-9]+ GPUs? on; [0-9]+ do not suffice|It can fit at all/);
  // With the keyboard from point to point, and a value is taken over.
  const reader = page.locator("#curve-reader");
  await reader.focus();
  const first = await reader.getAttribute("aria-valuetext");
  await page.keyboard.press("End");
  const last = await reader.getAttribute("aria-valuetext");
  check(first !== last && /GPUs.*needs .* GiB/.test(last), `the plot reads ${first} and ${last}`);
  await page.getByRole("button", { name: /^Use [0-9,]+ GPUs/ }).click();
  same((await page.locator("#hardware-num-gpus").inputValue()).replaceAll(",", ""), last.replaceAll(",", "").match(/^[0-9]+/)[0], "GPUs");
});

story("nvidia-smi, allocated or reserved: which is right", async (page) => {
  await says(page, "#meters", /Allocated\s+torch: max_memory_allocated.*Reserved.*Device\s+what nvidia-smi shows/);
  await page.locator('[data-meter="device"] .figure').click();
  await says(page, "#explained", /Device.*nvidia-smi shows for the process.*CUDA context/);
  await page.keyboard.press("Escape");
  await page.locator("#explained").waitFor({ state: "hidden" });
});

story("which tensor is it that breaks the step", async (page) => {
  await set(page, "training.batch_size", 8);
  await says(page, "#binding-instant", /Tightest at .+: [0-9.]+ GiB allocated/);
  await page.locator("#binding-instant .figure").click();
  await says(page, "#explained", /It is the tightest.*the largest first/);
  const first = page.locator(".explained-line").first();
  await first.locator("summary").click();
  await says(page, ".explained-line[open]", /Formula.*=.*B.*Source/);
});

story("show me the equation, and let me send it to a colleague", async (page) => {
  await page.locator('#breakdown-table [data-explains="group-activations"]').click();
  await says(page, "#explained", /Activations.*GiB.*What it is made of/);
  check(page.url().includes("explain=group-activations"), `the address is ${page.url()}`);
  await reload(page);
  await says(page, "#explained", /Activations.*GiB.*What it is made of/);
  await page.locator("#explained-close").click();
  check(!page.url().includes("explain="), "the address still names the number");
});

story("a mixture of experts before renting: Mixtral on 16 H100s", async (page) => {
  await chooseModel(page, "mixtral-8x7b");
  await set(page, "hardware.num_gpus", 16);
  await says(page, "#verdict", /needs [0-9.]+ – [0-9.]+ GiB/);
  await says(page, '[data-rule="experts"]', /adding experts does not shrink/);
  await says(page, "#accuracy-line", /checked on [0-9]+/);
});

story("my log says OOM", async (page, device) => {
  await chooseModel(page, "llama-3.1-8b");
  await set(page, "hardware.num_gpus", 1);
  await page.locator("#open-import").click();
  await page.locator("#import-text").fill("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.96 GiB. GPU 0 has a total capacity of 79.10 GiB of which "
    + "1.21 GiB is free. Including non-PyTorch memory, this process has 77.88 GiB memory in use. Of the allocated memory 73.93 GiB is allocated by PyTorch, "
    + "and 3.41 GiB is reserved by PyTorch but unallocated.");
  // What the message means: it was at least so much, and this is what is predicted.
  await says(page, "#import-result", /at least [0-9.]+ GiB.*predicted/);
  await page.keyboard.press("Escape");
  // The page agrees that it does not fit, says what takes the memory and what to change.
  await says(page, "#verdict", /Does not fit/);
  await says(page, "#binding-instant", /Tightest at/);
  await says(page, "#fixes", /What would make it fit/);
  await page.locator("#fixes button").filter({ hasText: /^Apply$/ }).first().click();
  await page.locator("#verdict:not([data-verdict=does_not_fit])").waitFor();
  if (device === "phone") await says(page, "#pinned", /(Fits|Tight)/);
});

story("what does a longer sequence cost, before I change it", async (page, device) => {
  await set(page, "training.seq_length", 8192);
  await says(page, '[data-input="training.seq_length"] .field-effect', /^\+[0-9.]+ GiB$/);
  await says(page, "#curve-description", /It can fit (up to [0-9,]+ tokens|at all)/);
  if (device === "phone") {
    await page.locator("#pinned button").click();
    await says(page, "#pinned-sheet", /Allocated.*Reserved.*Device.*Tightest at/);
  }
});
