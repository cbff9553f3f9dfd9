// The screen-pop: who calls, about what, and what we know of them; large while it rings.
import { LitElement, css, html, nothing } from "lit";
import { api } from "../lib/api.js";
import { Fallible } from "../lib/fallible.js";
import { shared } from "../lib/styles.js";
import { Ticking, since } from "../lib/ticking.js";
import { ago, clockTime, day, duration, t, title, word } from "../lib/words.js";
import "./masking.js";
import "./premises.js";

// Why a call that was answered may stand in the log without a record.
const REASONS = ["silent", "wrong_number", "nuisance"];

/** What to call a caller on the screen. */
export function caller(shown) {
  if (shown.contacts.length === 1 && shown.contacts[0].name) return shown.contacts[0].name;
  return shown.caller_name || shown.ani || t("pop.withheld");
}

class Pop extends Fallible(LitElement) {
  static properties = {
    shown: { attribute: false },
    types: { attribute: false },
    queues: { attribute: false },
    openRecord: { attribute: false }, // the record that the form has open
    _editing: { state: true },
    _premises: { state: true }, // whose sites and devices are being edited
  };

  static styles = [
    shared,
    css`
      .card {
        display: grid;
        gap: 1rem;
        overflow: hidden;
      }
      .head {
        margin: -1.1rem -1.25rem 0;
        padding: 1rem 1.25rem;
        background: var(--sunken);
        border-bottom: 1px solid var(--line);
        display: grid;
        gap: 0.15rem;
      }
      .ringing .head {
        background: var(--accent);
        color: var(--on-accent);
        border: 0;
      }
      .talking .head {
        background: var(--accent-soft);
      }
      .phase {
        display: flex;
        align-items: center;
        gap: 0.5rem;
        font-weight: 600;
        font-size: 0.9rem;
      }
      .phase svg {
        width: 1.15rem;
        height: 1.15rem;
      }
      .ringing .phase svg {
        animation: ring 1s ease-in-out infinite;
        transform-origin: 50% 20%;
      }
      @keyframes ring {
        0%,
        60%,
        100% {
          transform: rotate(0);
        }
        10%,
        30%,
        50% {
          transform: rotate(-14deg);
        }
        20%,
        40% {
          transform: rotate(14deg);
        }
      }
      .name {
        font-size: 1.65rem;
        font-weight: 700;
        letter-spacing: -0.015em;
        line-height: 1.25;
        overflow-wrap: anywhere;
      }
      .rename {
        background: transparent;
        border-color: transparent;
        color: inherit;
        min-height: 2rem;
        padding: 0 0.6rem;
      }
      .rename:hover {
        color: var(--ink);
      }
      .facts {
        display: grid;
        grid-template-columns: repeat(auto-fit, minmax(8rem, 1fr));
        gap: 0.7rem 1rem;
      }
      dt {
        font-size: 0.78rem;
        color: var(--ink-soft);
      }
      dd {
        font-weight: 600;
        overflow-wrap: anywhere;
      }
      li + li {
        border-top: 1px solid var(--line);
      }
      li {
        padding: 0.4rem 0;
      }
      .path {
        display: flex;
        flex-wrap: wrap;
        gap: 0.35rem;
      }
      .path li,
      .path li + li {
        border: 0;
        padding: 0.12rem 0.6rem;
      }
      a {
        color: var(--accent);
        font-weight: 600;
      }
      form {
        display: grid;
        grid-template-columns: 1fr 1fr auto;
        gap: 0.6rem;
        align-items: end;
      }
      .openers {
        border-top: 1px solid var(--line);
        padding-top: 1rem;
      }
      @media (max-width: 34rem) {
        form {
          grid-template-columns: 1fr;
        }
      }
    `,
  ];

  #ticking = new Ticking(this);

  async #link(contactId) {
    await this.attempt(async () => {
      for (const record of this.shown.records) {
        await api("PATCH", `records/${record.id}`, { contact_id: { was: record.contact_id ?? "", now: contactId } });
      }
      if (!this.shown.records.length) await this.#open(this.types[0].name, contactId);
      await api("POST", "pops/mine/refresh");
    });
  }

  async #open(type, contactId) {
    const record = await api("POST", "records", {
      type,
      call_id: this.shown.call_id,
      contact_id: contactId ?? (this.shown.contacts.length === 1 ? this.shown.contacts[0].id : null),
      caller_number: this.shown.ani,
    });
    await api("POST", "pops/mine/refresh");
    this.dispatchEvent(new CustomEvent("open-record", { detail: record.id }));
  }

  async #saveContact(event) {
    event.preventDefault();
    const form = new FormData(event.target);
    const [contact] = this.shown.contacts;
    await this.attempt(async () => {
      await api("PATCH", `contacts/${contact.id}`, {
        name: form.get("name"),
        organisation: form.get("organisation"),
        email: form.get("email"),
        note: contact.note,
        revision: contact.revision,
      });
      await api("POST", "pops/mine/refresh");
      this._editing = false;
    });
  }

  render() {
    const it = this.shown;
    if (!it) return nothing;
    return html`<article class="card ${it.phase}" aria-label=${t(`pop.${it.phase}`)}>
      <div class="head">
        <div class="phase">
          <svg viewBox="0 0 24 24" aria-hidden="true" fill="currentColor">
            <path d="M6.6 10.8a15 15 0 0 0 6.6 6.6l2.2-2.2a1 1 0 0 1 1-.25 11.4 11.4 0 0 0 3.6.57 1 1 0 0 1 1 1V20a1 1 0 0 1-1 1A17 17 0 0 1 3 4a1 1 0 0 1 1-1h3.5a1 1 0 0 1 1 1c0 1.25.2 2.45.57 3.57a1 1 0 0 1-.25 1Z" />
          </svg>
          <span>${t(`pop.${it.phase}`)}</span>
          <span class="number" aria-hidden="true">${duration(since(it.since))}</span>
        </div>
        <div class="row spread">
          <h2 class="name">${caller(it)}</h2>
          ${it.contacts.length === 1 && it.contacts[0].name && !this._editing
            ? html`<button class="rename" aria-label=${t("contact.edit")} title=${t("contact.edit")} @click=${() => (this._editing = true)}>✎</button>`
            : nothing}
        </div>
        ${this.#subtitle(it)}
        ${it.phase === "talking" ? html`<cti-masking .shown=${it}></cti-masking>` : nothing}
      </div>
      ${it.contacts.length > 1 ? this.#chooser(it) : nothing}
      <dl class="facts">
        ${this.#fact(it.outbound ? "called" : "number", it.ani ? html`<span class="number">${it.ani}</span>` : t("pop.withheld"))}
        ${it.queue ? this.#fact("queue", title(this.queues.get(it.queue), it.queue)) : nothing}
        ${it.dnis ? this.#fact(it.outbound ? "presented" : "dialled", html`<span class="number">${it.dnis}</span>`) : nothing}
        ${it.called_at ? this.#fact("called_at", html`<span class="number">${clockTime(it.called_at)}</span>`) : nothing}
      </dl>
      ${this.#path(it)} ${it.contacts.length === 1 ? this.#contact(it, it.contacts[0]) : nothing} ${this.#records(it)}
      ${this.alert()}
      ${this._premises
        ? html`<cti-premises
            .contactId=${this._premises}
            @changed=${() => this.attempt(() => api("POST", "pops/mine/refresh"))}
            @done=${() => (this._premises = null)}
          ></cti-premises>`
        : nothing}
    </article>`;
  }

  #fact(name, value) {
    return html`<div>
      <dt>${t(`pop.${name}`)}</dt>
      <dd>${value}</dd>
    </div>`;
  }

  #subtitle(it) {
    if (!it.looked_up) {
      return html`<div class="row">
        <span class="chip warn">${t("pop.not_looked_up")}</span>
        <button @click=${() => this.attempt(() => api("POST", "pops/mine/refresh"))}>${t("tasks.refresh")}</button>
      </div>`;
    }
    if (it.contacts.length === 1) {
      const { organisation, tier } = it.contacts[0];
      if (!organisation && !tier) return nothing;
      return html`<div class="row">${organisation} ${tier ? html`<span class="chip warn">${tier}</span>` : nothing}</div>`;
    }
    return it.contacts.length ? nothing : html`<div>${it.ani && !it.outbound ? t("pop.unknown") : nothing}</div>`;
  }

  #chooser(it) {
    return html`<div class="stack">
      <p>${t("pop.several")}</p>
      <div class="row">
        ${it.contacts.map(
          (contact) =>
            html`<button @click=${() => this.#link(contact.id)}>
              ${t("pop.choose", { name: contact.name || contact.organisation || contact.id })}
              ${contact.organisation ? html`<span class="soft small">${contact.organisation}</span>` : nothing}
            </button>`,
        )}
      </div>
    </div>`;
  }

  #path(it) {
    // A menu's outcome is the key; what was keyed in elsewhere is in the record's fields, if the flow keeps it.
    const steps = it.path.filter((step) => step.data.kind === "menu" && /^([0-9*#]+|star|hash)$/.test(step.outcome));
    if (!steps.length) return nothing;
    return html`<div>
      <h3>${t("pop.path")}</h3>
      <ol class="path">
        ${steps.map((step) => html`<li class="chip accent">${step.node} → ${step.outcome}</li>`)}
      </ol>
    </div>`;
  }

  #contact(it, contact) {
    return html`
      ${!contact.name || this._editing
        ? html`<form @submit=${this.#saveContact} aria-label=${t("contact.edit")}>
            <label><span class="label">${t("contact.name")}</span><input name="name" .value=${contact.name} maxlength="200"></label>
            <label>
              <span class="label">${t("contact.organisation")}</span>
              <input name="organisation" .value=${contact.organisation} maxlength="200">
            </label>
            <label>
              <span class="label">${t("contact.email")}</span>
              <input name="email" type="email" .value=${contact.email} maxlength="320">
            </label>
            <button>${t("contact.save")}</button>
          </form>`
        : nothing}
      ${contact.note ? html`<p><span class="label">${t("pop.note")}</span><br>${contact.note}</p>` : nothing}
      ${it.sites.length
        ? html`<div>
            <h3>${t("pop.sites")}</h3>
            <ul>
              ${it.sites.map(
                (site) =>
                  html`<li class="row spread">
                    <span>${site.name} <span class="soft">${site.address}</span></span>
                    <span class="soft small number">${site.local_person} ${site.local_number}</span>
                  </li>`,
              )}
            </ul>
          </div>`
        : nothing}
      ${it.devices.length
        ? html`<div>
            <h3>${t("pop.devices")}</h3>
            <ul>
              ${it.devices.map((device) => this.#device(device))}
            </ul>
          </div>`
        : nothing}
      <div><button @click=${() => (this._premises = contact.id)}>${t("premises.edit")} …</button></div>
      <div>
        <h3>${t("pop.last_calls")}</h3>
        ${it.last_calls.length
          ? html`<ul>
              ${it.last_calls.map(
                (call) =>
                  html`<li class="row spread">
                    <span>${ago(call.started_at)}</span>
                    <span class="soft">${call.outcome ? word("call_outcome", call.outcome) : ""}</span>
                  </li>`,
              )}
            </ul>`
          : html`<p class="soft">${t("pop.first_call")}</p>`}
      </div>
    `;
  }

  #device(device) {
    const over = device.warranty_until && new Date(`${device.warranty_until}T23:59:59`) < new Date();
    return html`<li class="row spread">
      <span>${device.model} <span class="number soft">${device.serial}</span></span>
      ${device.warranty_until
        ? html`<span class="chip ${over ? "bad" : "good"}">
            ${t(over ? "pop.out_of_warranty" : "pop.in_warranty", { day: day(device.warranty_until) })}
          </span>`
        : nothing}
    </li>`;
  }

  #records(it) {
    const other = [...it.records.filter((record) => record.id !== this.openRecord), ...it.open_records];
    return html`
      ${other.length
        ? html`<div>
            <h3>${t("pop.open_records")}</h3>
            <ul>
              ${other.map(
                (record) =>
                  html`<li class="row spread">
                    <a href="#/desk/${record.id}" class="number">${record.number}</a>
                    <span>${record.subject || this.#typeTitle(record.type)}</span>
                    <span class="soft">${ago(record.opened_at)}</span>
                  </li>`,
              )}
            </ul>
          </div>`
        : nothing}
      <div class="row openers">
        ${this.types
          .filter((type) => !it.records.some((record) => record.type === type.name))
          .map(
            (type) =>
              html`<button @click=${() => this.attempt(() => this.#open(type.name))}>
                + ${title(type.title, type.name)}<span class="unseen"> ${t("pop.open_record")}</span>
              </button>`,
          )}
        ${it.phase === "ended" && !it.records.length ? this.#reasons(it) : nothing}
        ${it.phase === "ended"
          ? html`<button class="quiet" @click=${() => this.attempt(() => api("POST", "pops/mine/dismiss"))}>${t("pop.dismiss")}</button>`
          : nothing}
      </div>
    `;
  }

  #reasons(it) {
    const state = async (reason) => {
      await api("POST", `calls/${it.call_id}/reason`, { reason });
      await api("POST", "pops/mine/dismiss");
    };
    return html`<fieldset class="row">
      <legend>${t("pop.no_record")}</legend>
      ${REASONS.map((reason) => html`<button @click=${() => this.attempt(() => state(reason))}>${t(`no_record.${reason}`)}</button>`)}
    </fieldset>`;
  }

  #typeTitle(name) {
    return title(this.types.find((type) => type.name === name)?.title, name);
  }
}

customElements.define("cti-pop", Pop);
