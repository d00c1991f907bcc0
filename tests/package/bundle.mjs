// The two files of the package that are bundled: for `require` of Node, and for a plain script tag. Usage: bundle.mjs FOLDER

import { join } from "node:path";
import { build } from "esbuild";

const folder = process.argv[2];
const common = { bundle: true, legalComments: "none", logLevel: "warning", charset: "utf8" };

await build({
  ...common,
  entryPoints: [join(folder, "node.js")],
  outfile: join(folder, "node.cjs"),
  format: "cjs",
  platform: "node",
  target: "node20",
  define: { "import.meta.url": "ownAddress" },
  banner: { js: 'const ownAddress = require("node:url").pathToFileURL(__filename).href;' },
});

await build({
  ...common,
  entryPoints: [join(folder, "index.js")],
  outfile: join(folder, "script.js"),
  format: "iife",
  globalName: "gpuMemCalc",
  target: "es2022",
  define: { "import.meta.url": "gpuMemCalcAddress" },
  banner: { js: "const gpuMemCalcAddress = document.currentScript.src;" },
});
