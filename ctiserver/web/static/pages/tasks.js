// My tasks: work orders by due time, one thumb wide. Accept, decline, report how it ended.
import { LitElement, css, html, nothing, repeat } from "lit";
import { api } from "../lib/api.js";
import { FieldQueue } from "../lib/field-queue.js";
import { FieldDrafts } from "../lib/field-drafts.js";
import { keepOffline } from "../lib/offline.js";
import { shared } from "../lib/styles.js";
import { Ticking } from "../lib/ticking.js";
import { Worded, ago, dayTime, fault, t, title, word } from "../lib/words.js";
import "../parts/call.js";
import "../parts/why.js";
import "../parts/checklist.js";
import "../parts/photos.js";
import "../parts/signature.js";

const UNDER_WAY = ["accepted", "en_route", "started"];
const LEADS_TO = { accept: "accepted", "set-out": "en_route", start: "started" };
const PAGE = 200; // as many as the server gives at once
const READ_EVERY_MS = 60_000; // times pass and marks change; what others do comes over the hub at once

class Tasks extends Worded(LitElement) {
  static properties = {
    me: { attribute: false },
    socket: { attribute: false },
    _orders: { state: true },
    _error: { state: true },
    _reporting: { state: true }, // the order whose outcome is being told
    _busy: { state: true },
    _waiting: { state: true }, // what was done and the server does not have yet
    _list: { state: true }, // parts and work, with their prices
    _costing: { state: true }, // the order that a part or work is being written for
    _more: { state: true }, // there are more orders than are shown
  };

  static styles = [
    shared,
    css`
      :host {
        display: grid;
        gap: 1rem;
        max-width: 44rem;
        margin: 0 auto;
      }
      h1 {
        font-size: 1.3rem;
      }
      ul {
        display: grid;
        gap: 0.8rem;
      }
      .order {
        display: grid;
        gap: 0.7rem;
        border-left: 5px solid var(--accent);
      }
      .order.late {
        border-left-color: var(--bad);
      }
      .order.draft {
        border-left-color: var(--line-strong);
      }
      h2 {
        font-size: 1.1rem;
      }
      dl {
        display: grid;
        grid-template-columns: auto 1fr;
        gap: 0.15rem 0.9rem;
      }
      dt {
        color: var(--ink-soft);
      }
      dd {
        overflow-wrap: anywhere;
      }
      .actions {
        display: grid;
        grid-template-columns: repeat(auto-fit, minmax(8rem, 1fr));
        gap: 0.6rem;
      }
      .actions button,
      .actions .button {
        min-height: 3rem;
        justify-content: center;
      }
      .actions .call {
        grid-column: 1 / -1;
      }
      .empty {
        text-align: center;
        padding: 3rem 1rem;
      }
      form {
        display: grid;
        gap: 0.8rem;
      }
    `,
  ];

  #ticking = new Ticking(this);
  #timer = 0;
  #stops = [];
  #queue;
  #drafts;
  #unread = false; // the last look failed
  #wanted = PAGE; // how many orders are shown

  connectedCallback() {
    super.connectedCallback();
    document.addEventListener("visibilitychange", this.#read);
    this.#timer = setInterval(this.#read, READ_EVERY_MS);
    // The snapshot is the word to read, as is each change: what is mine, and what anybody of my role may take.
    this.#queue = new FieldQueue(this.me.user_id);
    this.#drafts = new FieldDrafts(this.me.user_id);
    this.#queue.addEventListener("change", () => (this._waiting = this.#queue.waiting));
    this.#queue.addEventListener("refused", (event) => (this._error = event.detail));
    this.#queue.start().then(this.#read, (error) => (this._error = error));
    if (this.me.role === "technician") {
      api("GET", "parts").then((list) => (this._list = list), () => {}).then(keepOffline)
        .catch(() => {}); // such as a certificate that the browser does not trust: then it is as it was
    }
    this.#stops = [this.me.user_id, `role-${this.me.role}`].map((key) => this.socket.follow(`inbox:${key}`, this.#read));
    this.#read();
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    document.removeEventListener("visibilitychange", this.#read);
    clearInterval(this.#timer);
    for (const stop of this.#stops) stop();
    this.#queue.stop();
  }

  #read = async () => {
    if (document.hidden) return;
    try {
      let orders = [];
      let after = null;
      do {
        const page = await api("GET", `work-orders?assignee=me${after ? `&after=${after}` : ""}`);
        orders = orders.concat(page.work_orders);
        after = page.after;
      } while (after && orders.length < this.#wanted);
      this._orders = orders;
      this._more = after !== null;
      if (!this._more) this.#drafts.prune(orders.map((order) => order.id));
      if (this.#unread) this._error = null; // what an act was refused for stays
      this.#unread = false;
    } catch (error) {
      this._error = error;
      this.#unread = true;
    }
  };

  #showMore() {
    this.#wanted = this._orders.length + PAGE;
    return this.#read();
  }

  async #act(order, act, what = {}) {
    this._busy = order.id;
    this._error = null;
    try {
      this._reporting = null;
      this._costing = null;
      await this.#queue.add(order.id, `work-orders/${order.id}/${act}`, what);
      await this.#read();
    } catch (error) {
      this._error = error;
    } finally {
      this._busy = null;
    }
  }

  #report(event, order) {
    event.preventDefault();
    const form = new FormData(event.target);
    const values = {};
    const signature = event.target.querySelector("cti-signature")?.value;
    if (signature) values.signature = signature;
    const [outcome, { checked }] = [form.get("outcome"), this.#drafts.of(order.id)];
    if (outcome === "done" && this.#missing(order).length) return; // said where the button is
    this.#act(order, "complete", { body: { outcome, report: form.get("report"), values, checked } });
  }

  /** What must be ticked yet before the order is done. */
  #missing(order) {
    const { checked } = this.#drafts.of(order.id);
    return order.checklist.filter((item) => item.required && !checked.includes(item.name));
  }

  #draft(order, changes) {
    this.#drafts.keep(order.id, changes);
    this.requestUpdate();
  }

  #cost(event, order) {
    event.preventDefault();
    const { what, quantity } = Object.fromEntries(new FormData(event.target));
    const key = crypto.randomUUID();
    if (this._list.parts.some((part) => part.name === what)) {
      this.#act(order, "parts", { body: { key, part: what, quantity: Math.max(1, Math.round(Number(quantity))) } });
    } else this.#act(order, "expenses", { body: { key, what, quantity } });
  }

  render() {
    return html`
      <div class="row spread">
        <h1>${t("tasks.title")}</h1>
        <button class="quiet" @click=${this.#read}>${t("tasks.refresh")}</button>
      </div>
      <div role="alert" class="notice bad" ?hidden=${!this._error}>${this._error ? fault(this._error) : ""}</div>
      <div role="status">
        ${this._waiting?.length ? html`<p class="notice warn">${t("tasks.waits", { n: this._waiting.length })}</p>` : nothing}
      </div>
      ${this._orders?.length === 0
        ? html`<div class="card empty"><h2>${t("tasks.empty")}</h2><p class="soft">${t("tasks.empty_hint")}</p></div>`
        : nothing}
      <ul aria-live="polite">
        ${repeat(this._orders ?? [], (order) => order.id, (order) => html`<li>${this.#order(this.#asDone(order))}</li>`)}
      </ul>
      ${this._more ? html`<button @click=${this.#showMore}>${t("tasks.more")}</button>` : nothing}
    `;
  }

  /** The order as it will be when the server has what was done here; `over`: nothing more is to be done. */
  #asDone(order) {
    let { state } = order;
    let over = false;
    for (const act of this._waiting ?? []) {
      const what = act.path.split("/").pop();
      if (act.order !== order.id) continue;
      state = LEADS_TO[what] ?? state;
      over ||= what === "complete" || what === "decline";
    }
    return { ...order, state, over };
  }

  #order(order) {
    const late = order.late || (order.due_at && new Date(order.due_at) < new Date());
    return html`<article class="card order ${order.state} ${late ? "late" : ""}">
      <div class="row spread">
        <h2>${word("order", order.kind)} <span class="number soft small">${order.number}</span></h2>
        <span class="row">
          ${order.record?.repeat_calls
            ? html`<span class="chip warn">${t("record.urged", { n: order.record.repeat_calls })}</span>`
            : nothing}
          ${late ? html`<span class="chip bad">${t("tasks.late")}</span>` : nothing}
          <span class="chip">${word("order_state", order.state)}</span>
        </span>
      </div>
      <dl>
        ${this.#time("due", order.due_at)}
        ${order.state === "offered" ? this.#time("accept_by", order.accept_by) : nothing}
        ${this.#time("planned", order.planned_at)}
        ${this.#facts(order)}
      </dl>
      ${order.assigned
        ? html`<details>
            <summary class="label">${t("tasks.why_me")}</summary>
            <cti-why .assigned=${order.assigned} .considered=${order.considered}></cti-why>
          </details>`
        : nothing}
      ${order.over ? html`<p class="soft">${t("tasks.over")}</p>` : this.#open(order)}
    </article>`;
  }

  /** What is gathered while the work goes on. */
  #work(order) {
    return html`${order.checklist.length
        ? html`<cti-checklist
            .items=${order.checklist}
            .checked=${this.#drafts.of(order.id).checked}
            @checked=${(event) => this.#draft(order, { checked: event.detail })}
          ></cti-checklist>`
        : nothing}
      ${order.kind === "dispatch"
        ? html`<cti-photos
            .kept=${order.photos}
            .waiting=${(this._waiting ?? []).filter((act) => act.order === order.id && act.file).map((act) => act.file)}
            @photo=${(event) => this.#photo(order, event.detail)}
            @fault=${(event) => (this._error = event.detail)}
          ></cti-photos>`
        : nothing}`;
  }

  async #photo(order, file) {
    try {
      await this.#queue.add(order.id, `work-orders/${order.id}/photos?key=${crypto.randomUUID()}`, { file });
      await this.#read();
    } catch (error) {
      this._error = error;
    }
  }

  #open(order) {
    return html`${UNDER_WAY.includes(order.state) ? this.#work(order) : nothing}
      ${this._reporting === order.id
        ? this.#form(order)
        : this._costing === order.id
          ? this.#costs(order)
          : this.#actions(order)}`;
  }

  #time(name, iso) {
    if (!iso) return nothing;
    return html`<dt>${t(`tasks.${name}`)}</dt>
      <dd class="number">${dayTime(iso)} <span class="soft">(${ago(iso)})</span></dd>`;
  }

  #facts(order) {
    const { record } = order;
    if (!record) return nothing;
    const rows = [];
    if (order.call_back) {
      rows.push([t("tasks.why"), word("callback_reason", order.call_back.reason || "promised")]);
      rows.push([t("pop.queue"), order.call_back.queue]);
      if (order.attempt > 1) rows.push([t("tasks.attempt"), String(order.attempt)]);
    }
    rows.push([t("record.title"), `${record.number} ${record.subject}`]);
    if (record.contact) rows.push([t("contact.name"), `${record.contact.name} ${record.contact.organisation}`]);
    for (const field of record.fields) rows.push([title(field.title, field.name), field.value]);
    if (record.notes) rows.push([t("record.notes"), record.notes]);
    return rows.filter(([, value]) => value.trim()).map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`);
  }

  #actions(order) {
    const number = order.call_back?.number || order.record?.contact?.numbers[0] || order.record?.caller_number;
    const busy = this._busy === order.id;
    return html`<div class="actions">
      ${order.state === "offered"
        ? html`<button class="primary" ?disabled=${busy} @click=${() => this.#act(order, "accept")}>${t("tasks.accept")}</button>
            <button ?disabled=${busy} @click=${() => this.#act(order, "decline")}>${t("tasks.decline")}</button>`
        : nothing}
      ${UNDER_WAY.includes(order.state)
        ? html`${order.kind === "dispatch" ? this.#underWay(order, busy) : nothing}
            <button class="primary" @click=${() => (this._reporting = order.id)}>${t("tasks.complete")}</button>`
        : nothing}
      ${number
        ? html`<cti-call .number=${number} .from=${{ order_id: order.id }}>
            <a class="button call" href="tel:${number}">${t("tasks.call", { number })}</a>
          </cti-call>`
        : nothing}
    </div>`;
  }

  #underWay(order, busy) {
    return html`${order.state === "accepted"
        ? html`<button ?disabled=${busy} @click=${() => this.#act(order, "set-out")}>${t("tasks.set_out")}</button>`
        : nothing}
      ${order.state !== "started"
        ? html`<button ?disabled=${busy} @click=${() => this.#act(order, "start")}>${t("tasks.arrived")}</button>`
        : nothing}
      ${this._list
        ? html`<button ?disabled=${busy} @click=${() => (this._costing = order.id)}>${t("tasks.cost")}</button>`
        : nothing}`;
  }

  #costs(order) {
    const { parts, work, currency } = this._list;
    const option = (one) => html`<option value=${one.name}>${title(one.title, one.name)} (${one.price} ${currency})</option>`;
    return html`<form @submit=${(event) => this.#cost(event, order)}>
      <label>
        <span class="label">${t("tasks.cost_what")}</span>
        <select name="what" required>
          <optgroup label=${t("tasks.cost_parts")}>${parts.map(option)}</optgroup>
          <optgroup label=${t("tasks.cost_work")}>${work.map(option)}</optgroup>
        </select>
      </label>
      <label>
        <span class="label">${t("goods.quantity")}</span>
        <input name="quantity" type="number" min="0.25" max="1000" step="0.25" value="1" inputmode="decimal" required>
      </label>
      <div class="actions">
        <button class="primary">${t("goods.save")}</button>
        <button type="button" @click=${() => (this._costing = null)}>${t("tasks.back")}</button>
      </div>
    </form>`;
  }

  #form(order) {
    const draft = this.#drafts.of(order.id);
    const outcome = draft.outcome ?? order.outcomes[0];
    const missing = outcome === "done" ? this.#missing(order) : [];
    return html`<form @submit=${(event) => this.#report(event, order)}>
      <label>
        <span class="label">${t("tasks.outcome")}</span>
        <select name="outcome" required @change=${(event) => this.#draft(order, { outcome: event.target.value })}>
          ${order.outcomes.map(
            (value) => html`<option value=${value} ?selected=${value === outcome}>${word("outcome", value)}</option>`,
          )}
        </select>
      </label>
      <label>
        <span class="label">${t("tasks.report")}</span>
        <textarea
          name="report"
          rows="3"
          maxlength="5000"
          .value=${draft.report ?? ""}
          @input=${(event) => this.#drafts.keep(order.id, { report: event.target.value })}
        ></textarea>
      </label>
      ${order.kind === "dispatch" ? html`<cti-signature></cti-signature>` : nothing}
      <div role="status">
        ${missing.length
          ? html`<p class="notice warn">
              ${t("tasks.to_tick", { what: missing.map((item) => title(item.title, item.name)).join(t("tasks.comma")) })}
            </p>`
          : nothing}
      </div>
      <div class="actions">
        <button class="primary" ?disabled=${this._busy === order.id || missing.length > 0}>${t("tasks.send")}</button>
        <button type="button" @click=${() => (this._reporting = null)}>${t("tasks.back")}</button>
      </div>
    </form>`;
  }
}

customElements.define("cti-tasks", Tasks);
