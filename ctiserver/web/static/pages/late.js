// What is late or about to be, by owner: the supervisor's list of who needs help.
import { LitElement, css, html, nothing } from "lit";
import { api } from "../lib/api.js";
import { shared } from "../lib/styles.js";
import { Worded, ago, dayTime, fault, t, word } from "../lib/words.js";

class Late extends Worded(LitElement) {
  static properties = {
    _orders: { state: true },
    _error: { state: true },
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
        grid-template-columns: 9rem minmax(0, 1fr) auto;
        gap: 0.3rem 0.8rem;
        align-items: center;
        padding: 0.5rem 0;
      }
      li + li {
        border-top: 1px solid var(--line);
      }
      @media (max-width: 34rem) {
        li {
          grid-template-columns: minmax(0, 1fr) auto;
        }
      }
    `,
  ];

  connectedCallback() {
    super.connectedCallback();
    this.#read();
  }

  async #read() {
    this._error = null;
    try {
      this._orders = (await api("GET", "late")).orders;
    } catch (error) {
      this._error = error;
    }
  }

  render() {
    const owners = Map.groupBy ? Map.groupBy(this._orders ?? [], (order) => order.owner) : this.#byOwner();
    return html`
      <div class="row spread">
        <h1>${t("late.title")}</h1>
        <button class="quiet" @click=${() => this.#read()}>${t("tasks.refresh")}</button>
      </div>
      <div role="alert" class="notice bad" ?hidden=${!this._error}>${this._error ? fault(this._error) : ""}</div>
      ${this._orders?.length === 0 ? html`<p class="card soft">${t("late.none")}</p>` : nothing}
      <div class="stack">
        ${[...owners].map(
          ([owner, orders]) => html`<section class="card" aria-label=${word("role", owner)}>
            <h2>${word("role", owner)} <span class="soft number">${orders.length}</span></h2>
            <ul>
              ${orders.map((order) => this.#order(order))}
            </ul>
          </section>`,
        )}
      </div>
    `;
  }

  #byOwner() {
    const owners = new Map();
    for (const order of this._orders ?? []) owners.set(order.owner, [...(owners.get(order.owner) ?? []), order]);
    return owners;
  }

  #order(order) {
    const due = order.state === "offered" && order.accept_by ? order.accept_by : order.due_at;
    return html`<li>
      <span class="number">${order.number}</span>
      <span>
        ${word("order", order.kind)} · ${word("order_state", order.state)} ·
        <a class="number" href="#/chain/${order.record_id}">${order.record_number}</a>
      </span>
      <span class="chip ${order.late ? "bad" : "warn"}" title=${due ? dayTime(due) : nothing}>${due ? ago(due) : t("late.late")}</span>
    </li>`;
  }
}

customElements.define("cti-late", Late);
