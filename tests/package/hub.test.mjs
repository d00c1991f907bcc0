// Fetching a model's configuration, against a hub that answers as it is told.

import assert from "node:assert/strict";
import { CONFIG, imported, test } from "./lib.mjs";

const { load } = await imported();
const calculator = await load();

const hub = (status, body, seen = []) => async (address, options) => {
  seen.push({ address, ...options });
  return new Response(typeof body === "string" ? body : JSON.stringify(body), { status });
};

test("a model is fetched by its id, in a revision, with a token that goes to the hub alone", async () => {
  const seen = [];
  const found = await calculator.fetchHfModel("owner/name", { token: "secret", revision: "v1.0", fetch: hub(200, CONFIG, seen) });
  assert.equal(found.model_id, "owner/name");
  assert.equal(found.parameters.total, 8_030_261_248);
  assert.equal(seen.length, 1);
  assert.equal(new URL(seen[0].address).host, "huggingface.co");
  assert.ok(seen[0].address.endsWith("/owner/name/resolve/v1.0/config.json"));
  assert.equal(seen[0].headers.authorization, "Bearer secret");
  assert.equal(seen[0].credentials, "omit");
  assert.ok(!JSON.stringify(found).includes("secret"));
});

test("the exact count is read from the headers of the weights, of which no more is asked for", async () => {
  const file = (tensors) => {
    const header = new TextEncoder().encode(JSON.stringify(tensors));
    const bytes = new Uint8Array(8 + header.length + 30);
    new DataView(bytes.buffer).setBigUint64(0, BigInt(header.length), true);
    bytes.set(header, 8);
    return bytes;
  };
  const serve = (files) => {
    const ranges = [];
    const fetch = async (address, { headers }) => {
      const name = address.split("/").at(-1);
      if (!(name in files)) return new Response("", { status: 404 });
      if (!headers.range) return new Response(JSON.stringify(files[name]), { status: 200 });
      const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(headers.range);
      ranges.push(`${name} ${headers.range}`);
      return new Response(files[name].slice(Number(from), Number(to) + 1), { status: 206 });
    };
    return { fetch, ranges };
  };
  const tensor = (dtype, shape) => ({ dtype, shape, data_offsets: [0, 30] });
  const count = (found) => found.weights.found.find(({ path }) => path === "model.num_parameters").value;
  const one = serve({ "config.json": CONFIG, "model.safetensors": file({ a: tensor("BF16", [3, 5]), __metadata__: { format: "pt" } }) });
  assert.equal(count(await calculator.fetchHfModel("a/b", { weights: true, fetch: one.fetch })), 15);
  assert.equal(one.ranges.length, 2);
  const two = serve({
    "config.json": CONFIG,
    "model.safetensors.index.json": { metadata: { total_size: 40 }, weight_map: { a: "1.safetensors", b: "2.safetensors" } },
    "1.safetensors": file({ a: tensor("BF16", [3, 5]) }),
    "2.safetensors": file({ b: tensor("F32", [2]) }),
  });
  assert.equal(count(await calculator.fetchHfModel("a/b", { weights: true, fetch: two.fetch })), 17);
  const stated = serve({ "config.json": CONFIG, "model.safetensors.index.json": { metadata: { total_parameters: 99 }, weight_map: { a: "1.safetensors" } } });
  assert.equal(count(await calculator.fetchHfModel("a/b", { weights: true, fetch: stated.fetch })), 99);
  const none = await calculator.fetchHfModel("a/b", { weights: true, fetch: serve({ "config.json": CONFIG }).fetch });
  assert.equal(none.weights, null);
  assert.equal(none.parameters.total, 8_030_261_248);
});

test("failures of the hub are told apart", async () => {
  const failure = async (id, options) => {
    try {
      await calculator.fetchHfModel(id, options);
    } catch (error) {
      return [error.type, error.errors[0]?.code, error.errors[0]?.path];
    }
  };
  assert.deepEqual(await failure("a/b", { fetch: hub(401, "") }), ["auth_error", "auth_error", "token"]);
  assert.deepEqual(await failure("a/b", { fetch: hub(404, "") }), ["not_found", "not_found", "model_id"]);
  assert.deepEqual(await failure("a/b", { fetch: hub(500, "") }), ["api_error", "api_error", ""]);
  assert.deepEqual((await failure("a/b", { fetch: hub(200, "<html>") }))[0], "invalid_config");
  assert.deepEqual(await failure("a/b", { fetch: async () => { throw new TypeError("no network"); } }), ["offline", "offline", ""]);
  assert.deepEqual(await failure("", {}), ["validation_error", "missing", "model_id"]);
  for (const id of ["../../x", "a/b/c", "a b", "a/..", "https://example.org/x", "a/b?c", "a%2fb"]) {
    assert.deepEqual(await failure(id, { fetch: hub(200, CONFIG) }), ["validation_error", "invalid_model_id", "model_id"], id);
  }
  assert.deepEqual((await failure("a/b", { revision: "../x", fetch: hub(200, CONFIG) }))[1], "invalid_revision");
});

test("a hub that does not answer is given up, and a request can be stopped", async () => {
  const never = (_, { signal }) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  // Timers of AbortSignal do not keep a program alive.
  const alive = setInterval(() => {}, 50);
  await assert.rejects(calculator.fetchHfModel("a/b", { fetch: never, timeout: 20 }), { type: "api_error" });
  const stop = new AbortController();
  const stopped = assert.rejects(calculator.fetchHfModel("a/b", { fetch: never, signal: stop.signal }), { type: "api_error" });
  stop.abort();
  await stopped;
  clearInterval(alive);
});
