// A model's config.json from the Hugging Face hub, and on request the headers of its weights: the only function that reaches the network, and only when it is called.
// The token goes to that host alone, is kept nowhere, and is not sent along a redirect to another host.

import { failed } from "./errors.js";

const HUB = "https://huggingface.co";
const PATIENCE = 30_000;
const LARGEST = 8_000_000;
// The longest index or header that is read, and how many headers are asked for at once.
const LONGEST = 100_000_000;
const AT_ONCE = 8;
const PART = "[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_-])?";
const ID = new RegExp(`^(?:${PART}/)?${PART}$`);
const REVISION = /^[A-Za-z0-9][A-Za-z0-9._/-]{0,120}$/;

export async function fetchHfModel(calculator, id, { token, revision = "main", weights = false, signal, fetch: fetcher = globalThis.fetch, timeout = PATIENCE } = {}) {
  const name = typeof id === "string" ? id.trim() : "";
  if (name === "") throw failed("validation_error", "Name a model, for example mistralai/Mistral-7B-v0.1.", { path: "model_id", code: "missing" });
  if (!ID.test(name) || name.includes("..") || name.includes("--")) {
    throw failed("validation_error", "A model's id is owner/name, of letters, digits, dots, underscores and hyphens.", { path: "model_id", code: "invalid_model_id" });
  }
  if (typeof revision !== "string" || !REVISION.test(revision) || revision.includes("..")) {
    throw failed("validation_error", "A revision is the name of a branch or tag, or a commit.", { path: "revision", code: "invalid_revision" });
  }
  const folder = `${HUB}/${name.split("/").map(encodeURIComponent).join("/")}/resolve/${encodeURIComponent(revision)}`;
  const limit = AbortSignal.timeout(timeout);
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  const ask = (file, range) =>
    fetcher(`${folder}/${file.split("/").map(encodeURIComponent).join("/")}`, {
      headers: range ? { ...headers, range } : headers,
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
      credentials: "omit",
      referrerPolicy: "no-referrer",
      redirect: "follow",
    });
  let text, header;
  try {
    const response = await ask("config.json");
    if (!response.ok) throw refused(name, response.status, Boolean(token));
    text = await response.text();
    if (weights) header = await ofWeights(ask);
  } catch (cause) {
    if (cause?.name === "CalculatorError") throw cause;
    if (cause?.name === "TimeoutError") throw failed("api_error", `The hub did not answer within ${timeout / 1000} s.`, { path: "", code: "timeout", cause });
    if (cause?.name === "AbortError") throw failed("api_error", "The request was stopped.", { path: "", code: "aborted", cause });
    throw failed("offline", "The hub cannot be reached. Paste the model's config.json into importHfConfig; that works offline.", { path: "", cause });
  }
  if (text.length > LARGEST) throw failed("api_error", "What the hub sent is too long for a config.json.", { path: "", code: "too_large" });
  const found = calculator.importHfConfig(text, { model_id: name });
  return weights ? { ...found, weights: header ? read(calculator, header) : null } : found;
}

/** What a header says; nothing where it is none. */
function read(calculator, header) {
  try {
    return calculator.importText(header);
  } catch {
    return null;
  }
}

/** Names, types and shapes of all tensors, as the header of one file has them; or the index, where it states a count; or nothing. */
async function ofWeights(ask) {
  const index = await ask("model.safetensors.index.json");
  if (!index.ok) {
    const own = await headerOf(ask, "model.safetensors");
    return own && JSON.stringify(own);
  }
  const text = await index.text();
  if (text.length > LONGEST) return null;
  let listed;
  try {
    listed = JSON.parse(text);
  } catch {
    return null;
  }
  const files = [...new Set(Object.values(listed?.weight_map ?? {}))].filter((file) => typeof file === "string" && !file.includes(".."));
  if (listed?.metadata?.total_parameters || files.length === 0) return text;
  const all = {};
  for (let at = 0; at < files.length; at += AT_ONCE) {
    const some = await Promise.all(files.slice(at, at + AT_ONCE).map((file) => headerOf(ask, file)));
    // One that cannot be read: what the index says is all there is.
    if (some.includes(null)) return text;
    Object.assign(all, ...some);
  }
  return JSON.stringify(all);
}

/** A file begins with the length of its header in 8 bytes, of which no more than the header is asked for. */
async function headerOf(ask, file) {
  const start = await ask(file, "bytes=0-7");
  if (start.status !== 206) return null;
  const length = Number(new DataView(await start.arrayBuffer()).getBigUint64(0, true));
  if (!(length >= 2 && length <= LONGEST)) return null;
  const body = await ask(file, `bytes=8-${length + 7}`);
  if (body.status !== 206) return null;
  try {
    const { __metadata__: _, ...tensors } = JSON.parse(await body.text());
    return tensors;
  } catch {
    return null;
  }
}

function refused(name, status, withToken) {
  if (status === 401 || status === 403) {
    const words = withToken ? "The token does not open this model." : "This model is gated or private: give a token that may read it.";
    return failed("auth_error", words, { path: "token" });
  }
  if (status === 404) return failed("not_found", `There is no config.json of ${name} on the hub in this revision.`, { path: "model_id" });
  return failed("api_error", `The hub answered with status ${status}.`, { path: "" });
}
