// A model's config.json from the Hugging Face hub: the only function that reaches the network, and only when it is called.
// The token goes to that host alone, is kept nowhere, and is not sent along a redirect to another host.

import { failed } from "./errors.js";

const HUB = "https://huggingface.co";
const PATIENCE = 30_000;
const LARGEST = 8_000_000;
const PART = "[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_-])?";
const ID = new RegExp(`^(?:${PART}/)?${PART}$`);
const REVISION = /^[A-Za-z0-9][A-Za-z0-9._/-]{0,120}$/;

export async function fetchHfModel(calculator, id, { token, revision = "main", signal, fetch: fetcher = globalThis.fetch, timeout = PATIENCE } = {}) {
  const name = typeof id === "string" ? id.trim() : "";
  if (name === "") throw failed("validation_error", "Name a model, for example mistralai/Mistral-7B-v0.1.", { path: "model_id", code: "missing" });
  if (!ID.test(name) || name.includes("..") || name.includes("--")) {
    throw failed("validation_error", "A model's id is owner/name, of letters, digits, dots, underscores and hyphens.", { path: "model_id", code: "invalid_model_id" });
  }
  if (typeof revision !== "string" || !REVISION.test(revision) || revision.includes("..")) {
    throw failed("validation_error", "A revision is the name of a branch or tag, or a commit.", { path: "revision", code: "invalid_revision" });
  }
  const address = `${HUB}/${name.split("/").map(encodeURIComponent).join("/")}/resolve/${encodeURIComponent(revision)}/config.json`;
  const limit = AbortSignal.timeout(timeout);
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  let text;
  try {
    const response = await fetcher(address, {
      headers,
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
      credentials: "omit",
      referrerPolicy: "no-referrer",
      redirect: "follow",
    });
    if (!response.ok) throw refused(name, response.status, Boolean(token));
    text = await response.text();
  } catch (cause) {
    if (cause?.name === "CalculatorError") throw cause;
    if (cause?.name === "TimeoutError") throw failed("api_error", `The hub did not answer within ${timeout / 1000} s.`, { path: "", code: "timeout", cause });
    if (cause?.name === "AbortError") throw failed("api_error", "The request was stopped.", { path: "", code: "aborted", cause });
    throw failed("offline", "The hub cannot be reached. Paste the model's config.json into importHfConfig; that works offline.", { path: "", cause });
  }
  if (text.length > LARGEST) throw failed("api_error", "What the hub sent is too long for a config.json.", { path: "", code: "too_large" });
  return calculator.importHfConfig(text, { model_id: name });
}

function refused(name, status, withToken) {
  if (status === 401 || status === 403) {
    const words = withToken ? "The token does not open this model." : "This model is gated or private: give a token that may read it.";
    return failed("auth_error", words, { path: "token" });
  }
  if (status === 404) return failed("not_found", `There is no config.json of ${name} on the hub in this revision.`, { path: "model_id" });
  return failed("api_error", `The hub answered with status ${status}.`, { path: "" });
}
