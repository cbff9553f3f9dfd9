// Whether the call is recorded, and the button for silence in it while somebody says a card's number.
import { LitElement, css, html, nothing } from "lit";
import { api } from "../lib/api.js";
import { Fallible } from "../lib/fallible.js";
import { shared } from "../lib/styles.js";
import { t } from "../lib/words.js";

// The call log may learn of the talk, and of its recording, a moment after the pop: looked again after so long.
const AGAIN_MS = [300, 700, 1500, 3000, 6000, 12_000, 24_000];

class Masking extends Fallible(LitElement) {
  static properties = {
    shown: { attribute: false }, // what pops, of which the call is recorded or not
    _recordings: { state: true },
  };

  static styles = [
    shared,
    css`
      .dot {
        width: 0.6rem;
        height: 0.6rem;
        border-radius: 50%;
        background: currentcolor;
      }
    `,
  ];

  #timer = 0;

  constructor() {
    super();
    this._recordings = [];
  }

  connectedCallback() {
    super.connectedCallback();
    window.addEventListener("keydown", this.#key);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    clearTimeout(this.#timer);
    window.removeEventListener("keydown", this.#key);
  }

  willUpdate(changed) {
    if (changed.has("shown")) this.#read(this.shown, 0);
  }

  async #read(shown, tries) {
    clearTimeout(this.#timer);
    let recordings = [];
    try {
      ({ recordings } = await api("GET", `calls/${shown.call_id}/recordings`));
    } catch {
      // nothing to mask that we know of; the line at the top says when the server is away
    }
    if (shown !== this.shown || !this.isConnected) return;
    this._recordings = recordings;
    if (!this.#goingOn.length && tries < AGAIN_MS.length)
      this.#timer = setTimeout(() => this.#read(shown, tries + 1), AGAIN_MS[tries]);
  }

  get #goingOn() {
    return this._recordings.filter((one) => one.state === "recording");
  }

  get #masked() {
    return this.#goingOn.some((one) => one.masked);
  }

  #key = (event) => {
    if (!event.altKey || event.ctrlKey || event.metaKey || event.code !== "KeyS" || !this.#goingOn.length) return;
    event.preventDefault();
    this.#switch();
  };

  #switch = () =>
    this.attempt(async () => {
      const { recordings } = await api("POST", `calls/${this.shown.call_id}/recording`, { do: this.#masked ? "resume" : "mask" });
      this._recordings = recordings;
    });

  render() {
    const masked = this.#masked;
    return html`${this.#goingOn.length
      ? html`<div class="row">
          <span role="status" class="chip ${masked ? "warn" : "bad"}">
            <span class="dot" aria-hidden="true"></span> ${t(masked ? "masking.masked" : "masking.on")}
          </span>
          <button aria-keyshortcuts="Alt+S" @click=${this.#switch}>
            ${t(masked ? "masking.resume" : "masking.mask")} <kbd aria-hidden="true">Alt S</kbd>
          </button>
        </div>`
      : nothing}
    ${this.alert()}`;
  }
}

customElements.define("cti-masking", Masking);
