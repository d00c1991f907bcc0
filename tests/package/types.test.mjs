// The types against real answers: the compiler of TypeScript reads answers as literals of their types, so that a member that
// is missing, superfluous or of another type is an error, and a program that uses the package as its documentation says.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CONFIG, INFERENCE, NODES, TRAINING, WORK, imported, test } from "./lib.mjs";

const { load } = await imported();
const calculator = await load();
const TSC = new URL("./node_modules/typescript/bin/tsc", import.meta.url).pathname;

/** The compiler's complaints about a program in the project; none is an empty text. */
function complaints(name, text) {
  writeFileSync(join(WORK, name), text);
  const options = ["--noEmit", "--strict", "--target", "es2022", "--module", "nodenext", "--moduleResolution", "nodenext", "--lib", "es2022,dom"];
  try {
    execFileSync(process.execPath, [TSC, ...options, name], { cwd: WORK, encoding: "utf8", stdio: "pipe" });
    return "";
  } catch (error) {
    return error.stdout.split("\n").slice(0, 12).map((line) => line.slice(0, 400)).join("\n");
  }
}

test("real answers have the types that are declared", () => {
  const outcomes = JSON.parse(readFileSync(process.env.OUTCOMES, "utf8"));
  const names = calculator.schema("responses")["x-calls"];
  const lines = ['import type * as g from "gpu-mem-calc";'];
  const add = (call, answer) => {
    const type = names[call].answer.$ref.split("/").pop();
    if (type === "Text" || type === "Number") return;
    lines.push(`export const a${lines.length}: g.${type} = ${JSON.stringify(answer)};`);
  };
  const each = {};
  for (const { call, text } of Object.values(outcomes)) {
    each[call] = (each[call] ?? 0) + 1;
    const { answer } = JSON.parse(text);
    // One in eight of the many, so that the compiler is done in seconds.
    if (answer !== undefined && (each[call] < 12 || each[call] % 8 === 0)) add(call, answer);
  }
  add("calculate", calculator.calculate(NODES));
  for (const call of ["sideBySide", "explainFormula", "smallestCard", "fixes", "validate"]) add(call, calculator[call](call === "sideBySide" ? INFERENCE : TRAINING));
  add("fixes", calculator.fixes({ ...TRAINING, training: { batch_size: 64 } }));
  add("modelReport", calculator.modelReport(TRAINING, { tensors: true }));
  add("importHfConfig", calculator.importHfConfig(CONFIG));
  for (const call of ["models", "presets", "gpus", "nodes", "links", "engines", "exportFormats"]) add(call, calculator[call]());
  add("preset", calculator.preset("llama2-7b"));
  assert.ok(lines.length > 100);
  assert.equal(complaints("answers.ts", lines.join("\n")), "");
});

test("a program with the types compiles, and wrong uses do not", () => {
  const good = `import { CalculatorError, load, type Answer, type Request } from "gpu-mem-calc";
    const calculator = await load();
    const request: Request = { model: { id: "llama-3.1-8b" }, engine: { type: "fsdp" }, training: { batch_size: 2, dtype: "bf16" } };
    try {
      const answer: Answer = calculator.calculate(request, { strict: true });
      const bytes: number = answer.need.high_bytes;
      if (answer.verdict === "does_not_fit") console.log(bytes, answer.warnings.map((issue) => issue.message));
    } catch (error) {
      if (error instanceof CalculatorError) console.log(error.type, error.errors[0]?.path);
    }
    const found = await calculator.fetchHfModel("owner/name", { revision: "main" });
    console.log(found.parameters.total, calculator.solve(request, "num_gpus").value);`;
  assert.equal(complaints("good.ts", good), "");
  const start = 'import { load } from "gpu-mem-calc"; const c = await load();';
  for (const bad of ["c.calculate({}).no_such_member", 'c.solve({}, "nothing")', "c.calculate(5)", "const text: string = c.calculate({}).verdict === 'maybe' ? '' : ''", "c.calculate({ training: { batch_size: {} } })"]) {
    assert.notEqual(complaints("bad.ts", `${start} ${bad};`), "", bad);
  }
});
