// The phone's bar: what the agent's phone does, and the buttons for it. The console itself is the phone, or one on the
// desk is: then what only the phone can do (answer, mute, hold, keys) stays with the phone.
import { LitElement, css, html, nothing } from "lit";
import { api } from "../lib/api.js";
import { outgoing } from "../lib/outgoing.js";
import { may } from "../lib/phone-session.js";
import { shared } from "../lib/styles.js";
import { Worded, fault, t, title, word } from "../lib/words.js";

const FORGET_MS = 3000; // how long a goodbye may take to come by the line itself
const ASK_AFTER_MS = 250;
const KEYS = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "*", "0", "#"];

class Phone extends Worded(LitElement) {
  static properties = {
    me: { attribute: false },
    socket: { attribute: false },
    _about: { state: true }, // what kind of phone it is; null until known
    _phone: { state: true }, // the browser phone's state; null for a desk phone
    _call: { state: true }, // what the PBX says the phone does
    _open: { state: true }, // "", "keys", "transfer"
    _book: { state: true },
    _people: { state: true }, // contacts that what was typed may mean
    _to: { state: true }, // whom the book has chosen, or the number that was typed
    _busy: { state: true },
    _error: { state: true },
  };

  static styles = [
    shared,
    css`
      :host {
        border-bottom: 1px solid var(--line);
        background: var(--card);
      }
      :host([quiet]) {
        display: none;
      }
      section {
        display: flex;
        flex-wrap: wrap;
        align-items: center;
        gap: 0.5rem 1rem;
        padding: 0.45rem clamp(0.8rem, 2.5vw, 1.8rem);
      }
      .live {
        background: var(--accent-soft);
      }
      .live .chip.accent {
        background: var(--card);
      }
      .who {
        font-weight: 650;
      }
      .actions {
        margin-left: auto;
      }
      .danger {
        background: var(--bad);
        border-color: var(--bad);
        color: var(--card);
      }
      .danger:hover:not(:disabled) {
        filter: brightness(1.1);
        background: var(--bad);
      }
      button[aria-pressed="true"],
      button[aria-expanded="true"] {
        background: var(--accent-soft);
        border-color: var(--accent);
      }
      .panel {
        width: 100%;
        padding: 0.7rem 0 0.4rem;
      }
      .keys {
        display: grid;
        grid-template-columns: repeat(3, 3.4rem);
        gap: 0.4rem;
      }
      .keys button {
        justify-content: center;
        font-size: 1.1rem;
      }
      .book {
        display: grid;
        grid-template-columns: repeat(auto-fill, minmax(14rem, 1fr));
        gap: 0.35rem;
        max-height: 15rem;
        overflow: auto;
        padding: 3px;
      }
      .book button {
        justify-content: space-between;
        text-align: left;
      }
      input {
        width: 14rem;
      }
      .panel label {
        justify-self: start;
      }
    `,
  ];

  #stop = null;
  #phone = null;
  #over = 0;
  #asking = 0;

  constructor() {
    super();
    this._about = null;
    this._phone = null;
    this._call = null;
    this._open = "";
    this._book = null;
    this._to = null;
    this._people = [];
  }

  connectedCallback() {
    super.connectedCallback();
    window.addEventListener("keydown", this.#key);
    outgoing.addEventListener("call", this.#asked);
    this.#begin();
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    window.removeEventListener("keydown", this.#key);
    outgoing.removeEventListener("call", this.#asked);
    outgoing.possible = false;
    this.#stop?.();
    clearTimeout(this.#over);
    clearTimeout(this.#asking);
    this.#phone?.removeEventListener("change", this.#changed);
    this.#phone?.removeEventListener("failed", this.#failed);
    this.#phone?.stop();
    this.#phone = null;
  }

  async #begin() {
    try {
      this._about = await api("GET", "phone");
    } catch (error) {
      this._error = error;
      return;
    }
    if (!this.isConnected) return;
    this.#stop = this.socket.follow(`phone:${this.me.agent_id}`, this.#told);
    if (this._about.kind !== "browser") return;
    const { BrowserPhone } = await import("../lib/phone.js"); // of no use to those without such a phone
    if (!this.isConnected) return;
    this.#phone = new BrowserPhone(this._about.user);
    this.#phone.addEventListener("change", this.#changed);
    this.#phone.addEventListener("failed", this.#failed);
    this.#phone.start();
    this.#changed();
  }

  #told = (call) => {
    clearTimeout(this.#over);
    // The PBX could not say goodbye over a line that broke in mid-call; what it tells the server, it tells us too.
    if (this._call !== null && call === null) this.#over = setTimeout(() => this.#phone?.forget(), FORGET_MS);
    this._call = call;
  };

  /** The phone in this browser, if there is one: for those who measure it. */
  get phone() {
    return this.#phone;
  }

  #changed = () => {
    this._phone = this.#phone.state;
    if (this._phone.call === "none" && this._open === "keys") this._open = "";
  };

  #failed = (event) => (this._error = { code: event.detail });

  willUpdate() {
    if (!this.#talking() && this._open === "transfer") this._open = "";
    const idle = this._phone ? this._phone.line === "ready" && this._phone.call === "none" : this._call === null;
    outgoing.possible = Boolean(this._about?.outbound) && idle;
  }

  /** In a call, as far as the phone itself or the PBX knows. */
  #talking() {
    if (this._phone) return this._phone.call === "talking" || this._phone.call === "held";
    return this._call !== null && this._call.doing !== "ringing";
  }

  #key = (event) => {
    if (!event.altKey || event.ctrlKey || event.metaKey) return;
    const acts = {
      KeyA: this.#may("answer") && (() => this.#phone.answer()),
      KeyH: this.#canHangUp() && this.#hangUp,
      KeyM: this.#talking() && this.#phone && this.#mute,
      KeyO: this.#talking() && this.#phone && this.#hold,
      KeyT: this.#talking() && (() => this.#toggle("transfer")),
      KeyK: this.#talking() && this.#phone && (() => this.#toggle("keys")),
    };
    const act = acts[event.code];
    if (!act) return;
    event.preventDefault();
    this.#do(act);
  };

  #may(type) {
    return this._phone !== null && may(this._phone, type);
  }

  #canHangUp() {
    return this._phone ? this._phone.call !== "none" : this._call !== null;
  }

  #hangUp = () => (this.#phone ? this.#phone.hangUp() : api("POST", "phone/hangup"));

  #mute = () => this.#phone.mute(!this._phone.muted);

  #hold = () => this.#phone.hold(this._phone.call === "talking");

  async #do(act) {
    this._busy = true;
    this._error = null;
    try {
      await act();
    } catch (error) {
      this._error = error;
    } finally {
      this._busy = false;
    }
  }

  async #toggle(name) {
    this._open = this._open === name ? "" : name;
    this._to = null;
    this._people = [];
    if (this._open !== "transfer") return;
    this._book = await api("GET", "phone/book");
    await this.updateComplete;
    this.renderRoot.querySelector("#to")?.focus();
  }

  async #hand(how) {
    await api("POST", `phone/${how}`, this._to);
    this._open = "";
  }

  #asked = (event) => this.#do(() => this.#callOut(event.detail));

  async #callOut(wish) {
    const id = crypto.randomUUID();
    this.#phone?.expect(id);
    await api("POST", "phone/calls", { id, asked_at: Math.floor(Date.now() / 1000), ...wish });
  }

  render() {
    const it = this._phone;
    const quiet = this._about === null || (this._about.kind === "desk" && !this._call && !this._about.outbound);
    this.toggleAttribute("quiet", quiet);
    if (quiet) return nothing;
    const live = it ? it.call !== "none" : this._call !== null;
    return html`<section class=${live ? "live" : ""} aria-label=${t("phone.title")}>
      <span role="status" class="row">${it ? this.#browser(it) : this.#desk()}</span>
      <p class="unseen" role="alert">${it?.call === "ringing" ? t("phone.announce", { who: this.#who(it) }) : ""}</p>
      <div class="row actions">${live ? this.#inCall(it) : this.#idle(it)}</div>
      ${this._open === "keys" && it ? this.#keypad() : nothing}
      ${this._open === "transfer" ? this.#transfer() : nothing}
      <div role="alert" class="notice bad" ?hidden=${!this._error}>${this._error ? this.#fault(this._error) : ""}</div>
    </section>`;
  }

  #fault(error) {
    return word("phone.fault", error.code) === error.code ? fault(error) : word("phone.fault", error.code);
  }

  #who(it) {
    return it.caller?.name || it.caller?.number || t("pop.withheld");
  }

  #browser(it) {
    const tone = it.call === "none" ? { ready: "good", refused: "bad" }[it.line] : "accent";
    return html`<span class="chip ${tone ?? "warn"}">${t(it.call === "none" ? `phone.line.${it.line}` : `phone.call.${it.call}`)}</span>
      ${it.call === "none" ? nothing : html`<span class="who">${this.#who(it)}</span>`}
      ${it.call !== "none" && it.line !== "ready" ? html`<span class="chip warn">${t("phone.line_broken")}</span>` : nothing}
      ${it.muted ? html`<span class="chip warn">${t("phone.muted")}</span>` : nothing}
      ${this.#doing()}
      ${it.line === "refused" ? html`<span class="soft">${word("phone.refused", it.error)}</span>` : nothing}`;
  }

  #desk() {
    return html`<span class="chip ${this._call ? "accent" : ""}">
        ${this._call ? t(`phone.doing.${this._call.doing}`) : t("phone.desk", { extension: this._about.extension })}
      </span>`;
  }

  #doing() {
    const doing = this._call?.doing;
    return doing === "consulting" || doing === "conference" ? html`<span class="chip warn">${t(`phone.doing.${doing}`)}</span>` : nothing;
  }

  #idle(it) {
    return html`
      ${it?.line === "waiting" ? html`<button @click=${() => this.#do(() => this.#phone.start({ steal: true }))}>${t("phone.take")}</button>` : nothing}
      ${it ? it.line === "ready" : this._about.outbound
        ? html`<form class="row" @submit=${this.#dial}>
            <input name="number" type="tel" autocomplete="off" maxlength="32" required aria-label=${t("phone.number")} placeholder=${t("phone.number")}>
            <button ?disabled=${this._busy}>${t("phone.dial")}</button>
          </form>`
        : nothing}
    `;
  }

  #dial = (event) => {
    event.preventDefault();
    const number = new FormData(event.target).get("number").trim();
    if (number) outgoing.call(number);
  };

  #inCall(it) {
    const consulting = this._call?.doing === "consulting";
    return html`
      ${it?.call === "ringing"
        ? html`<button class="primary" aria-keyshortcuts="Alt+A" @click=${() => this.#do(() => this.#phone.answer())}>
            ${t("phone.answer")} <kbd aria-hidden="true">Alt A</kbd>
          </button>`
        : nothing}
      ${it && this.#talking()
        ? html`
            <button aria-pressed=${it.muted} aria-keyshortcuts="Alt+M" @click=${() => this.#do(this.#mute)}>${t("phone.mute")}</button>
            <button aria-pressed=${it.call === "held"} aria-keyshortcuts="Alt+O" @click=${() => this.#do(this.#hold)}>${t("phone.hold")}</button>
            <button aria-expanded=${this._open === "keys"} aria-keyshortcuts="Alt+K" @click=${() => this.#do(() => this.#toggle("keys"))}>
              ${t("phone.keys")}
            </button>
          `
        : nothing}
      ${consulting
        ? html`
            <button class="primary" ?disabled=${this._busy} @click=${() => this.#do(() => api("POST", "phone/consult/complete"))}>
              ${t("phone.complete")}
            </button>
            <button ?disabled=${this._busy} @click=${() => this.#do(() => api("POST", "phone/consult/join"))}>${t("phone.join")}</button>
            <button ?disabled=${this._busy} @click=${() => this.#do(() => api("POST", "phone/consult/cancel"))}>${t("phone.cancel")}</button>
          `
        : this.#talking()
          ? html`<button aria-expanded=${this._open === "transfer"} aria-keyshortcuts="Alt+T" @click=${() => this.#do(() => this.#toggle("transfer"))}>
              ${t("phone.transfer")}
            </button>`
          : nothing}
      <button class="danger" aria-keyshortcuts="Alt+H" @click=${() => this.#do(this.#hangUp)}>
        ${t(it?.call === "ringing" ? "phone.decline" : "phone.hang_up")} <kbd aria-hidden="true">Alt H</kbd>
      </button>
    `;
  }

  #keypad() {
    return html`<div class="panel keys" role="group" aria-label=${t("phone.keys")}>
      ${KEYS.map((key) => html`<button @click=${() => this.#phone.press(key)}>${key}</button>`)}
    </div>`;
  }

  #transfer() {
    const book = this._book;
    if (!book) return nothing;
    const chosen = (kind, key) => this._to?.kind === kind && this._to.key === key;
    const entry = (kind, key, name, what) =>
      html`<button aria-pressed=${chosen(kind, key)} @click=${() => (this._to = { kind, key })}>
        <span>${name}</span> <span class="soft small">${what}</span>
      </button>`;
    return html`<div class="panel stack" role="group" aria-label=${t("phone.transfer")}>
      <label class="row">
        <span class="label">${t("phone.to")}</span>
        <input id="to" autocomplete="off" maxlength="60" @input=${this.#typed}>
      </label>
      <div class="book">
        ${book.agents.map((agent) => entry("agent", agent.agent_id, agent.name, `${agent.extension} · ${t(`state.${agent.state}`)}`))}
        ${this._people.map((one) => entry("number", one.numbers[0], one.name || one.organisation, one.numbers[0]))}
        ${book.queues.map((queue) => entry("queue", queue.name, title(queue.title, queue.name), t("phone.queue")))}
      </div>
      <div class="row">
        <button class="primary" ?disabled=${!this._to || this._busy} @click=${() => this.#do(() => this.#hand("transfer"))}>${t("phone.transfer_now")}</button>
        <button ?disabled=${!this._to || this._to.kind === "queue" || this._busy} @click=${() => this.#do(() => this.#hand("consult"))}>
          ${t("phone.ask_first")}
        </button>
      </div>
    </div>`;
  }

  /** What is typed is an extension of a colleague, else a number outside. */
  #typed = (event) => {
    const text = event.target.value.trim();
    const colleague = this._book.agents.find((agent) => agent.extension === text);
    if (colleague) this._to = { kind: "agent", key: colleague.agent_id };
    else this._to = text ? { kind: "number", key: text } : null;
    clearTimeout(this.#asking);
    this._people = [];
    if (this._about.outbound && text.length > 1) this.#asking = setTimeout(() => this.#ask(text), ASK_AFTER_MS);
  };

  async #ask(text) {
    try {
      const { contacts } = await api("GET", `contacts?q=${encodeURIComponent(text)}`);
      if (this.renderRoot.querySelector("#to")?.value.trim() === text) this._people = contacts.filter((one) => one.numbers.length);
    } catch {
      this._people = []; // colleagues and queues are there all the same
    }
  }
}

customElements.define("cti-phone", Phone);
