// The WebSocket to the hub: topics with a snapshot and then deltas, and coming back by itself after any loss.
import { api } from "./api.js";

const PING_EVERY_MS = 15_000;
const SILENT_AFTER_MS = 25_000;
const LONGEST_DELAY_MS = 10_000;
const SERVICE_RESTART = 1012;

/** One connection for the page. Emits "state" when `state` changes: "connecting", "open", "waiting", "stopped". */
export class Socket extends EventTarget {
  #handlers = new Map(); // topic → {handler, seq}
  #socket = null;
  #timer = 0;
  #ping = 0;
  #delay = 500;
  #heardAt = 0;
  #turn = 0; // of asking for a ticket: an answer to an earlier one opens no second connection
  state = "stopped";
  restarting = false; // the server said that it would be back

  start() {
    if (this.state !== "stopped") return;
    window.addEventListener("online", this.#hurry);
    this.#connect();
  }

  stop() {
    this.#turn += 1;
    window.removeEventListener("online", this.#hurry);
    clearTimeout(this.#timer);
    clearInterval(this.#ping);
    this.#become("stopped");
    this.#socket?.close();
    this.#socket = null;
    this.#handlers.clear();
  }

  /** Follow a topic: `handler(data, event)` gets the snapshot (event "snapshot"), then each delta. Returns how to stop. */
  follow(topic, handler) {
    this.#handlers.set(topic, { handler, seq: null });
    this.#say({ op: "subscribe", topic });
    return () => {
      this.#handlers.delete(topic);
      this.#say({ op: "unsubscribe", topic });
    };
  }

  #hurry = () => {
    if (this.state === "waiting") this.#connect();
  };

  async #connect() {
    clearTimeout(this.#timer);
    this.#become("connecting");
    const turn = (this.#turn += 1);
    let ticket;
    try {
      ({ ticket } = await api("POST", "tickets"));
    } catch (error) {
      if (turn !== this.#turn) return;
      if (error.code === "not_logged_in") return; // the app shows the log-in page, which stops us
      this.#retry();
      return;
    }
    if (turn !== this.#turn) return;
    const url = new URL("/ws", location.href);
    url.protocol = url.protocol.replace("http", "ws");
    url.searchParams.set("ticket", ticket);
    const socket = new WebSocket(url);
    this.#socket = socket;
    socket.onopen = () => {
      this.#heardAt = performance.now();
      this.restarting = false;
      this.#become("open");
      for (const topic of this.#handlers.keys()) this.#say({ op: "subscribe", topic });
      this.#ping = setInterval(() => this.#check(socket), PING_EVERY_MS);
    };
    socket.onmessage = (message) => this.#heard(JSON.parse(message.data));
    socket.onclose = (event) => {
      if (this.#socket !== socket) return;
      this.restarting = event.code === SERVICE_RESTART;
      this.#socket = null;
      clearInterval(this.#ping);
      if (this.state !== "stopped") this.#retry();
    };
  }

  #check(socket) {
    // Pages can't see WebSocket pings; a line that died in silence is noticed by what does not come back.
    if (performance.now() - this.#heardAt > SILENT_AFTER_MS) socket.close();
    else this.#say({ op: "ping" });
  }

  #heard(frame) {
    this.#heardAt = performance.now();
    const followed = this.#handlers.get(frame.topic);
    if (!followed) return;
    if (frame.kind === "snapshot") {
      this.#delay = 500;
      followed.seq = frame.seq;
      followed.handler(frame.data, "snapshot");
    } else if (frame.kind === "delta" && followed.seq !== null) {
      if (frame.seq !== followed.seq + 1) {
        followed.seq = null; // a gap: what we show may be wrong, so start again
        this.#say({ op: "unsubscribe", topic: frame.topic });
        this.#say({ op: "subscribe", topic: frame.topic });
        return;
      }
      followed.seq = frame.seq;
      followed.handler(frame.data, frame.event);
    }
  }

  #retry() {
    for (const followed of this.#handlers.values()) followed.seq = null;
    this.#become("waiting");
    this.#timer = setTimeout(() => this.#connect(), this.#delay * (0.5 + Math.random()));
    this.#delay = Math.min(LONGEST_DELAY_MS, this.#delay * 2);
  }

  #say(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  #become(state) {
    if (this.state === state) return;
    this.state = state;
    this.dispatchEvent(new Event("state"));
  }
}
