// Keeping the console usable where there is no connection: for those who work there, and until they log out.
const SCRIPT = "/static/offline.js";
const CACHE = "cti-field";

const policy = globalThis.trustedTypes?.createPolicy("cti-offline", { createScriptURL: () => SCRIPT });

/** Have this browser open the console without a connection too. Needs https, as browsers do for it. */
export async function keepOffline() {
  if (!navigator.serviceWorker) return;
  await navigator.serviceWorker.register(policy?.createScriptURL("") ?? SCRIPT, { scope: "/" });
  const { active } = await navigator.serviceWorker.ready;
  const read = performance.getEntriesByType("resource").map((entry) => entry.name);
  active.postMessage([location.origin + "/", ...read]);
}

/** Forget what was kept: somebody else may log in here. */
export const forgetOffline = () => globalThis.caches?.delete(CACHE);
