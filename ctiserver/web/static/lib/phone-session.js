// What a phone is and what may happen to it: two small tables and a pure step. No SIP, no browser, no time.

// The line to the PBX.
const LINE = {
  off: { start: "waiting" },
  waiting: { elected: "connecting", stop: "off" }, // another tab of this browser is the phone
  connecting: { registered: "ready", refused: "refused", robbed: "waiting", stop: "off" },
  ready: { disconnected: "connecting", refused: "refused", robbed: "waiting", stop: "off" },
  refused: { registered: "ready", disconnected: "connecting", refused: "refused", robbed: "waiting", stop: "off" },
};

// The call. It outlives a broken line: sound flows between browser and PBX directly.
const CALL = {
  none: { invited: "ringing" },
  ringing: { answer: "answering", ended: "none" },
  answering: { connected: "talking", ended: "none" },
  talking: { hold: "held", ended: "none" },
  held: { unhold: "talking", ended: "none" },
};

export const FIRST = Object.freeze({ line: "off", call: "none", muted: false, caller: null, error: null });

/** An event that the state has no place for. */
export class IllegalStep extends Error {}

/** The phone after `event`: `{type, …}`. Throws IllegalStep and changes nothing where the tables have no entry. */
export function step(phone, event) {
  const { type } = event;
  if (type === "mute" || type === "unmute") {
    if (phone.call !== "talking" && phone.call !== "held") throw new IllegalStep(`${type} in ${phone.call}`);
    return { ...phone, muted: type === "mute" };
  }
  const line = LINE[phone.line][type];
  if (line !== undefined) {
    const gone = line === "off" || line === "waiting" ? { call: "none", caller: null, muted: false } : {};
    return { ...phone, ...gone, line, error: line === "refused" ? (event.error ?? "refused") : null };
  }
  const call = CALL[phone.call][type];
  if (call === undefined) throw new IllegalStep(`${type} in ${phone.line}, ${phone.call}`);
  if (call === "none") return { ...phone, call, caller: null, muted: false };
  return { ...phone, call, caller: event.caller ?? phone.caller };
}

/** May this event happen now? */
export function may(phone, type) {
  try {
    step(phone, { type });
    return true;
  } catch {
    return false;
  }
}
