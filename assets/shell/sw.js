// Keeps every file of the page on this machine, so that it opens without a network. It asks no other address, and answers
// only for files of the page itself. The build fills in the list and its hash.
const VERSION = "VERSION_HASH";
const FILES = FILE_LIST;
const PREFIX = "gpu-mem-calc ";
const CACHE = `${PREFIX}${registration.scope} ${VERSION}`;

const own = (name) => name.startsWith(`${PREFIX}${registration.scope} `);

self.addEventListener("install", (event) => {
  // Names with a hash never change their content; the others must not come from the browser's own cache.
  const requests = FILES.map((file) => new Request(file, { cache: /-[0-9a-f]{8,}/.test(file) ? "default" : "reload" }));
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(requests)));
});

self.addEventListener("message", (event) => {
  if (event.data === "take over") self.skipWaiting();
});

self.addEventListener("activate", (event) => {
  event.waitUntil((async () => {
    // The version before this one stays: a tab that still runs it may ask for one of its parts.
    const former = (await caches.keys()).filter((name) => own(name) && name !== CACHE);
    await Promise.all(former.slice(0, -1).map((name) => caches.delete(name)));
    await self.clients.claim();
  })());
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET" || !request.url.startsWith(registration.scope)) return;
  event.respondWith((async () => {
    const cache = await caches.open(CACHE);
    const root = new URL(request.url).pathname === new URL(registration.scope).pathname;
    const wanted = root ? new URL("index.html", registration.scope).href : request;
    const kept = await cache.match(wanted, { ignoreSearch: request.mode === "navigate" })
      ?? await caches.match(request);
    return kept ?? fetch(request);
  })());
});
