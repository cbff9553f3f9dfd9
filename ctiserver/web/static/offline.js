// A technician's browser opens the console without a connection too: with the files that it had last, and the last
// answers to what the page of tasks reads. What is done there meanwhile waits in lib/field-queue.js.
const CACHE = "cti-field";
const KEPT = /^\/(static\/.+|api\/v1\/(session|work-orders|parts|photos\/\w+))?$/;

const isKept = (url) => url.origin === location.origin && KEPT.test(url.pathname);

addEventListener("install", () => skipWaiting());
addEventListener("activate", (event) => event.waitUntil(clients.claim()));

// What a page read before this was there for it
addEventListener("message", (event) => {
  const addresses = event.data.filter((address) => isKept(new URL(address)));
  event.waitUntil(caches.open(CACHE).then((cache) => Promise.allSettled(addresses.map((address) => cache.add(address)))));
});

addEventListener("fetch", (event) => {
  if (event.request.method === "GET" && isKept(new URL(event.request.url))) event.respondWith(newest(event));
});

async function newest(event) {
  const cache = await caches.open(CACHE);
  let response;
  try {
    response = await fetch(event.request);
  } catch (error) {
    const kept = await cache.match(event.request);
    if (kept) return kept;
    throw error;
  }
  if (response.ok) event.waitUntil(cache.put(event.request, response.clone()));
  return response;
}
