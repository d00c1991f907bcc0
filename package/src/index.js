// For browsers and bundlers. `load()` fetches the WebAssembly module that lies beside this file, or takes it from you.

import init, { call, initSync } from "./bindings.js";
import { calculatorOver } from "./calculator.js";

export { CalculatorError } from "./errors.js";

let loading;
let ready;

/** The calculator; the module is loaded once. */
export function load(wasm) {
  loading ??= init(wasm === undefined ? undefined : { module_or_path: wasm }).then(
    () => (ready ??= calculatorOver(call)),
    (cause) => {
      loading = undefined;
      throw cause;
    },
  );
  return loading;
}

/** The same at once, from the bytes of the module or from a compiled one. */
export function loadSync(wasm) {
  if (ready === undefined) {
    initSync({ module: wasm });
    ready = calculatorOver(call);
    loading = Promise.resolve(ready);
  }
  return ready;
}
