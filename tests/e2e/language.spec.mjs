// The page in Simplified Chinese: chosen by the browser's language or by the button, complete in every tab and dialog, kept
// when it is opened again, and without a fault for axe.

import { openEverything } from "./actions.mjs";
import { SCHEMES, WIDTHS, accessible, capture, check, openPage, reload, same, settled, test } from "./lib/harness.mjs";

const PLACES = {
  training: "",
  inference: "#tab=inference&m=llama-3.1-8b&iet=vllm",
  "multi-node": "#tab=multi-node&m=llama-3.1-8b&en=fsdp&gn=16",
  accuracy: "#tab=accuracy&m=llama-3.1-8b",
};
const chinese = (options = {}) => openPage({ ...options, options: { locale: "zh-CN", ...options.options } });

/**
 * Texts and spoken names that still read as English: two words of small letters that follow each other. What is the same
 * in all languages says so.
 */
const english = (page) => page.evaluate(() => {
  const alone = "[translate=no], code, pre, textarea, script, style, noscript";
  const prose = (text) => {
    let before = false;
    return text.split(/\s+/).some((word) => {
      const own = word.replace(/^[.,:;()?]+|[.,:;()?]+$/g, "");
      const now = own.length > 1 && /^[a-z]+$/.test(own);
      const both = before && now;
      before = now && !/[,;:]$/.test(word);
      return both;
    });
  };
  const found = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.nodeType === Node.TEXT_NODE ? node.parentElement : node;
    if (element.closest(alone)) continue;
    const texts = node.nodeType === Node.TEXT_NODE
      ? [node.data]
      : ["aria-label", "title", "placeholder", "alt", "aria-valuetext"].map((name) => node.getAttribute(name) ?? "");
    // What is typed into a shell, as it is typed.
    const commands = /^vllm serve$/;
    // Sources are named as they name themselves.
    const cited = /arxiv|\w\.(py|rs|jsonl?|cpp|md)\b|torch 2|transformers \d/i;
    for (const text of texts) if (prose(text) && !cited.test(text) && !commands.test(text)) found.add(text.trim());
  }
  return [...found];
});

async function complete(page, where) {
  const left = await english(page);
  check(left.length === 0, `${where}: ${left.length} texts are still English:\n    ${left.join("\n    ")}`);
}

test("a browser in Chinese gets the page in Chinese, the button gives English, and the choice is kept", async () => {
  const page = await chinese();
  same(await page.locator("html").getAttribute("lang"), "zh-Hans", "the language of the document");
  same(await page.locator("h1").innerText(), "GPU 显存计算器", "the name");
  same((await page.locator("#verdict h2").innerText()).trim(), "放得下", "the verdict");
  await page.locator("#language").click();
  same(await page.locator("html").getAttribute("lang"), "en", "the language of the document");
  same(await page.locator("h1").innerText(), "GPU Memory Calculator", "the name in English");
  same((await page.locator("#verdict h2").innerText()).trim(), "Fits", "the verdict in English");
  await reload(page);
  same(await page.locator("h1").innerText(), "GPU Memory Calculator", "the name after a reload");
  await page.locator("#language").click();
  await page.locator("h1", { hasText: "GPU 显存计算器" }).waitFor();
});

test("what changes is said in Chinese, and what is typed stays", async () => {
  const page = await chinese();
  const batch = page.locator("#training-batch-size");
  await batch.fill("many");
  await batch.blur();
  await page.locator("#stale-note").waitFor();
  same(await batch.inputValue(), "many", "what was typed");
  await complete(page, "with an error");
  await batch.fill("64");
  await page.locator("#verdict[data-verdict=does_not_fit]").waitFor();
  same((await page.locator("#verdict h2").innerText()).trim(), "放不下", "the verdict");
  await complete(page, "a question that does not fit");
});

for (const [tab, place] of Object.entries(PLACES)) {
  test(`the ${tab} tab is complete in Chinese, with everything opened`, async () => {
    const page = await chinese({ place });
    await settled(page);
    await complete(page, tab);
    await openEverything(page);
    await complete(page, `${tab}, opened`);
  });
}

test("what stands in a field of its own accord is said in Chinese, too", async () => {
  const page = await chinese({ place: "#tab=inference&iet=vllm" });
  await page.waitForFunction(() => document.querySelector("#model-id").value === "无：自行填写各字段");
  await complete(page, "no model");
});

for (const engine of ["vllm", "sglang", "tensorrt_llm", "tgi", "llama_cpp", "transformers"]) {
  test(`the inference tab is complete in Chinese with ${engine}`, async () => {
    const page = await chinese({ place: `#tab=inference&m=llama-3.1-8b&iet=${engine}` });
    await openEverything(page);
    await complete(page, engine);
  });
}

for (const engine of ["pytorch_ddp", "deepspeed", "megatron_lm", "megatron_deepspeed"]) {
  test(`the training tab is complete in Chinese with ${engine}`, async () => {
    const page = await chinese({ place: `#en=${engine}&gn=8&m=qwen3-30b-a3b` });
    await openEverything(page);
    await complete(page, engine);
  });
}

for (const [opener, dialog] of [["#open-import", "import"], ["#open-export", "export"], ["#open-scenarios", "scenarios"], ["#embed", "embed"]]) {
  test(`the dialog of ${dialog} is complete in Chinese`, async () => {
    const page = await chinese();
    await page.locator(opener).click();
    await page.locator("dialog[open]").waitFor();
    await settled(page);
    await complete(page, dialog);
    await accessible(page);
  });
}

test("an explanation is complete in Chinese", async () => {
  const page = await chinese({ place: "#explain=need" });
  await page.locator("dialog[open]").waitFor();
  await complete(page, "explanation");
});

for (const scheme of SCHEMES) {
  test(`every tab in Chinese in ${scheme} fits every width, without a fault for axe`, async () => {
    for (const width of WIDTHS) {
      for (const [tab, place] of Object.entries(PLACES)) {
        const page = await chinese({ width, scheme, place });
        await capture(page, `zh-${tab}-${width}-${scheme}`);
        const wide = await page.evaluate(() => document.documentElement.scrollWidth);
        check(wide <= width, `${tab} is ${wide} px wide in a window of ${width} px`);
        if (width !== 768) await accessible(page);
      }
    }
  });
}
