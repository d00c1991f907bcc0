// The functions of the calculator over the one function of the WebAssembly module: arguments in, answers out, refusals
// thrown. Nothing is computed here.

import { CalculatorError, failed } from "./errors.js";
import { fetchHfModel } from "./hub.js";

/** Every call of the module, by name; `schema("responses")` lists them with their arguments. */
export const CALLS = [
  "calculate", "calculateInference", "calculateMultiNode", "sideBySide", "plan", "optimizeHybridParallelism",
  "explainFormula", "optimizeBatchSize", "solve", "smallestCard", "cheapest", "fixes", "validate", "exportConfig", "exportFormats", "importText", "parseConfig", "toConfig", "shareUrl",
  "parseShareUrl", "parseParameterCount", "importHfConfig", "modelReport", "models", "presets", "preset", "gpus", "nodes",
  "links", "engines", "inferenceEngines", "optimizers", "dtypes", "interconnects", "dtypeBytes", "schema", "version",
];

/** The calculator over the module's function `call`. */
export function calculatorOver(call) {
  const run = (name, args) => {
    let text;
    try {
      text = call(name, JSON.stringify(args, (_, value) => (typeof value === "bigint" ? Number(value) : value)));
    } catch (cause) {
      if (cause instanceof CalculatorError) throw cause;
      throw failed("internal_error", "The calculator failed at this question; please report it.", { cause });
    }
    const { answer, fault } = JSON.parse(text);
    if (fault !== undefined) throw new CalculatorError(fault);
    return answer;
  };
  const calculator = {};
  for (const name of CALLS) {
    calculator[name] = (...args) => {
      while (args.length > 0 && args[args.length - 1] === undefined) args.pop();
      return run(name, args);
    };
  }
  calculator.fetchHfModel = (id, options) => fetchHfModel(calculator, id, options);
  return Object.freeze(calculator);
}
