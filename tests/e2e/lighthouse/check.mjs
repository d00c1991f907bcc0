// Lighthouse on the built page, compressed as a host serves it: `node check.mjs [--write]`. Performance is judged with the preset for
// mobile devices, which slows network and processor down; the middle of three runs counts, for it varies from run to run. `--write` puts
// the scores into scores.json, which is committed.

import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { launch } from "chrome-launcher";
import lighthouse, { desktopConfig } from "lighthouse";
import { serve } from "../lib/server.mjs";

const HERE = dirname(fileURLToPath(import.meta.url));
const DIST = process.env.DIST ?? resolve(HERE, "../../../dist");
const SCORES = join(HERE, "scores.json");
/** The least of each category, of 100. */
const LEAST = { performance: 95, accessibility: 100, "best-practices": 100, seo: 100 };
const RUNS = 3;

/** What is judged: name, place behind the address, configuration, categories. */
const ALL = Object.keys(LEAST);
const JUDGED = ALL.slice(1);
const PAGES = [
  ["page, mobile", "", undefined, ALL],
  ["page, desktop", "", desktopConfig, ALL],
  ["inference, mobile", "#tab=inference&m=llama-3.1-8b&iet=vllm", undefined, JUDGED],
  ["multi-node, mobile", "#tab=multi-node&m=llama-3.1-8b&en=fsdp&gn=16", undefined, JUDGED],
  ["accuracy, mobile", "#tab=accuracy", undefined, JUDGED],
  ["documentation, mobile", "docs/index.html", undefined, JUDGED],
];

const site = await serve(DIST, "/", { compressed: true, headers: { "cache-control": "max-age=31536000, immutable" } });
const chrome = await launch({
  chromePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  chromeFlags: ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"],
});

const middle = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
const found = {};
const faults = [];
for (const [name, place, config, categories] of PAGES) {
  const runs = [];
  for (let run = 0; run < (categories.includes("performance") ? RUNS : 1); run += 1) {
    const { lhr } = await lighthouse(site.address + place, { port: chrome.port, onlyCategories: categories, logLevel: "error" }, config);
    runs.push(lhr);
  }
  found[name] = Object.fromEntries(categories.map((category) =>
    [category, Math.round(100 * middle(runs.map(({ categories }) => categories[category].score)))]));
  const [last] = runs;
  if (categories.includes("performance")) {
    const millis = (id) => Math.round(middle(runs.map(({ audits }) => audits[id].numericValue)));
    found[name].milliseconds = Object.fromEntries(["first-contentful-paint", "largest-contentful-paint", "total-blocking-time", "speed-index"]
      .map((id) => [id, millis(id)]));
    found[name]["layout-shift"] = Number(middle(runs.map(({ audits }) => audits["cumulative-layout-shift"].numericValue)).toFixed(3));
  }
  for (const category of categories) {
    if (found[name][category] >= LEAST[category]) continue;
    const why = last.categories[category].auditRefs
      .filter(({ id, weight }) => weight > 0 && (last.audits[id].score ?? 1) < 0.9)
      .map(({ id }) => {
        const { title, displayValue = "", details } = last.audits[id];
        const items = (details?.items ?? []).slice(0, 4).map((item) => `\n      ${item.node?.snippet ?? item.description ?? item.source ?? JSON.stringify(item).slice(0, 300)}`);
        return `\n    ${id}: ${title} ${displayValue}${items.join("")}`;
      });
    faults.push(`${name}: ${category} ${found[name][category]} of at least ${LEAST[category]}${why.join("")}`);
  }
  console.log(name, JSON.stringify(found[name]));
}
chrome.kill();
await site.stop();

if (process.argv.includes("--write")) writeFileSync(SCORES, `${JSON.stringify(found, null, 2)}\n`);
else console.log("committed:", readFileSync(SCORES, "utf8"));
if (faults.length > 0) {
  console.log(`\n${faults.join("\n")}`);
  process.exitCode = 1;
}
