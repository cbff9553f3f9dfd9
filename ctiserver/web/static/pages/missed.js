// Missed calls: who left unserved, and whether they were reached afterwards.
import { LitElement, css, html, nothing, repeat } from "lit";
import { api } from "../lib/api.js";
import { Fallible } from "../lib/fallible.js";
import { shared } from "../lib/styles.js";
import { ago, dayTime, t, title, word } from "../lib/words.js";

const TONES = { open: "warn", recovered: "good", closed: "bad" };

class Missed extends Fallible(LitElement) {
  static properties = {
    socket: { attribute: false },
    _calls: { state: true },
    _before: { state: true },
    _figures: { state: true },
    _titles: { state: true }, // of queues
    _state: { state: true }, // only these; empty: all
  };

  static styles = [
    shared,
    css`
      h1 {
        font-size: 1.3rem;
        padding-bottom: 0.9rem;
      }
      .tiles {
        display: grid;
        grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr));
        gap: 0.8rem;
        padding-bottom: 1rem;
      }
      .tiles dt {
        font-size: 0.82rem;
        color: var(--ink-soft);
      }
      .tiles dd {
        font-size: 1.6rem;
        font-weight: 700;
        line-height: 1.2;
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
        padding: 0.55rem 0.8rem 0.55rem 0;
        border-bottom: 1px solid var(--line);
      }
      tr:last-child td {
        border: 0;
      }
      th {
        font-size: 0.82rem;
        color: var(--ink-soft);
      }
      td a {
        color: var(--accent);
        font-weight: 600;
      }
      .filter {
        padding-bottom: 0.8rem;
      }
    `,
  ];

  #stop = null;

  constructor() {
    super();
    this._state = "";
  }

  connectedCallback() {
    super.connectedCallback();
    this.#stop = this.socket.follow("missed:all", () => this.#read());
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.#stop();
  }

  async #read(before) {
    await this.attempt(async () => {
      const asked = new URLSearchParams({ state: this._state, ...(before ? { before } : {}) });
      const [page, figures] = await Promise.all([api("GET", `missed-calls?${asked}`), api("GET", "missed-calls/figures")]);
      this._calls = [...(before ? this._calls : []), ...page.missed_calls];
      this._before = page.before;
      this._figures = figures;
      this._titles ??= new Map((await api("GET", "queues")).queues.map((queue) => [queue.name, queue.title]));
    });
  }

  #only(state) {
    this._state = state;
    this.#read();
  }

  render() {
    const it = this._figures;
    return html`
      <h1>${t("missed.title")}</h1>
      ${this.alert()}
      ${it
        ? html`<dl class="tiles">
            <div class="card"><dt>${t("missed.missed")}</dt><dd class="number">${it.missed}</dd></div>
            <div class="card"><dt>${t("missed.recovered")}</dt><dd class="number">${it.recovered}</dd></div>
            <div class="card">
              <dt>${t("missed.minutes")}</dt>
              <dd class="number">${it.minutes_to_recover === null ? "–" : it.minutes_to_recover.toFixed(1)}</dd>
            </div>
          </dl>`
        : nothing}
      <div class="row filter" role="group" aria-label=${t("missed.filter")}>
        ${["", "open", "recovered", "closed"].map(
          (state) =>
            html`<button aria-pressed=${state === this._state} class=${state === this._state ? "primary" : ""} @click=${() => this.#only(state)}>
              ${t(`missed_state.${state}`)}
            </button>`,
        )}
      </div>
      ${this._calls?.length === 0 ? html`<p class="card soft">${t("missed.none")}</p>` : nothing}
      ${this._calls?.length
        ? html`<div class="card scroll" tabindex="0" role="region" aria-label=${t("missed.title")}>
            <table>
              <thead>
                <tr>${["number", "when", "calls", "queue", "state", "callback"].map((key) => html`<th scope="col">${t(`missed.${key}`)}</th>`)}</tr>
              </thead>
              <tbody>${repeat(this._calls, (call) => call.id, (call) => this.#row(call))}</tbody>
            </table>
          </div>`
        : nothing}
      ${this._before ? html`<div><button @click=${() => this.#read(this._before)}>${t("calls.more")}</button></div>` : nothing}
    `;
  }

  #row(call) {
    const how = call.ended_by.startsWith("call:")
      ? html`<a href="#/calls/${call.ended_by.slice(5)}">${t("missed.called_again")}</a>`
      : call.ended_by
        ? word("resolution", call.ended_by)
        : nothing;
    return html`<tr>
      <td><a class="number" href="#/desk/${call.record_id}">${call.number}</a></td>
      <td class="number">${dayTime(call.missed_at)} <span class="soft">(${ago(call.missed_at)})</span></td>
      <td class="number"><a href="#/calls/${call.call_id}">${call.calls}</a></td>
      <td>${title(this._titles?.get(call.queue), call.queue)}</td>
      <td><span class="chip ${TONES[call.state]}">${t(`missed_state.${call.state}`)}</span> <span class="small">${how}</span></td>
      <td class="small">
        ${call.callback
          ? html`<span class="number">${call.callback.number}</span> · ${word("order_state", call.callback.state)} ·
              ${t("missed.attempt", { n: call.callback.attempt })}`
          : nothing}
      </td>
    </tr>`;
  }
}

customElements.define("cti-missed", Missed);
