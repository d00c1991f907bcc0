// Tests of the packed file, as its users have it: unpacked from the archive by npm into a project of its own.
// PACKAGE is the archive, WORK an empty folder, OUTCOMES what native code said to every vector, CHROMIUM the browser.
// Closes with the line "N passed, N failed".

import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tests } from "./lib.mjs";

const { PACKAGE, WORK } = process.env;
rmSync(WORK, { recursive: true, force: true });
mkdirSync(WORK, { recursive: true });
writeFileSync(join(WORK, "package.json"), JSON.stringify({ name: "a-project", private: true, type: "module" }));
execFileSync("npm", ["install", "--silent", "--no-audit", "--no-fund", "--offline", PACKAGE], { cwd: WORK, stdio: "inherit" });

await import("./node.test.mjs");
await import("./hub.test.mjs");
await import("./types.test.mjs");
await import("./browser.test.mjs");

let passed = 0;
const failed = [];
for (const [name, body] of tests) {
  const start = performance.now();
  let problem;
  try {
    await body();
  } catch (error) {
    problem = error.stack ?? String(error);
  }
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.log(`${problem ? "FAIL" : "ok  "} ${name} (${seconds} s)`);
  if (problem) {
    console.log(`    ${problem.slice(0, 6000).replaceAll("\n", "\n    ")}`);
    failed.push(name);
  } else passed += 1;
}
console.log(`\n${passed} passed, ${failed.length} failed`);
process.exitCode = failed.length === 0 && passed > 0 ? 0 : 1;
