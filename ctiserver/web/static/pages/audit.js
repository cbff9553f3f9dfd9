// The audit log: who did what, when, to what, and from where. It is looked at here and changed nowhere.
import { LitElement, css, html, nothing, repeat } from "lit";
import { api } from "../lib/api.js";
import { Fallible } from "../lib/fallible.js";
import { shared } from "../lib/styles.js";
import { dayTime, t, word } from "../lib/words.js";

class Audit extends Fallible(LitElement) {
  static properties = {
    _entries: { state: true },
    _before: { state: true },
    _acts: { state: true },
  };

  static styles = [
    shared,
    css`
      h1 {
        font-size: 1.3rem;
        padding-bottom: 0.9rem;
      }
      form {
        display: grid;
        grid-template-columns: repeat(auto-fit, minmax(12rem, 1fr));
        gap: 0.8rem;
        align-items: end;
        margin-bottom: 1rem;
      }
      .scroll {
        overflow-x: auto;
        padding: 0.4rem 1.25rem;
      }
      table {
        width: 100%;
        border-collapse: collapse;
      }
      th,
      td {
        text-align: left;
        vertical-align: top;
        padding: 0.5rem 0.8rem 0.5rem 0;
        border-bottom: 1px solid var(--line);
        overflow-wrap: anywhere;
      }
      tr:last-child td {
        border: 0;
      }
      th {
        font-size: 0.82rem;
        color: var(--ink-soft);
      }
    `,
  ];

  constructor() {
    super();
    this._acts = [];
  }

  connectedCallback() {
    super.connectedCallback();
    this.#read({});
  }

  async #read(asked, before) {
    await this.attempt(async () => {
      const query = new URLSearchParams({ ...asked, ...(before ? { before } : {}) });
      const page = await api("GET", `audit?${query}`);
      this._entries = [...(before ? this._entries : []), ...page.entries];
      this._before = page.before;
      this._acts = page.acts;
    });
  }

  #asked() {
    const form = new FormData(this.renderRoot.querySelector("form"));
    const login = form.get("login").trim();
    return { act: form.get("act"), actor: login && `user:${login}`, subject: form.get("subject").trim() };
  }

  #ask = (event) => {
    event.preventDefault();
    this.#read(this.#asked());
  };

  render() {
    return html`
      <h1>${t("audit.title")}</h1>
      <form class="card" @submit=${this.#ask}>
        <label>
          <span class="label">${t("audit.act")}</span>
          <select name="act">
            <option value="">${t("audit.every_act")}</option>
            ${this._acts.map((act) => html`<option value=${act}>${word("audit_act", act)}</option>`)}
          </select>
        </label>
        <label><span class="label">${t("audit.actor")}</span><input name="login" autocomplete="off"></label>
        <label><span class="label">${t("audit.subject")}</span><input name="subject" autocomplete="off" placeholder="agent:agent1"></label>
        <button class="primary">${t("audit.ask")}</button>
      </form>
      ${this.alert()}
      ${this._entries?.length === 0 ? html`<p class="card soft">${t("audit.none")}</p>` : nothing}
      ${this._entries?.length
        ? html`<div class="card scroll" tabindex="0" role="region" aria-label=${t("audit.title")}>
            <table>
              <thead>
                <tr>${["at", "actor", "act", "subject", "detail", "peer"].map((key) => html`<th scope="col">${t(`audit.${key}`)}</th>`)}</tr>
              </thead>
              <tbody>
                ${repeat(
                  this._entries,
                  (entry) => entry.id,
                  (entry) =>
                    html`<tr>
                      <td class="number">${dayTime(entry.at)}</td>
                      <td>${entry.actor.replace(/^user:/, "")}</td>
                      <td>${word("audit_act", entry.act)}</td>
                      <td>${this.#subject(entry.subject)}</td>
                      <td class="small">${Object.entries(entry.detail).map(([key, value]) => html`<div><span class="soft">${key}</span> ${value}</div>`)}</td>
                      <td class="number small">${entry.peer}</td>
                    </tr>`,
                )}
              </tbody>
            </table>
          </div>`
        : nothing}
      ${this._before ? html`<div><button @click=${() => this.#read(this.#asked(), this._before)}>${t("audit.more")}</button></div>` : nothing}
    `;
  }

  #subject(subject) {
    const [kind, id] = subject.split(/:(.*)/);
    if (kind === "call") return html`<a href="#/calls/${id}">${t("audit.call")}</a>`;
    if (kind === "record") return html`<a href="#/desk/${id}">${t("record.title")}</a>`;
    return id ?? subject;
  }
}

customElements.define("cti-audit", Audit);
