// Files with weights: only the header is read, whatever the size of the file.
import { capture, check, openPage, same, test } from "./lib/harness.mjs";

const u32 = (number) => { const bytes = Buffer.alloc(4); bytes.writeUInt32LE(number); return bytes; };
const u64 = (number) => { const bytes = Buffer.alloc(8); bytes.writeBigUInt64LE(BigInt(number)); return bytes; };
const text = (words) => Buffer.concat([u64(Buffer.byteLength(words)), Buffer.from(words)]);

/** The header of a GGUF file of a small Llama with F16 weights, and the bytes of its tensors. */
function gguf() {
  const [layers, hidden, wide, vocabulary, heads, groups] = [4, 512, 1408, 32000, 8, 4];
  const keys = [
    ["general.architecture", 8, text("llama")],
    ["general.name", 8, text("own model")],
    ["general.file_type", 4, u32(1)],
    ...Object.entries({ block_count: layers, context_length: 4096, embedding_length: hidden, feed_forward_length: wide,
      "attention.head_count": heads, "attention.head_count_kv": groups, vocab_size: vocabulary })
      .map(([key, value]) => [`llama.${key}`, 4, u32(value)]),
  ];
  const kv = (hidden / heads) * groups;
  const tensors = [["token_embd", [hidden, vocabulary]], ["output_norm", [hidden]], ["output", [hidden, vocabulary]]];
  for (let at = 0; at < layers; at += 1) {
    for (const [name, shape] of [["attn_norm", [hidden]], ["ffn_norm", [hidden]], ["attn_q", [hidden, hidden]], ["attn_k", [hidden, kv]],
      ["attn_v", [hidden, kv]], ["attn_output", [hidden, hidden]], ["ffn_gate", [hidden, wide]], ["ffn_up", [hidden, wide]], ["ffn_down", [wide, hidden]]]) {
      tensors.push([`blk.${at}.${name}`, shape]);
    }
  }
  let offset = 0;
  const listed = tensors.map(([name, shape]) => {
    const norm = shape.length === 1;
    const entry = Buffer.concat([text(`${name}.weight`), u32(shape.length), ...shape.map(u64), u32(norm ? 0 : 1), u64(offset)]);
    offset += Math.ceil((shape.reduce((all, one) => all * one, norm ? 4 : 2)) / 32) * 32;
    return entry;
  });
  const head = [Buffer.from("GGUF"), u32(3), u64(tensors.length), u64(keys.length)];
  return Buffer.concat([...head, ...keys.flatMap(([key, kind, value]) => [text(key), u32(kind), value]), ...listed]);
}

/** The beginning of a safetensors file. */
function safetensors() {
  const header = JSON.stringify({ "model.embed_tokens.weight": { dtype: "BF16", shape: [32000, 512], data_offsets: [0, 32768000] } });
  return Buffer.concat([u64(header.length), Buffer.from(header)]);
}

/** Drops a file that begins so and is 40 GiB larger: its zeros share one piece of memory. */
function dropLarge(page, name, start) {
  return page.evaluate(([name, start]) => {
    const piece = new Blob([new Uint8Array(16 * 2 ** 20)]);
    const gib = new Blob(Array(64).fill(piece));
    const file = new File([new Uint8Array(start), ...Array(40).fill(gib)], name);
    const data = new DataTransfer();
    data.items.add(file);
    const since = performance.now();
    for (const kind of ["dragover", "drop"]) {
      document.querySelector("#main").dispatchEvent(new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true }));
    }
    return since;
  }, [name, [...start]]);
}

for (const [name, start, kind] of [["model.gguf", gguf(), "gguf"], ["model.safetensors", safetensors(), "safetensors"]]) {
  test(`of a ${kind} file of 40 GiB only the header is read`, async () => {
    const page = await openPage();
    await page.locator("#open-import").click();
    await page.locator("#import-text").waitFor();
    await page.keyboard.press("Escape");
    const since = await dropLarge(page, name, start);
    await page.locator(`#import-result [data-kind="${kind}"]`).waitFor();
    const took = await page.evaluate((since) => performance.now() - since, since);
    check(took < 3000, `it took ${took} ms`);
    const card = await page.locator(".intake-file").innerText();
    check(card.includes(name) && /of which the first [0-9,]+ were read/.test(card), card);
    const read = Number(card.match(/first ([0-9,]+)/)[1].replaceAll(",", ""));
    check(read <= 2 ** 20, `${read} bytes were read`);
    check((await page.locator("#import-found tr").count()) > 1, "nothing was found");
    await capture(page, `import-${kind}`, { full: false });
    await page.locator("#import-apply").click();
    await page.locator("dialog[open]").waitFor({ state: "hidden" });
    if (kind === "gguf") same(await page.getByRole("tab", { name: "Inference" }).getAttribute("aria-selected"), "true", "the tab");
  });
}
