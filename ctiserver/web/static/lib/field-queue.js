// What somebody in the field did, kept in the browser until the server has it: sent in order, once each.
//
// Each act carries what makes a second copy harmless: a part or an expense its own key; an order that is already where
// the act leads is refused by the server (409), which after a lost answer means that it was done.
import { api } from "./api.js";

const LONGEST_RETRY_MS = 15_000;

/** One person's queue. Emits "change" when `waiting` does, and "refused" with what the server would not have, and why. */
export class FieldQueue extends EventTarget {
  #place;
  #timer = 0;
  #retry = 1000;
  #sending = null;

  constructor(userId) {
    super();
    this.#place = `cti-field:${userId}`;
  }

  /** Acts that the server has not answered yet: `{id, path, body}`, in the order they were done. */
  get waiting() {
    return JSON.parse(localStorage.getItem(this.#place) ?? "[]");
  }

  start() {
    window.addEventListener("online", this.send);
    return this.send();
  }

  stop() {
    window.removeEventListener("online", this.send);
    clearTimeout(this.#timer);
  }

  /** Keep an act, and send what is kept. Resolves when it was sent, or is known to wait. */
  add(path, body) {
    this.#keep([...this.waiting, { id: crypto.randomUUID(), path, body }]);
    return this.send();
  }

  send = () => {
    this.#sending ??= this.#all().finally(() => (this.#sending = null));
    return this.#sending;
  };

  async #all() {
    clearTimeout(this.#timer);
    // one tab at a time: two would send the same act
    await navigator.locks.request(this.#place, async () => {
      for (let [act] = this.waiting; act; [act] = this.waiting) {
        try {
          await api("POST", act.path, act.body);
        } catch (error) {
          if (error.status === 0 || error.status >= 500 || error.status === 401) {
            // it may have arrived all the same: a 409 at the next try says that it did
            this.#keep(this.waiting.map((one) => (one.id === act.id ? { ...one, tried: true } : one)));
            this.#timer = setTimeout(this.send, this.#retry);
            this.#retry = Math.min(this.#retry * 2, LONGEST_RETRY_MS);
            return;
          }
          if (!(error.status === 409 && act.tried)) this.dispatchEvent(new CustomEvent("refused", { detail: error }));
        }
        this.#retry = 1000;
        this.#keep(this.waiting.filter((one) => one.id !== act.id));
      }
    });
  }

  #keep(acts) {
    localStorage.setItem(this.#place, JSON.stringify(acts));
    this.dispatchEvent(new Event("change"));
  }
}
