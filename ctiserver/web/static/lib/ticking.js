// A reactive controller for what shows time passing: the host is drawn again every second while it is on the page.
export class Ticking {
  #timer = 0;

  constructor(host) {
    this.host = host;
    host.addController(this);
  }

  hostConnected() {
    this.#timer = setInterval(() => this.host.requestUpdate(), 1000);
  }

  hostDisconnected() {
    clearInterval(this.#timer);
  }
}

/** Seconds since a time. */
export const since = (iso) => (Date.now() - new Date(iso).getTime()) / 1000;
