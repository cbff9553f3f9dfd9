// Look somebody up by part of a name, firm or number, and open a record for them.
import { LitElement, css, html, nothing, repeat } from "lit";
import { api } from "../lib/api.js";
import { Fallible } from "../lib/fallible.js";
import { shared } from "../lib/styles.js";
import { t, title } from "../lib/words.js";
import "./call.js";
import "./premises.js";

const ASK_AFTER_MS = 200;
// Two characters, or one 汉字: less says too little.
const ENOUGH = /..|\p{Script=Han}/u;

class Search extends Fallible(LitElement) {
  static properties = {
    types: { attribute: false },
    _found: { state: true }, // null: nothing was asked yet
    _premises: { state: true }, // whose sites and devices are being edited
  };

  static styles = [
    shared,
    css`
      li {
        padding: 0.55rem 0;
      }
      li + li {
        border-top: 1px solid var(--line);
      }
      li button {
        min-height: 2rem;
        padding: 0.1rem 0.7rem;
      }
    `,
  ];

  #timer = 0;
  #asked = "";

  constructor() {
    super();
    this._found = null;
  }

  #typed(event) {
    clearTimeout(this.#timer);
    this.#asked = event.target.value.trim();
    if (!this.#asked.match(ENOUGH)) this._found = null;
    else this.#timer = setTimeout(() => this.#ask(this.#asked), ASK_AFTER_MS);
  }

  async #ask(words) {
    await this.attempt(async () => {
      const { contacts } = await api("GET", `contacts?q=${encodeURIComponent(words)}`);
      if (words === this.#asked) this._found = contacts; // an older answer may come later
    });
  }

  async #open(contact, type) {
    await this.attempt(async () => {
      const record = await api("POST", "records", { type: type.name, contact_id: contact.id });
      this.dispatchEvent(new CustomEvent("open-record", { detail: record.id }));
    });
  }

  render() {
    return html`<section class="card stack" aria-labelledby="look">
      <label>
        <h2 id="look">${t("search.title")}</h2>
        <input type="search" placeholder=${t("search.hint")} autocomplete="off" maxlength="100" @input=${this.#typed}>
      </label>
      <p class="unseen" role="status">${this._found ? t("search.found", { n: this._found.length }) : ""}</p>
      ${this._found?.length === 0 ? html`<p class="soft">${t("search.nobody")}</p>` : nothing}
      ${this._found?.length
        ? html`<ul>
            ${repeat(this._found, (contact) => contact.id, (contact) => this.#contact(contact))}
          </ul>`
        : nothing}
      ${this.alert()}
      ${this._premises ? html`<cti-premises .contactId=${this._premises} @done=${() => (this._premises = null)}></cti-premises>` : nothing}
    </section>`;
  }

  #contact(contact) {
    return html`<li class="row spread">
      <span>
        <strong>${contact.name || t("pop.unknown")}</strong> ${contact.organisation}
        <span class="number soft">${contact.numbers.join(" · ")}</span>
      </span>
      <span class="row">
        <cti-call .number=${contact.numbers[0]} .who=${contact.name} .from=${{ contact_id: contact.id }}></cti-call>
        <button @click=${() => (this._premises = contact.id)}>
          ${t("premises.edit")} …<span class="unseen"> ${contact.name}</span>
        </button>
        ${this.types.map(
          (type) =>
            html`<button @click=${() => this.#open(contact, type)}>
              + ${title(type.title, type.name)}<span class="unseen"> ${t("pop.open_record")} ${contact.name}</span>
            </button>`,
        )}
      </span>
    </li>`;
  }
}

customElements.define("cti-search", Search);
