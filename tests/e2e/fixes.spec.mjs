// What would make it fit: changes of the question with their new need, each a button that makes it.
import { accessible, answerOf, check, openPage, same, test } from "./lib/harness.mjs";
import { link } from "./registry.mjs";

const TOO_LARGE = {
  model: { id: "llama-3.1-8b" },
  training: { batch_size: 4, seq_length: 4096 },
  engine: { type: "fsdp" },
  hardware: { gpu: "a100-sxm-40gb", num_gpus: 8 },
};

const strip = (page) => page.locator(".answer-top").innerText();

test("the changes are those of the command line, and one click makes one", async () => {
  const page = await openPage({ place: await link(TOO_LARGE) });
  check((await strip(page)).includes("Does not fit"), "the question fits");
  await page.waitForSelector("#fixes");
  await page.getByRole("button", { name: /Show [0-9]+ more/ }).click();
  const listed = await page.locator(".fixes > li b").allInnerTexts();
  const found = JSON.parse(await answerOf(["fixes", "--config", "-", "--format", "json"], JSON.stringify(TOO_LARGE)));
  same(listed, found.single.map((fix) => fix.title), "the changes");
  const [first] = found.single.filter((fix) => fix.title.startsWith("Recomputation: full") && !fix.title.includes("n-th"));
  await page.getByRole("button", { name: `Apply: ${first.title}`, exact: true }).click();
  const gib = (bytes) => (bytes / 2 ** 30).toFixed(2);
  await page.waitForFunction((low) => document.querySelector(".answer-top").textContent.includes(low),
    gib(first.need.low_bytes));
  check((await strip(page)).includes(gib(first.need.high_bytes)), "the need is not the one that was promised");
});

test("changes that fit together are made together", async () => {
  const page = await openPage({ place: await link(TOO_LARGE) });
  await page.waitForSelector(".fixes-together");
  await page.getByRole("button", { name: "Apply all of them" }).click();
  await page.waitForFunction(() => document.querySelector(".answer-top").textContent.includes("Fits"));
  await page.goBack();
  check((await strip(page)).includes("Does not fit"), "back does not undo it");
});

test("a server that is too small is told what helps", async () => {
  const asked = {
    model: { id: "llama-3.1-70b" },
    hardware: { gpu: "h100-sxm-80gb", num_gpus: 1 },
    inference: { engine_type: "vllm", max_seq_len: 8192 },
  };
  const page = await openPage({ place: (await link(asked)).replace("#", "#tab=inference&") });
  await page.waitForSelector("#fixes");
  const text = await page.locator("#fixes").innerText();
  check(text.includes("What would make it fit") && text.includes("Tensor parallel: 2"), text);
  await accessible(page);
});
