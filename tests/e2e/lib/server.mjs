// A static server for the built page on a free port of this machine, below a path, as on a project's pages.

import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join, normalize, sep } from "node:path";
import { brotliCompressSync } from "node:zlib";

const TYPES = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".md": "text/plain; charset=utf-8",
  ".png": "image/png",
  ".svg": "image/svg+xml",
  ".webmanifest": "application/manifest+json",
  ".wasm": "application/wasm",
};

/**
 * Serves `folder` below `base`; returns the address of the page and a function that stops the server. `more` holds documents
 * beside it, by path, as text or as `{ text, type, headers }`; it is asked first at each request, and may change. What lies
 * outside `base` is asked of `beside`, which gives the content of a path. Answers carry `headers`, and are compressed where that is
 * asked for; `asked` gets each path.
 */
export async function serve(folder, base = "/docs/calc/", { more = {}, beside, headers = {}, asked = [], compressed = false } = {}) {
  const packed = new Map();
  const pack = (name, content) => {
    if (!packed.has(name)) packed.set(name, brotliCompressSync(content));
    return packed.get(name);
  };
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, "http://localhost");
    asked.push(pathname);
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    const own = more[pathname];
    if (own !== undefined) {
      const { text = own, type = TYPES[extname(pathname)] ?? TYPES[".html"], headers: named = {} } = own;
      response.writeHead(200, { "content-type": type, ...named });
      response.end(text);
      return;
    }
    if (beside && !pathname.startsWith(base)) {
      const path = decodeURIComponent(pathname.endsWith("/") ? `${pathname}index.html` : pathname);
      const content = await beside(path).catch(() => undefined);
      response.writeHead(content ? 200 : 404, { "content-type": TYPES[extname(path)] ?? "application/octet-stream" });
      response.end(content);
      return;
    }
    const inside = pathname.startsWith(base) ? normalize(decodeURIComponent(pathname.slice(base.length))) : "..";
    if (inside === ".." || inside.startsWith(`..${sep}`)) {
      response.writeHead(404).end();
      return;
    }
    const name = inside === "." || inside === "" ? "index.html" : inside;
    try {
      const content = await readFile(join(folder, name));
      const packs = compressed && !/\.png$/.test(name);
      const coded = packs ? { "content-encoding": "br" } : {};
      response.writeHead(200, { "content-type": TYPES[extname(name)] ?? "application/octet-stream", ...coded });
      response.end(packs ? pack(name, content) : content);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  return {
    address: `http://127.0.0.1:${server.address().port}${base}`,
    stop: () => new Promise((stopped) => {
      server.close(stopped);
      server.closeAllConnections();
    }),
  };
}
