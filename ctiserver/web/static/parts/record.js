// The service record: notes saved as typed, the type's own fields, the result, and what came of it.
import { LitElement, css, html, live, nothing } from "lit";
import { api } from "../lib/api.js";
import { Fallible } from "../lib/fallible.js";
import { Draft } from "../lib/draft.js";
import { shared } from "../lib/styles.js";
import { clockTime, dayTime, fault, t, title, word } from "../lib/words.js";
import "./call.js";
import "./why.js";

const PAYERS = ["", "customer", "maker", "company"];

class RecordForm extends Fallible(LitElement) {
  static properties = {
    recordId: { attribute: false },
    types: { attribute: false },
    dispositions: { attribute: false },
    socket: { attribute: false },
    callId: { attribute: false }, // the call that is shown beside it
    _record: { state: true },
    _missing: { state: true },
    _saving: { state: true },
    _choice: { state: true },
  };

  static styles = [
    shared,
    css`
      .card {
        display: grid;
        gap: 1.1rem;
      }
      .head {
        display: flex;
        flex-wrap: wrap;
        align-items: center;
        gap: 0.3rem 0.8rem;
      }
      .head h2 {
        font-size: 1.15rem;
      }
      .save {
        margin-left: auto;
        font-size: 0.87rem;
        font-weight: 600;
        color: var(--ink-soft);
      }
      .save.saved {
        color: var(--good);
      }
      .save.failed,
      .save.refused,
      .save.conflict {
        color: var(--bad);
      }
      a {
        color: var(--accent);
        font-weight: 600;
      }
      textarea {
        min-height: 6.5rem;
      }
      .fields {
        display: grid;
        grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr));
        gap: 0.9rem;
      }
      .wide {
        grid-column: 1 / -1;
      }
      textarea.short {
        min-height: 4rem;
      }
      .missing {
        color: var(--bad);
        font-size: 0.82rem;
        font-weight: 600;
      }
      .required::after {
        content: " *";
        color: var(--bad);
      }
      .results {
        display: flex;
        flex-wrap: wrap;
        gap: 0.5rem;
        padding-top: 0.4rem;
      }
      .results label {
        display: inline-flex;
        align-items: center;
        gap: 0.5rem;
        padding: 0.4rem 0.9rem;
        min-height: 2.5rem;
        border: 1px solid var(--line-strong);
        border-radius: 9px;
        font-weight: 600;
        cursor: pointer;
      }
      .results label:has(:checked) {
        border-color: var(--accent);
        background: var(--accent-soft);
        color: var(--accent-strong);
      }
      .results label:has(:focus-visible) {
        outline: 3px solid var(--focus);
        outline-offset: 2px;
      }
      input[type="radio"] {
        accent-color: var(--accent);
        margin: 0;
      }
      ol.timeline {
        border-left: 2px solid var(--line);
        margin-left: 0.3rem;
      }
      .timeline li {
        position: relative;
        padding: 0.15rem 0 0.55rem 1rem;
      }
      .photo {
        width: 6rem;
        aspect-ratio: 1;
        object-fit: cover;
        border-radius: 0.5rem;
      }
      .timeline li::before {
        content: "";
        position: absolute;
        left: -0.36rem;
        top: 0.55rem;
        width: 0.6rem;
        height: 0.6rem;
        border-radius: 50%;
        background: var(--line-strong);
      }
      .orders li {
        padding: 0.5rem 0;
        border-top: 1px solid var(--line);
      }
    `,
  ];

  #draft = null;
  #unfollow = null;

  constructor() {
    super();
    this._missing = {};
    this._choice = "";
  }

  connectedCallback() {
    super.connectedCallback();
    window.addEventListener("keydown", this.#key);
    window.addEventListener("beforeunload", this.#leaving);
    if (this.hasUpdated && this.recordId) this.#open();
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    window.removeEventListener("keydown", this.#key);
    window.removeEventListener("beforeunload", this.#leaving);
    this.#close();
  }

  willUpdate(changed) {
    if (changed.has("recordId")) {
      this.#close();
      this._record = null;
      this._missing = {};
      this._choice = "";
      this._error = null;
      if (this.recordId) this.#open();
    }
  }

  #open() {
    // The snapshot's arrival, and every later change, is the word to read the record; so none is missed.
    this.#unfollow = this.socket.follow(`record:${this.recordId}`, () => this.#read());
  }

  #close() {
    this.#unfollow?.();
    this.#unfollow = null;
    this.#draft?.flush();
    this.#draft?.stop();
    this.#draft = null;
  }

  async #read() {
    const wanted = this.recordId;
    let record;
    try {
      record = await api("GET", `records/${wanted}`);
    } catch (error) {
      this._error = error;
      return;
    }
    if (wanted !== this.recordId) return;
    if (this.#draft) this.#draft.meet(record);
    else {
      this.#draft = new Draft(record);
      this.#draft.addEventListener("change", () => this.requestUpdate());
    }
    this._record = record;
    this._choice ||= record.disposition ?? "";
  }

  #key = (event) => {
    if (!this._record) return;
    const alone = event.altKey && !event.ctrlKey && !event.metaKey;
    if (alone && event.code === "KeyN") this.#focus(event, "#notes");
    else if (alone && event.code === "KeyD") this.#focus(event, "input[type=radio]:checked, input[type=radio]");
    else if (event.ctrlKey && event.key === "Enter") {
      event.preventDefault();
      this.#dispose();
    }
  };

  #focus(event, selector) {
    event.preventDefault();
    this.renderRoot.querySelector(selector)?.focus();
  }

  #leaving = (event) => {
    if (this.#draft && !["saved", "dirty"].includes(this.#draft.state)) event.preventDefault();
  };

  async #dispose() {
    const choice = this._choice;
    if (!choice || this._saving || this._record.disposition === choice) return;
    this._saving = true;
    this._error = null;
    this._missing = {};
    try {
      if (!(await this.#draft.flush())) throw this.#draft.error ?? new Error(t("save.conflict"));
      await api("POST", `records/${this.recordId}/disposition`, { code: choice });
      await this.#read();
      this.dispatchEvent(new CustomEvent("disposed", { detail: choice }));
    } catch (error) {
      if (error.code === "invalid" && error.fields) {
        this._missing = error.fields;
        await this.updateComplete;
        this.renderRoot.querySelector('[aria-invalid="true"]')?.focus();
      } else this._error = error;
    } finally {
      this._saving = false;
    }
  }

  #urge = async () => {
    this._error = null;
    try {
      await api("POST", `records/${this.recordId}/calls`, { call_id: this.callId });
      await this.#read();
    } catch (error) {
      this._error = error;
    }
  };

  render() {
    const it = this._record;
    if (!it) return this._error ? html`<p class="notice bad" role="alert">${fault(this._error)}</p>` : nothing;
    const type = this.types.find((known) => known.name === it.type);
    const closed = it.status === "closed";
    return html`<section class="card" aria-label=${t("record.title")}>
      <div class="head">
        <h2><span class="number">${it.number}</span> · ${title(type?.title, it.type)}</h2>
        <cti-call .number=${it.caller_number || it.contact?.numbers[0]} .from=${{ record_id: it.id }}></cti-call>
        <span class="chip ${closed ? "" : "good"}">${t(`record.${it.status}`)}</span>
        ${it.repeat_calls ? html`<span class="chip warn">${t("record.urged", { n: it.repeat_calls })}</span>` : nothing}
        ${this.callId && !closed && !it.calls.includes(this.callId)
          ? html`<button @click=${this.#urge}>${t("record.urge")}</button>`
          : nothing}
        ${it.priority > 5 ? html`<span class="chip warn">${t("record.priority", { n: it.priority })}</span>` : nothing}
        ${this.#saveState()}
      </div>
      <p class="soft small">
        ${it.owner ? t("record.owner", { name: it.owner_name ?? it.owner }) : t("record.no_owner")}
        ${it.contact ? html` · ${it.contact.name || it.contact.numbers[0]}` : nothing} ·
        <a href="#/chain/${it.id}">${t("chain.open")}</a>
      </p>
      <div class="fields">
        ${(type?.fields ?? []).map((field) => this.#field(field, closed))}
        <label class="wide">
          <span class="label">${t("record.notes")} <kbd aria-hidden="true">Alt N</kbd></span>
          <textarea
            id="notes"
            maxlength="20000"
            aria-keyshortcuts="Alt+N"
            .value=${live(this.#draft.get("notes"))}
            @input=${(event) => this.#draft.set("notes", event.target.value)}
          ></textarea>
        </label>
        <label>
          <span class="label">${t("record.payer")}</span>
          <select @change=${(event) => this.#draft.set("payer", event.target.value)}>
            ${PAYERS.map(
              (payer) => html`<option value=${payer} ?selected=${payer === this.#draft.get("payer")}>${t(`payer.${payer}`)}</option>`,
            )}
          </select>
        </label>
      </div>
      <details ?open=${Boolean(it.complainant || it.complainant_number)}>
        <summary class="label">${t("record.third_party")}</summary>
        <div class="fields">
          ${["complainant", "complainant_number"].map(
            (name) =>
              html`<label>
                <span class="label">${t(`record.${name}`)}</span>
                <input
                  type=${name === "complainant" ? "text" : "tel"}
                  maxlength="64"
                  .value=${live(this.#draft.get(name))}
                  @input=${(event) => this.#draft.set(name, event.target.value)}
                >
              </label>`,
          )}
        </div>
      </details>
      ${this.#result(it, closed)}
      ${this.alert()}
      ${this.#orders(it)} ${this.#timeline(it)}
    </section>`;
  }

  #saveState() {
    const { state, savedAt, error } = this.#draft;
    const text =
      state === "saved"
        ? savedAt
          ? t("save.saved_at", { time: clockTime(savedAt) })
          : ""
        : state === "refused"
          ? t("save.refused", { why: error ? fault(error) : t("save.see_fields") })
          : t(`save.${state}`);
    return html`<span class="save ${state}" role="status">
      ${text}
      ${state === "conflict"
        ? html`<button @click=${() => this.#draft.settle("mine")}>${t("save.mine")}</button>
            <button @click=${() => this.#draft.settle("theirs")}>${t("save.theirs")}</button>`
        : nothing}
    </span>`;
  }

  #field(field, closed) {
    const name = `fields.${field.name}`;
    const missing = this._missing[field.name] !== undefined;
    const write = (event) => {
      this.#draft.set(name, event.target.value);
      if (missing) this._missing = Object.fromEntries(Object.entries(this._missing).filter(([key]) => key !== field.name));
    };
    const wrong = this.#draft.wrong(name);
    const label = html`<span class="label ${field.required ? "required" : ""}">${title(field.title, field.name)}</span>
      ${missing ? html`<span class="missing">${t("record.required")}</span>` : nothing}
      ${wrong ? html`<span class="missing" role="alert">${word("field_fault", wrong)}</span>` : nothing}`;
    const invalid = missing || wrong ? "true" : "false";
    if (field.kind === "long_text")
      return html`<label class="wide">
        ${label}
        <textarea class="short" rows="2" aria-invalid=${invalid} ?readonly=${closed} .value=${live(this.#draft.get(name))} @input=${write}></textarea>
      </label>`;
    if (field.kind === "choice")
      return html`<label>
        ${label}
        <select aria-invalid=${invalid} ?disabled=${closed} @change=${write}>
          <option value=""></option>
          ${Object.entries(field.choices).map(
            ([value, texts]) => html`<option value=${value} ?selected=${value === this.#draft.get(name)}>${title(texts, value)}</option>`,
          )}
        </select>
      </label>`;
    const kinds = { number: "number", date: "date", phone: "tel" };
    return html`<label>
      ${label}
      <input
        type=${kinds[field.kind] ?? "text"}
        inputmode=${field.kind === "amount" ? "decimal" : nothing}
        aria-invalid=${invalid}
        ?readonly=${closed}
        .value=${live(this.#draft.get(name))}
        @input=${write}
      >
    </label>`;
  }

  #result(it, closed) {
    const offered = this.dispositions.filter((known) => !known.types.length || known.types.includes(it.type));
    if (it.disposition && (closed || this._choice === it.disposition)) {
      const known = this.dispositions.find((one) => one.code === it.disposition);
      return html`<p class="notice good" role="status">${t("record.result_saved", { title: title(known?.title, it.disposition) })}</p>`;
    }
    return html`<fieldset>
        <legend>${t("record.result")} <kbd aria-hidden="true">Alt D</kbd></legend>
        <div class="results">
          ${offered.map(
            (known) =>
              html`<label>
                <input
                  type="radio"
                  name="result"
                  value=${known.code}
                  .checked=${known.code === this._choice}
                  @change=${() => (this._choice = known.code)}
                >
                ${title(known.title, known.code)}
              </label>`,
          )}
        </div>
      </fieldset>
      <div class="row">
        <button id="save-result" class="primary" ?disabled=${!this._choice || this._saving} aria-keyshortcuts="Control+Enter" @click=${this.#dispose}>
          ${this._saving ? t("record.saving_result") : t("record.save_result")} <kbd aria-hidden="true">Ctrl ↵</kbd>
        </button>
        ${this._choice ? nothing : html`<span class="soft small">${t("record.choose_result")}</span>`}
      </div>`;
  }

  #orders(it) {
    const starts = this.dispositions.find((known) => known.code === it.disposition)?.does === "process";
    if (!it.work_orders.length) return starts ? html`<p class="soft">${t("record.orders_soon")}</p>` : nothing;
    return html`<div>
      <h3>${t("record.orders")}</h3>
      <ul class="orders">
        ${it.work_orders.map(
          (order) =>
            html`<li>
              <div class="row spread">
              <span><strong>${word("order", order.kind)}</strong> <span class="number soft">${order.number}</span></span>
              <span class="chip ${order.late ? "bad" : ""}">${word("order_state", order.state)}</span>
              <span class="soft small">
                ${order.planned_at
                  ? t("record.planned", { time: dayTime(order.planned_at) })
                  : order.due_at
                    ? t("record.due", { time: dayTime(order.due_at) })
                    : ""}
              </span>
              </div>
              ${order.assigned
                ? html`<details>
                    <summary class="label">${t("day.why")}</summary>
                    <cti-why .assigned=${order.assigned} .considered=${order.considered}></cti-why>
                  </details>`
                : nothing}
            </li>`,
        )}
      </ul>
    </div>`;
  }

  #timeline(it) {
    return html`<details>
      <summary class="label">${t("record.timeline")} (${it.timeline.length})</summary>
      <ol class="timeline">
        ${it.timeline.map(
          (entry) =>
            html`<li>
              <span class="number soft small">${dayTime(entry.at)}</span><br>
              ${this.#happened(entry)} <span class="soft small">${entry.actor.replace(/^user:/, "")}</span>
              ${entry.kind === "photo_added" ? this.#photo(entry.data.photo) : nothing}
            </li>`,
        )}
      </ol>
    </details>`;
  }

  #photo(id) {
    const address = `/api/v1/photos/${id}`;
    return html`<br><a href=${address} target="_blank" rel="noopener"><img class="photo" src=${address} alt=${t("photos.show")} loading="lazy"></a>`;
  }

  #happened(entry) {
    const data = { ...entry.data };
    if (data.disposition) data.disposition = title(this.dispositions.find((one) => one.code === data.disposition)?.title, data.disposition);
    return word("timeline", entry.kind).replace(/\{(\w+)\}/g, (_, name) => String(data[name] ?? ""));
  }
}

customElements.define("cti-record", RecordForm);
