// The input registry as the command line exports it (`gpu-mem-calc schema`), and the links that it makes of a request.
import { readFileSync } from "node:fs";
import { answerOf } from "./lib/harness.mjs";

let read;

/** Every input: key, name of its section, title, availability, key in a link. */
export function inputs() {
  read ??= (async () => {
    const schema = JSON.parse(await answerOf(["schema", "request"]));
    return Object.entries(schema.properties).flatMap(([section, { properties }]) =>
      Object.entries(properties)
        .filter(([, field]) => field.$ref === undefined)
        .map(([name, field]) => ({
          key: `${section}.${name}`,
          title: field.title,
          link: field["x-link"],
          availability: field["x-availability"] ?? "built",
        })));
  })();
  return read;
}

/** The fragment of the page's address that asks a request. */
export async function link(request) {
  const known = await inputs();
  const parts = known.flatMap(({ key, link }) => {
    const [section, name] = key.split(".");
    const value = request[section]?.[name];
    if (value === undefined) return [];
    const plain = typeof value === "object" ? `~${JSON.stringify(value)}` : String(value);
    return [`${link}=${encodeURIComponent(plain)}`];
  });
  return `#${parts.join("&")}`;
}

const table = (name) => JSON.parse(readFileSync(new URL(`../inputs/${name}.json`, import.meta.url), "utf8"));
const [calculated, planned] = [table("changes"), table("plans")];
const file = {
  questions: { ...calculated.questions, ...planned.questions },
  changes: { ...calculated.changes, ...planned.changes },
};

/** The keys of all inputs of which it is said on which question they matter. */
export const changed = () => Object.keys(file.changes);

/** The question in which an input matters, and the value that it gets there; see tests/every_input_matters.rs. */
export function change(key) {
  const entry = file.changes[key];
  if (!entry) throw new Error(`tests/inputs/changes.json does not say on which question ${key} matters`);
  return { name: entry.on, question: file.questions[entry.on], value: entry.to };
}
