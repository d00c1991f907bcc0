// What others write: names, links, files and texts with markup in them. All of it is shown as text, and nothing of it runs.
import { drop, paste } from "./actions.mjs";
import { check, openPage, same, test } from "./lib/harness.mjs";

const EVIL = `"'><img src=x onerror="window.ran=1"><script>window.ran=1</script><svg onload="window.ran=1">`;

/** Whether anything became more than text. */
async function harmless(page, what) {
  await page.waitForTimeout(150);
  const found = await page.evaluate(() => [
    window.ran === undefined,
    document.querySelectorAll("img[src='x'], [onerror], [onload], body script:not([src])").length,
  ]);
  same(found, [true, 0], what);
}

test("markup in links, files, names and texts stays text, and nothing of it runs", async () => {
  const evil = encodeURIComponent(EVIL);
  const page = await openPage({ place: `#${evil}=1&s=${evil}&m=${evil}&gu=${evil}` });
  await harmless(page, "a link");
  check((await page.locator("body").innerText()).includes("onerror"), "what the link says is not shown");
  const config = {
    model_type: "llama", architectures: ["LlamaForCausalLM"], _name_or_path: EVIL, torch_dtype: EVIL, [EVIL]: EVIL,
    hidden_size: 512, num_hidden_layers: 2, num_attention_heads: 8, intermediate_size: 1024, vocab_size: 1000,
  };
  for (const [what, text] of [
    ["a config.json", JSON.stringify(config)],
    ["an architecture", JSON.stringify({ ...config, model_type: EVIL, architectures: [EVIL] })],
    ["a question", JSON.stringify({ model: { id: EVIL, name: EVIL, [EVIL]: EVIL }, training: { optimizer: EVIL }, [EVIL]: { a: 1 } })],
    ["a command", `vllm serve '${EVIL.replaceAll("'", "")}' --quantization '${EVIL.replaceAll("'", "")}' --no-such-thing=${EVIL}`],
    ["YAML", `base_model: ${JSON.stringify(EVIL)}\nmicro_batch_size: 1\n${JSON.stringify(EVIL)}: 1\nfsdp_version: 2\n`],
    ["a log", `INFO Model loading took ${EVIL} GiB\nINFO Starting to load model ${EVIL}...\ntorch.OutOfMemoryError: CUDA out of memory. ${EVIL}`],
  ]) {
    await paste(page, text);
    await harmless(page, `${what}, listed`);
    const apply = page.locator("#import-apply");
    if (await apply.count()) await apply.click();
    else await page.keyboard.press("Escape");
    await page.locator("dialog[open]").waitFor({ state: "hidden" });
    await harmless(page, `${what}, applied`);
  }
  await drop(page, `${EVIL.replaceAll("/", "")}.json`, JSON.stringify(config));
  await page.locator("#import-result [data-kind]").waitFor();
  await harmless(page, "a file");
});

test("text becomes markup or a script's address only where the page itself makes it", async () => {
  const page = await openPage({ expected: /Trusted|Content Security Policy/ });
  const tried = await page.evaluate(() => [
    () => (document.createElement("div").innerHTML = "<img src=x onerror=window.ran=1>"),
    () => (document.createElement("div").innerHTML = "<svg><text a='>' onload=window.ran=1>x</text></svg>"),
    () => (document.createElement("div").innerHTML = "<iframe srcdoc='x'></iframe>"),
    () => (document.createElement("div").innerHTML = "<a href='javascript:window.ran=1'>x</a>"),
    () => new Worker("https://example.org/worker.js"),
    () => (document.createElement("script").src = "https://example.org/script.js"),
    () => trustedTypes.createPolicy("other", {}),
  ].map((act) => {
    try {
      act();
      return "passed";
    } catch (error) {
      return error.name;
    }
  }));
  same(new Set(tried), new Set(["TypeError"]), `what was tried: ${tried}`);
  check(await page.evaluate(() => window.ran === undefined), "something ran");
});
