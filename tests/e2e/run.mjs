// Runs every *.spec.mjs of this folder against the built page: `node run.mjs [part of a spec's or test's name ...]`.
// Closes with the line "N passed, N failed" and fails if a test failed or none ran.

import { readdir } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { apart, finish, registry, stop } from "./lib/harness.mjs";

const HERE = dirname(fileURLToPath(import.meta.url));
const TOO_LONG = 600_000;
const SIDE_BY_SIDE = 4;

const entries = await readdir(HERE, { recursive: true });
const specs = entries.filter((name) => name.endsWith(".spec.mjs") && !name.includes("node_modules")).sort();
for (const spec of specs) {
  registry.from(relative(HERE, join(HERE, spec)).replace(".spec.mjs", ""));
  await import(pathToFileURL(join(HERE, spec)));
}

const wanted = process.argv.slice(2);
const chosen = registry.all().filter(({ file, name }) =>
  wanted.length === 0 || wanted.some((part) => `${file}: ${name}`.includes(part)));

let passed = 0;
const failed = [];
const waiting = [...chosen];
const side = async () => {
  for (let next = waiting.shift(); next; next = waiting.shift()) await apart(() => one(next));
};
await Promise.all(Array.from({ length: Math.min(SIDE_BY_SIDE, availableParallelism()) }, side));
await stop();

if (failed.length > 0) console.log(`\nfailed:\n  ${failed.join("\n  ")}`);
console.log(`\n${passed} passed, ${failed.length} failed`);
process.exitCode = failed.length === 0 && passed > 0 ? 0 : 1;

/** Runs one test, says how it went, and counts it. */
async function one({ file, name, run }) {
  const start = performance.now();
  const problems = [];
  let timer;
  try {
    const limit = new Promise((_, late) => {
      timer = setTimeout(() => late(new Error(`not done after ${TOO_LONG / 1000} s`)), TOO_LONG);
    });
    await Promise.race([run(), limit]);
  } catch (error) {
    problems.push(error.stack ?? String(error));
  }
  clearTimeout(timer);
  problems.push(...await finish(`${file}-${name}`, problems.length > 0));
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.log(`${problems.length === 0 ? "ok  " : "FAIL"} ${file}: ${name} (${seconds} s)`);
  problems.forEach((problem) => console.log(`    ${problem.replaceAll("\n", "\n    ")}`));
  if (problems.length === 0) passed += 1;
  else failed.push(`${file}: ${name}`);
}
