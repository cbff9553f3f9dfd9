// What is being written on a record, kept safe: saved as typed, in the browser until the server has it.
import { api } from "./api.js";

const SAVE_AFTER_MS = 600;
const LONGEST_RETRY_MS = 15_000;
const keyOf = (recordId) => `cti-draft:${recordId}`;
const FIELD = "fields.";

/** The writable values of a record, flat: notes, subject, payer, fields.<name>. */
const PLAIN = ["notes", "subject", "payer", "complainant", "complainant_number"];

function values(record) {
  const flat = Object.fromEntries(PLAIN.map((name) => [name, record[name] ?? ""]));
  for (const [name, value] of Object.entries(record.fields ?? {})) flat[FIELD + name] = String(value ?? "");
  return flat;
}

/**
 * One record's draft. Emits "change" when `state` changes: "saved", "dirty", "saving", "failed" (is tried again),
 * "conflict" (somebody else changed the same value: the person decides), "refused" (the server will not have it).
 */
export class Draft extends EventTarget {
  #server; // what the server has, as far as we know
  #local; // what stands in the form
  #timer = 0;
  #retry = 1000;
  #unsure = new Map(); // name → values of saves that were not confirmed: the server may have one all the same
  #wrong = new Map(); // what the server will not have: name → [the value, why]
  #running = null;
  state = "saved";
  savedAt = null;
  error = null;

  constructor(record) {
    super();
    this.recordId = record.id;
    this.#server = values(record);
    this.#local = { ...this.#server };
    this.#restore();
  }

  get(name) {
    return this.#local[name] ?? "";
  }

  /** Write a value down; it is saved soon, without anybody asking. */
  set(name, value) {
    if (this.get(name) === value) return;
    this.#local[name] = value;
    this.#store();
    if (this.state !== "conflict") this.#become("dirty");
    this.#schedule(SAVE_AFTER_MS);
  }

  /** The record as the server has it now: what was not touched here follows it. */
  meet(record) {
    const fresh = values(record);
    for (const name of new Set([...Object.keys(fresh), ...Object.keys(this.#server)])) {
      const untouched = (this.#local[name] ?? "") === (this.#server[name] ?? "");
      if (untouched || this.#local[name] === fresh[name]) this.#local[name] = fresh[name] ?? "";
      if (untouched) this.#server[name] = fresh[name] ?? "";
    }
    this.dispatchEvent(new Event("change"));
  }

  /** Save what is unsaved, now. Resolves with true when the server has it all. */
  async flush() {
    clearTimeout(this.#timer);
    if (this.#running) await this.#running;
    // What was refused once is not sent again, so that one wrong date keeps nothing else from being saved.
    const changed = this.#changed().filter((name) => !this.wrong(name));
    if (!changed.length) {
      if (this.#changed().length) this.#become("refused");
      else if (this.state === "dirty" || this.state === "refused") this.#become("saved");
      return this.state === "saved";
    }
    this.#running = this.#save(changed);
    try {
      return await this.#running;
    } finally {
      this.#running = null;
      if (this.state === "dirty") this.#schedule(SAVE_AFTER_MS);
    }
  }

  /** Why the server will not have what stands in a field now; null if it would, or was not asked yet. */
  wrong(name) {
    const [value, why] = this.#wrong.get(name) ?? [];
    return value !== undefined && value === this.#local[name] ? why : null;
  }

  /** After a conflict: keep what was written here ("mine"), or take what the other one wrote ("theirs"). */
  async settle(whose) {
    const record = await api("GET", `records/${this.recordId}`);
    const fresh = values(record);
    if (whose === "theirs") this.#local = { ...fresh };
    this.#server = fresh;
    this.savedAt = record.updated_at;
    this.#store();
    this.#become("dirty");
    return this.flush();
  }

  stop() {
    clearTimeout(this.#timer);
  }

  async #save(changed) {
    const body = {};
    for (const name of changed) {
      const change = { was: this.#server[name] ?? "", now: this.#local[name] ?? "" };
      if (name.startsWith(FIELD)) (body.fields ??= {})[name.slice(FIELD.length)] = change;
      else body[name] = change;
    }
    const sent = Object.fromEntries(changed.map((name) => [name, this.#local[name]]));
    this.#become("saving");
    try {
      await api("PATCH", `records/${this.recordId}`, body);
    } catch (error) {
      this.error = error;
      if (error.code === "conflict") {
        if (await this.#isOurs(changed)) this.#become("dirty");
        else this.#become("conflict");
      } else if (error.status === 0 || error.status >= 500 || error.status === 401) {
        for (const [name, value] of Object.entries(sent)) this.#unsure.set(name, [...(this.#unsure.get(name) ?? []), value]);
        this.#become("failed");
        this.#schedule(this.#retry);
        this.#retry = Math.min(LONGEST_RETRY_MS, this.#retry * 2);
      } else {
        for (const [name, why] of Object.entries(error.fields ?? {})) this.#wrong.set(FIELD + name, [sent[FIELD + name], why]);
        this.#become("refused");
        if (changed.some((name) => !this.wrong(name)) && changed.some((name) => this.wrong(name))) this.#schedule(0);
      }
      return false;
    }
    Object.assign(this.#server, sent);
    this.#unsure.clear();
    this.#retry = 1000;
    this.error = null;
    this.savedAt = new Date().toISOString();
    this.#store();
    const left = this.#changed();
    if (left.length && left.every((name) => this.wrong(name))) this.#become("refused");
    else this.#become(left.length ? "dirty" : "saved");
    return this.state === "saved";
  }

  // Whether it was we who changed it: a save whose answer was lost had arrived, and the person has typed on since.
  async #isOurs(changed) {
    let fresh;
    try {
      fresh = values(await api("GET", `records/${this.recordId}`));
    } catch {
      return false;
    }
    const known = (name) => [this.#server[name] ?? "", this.#local[name], ...(this.#unsure.get(name) ?? [])].includes(fresh[name] ?? "");
    if (!this.#unsure.size || !changed.every(known)) return false;
    for (const name of changed) this.#server[name] = fresh[name] ?? "";
    this.#unsure.clear();
    return true;
  }

  #changed() {
    return Object.keys(this.#local).filter((name) => (this.#local[name] ?? "") !== (this.#server[name] ?? ""));
  }

  #schedule(delay) {
    clearTimeout(this.#timer);
    if (this.state === "conflict") return;
    this.#timer = setTimeout(() => this.flush(), delay);
  }

  // The browser's own store holds only what the server has not got yet, with the value it was written over.
  #store() {
    const unsaved = this.#changed();
    if (!unsaved.length) {
      localStorage.removeItem(keyOf(this.recordId));
      return;
    }
    const kept = unsaved.map((name) => [name, [this.#server[name] ?? "", this.#local[name]]]);
    localStorage.setItem(keyOf(this.recordId), JSON.stringify(Object.fromEntries(kept)));
  }

  #restore() {
    const kept = JSON.parse(localStorage.getItem(keyOf(this.recordId)) ?? "null");
    if (!kept) return;
    for (const [name, [was, now]] of Object.entries(kept)) {
      this.#server[name] = was;
      this.#local[name] = now;
    }
    this.#become("dirty");
    this.#schedule(0);
  }

  #become(state) {
    this.state = state;
    this.dispatchEvent(new Event("change"));
  }
}
