// What somebody in the field did, kept in the browser until the server has it: sent in order, once each.
//
// Each act carries what makes a second copy harmless: a photo, a part or an expense its own key; an order that is already
// where the act leads is refused by the server (409 conflict), which after a lost answer means that it was done.
import { ApiError, api, upload } from "./api.js";

const LONGEST_RETRY_MS = 15_000;
const ACTS = "acts";

/** One person's queue. Emits "change" when `waiting` does, and "refused" with what the server would not have, and why. */
export class FieldQueue extends EventTarget {
  #place;
  #database = null;
  #timer = 0;
  #retry = 1000;
  #sending = null;

  /** Acts that the server has not answered yet, in the order they were done: `{number, order, path, body, file}`. */
  waiting = [];

  constructor(userId) {
    super();
    this.#place = `cti-field:${userId}`;
  }

  async start() {
    window.addEventListener("online", this.send);
    await this.#look();
    return this.send();
  }

  stop() {
    window.removeEventListener("online", this.send);
    clearTimeout(this.#timer);
  }

  /**
   * Keep an act for a work order, and send what is kept: a `body` as JSON, or a `file` as it is. Resolves when it was
   * sent, or is known to wait. Rejects with an ApiError if this browser can't keep anything.
   */
  async add(order, path, { body = {}, file = null } = {}) {
    await this.#change((acts) => acts.add({ order, path, body, file, tried: false }));
    await this.#look();
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
      await this.#look();
      let held = 0; // photos that the server can't keep just now: they hold up nothing else
      for (let act = this.waiting[held]; act; act = this.waiting[held]) {
        try {
          await (act.file ? upload(act.path, act.file) : api("POST", act.path, act.body));
        } catch (error) {
          if (error.status === 0 || error.status >= 500 || error.status === 401) {
            // it may have arrived all the same: a 409 at the next try says that it did
            await this.#change((acts) => acts.put({ ...act, tried: true }));
            this.#later();
            if (!act.file || error.status < 500) return;
            held += 1;
            continue;
          }
          if (!(error.code === "conflict" && act.tried && !act.file)) {
            this.dispatchEvent(new CustomEvent("refused", { detail: error }));
          }
        }
        this.#retry = 1000;
        await this.#change((acts) => acts.delete(act.number));
        await this.#look();
      }
    });
  }

  #later() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.send, this.#retry);
    this.#retry = Math.min(this.#retry * 2, LONGEST_RETRY_MS);
  }

  async #look() {
    const acts = (await this.#open()).transaction(ACTS).objectStore(ACTS);
    this.waiting = await answer(acts.getAll());
    this.dispatchEvent(new Event("change"));
  }

  /** Resolves when the change is on the disk. */
  async #change(write) {
    const transaction = (await this.#open()).transaction(ACTS, "readwrite", { durability: "strict" });
    write(transaction.objectStore(ACTS));
    await new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = () => reject(noRoom(transaction.error));
    });
  }

  #open() {
    this.#database ??= new Promise((resolve, reject) => {
      const request = indexedDB.open(this.#place, 1);
      request.onupgradeneeded = () => request.result.createObjectStore(ACTS, { keyPath: "number", autoIncrement: true });
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(noRoom(request.error));
    });
    return this.#database;
  }
}

const answer = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(noRoom(request.error));
  });

const noRoom = (error) => new ApiError(0, "no_room", error?.message ?? "this browser keeps nothing");
