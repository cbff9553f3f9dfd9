// What was told to the world outside: SMS, e-mail, webhooks; the dead ones can be sent again.
import { LitElement, css, html, nothing, repeat } from "lit";
import { api } from "../lib/api.js";
import { Fallible } from "../lib/fallible.js";
import { entries, shared } from "../lib/styles.js";
import { dayTime, t, word } from "../lib/words.js";

const TONES = { delivered: "good", sent: "good", dead: "bad", suppressed: "warn" };

class Messages extends Fallible(LitElement) {
  static properties = {
    _messages: { state: true },
    _before: { state: true },
    _dead: { state: true }, // only those
  };

  static styles = [
    shared,
    entries,
    css`
      .text {
        overflow-wrap: anywhere;
      }
    `,
  ];

  constructor() {
    super();
    this._dead = false;
  }

  connectedCallback() {
    super.connectedCallback();
    this.#read();
  }

  async #read(before) {
    await this.attempt(async () => {
      const query = new URLSearchParams();
      if (this._dead) query.set("state", "dead");
      if (before) query.set("before", before);
      const page = await api("GET", `messages?${query}`);
      this._messages = [...(before ? this._messages : []), ...page.messages];
      this._before = page.before;
    });
  }

  #again(message) {
    return this.attempt(async () => {
      const changed = await api("POST", `messages/${message.id}/again`);
      this._messages = this._messages.map((one) => (one.id === changed.id ? changed : one));
    });
  }

  render() {
    return html`
      <div class="row spread">
        <h1>${t("nav.messages")}</h1>
        <label>
          <input
            type="checkbox"
            .checked=${this._dead}
            @change=${(event) => {
              this._dead = event.target.checked;
              this.#read();
            }}
          >
          ${t("messages.only_dead")}
        </label>
        <button class="quiet" @click=${() => this.#read()}>${t("tasks.refresh")}</button>
      </div>
      ${this.alert()}
      ${this._messages?.length === 0 ? html`<p class="card soft">${t("messages.none")}</p>` : nothing}
      ${this._messages?.length
        ? html`<ul class="card">
            ${repeat(this._messages, (message) => message.id, (message) => this.#message(message))}
          </ul>`
        : nothing}
      ${this._before ? html`<div><button @click=${() => this.#read(this._before)}>${t("calls.more")}</button></div>` : nothing}
    `;
  }

  #message(message) {
    return html`<li>
      <div class="row spread">
        <span>
          <strong>${t(`via.${message.via}`)}</strong> <span class="number">${message.to}</span>
          <span class="soft small number">${dayTime(message.created_at)}</span>
        </span>
        <span class="row">
          <span class="chip ${TONES[message.state] ?? ""}">${word("message_state", message.state)}</span>
          ${message.state === "dead" ? html`<button @click=${() => this.#again(message)}>${t("messages.again")}</button>` : nothing}
        </span>
      </div>
      <span class="text small">${message.text}</span>
      ${message.error ? html`<span class="small soft">${t("messages.tried", { n: message.attempts })} ${message.error}</span>` : nothing}
    </li>`;
  }
}

customElements.define("cti-messages", Messages);
