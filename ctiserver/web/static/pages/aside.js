// Work that the server could not do: what it is, why, and what shall become of it. Nothing else waits for it.
import { LitElement, css, html, nothing, repeat } from "lit";
import { api } from "../lib/api.js";
import { Fallible } from "../lib/fallible.js";
import { entries, shared } from "../lib/styles.js";
import { dayTime, t, word } from "../lib/words.js";

class Aside extends Fallible(LitElement) {
  static properties = {
    _items: { state: true },
    _before: { state: true },
    _said: { state: true }, // what happened to the last wish
    _asked: { state: true }, // the id of the one whose drop is to be confirmed
  };

  static styles = [
    shared,
    entries,
    css`
      .reason {
        overflow-wrap: anywhere;
      }
    `,
  ];

  connectedCallback() {
    super.connectedCallback();
    this.#read();
  }

  async #read(before) {
    await this.attempt(async () => {
      const page = await api("GET", before ? `set-aside?${new URLSearchParams({ before })}` : "set-aside");
      this._items = [...(before ? this._items : []), ...page.items];
      this._before = page.before;
    });
  }

  #again(item) {
    return this.attempt(async () => {
      const { state } = await api("POST", `set-aside/${item.id}/again`);
      this._said = word("aside_tried", state);
      this._items = this._items.filter((one) => one.id !== item.id);
      if (state === "failed") await this.#read();
    });
  }

  #drop(item) {
    return this.attempt(async () => {
      await api("POST", `set-aside/${item.id}/drop`);
      this._said = t("aside.dropped");
      this._asked = undefined;
      this._items = this._items.filter((one) => one.id !== item.id);
    });
  }

  render() {
    return html`
      <div class="row spread">
        <h1>${t("nav.aside")}</h1>
        <button class="quiet" @click=${() => this.#read()}>${t("tasks.refresh")}</button>
      </div>
      <p class="soft small">${t("aside.what")}</p>
      ${this.alert()}
      <div role="status" aria-live="polite">${this._said ? html`<p class="notice">${this._said}</p>` : nothing}</div>
      ${this._items?.length === 0 ? html`<p class="card soft">${t("aside.none")}</p>` : nothing}
      ${this._items?.length
        ? html`<ul class="card">
            ${repeat(this._items, (item) => item.id, (item) => this.#item(item))}
          </ul>`
        : nothing}
      ${this._before ? html`<div><button @click=${() => this.#read(this._before)}>${t("calls.more")}</button></div>` : nothing}
    `;
  }

  #item(item) {
    return html`<li data-ref=${item.ref}>
      <div class="row spread">
        <span>
          <strong>${word("aside_kind", item.kind)}</strong>
          ${item.record_id ? html`<a href="#/desk/${item.record_id}">${t("record.title")}</a>` : nothing}
          <span class="soft small">${item.about}</span>
          <span class="soft small number">${dayTime(item.at)}</span>
        </span>
        <span class="row">
          <button @click=${() => this.#again(item)}>${t("aside.again")}</button>
          ${this._asked === item.id
            ? html`<button class="danger" @click=${() => this.#drop(item)}>${t("aside.drop_sure")}</button>`
            : html`<button class="quiet" @click=${() => (this._asked = item.id)}>${t("aside.drop")}</button>`}
        </span>
      </div>
      <span class="reason small">${item.reason}</span>
      <span class="small soft">${t("aside.tried", { n: item.tries })} <span class="number">${item.ref}</span></span>
    </li>`;
  }
}

customElements.define("cti-aside", Aside);
