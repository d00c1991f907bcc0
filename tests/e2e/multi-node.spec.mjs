// The multi-node tab says what the command line says: traffic, parts of a step, suggestions; one click applies a suggestion.
import assert from "node:assert/strict";
import { set } from "./actions.mjs";
import { accessible, answerOf, capture, check, openPage, same, test } from "./lib/harness.mjs";

const ASKED = ["multinode", "--model", "llama-3.1-8b", "--engine", "fsdp", "--nodes", "2", "--gpus", "16", "--interconnect", "ethernet_25g", "--format", "json"];

test("the multi-node tab shows what the command line prints", async () => {
  const page = await openPage();
  await page.getByRole("tab", { name: "Multi-node" }).click();
  await set(page, "hardware.num_gpus", 16);
  await set(page, "node_config.num_nodes", 2);
  await set(page, "node_config.interconnect_type", "ethernet_25g");
  const printed = JSON.parse(await answerOf(ASKED));
  const rows = await page.locator("[data-traffic]").evaluateAll((all) =>
    all.map((row) => [row.dataset.traffic, Number(row.querySelector("[data-bytes]").dataset.bytes)]));
  same(rows, printed.traffic.map((row) => [row.id, row.bytes_per_step]), "traffic");
  check((await page.locator("#step-table tbody tr").count()) >= 5, "the step has no figures");
  same(await page.locator("#parts-table tbody tr").count(), printed.step.parts.length, "parts of the step");
  same(await page.locator("#timeline-table tbody tr").count(), printed.step.timeline.length, "lines of the timeline");
  same(await page.locator("#suggestions li").count(), printed.suggestions.length, "suggestions");
  assert.ok((await page.locator("#suggestions li").first().innerText()).includes("saves"));
  await accessible(page);
  await capture(page, "multi-node");
});

test("a suggestion is applied by one click, and a node shape fills the rest", async () => {
  const page = await openPage();
  await page.getByRole("tab", { name: "Multi-node" }).click();
  await set(page, "hardware.num_gpus", 16);
  await set(page, "node_config.num_nodes", 2);
  await set(page, "node_config.interconnect_type", "ethernet_10g");
  const step = page.locator("#step-table tbody tr").first();
  const before = await step.innerText();
  await page.locator("#suggestions button").first().click();
  check((await step.innerText()) !== before, "the step did not change");
  await set(page, "node_config.node_shape", "dgx-h100");
  check((await page.locator("#rates-table").innerText()).includes("out of a node"), "no rate between nodes");
});
