// For Node: the module is read from the package's folder.

import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import * as any from "./index.js";

export { CalculatorError } from "./index.js";

const FILE = new URL("./gpu_mem_calc_bg.wasm", import.meta.url);

/** The calculator; the module is loaded once. */
export async function load(wasm) {
  return any.load(wasm ?? (await readFile(FILE)));
}

/** The same at once. */
export function loadSync(wasm) {
  return any.loadSync(wasm ?? readFileSync(FILE));
}
