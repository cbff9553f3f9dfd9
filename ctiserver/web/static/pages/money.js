// Money: expense lines that wait for a decision, and what outlets are owed by the month.
import { LitElement, css, html, nothing } from "lit";
import { api } from "../lib/api.js";
import { Fallible } from "../lib/fallible.js";
import { shared } from "../lib/styles.js";
import { dayTime, t } from "../lib/words.js";

const DECIDE = ["supervisor", "admin"];

/** The month before this one, as 2026-11: the newest that can be settled. */
function lastMonth() {
  const now = new Date();
  const before = new Date(now.getFullYear(), now.getMonth() - 1, 1);
  return `${before.getFullYear()}-${String(before.getMonth() + 1).padStart(2, "0")}`;
}

class Money extends Fallible(LitElement) {
  static properties = {
    me: { attribute: false },
    _waiting: { state: true },
    _settled: { state: true },
    _currency: { state: true },
    _payees: { state: true },
    _refusing: { state: true }, // the line whose refusal is being written
  };

  static styles = [
    shared,
    css`
      h1 {
        font-size: 1.3rem;
        padding-bottom: 0.9rem;
      }
      h2 {
        padding-bottom: 0.4rem;
      }
      li {
        display: grid;
        gap: 0.5rem;
        padding: 0.6rem 0;
      }
      li + li {
        border-top: 1px solid var(--line);
      }
      form {
        display: grid;
        grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr));
        gap: 0.8rem;
        align-items: end;
        padding-bottom: 0.8rem;
      }
    `,
  ];

  connectedCallback() {
    super.connectedCallback();
    this.#read();
  }

  get #decides() {
    return DECIDE.includes(this.me.role);
  }

  async #read() {
    await this.attempt(async () => {
      const { settlements, payees, currency } = await api("GET", "settlements");
      this._waiting = this.#decides ? (await api("GET", "expenses/waiting")).lines : [];
      this._settled = settlements;
      this._payees = payees;
      this._currency = currency;
    });
  }

  #decide(line, approve, reason = "") {
    return this.attempt(async () => {
      await api("POST", `expenses/${line.id}/decision`, { approve, reason });
      this._refusing = null;
      await this.#read();
    });
  }

  #refuse(event, line) {
    event.preventDefault();
    this.#decide(line, false, new FormData(event.target).get("reason"));
  }

  #settle(event) {
    event.preventDefault();
    const { payee, month } = Object.fromEntries(new FormData(event.target));
    this.attempt(async () => {
      await api("POST", "settlements", { payee, month });
      await this.#read();
    });
  }

  render() {
    return html`
      <div class="row spread">
        <h1>${t("nav.money")}</h1>
        <button class="quiet" @click=${() => this.#read()}>${t("tasks.refresh")}</button>
      </div>
      ${this.alert()}
      <div class="stack">${this._settled ? html`${this.#decides ? this.#decisions() : nothing} ${this.#settlements()}` : nothing}</div>
    `;
  }

  #decisions() {
    return html`<section class="card" aria-labelledby="waiting">
      <h2 id="waiting">${t("money.waiting")}</h2>
      ${this._waiting.length
        ? html`<ul>
            ${this._waiting.map((line) => this.#line(line))}
          </ul>`
        : html`<p class="soft">${t("money.nothing_waits")}</p>`}
    </section>`;
  }

  #line(line) {
    return html`<li>
      <div class="row spread">
        <span>
          <strong class="number">${line.amount} ${this._currency}</strong> ${line.quantity} × ${line.what} ·
          ${t(`payer.${line.payer}`)}
        </span>
        <span class="soft small">
          <a class="number" href="#/chain/${line.record_id}">${line.record_number}</a> · ${line.actor.replace(/^user:/, "")} ·
          ${dayTime(line.at)}
        </span>
      </div>
      ${this._refusing === line.id
        ? html`<form @submit=${(event) => this.#refuse(event, line)}>
            <label><span class="label">${t("money.reason")}</span><input name="reason" maxlength="500" required></label>
            <button class="primary" ?disabled=${this._busy}>${t("money.refuse")}</button>
          </form>`
        : html`<div class="row">
            <button class="primary" ?disabled=${this._busy} @click=${() => this.#decide(line, true)}>${t("money.approve")}</button>
            <button ?disabled=${this._busy} @click=${() => (this._refusing = line.id)}>${t("money.refuse")}</button>
          </div>`}
    </li>`;
  }

  #settlements() {
    return html`<section class="card" aria-labelledby="settled">
      <h2 id="settled">${t("money.settlements")}</h2>
      <form @submit=${this.#settle}>
        <label>
          <span class="label">${t("money.payee")}</span>
          <select name="payee" required>
            ${this._payees.map((payee) => html`<option value=${payee}>${payee.replace(/^outlet:/, "")}</option>`)}
          </select>
        </label>
        <label><span class="label">${t("money.month")}</span><input name="month" type="month" .value=${lastMonth()} required></label>
        <button class="primary" ?disabled=${this._busy || !this._payees.length}>${t("money.settle")}</button>
      </form>
      ${this._settled.length
        ? html`<ul>
            ${this._settled.map(
              (one) => html`<li class="row spread">
                <span>${one.payee.replace(/^outlet:/, "")} · <span class="number">${one.month}</span></span>
                <strong class="number">${one.total} ${this._currency}</strong>
                <span class="soft small">${t("money.lines", { n: one.lines })}</span>
              </li>`,
            )}
          </ul>`
        : html`<p class="soft">${t("money.none_settled")}</p>`}
    </section>`;
  }
}

customElements.define("cti-money", Money);
