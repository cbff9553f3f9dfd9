// Spare parts: what lies where, what is promised, which worn ones are due; receive, send on, take back.
import { LitElement, css, html, nothing } from "lit";
import { api } from "../lib/api.js";
import { Fallible } from "../lib/fallible.js";
import { shared } from "../lib/styles.js";
import { dayTime, t, title } from "../lib/words.js";

const KEEPERS = ["storekeeper", "supervisor", "admin"];
const DOES = ["receive", "send", "return_old", "write_off"];

class Goods extends Fallible(LitElement) {
  static properties = {
    me: { attribute: false },
    _list: { state: true }, // parts, places and prices
    _levels: { state: true },
    _moves: { state: true },
    _does: { state: true },
  };

  static styles = [
    shared,
    css`
      h1 {
        font-size: 1.3rem;
        padding-bottom: 0.9rem;
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
        padding: 0.45rem 0.8rem 0.45rem 0;
        border-bottom: 1px solid var(--line);
      }
      th.count,
      td.count {
        text-align: right;
        font-variant-numeric: tabular-nums;
      }
      form {
        display: grid;
        grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr));
        gap: 0.8rem;
        align-items: end;
      }
      .moves li {
        padding: 0.35rem 0;
      }
    `,
  ];

  #key = crypto.randomUUID(); // of the move that is being written; a new one once it is made

  constructor() {
    super();
    this._does = "receive";
  }

  connectedCallback() {
    super.connectedCallback();
    this.#read();
  }

  get #keeper() {
    return KEEPERS.includes(this.me.role);
  }

  async #read() {
    await this.attempt(async () => {
      const [list, { levels }] = await Promise.all([api("GET", "parts"), api("GET", "stock")]);
      this._moves = this.#keeper ? (await api("GET", "stock/moves")).moves : [];
      this._list = list;
      this._levels = levels;
    });
  }

  #named(kind, name) {
    return title(this._list[kind].find((one) => one.name === name)?.title, name);
  }

  async #save(event) {
    event.preventDefault();
    const form = event.target;
    const { place, to, part, quantity } = Object.fromEntries(new FormData(form));
    const move = { key: this.#key, place, part, quantity: Number(quantity) };
    await this.attempt(async () => {
      if (this._does === "send") await api("POST", "stock/sent", { ...move, to });
      else await api("POST", "stock/moves", { ...move, kind: this._does });
      this.#key = crypto.randomUUID();
      form.elements.quantity.value = "1";
      await this.#read();
    });
  }

  render() {
    return html`
      <div class="row spread">
        <h1>${t("nav.goods")}</h1>
        <button class="quiet" @click=${() => this.#read()}>${t("tasks.refresh")}</button>
      </div>
      ${this.alert()}
      ${this._list
        ? html`<div class="stack">
            ${this.#keeper ? this.#form() : nothing} ${this.#table()} ${this.#keeper ? this.#log() : nothing}
          </div>`
        : nothing}
    `;
  }

  #form() {
    const options = (kind) => this._list[kind].map((one) => html`<option value=${one.name}>${title(one.title, one.name)}</option>`);
    return html`<form class="card" @submit=${this.#save}>
      <label>
        <span class="label">${t("goods.do")}</span>
        <select @change=${(event) => (this._does = event.target.value)}>
          ${DOES.map((does) => html`<option value=${does} ?selected=${does === this._does}>${t(`goods.${does}`)}</option>`)}
        </select>
      </label>
      <label><span class="label">${t("goods.part")}</span><select name="part">${options("parts")}</select></label>
      <label><span class="label">${t("goods.place")}</span><select name="place">${options("places")}</select></label>
      ${this._does === "send"
        ? html`<label><span class="label">${t("goods.to")}</span><select name="to">${options("places")}</select></label>`
        : nothing}
      <label>
        <span class="label">${t("goods.quantity")}</span>
        <input name="quantity" type="number" min="1" max="100000" value="1" required>
      </label>
      <button class="primary" ?disabled=${this._busy}>${t("goods.save")}</button>
    </form>`;
  }

  #table() {
    if (!this._levels.length) return html`<p class="card soft">${t("goods.empty")}</p>`;
    return html`<div class="card scroll">
      <table>
        <thead>
          <tr>
            <th scope="col">${t("goods.place")}</th>
            <th scope="col">${t("goods.part")}</th>
            <th scope="col" class="count">${t("goods.on_hand")}</th>
            <th scope="col" class="count">${t("goods.reserved")}</th>
            <th scope="col" class="count">${t("goods.free")}</th>
            <th scope="col" class="count">${t("goods.old_due")}</th>
          </tr>
        </thead>
        <tbody>
          ${this._levels.map(
            (level) => html`<tr>
              <td>${this.#named("places", level.place)}</td>
              <td>${this.#named("parts", level.part)}</td>
              <td class="count">${level.on_hand}</td>
              <td class="count">${level.reserved}</td>
              <td class="count">${level.free}</td>
              <td class="count">${level.old_due}</td>
            </tr>`,
          )}
        </tbody>
      </table>
    </div>`;
  }

  #log() {
    return html`<details class="card">
      <summary>${t("goods.log")}</summary>
      <ol class="moves">
        ${this._moves.map(
          (move) => html`<li>
            <span class="number soft small">${dayTime(move.at)}</span> ${t(`goods.${move.kind}`)}: ${move.quantity} ×
            ${this.#named("parts", move.part)} · ${this.#named("places", move.place)}
            <span class="soft small">${move.actor.replace(/^user:/, "")}</span>
          </li>`,
        )}
      </ol>
    </details>`;
  }
}

customElements.define("cti-goods", Goods);
