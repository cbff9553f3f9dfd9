// The phone's bar: what the agent's phone does, and the buttons for it. The console itself is the phone, or one on the
// desk is: then the PBX holds and mutes for it, and what only the phone can do (answer, keys) stays with the phone.
import { LitElement, css, html, nothing } from "lit";
import { api } from "../lib/api.js";
import { Fallible } from "../lib/fallible.js";
import { outgoing } from "../lib/outgoing.js";
import { may } from "../lib/phone-session.js";
import { shared } from "../lib/styles.js";
import { fault, t, title, word } from "../lib/words.js";

const FORGET_MS = 3000; // how long a goodbye may take to come by the line itself
const ASK_AFTER_MS = 250;
const KEYS = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "*", "0", "#"];

const NUMBER = /^[+0-9*#][0-9*# ()-]+$/; // of what is typed

class Phone extends Fallible(LitElement) {
  static properties = {
    me: { attribute: false },
    socket: { attribute: false },
    _about: { state: true }, // what kind of phone it is; null until known
    _phone: { state: true }, // the browser phone's state; null for a desk phone
    _call: { state: true }, // what the PBX says the phone does
    _open: { state: true }, // "", "keys", "transfer"
    _book: { state: true },
    _people: { state: true }, // contacts that what was typed may mean
    _typed: { state: true },
    _to: { state: true }, // whom the book has chosen: one of its entries
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
      .book [role="option"] {
        display: flex;
        flex-wrap: wrap;
        align-items: center;
        justify-content: space-between;
        gap: 0.2rem 0.5rem;
        min-height: 2.5rem;
        padding: 0.4rem 1rem;
        border: 1px solid var(--line-strong);
        border-radius: 9px;
        font-weight: 600;
        cursor: pointer;
      }
      .book [role="option"]:hover {
        background: var(--sunken);
      }
      .book [aria-selected="true"] {
        background: var(--accent-soft);
        border-color: var(--accent);
        box-shadow: 0 0 0 2px var(--focus);
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
  #next = ""; // what gets the focus once it is there

  constructor() {
    super();
    this._about = null;
    this._phone = null;
    this._call = null;
    this._open = "";
    this._book = null;
    this._to = null;
    this._people = [];
    this._typed = "";
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

  said(error) {
    return word("phone.fault", error.code) === error.code ? fault(error) : word("phone.fault", error.code);
  }

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
      KeyM: this.#talking() && this.#mute,
      KeyO: this.#canHold() && this.#hold,
      KeyT: this.#talking() && (this.#consulting() ? this.#complete : () => this.#toggle("transfer")),
      KeyK: this.#talking() && this.#phone && (() => this.#toggle("keys")),
    };
    const act = acts[event.code];
    if (!act) return;
    event.preventDefault();
    this.attempt(act);
  };

  #may(type) {
    return this._phone !== null && may(this._phone, type);
  }

  #canHangUp() {
    return this._phone ? this._phone.call !== "none" : this._call !== null;
  }

  #hangUp = () => (this.#phone ? this.#phone.hangUp() : api("POST", "phone/hangup"));

  #muted() {
    return this._phone ? this._phone.muted : Boolean(this._call?.muted);
  }

  #held() {
    return this._phone ? this._phone.call === "held" : Boolean(this._call?.held);
  }

  #consulting() {
    return this._call?.doing === "consulting";
  }

  /** The PBX holds for a desk phone, and only where there are two. */
  #canHold() {
    return this.#talking() && (this._phone !== null || this._call.doing === "talking");
  }

  #mute = () => (this.#phone ? this.#phone.mute(!this._phone.muted) : api("POST", this.#muted() ? "phone/unmute" : "phone/mute"));

  #hold = () =>
    this.#phone ? this.#phone.hold(this._phone.call === "talking") : api("POST", this.#held() ? "phone/unhold" : "phone/hold");

  #complete = () => api("POST", "phone/consult/complete");

  async #toggle(name) {
    this._open = this._open === name ? "" : name;
    this._to = null;
    this._typed = "";
    this._people = [];
    if (this._open !== "transfer") return;
    this._book = await api("GET", "phone/book");
    await this.updateComplete;
    this.renderRoot.querySelector("#to")?.focus();
  }

  async #close() {
    this._open = "";
    await this.updateComplete;
    this.renderRoot.querySelector("#transfer")?.focus();
  }

  async #hand(how) {
    const { kind, key } = this._to;
    await api("POST", `phone/${how}`, { kind, key });
    this._open = "";
    if (how === "consult") this.#next = "#complete";
  }

  updated() {
    const next = this.#next && this.renderRoot.querySelector(this.#next);
    if (!next) return;
    this.#next = "";
    next.focus(); // where the keyboard goes on, as the panel that had it is gone
  }

  #asked = (event) => this.attempt(() => this.#callOut(event.detail));

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
      ${this.alert()}
    </section>`;
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
        ${this._call ? t(this.#held() ? "phone.call.held" : `phone.doing.${this._call.doing}`) : t("phone.desk", { extension: this._about.extension })}
      </span>
      ${this.#muted() ? html`<span class="chip warn">${t("phone.muted")}</span>` : nothing}
      ${this._call?.doing === "ringing" ? html`<span class="soft">${t("phone.lift")}</span>` : nothing}`;
  }

  #doing() {
    const doing = this._call?.doing;
    return doing === "consulting" || doing === "conference" ? html`<span class="chip warn">${t(`phone.doing.${doing}`)}</span>` : nothing;
  }

  #idle(it) {
    return html`
      ${it?.line === "waiting" ? html`<button @click=${() => this.attempt(() => this.#phone.start({ steal: true }))}>${t("phone.take")}</button>` : nothing}
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
    return html`
      ${it?.call === "ringing"
        ? html`<button class="primary" aria-keyshortcuts="Alt+A" @click=${() => this.attempt(() => this.#phone.answer())}>
            ${t("phone.answer")} <kbd aria-hidden="true">Alt A</kbd>
          </button>`
        : nothing}
      ${this.#talking()
        ? html`<button aria-pressed=${this.#muted()} aria-keyshortcuts="Alt+M" @click=${() => this.attempt(this.#mute)}>${t("phone.mute")}</button>`
        : nothing}
      ${this.#canHold()
        ? html`<button aria-pressed=${this.#held()} aria-keyshortcuts="Alt+O" @click=${() => this.attempt(this.#hold)}>${t("phone.hold")}</button>`
        : nothing}
      ${it && this.#talking()
        ? html`
            <button aria-expanded=${this._open === "keys"} aria-keyshortcuts="Alt+K" @click=${() => this.attempt(() => this.#toggle("keys"))}>
              ${t("phone.keys")}
            </button>
          `
        : nothing}
      ${this.#consulting()
        ? html`
            <button id="complete" class="primary" aria-keyshortcuts="Alt+T" ?disabled=${this._busy} @click=${() => this.attempt(this.#complete)}>
              ${t("phone.complete")}
            </button>
            <button ?disabled=${this._busy} @click=${() => this.attempt(() => api("POST", "phone/consult/join"))}>${t("phone.join")}</button>
            <button ?disabled=${this._busy} @click=${() => this.attempt(() => api("POST", "phone/consult/cancel"))}>${t("phone.cancel")}</button>
          `
        : this.#talking()
          ? html`<button id="transfer" aria-expanded=${this._open === "transfer"} aria-keyshortcuts="Alt+T" @click=${() => this.attempt(() => this.#toggle("transfer"))}>
              ${t("phone.transfer")}
            </button>`
          : nothing}
      <button class="danger" aria-keyshortcuts="Alt+H" @click=${() => this.attempt(this.#hangUp)}>
        ${t(it?.call === "ringing" ? "phone.decline" : "phone.hang_up")} <kbd aria-hidden="true">Alt H</kbd>
      </button>
    `;
  }

  #keypad() {
    return html`<div class="panel keys" role="group" aria-label=${t("phone.keys")}>
      ${KEYS.map((key) => html`<button @click=${() => this.#phone.press(key)}>${key}</button>`)}
    </div>`;
  }

  /** Whom what is typed may mean, as a list: colleagues, people outside, the number itself, queues. */
  #entries() {
    const { agents, queues } = this._book;
    const text = this._typed.toLowerCase();
    const like = (...words) => words.some((one) => one.toLowerCase().includes(text));
    const colleague = agents.some((agent) => agent.extension === this._typed);
    return [
      ...agents
        .filter((agent) => like(agent.name, agent.extension))
        .map((agent) => ({ kind: "agent", key: agent.agent_id, name: agent.name, what: `${agent.extension} · ${t(`state.${agent.state}`)}` })),
      ...(NUMBER.test(this._typed) && !colleague ? [{ kind: "number", key: this._typed, name: this._typed, what: t("phone.number") }] : []),
      ...this._people.map((one) => ({ kind: "number", key: one.numbers[0], name: one.name || one.organisation, what: one.numbers[0] })),
      ...queues
        .map((queue) => ({ kind: "queue", key: queue.name, name: title(queue.title, queue.name), what: t("phone.queue") }))
        .filter((queue) => like(queue.name, queue.key)),
    ];
  }

  #transfer() {
    if (!this._book) return nothing;
    const entries = this.#entries();
    const at = this.#at(entries);
    return html`<form class="panel stack" aria-label=${t("phone.transfer")} @submit=${this.#confirmed} @keydown=${this.#leaves}>
      <label class="row">
        <span class="label">${t("phone.to")}</span>
        <input
          id="to"
          role="combobox"
          aria-expanded="true"
          aria-autocomplete="list"
          aria-controls="book"
          aria-activedescendant=${at < 0 ? nothing : `entry-${at}`}
          autocomplete="off"
          maxlength="60"
          @input=${this.#types}
          @keydown=${this.#moves}
        >
      </label>
      <div id="book" class="book" role="listbox" aria-label=${t("phone.transfer")}>
        ${entries.map(
          (entry, n) =>
            html`<div id="entry-${n}" role="option" aria-selected=${n === at} @click=${() => (this._to = entry)}>
              <span>${entry.name}</span> <span class="soft small">${entry.what}</span>
            </div>`,
        )}
      </div>
      <div class="row">
        <button class="primary" ?disabled=${at < 0 || this._busy}>${t("phone.transfer_now")} <kbd aria-hidden="true">↵</kbd></button>
        <button type="button" ?disabled=${at < 0 || this._to.kind === "queue" || this._busy} @click=${() => this.attempt(() => this.#hand("consult"))}>
          ${t("phone.ask_first")}
        </button>
        <span class="soft small">${t("phone.book_keys")}</span>
      </div>
    </form>`;
  }

  /** Where in the list the chosen one stands; -1 if nobody is chosen. */
  #at(entries) {
    return entries.findIndex(({ kind, key }) => kind === this._to?.kind && key === this._to.key);
  }

  #confirmed = (event) => {
    event.preventDefault();
    if (this._to) this.attempt(() => this.#hand("transfer"));
  };

  #leaves = (event) => {
    if (event.key !== "Escape") return;
    event.preventDefault();
    this.#close();
  };

  #moves = async (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const entries = this.#entries();
    const at = this.#at(entries);
    this._to = entries[at < 0 && step < 0 ? entries.length - 1 : (at + step + entries.length) % entries.length] ?? null;
    await this.updateComplete;
    this.renderRoot.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" });
  };

  /** What is typed chooses the first that it may mean, the number itself before those that only look like it. */
  #types = (event) => {
    this._typed = event.target.value.trim();
    this._people = [];
    const text = this._typed;
    const entries = text ? this.#entries() : [];
    this._to =
      entries.find((one) => one.kind === "agent" && one.what.startsWith(`${text} `)) ??
      entries.find((one) => one.kind === "number") ??
      entries[0] ??
      null;
    clearTimeout(this.#asking);
    if (this._about.outbound && text.length > 1) this.#asking = setTimeout(() => this.#ask(text), ASK_AFTER_MS);
  };

  async #ask(text) {
    try {
      const { contacts } = await api("GET", `contacts?q=${encodeURIComponent(text)}`);
      if (this._typed !== text) return;
      this._people = contacts.filter((one) => one.numbers.length);
      this._to ??= this.#entries()[0] ?? null;
    } catch {
      this._people = []; // colleagues and queues are there all the same
    }
  }
}

customElements.define("cti-phone", Phone);
