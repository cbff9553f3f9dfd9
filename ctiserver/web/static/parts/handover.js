// Somebody is ill: all that they have goes to others, by the rules or to one person, with one reason.
import { LitElement, css, html, nothing } from "lit";
import { api } from "../lib/api.js";
import { shared } from "../lib/styles.js";
import { Worded, dayTime, fault, t } from "../lib/words.js";
import "./why.js";

/** An instant as a field of type datetime-local has it. */
const local = (date) => new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);

class Handover extends Worded(LitElement) {
  static properties = {
    person: { attribute: false }, // a row of the day
    people: { attribute: false }, // all rows
    day: { attribute: false },
    _error: { state: true },
    _busy: { state: true },
    _done: { state: true },
  };

  static styles = [
    shared,
    css`
      form {
        display: grid;
        grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr));
        gap: 0.8rem;
        align-items: end;
        padding-top: 0.6rem;
      }
      details {
        padding: 0.3rem 0;
      }
      summary {
        cursor: pointer;
      }
    `,
  ];

  willUpdate(changed) {
    if (changed.has("person") && changed.get("person")?.login !== this.person.login) {
      this._done = null;
      this._error = null;
    }
  }

  async #do(work) {
    this._busy = true;
    this._error = null;
    try {
      this._done = await work();
      this.dispatchEvent(new CustomEvent("changed"));
    } catch (error) {
      this._error = error;
    } finally {
      this._busy = false;
    }
  }

  #handOver(event) {
    event.preventDefault();
    const data = Object.fromEntries(new FormData(event.target));
    const body = {
      whose: this.person.login,
      reason: data.reason,
      to: data.to || null,
      day: data.which === "day" ? this.day : null,
      away_until: data.until ? new Date(data.until).toISOString() : null,
    };
    this.#do(async () => (await api("POST", "handovers", body)).orders);
  }

  #back() {
    this.#do(async () => {
      await api("POST", "absences", { login: this.person.login, until: null });
      return null;
    });
  }

  render() {
    const it = this.person;
    const evening = new Date();
    evening.setHours(23, 59, 0, 0);
    const facts = [it.department, it.regions.join(" "), it.skills.join(" ")].filter(Boolean).join(" · ");
    return html`
      <h2>${it.name} <span class="soft small">${facts}</span></h2>
      ${it.away_until && new Date(it.away_until) > new Date()
        ? html`<p class="row">
            <span class="chip warn">${t("day.away_until", { time: dayTime(it.away_until) })}</span>
            <button ?disabled=${this._busy} @click=${() => this.#back()}>${t("day.is_back")}</button>
          </p>`
        : nothing}
      <form @submit=${this.#handOver}>
        <label><span class="label">${t("day.why_handed_over")}</span><input name="reason" required maxlength="500" autocomplete="off"></label>
        <label>
          <span class="label">${t("day.to")}</span>
          <select name="to">
            <option value="">${t("day.by_rule")}</option>
            ${this.people.filter((one) => one.login !== it.login).map((one) => html`<option value=${one.login}>${one.name}</option>`)}
          </select>
        </label>
        <label>
          <span class="label">${t("day.which")}</span>
          <select name="which">
            <option value="all">${t("day.which_all")}</option>
            <option value="day">${t("day.which_day")}</option>
          </select>
        </label>
        <label><span class="label">${t("day.until")}</span><input name="until" type="datetime-local" .value=${local(evening)}></label>
        <button class="primary" ?disabled=${this._busy}>${t("day.hand_over", { n: it.open_orders })}</button>
      </form>
      <div role="alert" class="notice bad" ?hidden=${!this._error}>${this._error ? fault(this._error) : ""}</div>
      <div role="status">${this._done ? this.#result() : nothing}</div>
    `;
  }

  #result() {
    const name = (login) => this.people.find((one) => one.login === login)?.name ?? login;
    return html`<p class="notice good">${t("day.handed_over", { n: this._done.length })}</p>
      ${this._done.map(
        (order) =>
          html`<details>
            <summary><span class="number">${order.number}</span> → ${order.to ? name(order.to) : t("day.nobody")}</summary>
            <cti-why .considered=${order.considered}></cti-why>
          </details>`,
      )}`;
  }
}

customElements.define("cti-handover", Handover);
