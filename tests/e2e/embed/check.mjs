// Opens the calculator in the documentation that each generator built: `node check.mjs FOLDER NAME=PAGE ...`. FOLDER holds one
// folder for each generator, served as /NAME/ beside the calculator at /calc/. Prints a line for each and fails if one fails.

import { readFile } from "node:fs/promises";
import { join, normalize, resolve } from "node:path";
import { apart, BUILT, capture, check, finish, openPage, stop } from "../lib/harness.mjs";
import { serve } from "../lib/server.mjs";

const [folder, ...pages] = process.argv.slice(2);
const generated = resolve(folder);

/** Files of the generated sites, read when they are asked for. */
const site = await serve(BUILT, "/calc/", { beside: async (path) => readFile(join(generated, normalize(path))) });

let failed = 0;
for (const item of pages) {
  const [name, place] = item.split("=");
  const problems = [];
  await apart(async () => {
    try {
      // What the generator's own page asks for elsewhere, fonts for one, is not the calculator's affair.
      const page = await openPage({
        site: new URL("/", site.address).href, place: `${name}/${place}`, ready: "gpu-mem-calc", expected: /asked elsewhere|not loaded|ERR_|404/,
      });
      const element = page.locator("gpu-mem-calc");
      await element.scrollIntoViewIfNeeded();
      await element.locator("#verdict").waitFor();
      const verdict = await element.locator("#verdict").getAttribute("data-verdict");
      check(["fits", "tight", "does_not_fit"].includes(verdict), `the verdict is ${verdict}`);
      await capture(page, `embedded-${name}`, { full: false });
    } catch (error) {
      problems.push(error.stack ?? String(error));
    }
    problems.push(...await finish(name, problems.length > 0));
  });
  console.log(`${problems.length === 0 ? "ok  " : "FAIL"} ${name}`);
  problems.forEach((problem) => console.log(`    ${problem}`));
  failed += problems.length === 0 ? 0 : 1;
}
await stop();
await site.stop();
process.exitCode = failed === 0 && pages.length > 0 ? 0 : 1;
