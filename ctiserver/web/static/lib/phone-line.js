// The line to the PBX, as JsSIP wants a socket to be. Each connecting asks the server for a line of its own.
import { api } from "./api.js";

export class PhoneLine {
  #socket = null;
  #opening = false;
  url = `${location.protocol.replace("http", "ws")}//${location.host}/phone/ws`;
  via_transport = "WS"; // as the PBX has it, whatever the browser's side is wrapped in
  sip_uri = "sip:ctiserver.invalid;transport=ws";

  /** `given` is told of each new line before it is used; it holds user, secret and ice_servers. */
  constructor(given) {
    this.given = given;
  }

  connect() {
    if (!this.#opening && !this.#socket) this.#open(); // JsSIP takes no async function here
  }

  async #open() {
    this.#opening = true;
    let line;
    try {
      line = await api("POST", "phone/line");
    } catch (error) {
      this.#opening = false;
      this.ondisconnect(true, 0, error.code);
      return;
    }
    if (!this.#opening) return; // disconnected meanwhile
    this.#opening = false;
    this.given(line);
    const socket = new WebSocket(`${this.url}?line=${line.line}`, "sip");
    this.#socket = socket;
    socket.onopen = () => this.onconnect();
    socket.onmessage = ({ data }) => this.ondata(data);
    socket.onclose = ({ wasClean, code, reason }) => {
      if (this.#socket !== socket) return;
      this.#socket = null;
      this.ondisconnect(!wasClean, code, reason);
    };
  }

  disconnect() {
    this.#opening = false;
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(1000);
  }

  send(message) {
    if (!this.isConnected()) return false;
    this.#socket.send(message);
    return true;
  }

  isConnected() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  isConnecting() {
    return this.#opening || this.#socket?.readyState === WebSocket.CONNECTING;
  }
}
