// The dispatcher's day: technicians against windows. Visits are dragged, or picked up with the space bar and moved with
// the arrows; the server's rules say what speaks against it.
import { LitElement, html, nothing, repeat } from "lit";
import { api } from "../lib/api.js";
import { shared } from "../lib/styles.js";
import { Ticking } from "../lib/ticking.js";
import { Worded, clockTime, dayTime, fault, t, word } from "../lib/words.js";
import "../parts/handover.js";
import "../parts/why.js";
import { look } from "./day-look.js";

const UNDER_WAY = ["en_route", "started", "on_hold"];
const READ_EVERY_MS = 60_000; // windows pass and deadlines come; what people do comes over the hub at once

class Day extends Worded(LitElement) {
  static properties = {
    me: { attribute: false },
    socket: { attribute: false },
    _day: { state: true },
    _wanted: { state: true }, // the date that is shown; null: today
    _department: { state: true },
    _region: { state: true },
    _open: { state: true }, // the visit whose details are shown, by id
    _person: { state: true }, // whose orders are to be handed over
    _held: { state: true }, // {id, row, column}: picked up with the keyboard
    _over: { state: true }, // the cell that something is dragged over
    _clash: { state: true }, // a placing that came too late
    _said: { state: true },
    _error: { state: true },
  };

  static styles = [shared, look];

  #ticking = new Ticking(this);
  #timer = 0;
  #stop = () => {};
  #dragged = null;
  #reading = 0;

  constructor() {
    super();
    this._wanted = null;
    this._department = "";
    this._region = "";
  }

  connectedCallback() {
    super.connectedCallback();
    document.addEventListener("visibilitychange", this.#read);
    this.#timer = setInterval(this.#read, READ_EVERY_MS);
    this.#stop = this.socket.follow("day:all", this.#read); // its snapshot is the first word to read
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    document.removeEventListener("visibilitychange", this.#read);
    clearInterval(this.#timer);
    this.#stop();
  }

  #read = async () => {
    if (document.hidden) return;
    const asked = (this.#reading += 1);
    try {
      const day = await api("GET", this._wanted ? `day?date=${this._wanted}` : "day");
      if (asked === this.#reading) this._day = day; // else a later question is under way
    } catch (error) {
      this._error = error;
    }
  };

  #go(date) {
    this._wanted = date;
    this._held = null;
    this.#read();
  }

  #step(days) {
    const date = new Date(`${this._day.day}T00:00:00Z`);
    date.setUTCDate(date.getUTCDate() + days);
    this.#go(date.toISOString().slice(0, 10));
  }

  get #rows() {
    const fits = (row) =>
      (!this._department || row.department === this._department) &&
      (!this._region || !row.regions.length || row.regions.includes(this._region));
    return this._day.rows.filter(fits);
  }

  get #tray() {
    return this._day.visits.filter((visit) => !visit.assignee && (!this._region || visit.record.region === this._region));
  }

  #name(login) {
    return this._day.rows.find((row) => row.login === login)?.name ?? login ?? t("day.nobody");
  }

  #windowText(index) {
    const window = index === null ? null : this._day.windows[index];
    return window ? `${clockTime(window.begin)}–${clockTime(window.end)}` : t("day.any_time");
  }

  /** Give a visit to a person, in a window; null as the window: at the time it has. */
  async #place(visit, login, window, more = {}) {
    const planned = window === null || visit.window === window ? null : this._day.windows[window].begin;
    if (login === visit.assignee && planned === null) return;
    this._error = null;
    this._clash = null;
    try {
      await api("POST", `work-orders/${visit.id}/place`, {
        to: login === visit.assignee ? null : login,
        planned_at: planned,
        revision: visit.revision,
        ...more,
      });
      this._said = t("day.placed", { number: visit.number, name: this.#name(login), window: this.#windowText(window ?? visit.window) });
    } catch (error) {
      if (error.code === "conflict") this._clash = { id: visit.id, number: visit.number, login, window };
      else this._error = error;
    }
    await this.#read();
  }

  // Drag

  #drop(event, login, window) {
    event.preventDefault();
    this._over = null;
    const visit = this._day.visits.find((one) => one.id === this.#dragged);
    this.#dragged = null;
    if (visit) this.#place(visit, login, window);
  }

  #over(event, cell) {
    if (!this.#dragged) return;
    event.preventDefault();
    this._over = cell;
  }

  // Keyboard

  #key(event, visit) {
    const held = this._held?.id === visit.id ? this._held : null;
    if (event.key === " " && visit.movable) {
      event.preventDefault();
      if (held) this._held = null;
      else {
        const row = Math.max(0, this.#rows.findIndex((one) => one.login === visit.assignee));
        this._held = { id: visit.id, row, column: visit.window === null ? 0 : visit.window + 1 };
        this.#sayHeld(visit);
      }
    } else if (held && event.key === "Escape") {
      event.preventDefault();
      this._held = null;
      this._said = t("day.let_go", { number: visit.number });
    } else if (held && event.key === "Enter") {
      event.preventDefault();
      this._held = null;
      this.#place(visit, this.#rows[held.row].login, held.column ? held.column - 1 : null).then(() => this.#focus(visit.id));
    } else if (held && event.key.startsWith("Arrow")) {
      event.preventDefault();
      const by = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      const within = (value, most) => Math.min(most, Math.max(0, value));
      const row = within(held.row + by[0], this.#rows.length - 1);
      this._held = { ...held, row, column: within(held.column + by[1], this._day.windows.length) };
      this.#sayHeld(visit);
    }
  }

  #sayHeld(visit) {
    const { row, column } = this._held;
    const name = this.#rows[row]?.name ?? t("day.nobody");
    this._said = t("day.held", { number: visit.number, name, window: this.#windowText(column ? column - 1 : null) });
  }

  async #focus(id) {
    await this.updateComplete;
    this.renderRoot.querySelector(`[data-visit="${id}"]`)?.focus();
  }

  render() {
    const it = this._day;
    const open = it?.visits.find((visit) => visit.id === this._open);
    const person = it?.rows.find((row) => row.login === this._person);
    return html`
      <div class="row spread">
        <h1>${t("day.title")}</h1>
        ${it ? this.#controls() : nothing}
      </div>
      <div role="alert" class="notice bad" ?hidden=${!this._error}>${this._error ? fault(this._error) : ""}</div>
      <div role="alert">${this._clash && it ? this.#conflict() : nothing}</div>
      <p role="status" class=${this._held ? "notice" : "unseen"}>${this._said ?? ""}</p>
      ${it
        ? html`${it.calendar ? nothing : html`<p class="notice warn">${t("day.no_calendar")}</p>`}
            <section class="card tray" aria-label=${t("day.tray")}>
              <h2>${t("day.tray")} <span class="soft number">${this.#tray.length}</span></h2>
              ${this.#tray.length
                ? html`<div class="pile">${repeat(this.#tray, (visit) => visit.id, (visit) => this.#visit(visit))}</div>`
                : html`<p class="soft">${t("day.tray_empty")}</p>`}
            </section>
            ${this.#grid()}
            ${open ? this.#details(open) : nothing}
            ${person
              ? html`<section class="card" aria-label=${person.name}>
                  <div class="close"><button class="quiet" @click=${() => (this._person = null)}>${t("day.close")}</button></div>
                  <cti-handover .person=${person} .people=${it.rows} .day=${it.day} @changed=${this.#read}></cti-handover>
                </section>`
              : nothing}
            <p class="soft small">${t("day.hint")}</p>`
        : nothing}
    `;
  }

  #controls() {
    const it = this._day;
    const choose = (name, values, field) =>
      values.length > 1
        ? html`<label class="inline">
            <span class="label">${t(`day.${name}`)}</span>
            <select @change=${(event) => (this[field] = event.target.value)}>
              <option value="">${t("day.all")}</option>
              ${values.map((value) => html`<option value=${value} ?selected=${value === this[field]}>${value}</option>`)}
            </select>
          </label>`
        : nothing;
    const distinct = (values) => [...new Set(values)].filter(Boolean).sort();
    return html`<div class="row">
      ${choose("department", distinct(it.rows.map((row) => row.department)), "_department")}
      ${choose("region", distinct(it.rows.flatMap((row) => row.regions)), "_region")}
      <button aria-label=${t("day.before")} @click=${() => this.#step(-1)}>‹</button>
      <input id="date" type="date" aria-label=${t("day.date")} .value=${it.day} @change=${(event) => event.target.value && this.#go(event.target.value)}>
      <button aria-label=${t("day.after")} @click=${() => this.#step(1)}>›</button>
      <button ?disabled=${it.day === it.today} @click=${() => this.#go(null)}>${t("day.today")}</button>
    </div>`;
  }

  #conflict() {
    const { number, login, window } = this._clash;
    const visit = this._day.visits.find((one) => one.id === this._clash.id);
    const now = visit ? `${this.#name(visit.assignee)}, ${visit.planned_at ? dayTime(visit.planned_at) : t("day.any_time")}` : t("day.gone");
    return html`<div class="notice bad row">
      <span>${t("day.clash", { number, now })}</span>
      ${visit?.movable
        ? html`<button @click=${() => this.#place(visit, login, window)}>
            ${t("day.nevertheless", { name: this.#name(login), window: this.#windowText(window) })}
          </button>`
        : nothing}
      <button @click=${() => (this._clash = null)}>${t("day.leave")}</button>
    </div>`;
  }

  #grid() {
    const { windows, visits } = this._day;
    const now = Date.now();
    const current = windows.findIndex((window) => !(now < new Date(window.begin)) && now < new Date(window.end));
    return html`<div class="card scroll" tabindex="0" role="region" aria-label=${t("day.title")}>
      <table>
        <thead>
          <tr>
            <th scope="col">${t("day.technician")}</th>
            <th scope="col">${t("day.any_time")}</th>
            ${windows.map(
              (_, index) => html`<th scope="col" class="number ${index === current ? "now" : ""}">${this.#windowText(index)}</th>`,
            )}
          </tr>
        </thead>
        <tbody>
          ${repeat(this.#rows, (row) => row.login, (row, index) => this.#row(row, index, visits.filter((visit) => visit.assignee === row.login)))}
        </tbody>
      </table>
    </div>`;
  }

  #row(row, index, visits) {
    const away = row.away_until && new Date(row.away_until) > new Date();
    const today = visits.filter((visit) => visit.state !== "done").length;
    return html`<tr>
      <th scope="row"><div class="person">
        <button class="name" @click=${() => (this._person = row.login)}>${row.name}</button>
        <span class="soft small">${[row.department, ...row.regions].filter(Boolean).join(" · ")}</span>
        <span class="small number load">${t("day.load_today", { today, all: row.open_orders })}</span>
        ${away ? html`<span class="chip warn">${t("day.away_until", { time: dayTime(row.away_until) })}</span>` : nothing}
      </div></th>
      ${[null, ...this._day.windows.keys()].map((window, column) => {
        const cell = `${row.login}/${column}`;
        const held = this._held && this._held.row === index && this._held.column === column;
        const off = window !== null && row.off[window];
        return html`<td
          data-cell=${cell}
          class="${off ? "off" : ""} ${held || this._over === cell ? "target" : ""}"
          @dragover=${(event) => this.#over(event, cell)}
          @dragleave=${() => (this._over = null)}
          @drop=${(event) => this.#drop(event, row.login, window)}
        >
          ${off ? html`<span class="unseen">${t("day.off")}</span>` : nothing}
          ${repeat(visits.filter((visit) => visit.window === window), (visit) => visit.id, (visit) => this.#visit(visit))}
        </td>`;
      })}
    </tr>`;
  }

  #visit(visit) {
    const { record } = visit;
    const held = this._held?.id === visit.id;
    return html`<button
      data-visit=${visit.id}
      class="visit ${visit.state} ${visit.late ? "late" : ""} ${held ? "held" : ""}"
      draggable=${visit.movable ? "true" : "false"}
      aria-pressed=${this._open === visit.id}
      aria-keyshortcuts=${visit.movable ? "Space" : nothing}
      @click=${() => (this._open = this._open === visit.id ? null : visit.id)}
      @keydown=${(event) => this.#key(event, visit)}
      @dragstart=${(event) => {
        this.#dragged = visit.id;
        event.dataTransfer.setData("text/plain", visit.number);
        event.dataTransfer.effectAllowed = "move";
      }}
      @dragend=${() => {
        this.#dragged = null;
        this._over = null;
      }}
    >
      <span class="number">${visit.number}</span>
      <span class="who">${record.contact || record.caller_number || record.number}</span>
      ${record.region ? html`<span class="soft small">${record.region}</span>` : nothing}
      <span class="marks">
        ${visit.late ? html`<span class="chip bad">${t("tasks.late")}</span>` : nothing}
        ${record.repeat_calls ? html`<span class="chip warn">${t("record.urged", { n: record.repeat_calls })}</span>` : nothing}
        <span class="chip ${UNDER_WAY.includes(visit.state) ? "accent" : visit.state === "done" ? "good" : ""}">
          ${word("order_state", visit.state)}
        </span>
      </span>
    </button>`;
  }

  #details(visit) {
    const { record } = visit;
    const facts = [
      [t("record.title"), `${record.number} ${record.subject}`],
      [t("contact.name"), `${record.contact} ${record.organisation}`],
      [t("day.address"), record.address],
      [t("tasks.due"), visit.due_at ? dayTime(visit.due_at) : ""],
      [t("day.planned"), visit.planned_at ? dayTime(visit.planned_at) : ""],
      [t("day.technician"), this.#name(visit.assignee)],
    ].filter(([, value]) => value.trim());
    return html`<section class="card details" aria-label=${visit.number}>
      <div class="row spread">
        <h2>${word("order", "dispatch")} <span class="number">${visit.number}</span></h2>
        <span class="row">
          ${this.me.agent_id ? html`<a class="button" href="#/desk/${record.id}">${t("day.record")}</a>` : nothing}
          <a class="button" href="#/chain/${record.id}">${t("chain.open")}</a>
          <button class="quiet" @click=${() => (this._open = null)}>${t("day.close")}</button>
        </span>
      </div>
      <dl>
        ${facts.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}
      </dl>
      <div>
        <h3>${t("day.why")}</h3>
        <cti-why .assigned=${visit.assigned} .considered=${visit.considered}></cti-why>
      </div>
      ${visit.movable ? this.#form(visit) : html`<p class="soft">${t("day.not_movable")}</p>`}
    </section>`;
  }

  #form(visit) {
    const place = (event) => {
      event.preventDefault();
      const { login, window, reason } = Object.fromEntries(new FormData(event.target));
      this.#place(visit, login, window === "" ? null : Number(window), { reason });
    };
    return html`<form @submit=${place}>
      <label>
        <span class="label">${t("day.technician")}</span>
        <select name="login" required>
          ${visit.assignee ? nothing : html`<option value="" selected disabled>${t("day.nobody")}</option>`}
          ${this._day.rows.map((row) => html`<option value=${row.login} ?selected=${row.login === visit.assignee}>${row.name}</option>`)}
        </select>
      </label>
      <label>
        <span class="label">${t("day.window")}</span>
        <select name="window">
          <option value="" ?selected=${visit.window === null}>${t("day.any_time")}</option>
          ${this._day.windows.map(
            (_, index) => html`<option value=${index} ?selected=${index === visit.window}>${this.#windowText(index)}</option>`,
          )}
        </select>
      </label>
      <label><span class="label">${t("day.reason")}</span><input name="reason" maxlength="500" autocomplete="off"></label>
      <button class="primary">${t("day.place")}</button>
    </form>`;
  }
}

customElements.define("cti-day", Day);
