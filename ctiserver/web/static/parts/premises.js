// A contact's sites and devices: to add, to change, to retire. A dialogue; Escape closes it.
import { LitElement, css, html, nothing, repeat } from "lit";
import { api } from "../lib/api.js";
import { Fallible } from "../lib/fallible.js";
import { dialogs, shared } from "../lib/styles.js";
import { day, t } from "../lib/words.js";

// Each kind of thing: its address, its words, and its fields with their input's type and longest text.
const KINDS = {
  site: {
    path: "sites",
    add: "premises.add_site",
    fields: {
      name: ["text", 200],
      address: ["text", 500],
      region: ["text", 64],
      local_person: ["text", 500],
      local_number: ["tel", 64],
    },
  },
  device: {
    path: "devices",
    add: "premises.add_device",
    fields: {
      serial: ["text", 64],
      model: ["text", 500],
      site_id: ["site"],
      bought_on: ["date"],
      warranty_until: ["date"],
      contract: ["text", 500],
    },
  },
};
const MAY_BE_NULL = ["site_id", "bought_on", "warranty_until"];

class Premises extends Fallible(LitElement) {
  static properties = {
    contactId: { attribute: false },
    _contact: { state: true },
    _edited: { state: true }, // {kind, thing}: what the form is about; a new one has no id
    _said: { state: true },
  };

  static styles = [
    shared,
    dialogs,
    css`
      dialog {
        --width: 46rem;
      }
      li {
        padding: 0.4rem 0;
      }
      li + li {
        border-top: 1px solid var(--line);
      }
      .retired {
        color: var(--ink-soft);
      }
      form {
        display: grid;
        grid-template-columns: repeat(auto-fit, minmax(min(13rem, 100%), 1fr));
        gap: 0.7rem;
        padding: 0.8rem;
        border-radius: 9px;
        background: var(--sunken);
      }
      form .row {
        grid-column: 1 / -1;
      }
    `,
  ];

  constructor() {
    super();
    this._contact = null;
    this._edited = null;
    this._said = "";
  }

  firstUpdated() {
    this.renderRoot.querySelector("dialog").showModal();
    this.attempt(() => this.#read());
  }

  async #read() {
    this._contact = await api("GET", `contacts/${this.contactId}`);
  }

  #close = () => this.dispatchEvent(new CustomEvent("done"));

  /** Open the form, with the focus in its first field. */
  async #edit(kind, thing) {
    this._said = "";
    this._error = null;
    this._edited = { kind, thing };
    await this.updateComplete;
    this.renderRoot.querySelector("form input").focus();
  }

  /** Close the form; the focus goes back to where it was opened. */
  async #leave() {
    const { kind, thing } = this._edited;
    this._edited = null;
    await this.updateComplete;
    this.renderRoot.querySelector(thing.id ? `#change-${thing.id}` : `#add-${kind}`)?.focus();
  }

  #cancelled = (event) => {
    if (!this._edited) return;
    event.preventDefault(); // Escape leaves the form first, then the dialogue
    this.#leave();
  };

  #body(kind, thing) {
    return Object.fromEntries(Object.keys(KINDS[kind].fields).map((name) => [name, thing[name] || (MAY_BE_NULL.includes(name) ? null : "")]));
  }

  async #write(kind, thing, retired) {
    const { path } = KINDS[kind];
    const body = this.#body(kind, thing);
    if (!thing.id) await api("POST", `contacts/${this.contactId}/${path}`, body);
    else {
      try {
        await api("PUT", `${path}/${thing.id}`, { ...body, retired, revision: thing.revision });
      } catch (error) {
        if (error.code === "conflict") await this.#met(thing, kind);
        throw error;
      }
    }
    await this.#read();
    this.dispatchEvent(new CustomEvent("changed"));
  }

  /** Somebody else was faster: show theirs; ours stays in the form, and may be saved over it now that it was seen. */
  async #met(thing, kind) {
    await this.#read();
    const theirs = this._contact[KINDS[kind].path].find((one) => one.id === thing.id);
    if (this._edited && theirs) this._edited = { kind, thing: { ...thing, revision: theirs.revision, retired: theirs.retired } };
  }

  #save = async (event) => {
    event.preventDefault();
    const { kind, thing } = this._edited;
    const typed = { ...thing, ...Object.fromEntries(new FormData(event.target)) };
    this._edited = { kind, thing: typed };
    if (!(await this.attempt(() => this.#write(kind, typed, Boolean(typed.retired))))) return;
    this._said = t("premises.saved", { name: typed.name ?? typed.serial });
    await this.#leave();
  };

  async #retire(kind, thing, retired) {
    this._said = "";
    if (!(await this.attempt(() => this.#write(kind, thing, retired)))) return;
    this._said = t(retired ? "premises.gone" : "premises.saved", { name: thing.name ?? thing.serial });
  }

  said(error) {
    if (error.code === "conflict") return t("premises.conflict");
    const fields = Object.keys(error.fields ?? {}).map((name) => (name in KINDS.site.fields || name in KINDS.device.fields ? t(`premises.${name}`) : name));
    return [super.said(error), ...fields].join(" ");
  }

  render() {
    const it = this._contact;
    return html`<dialog aria-labelledby="whose" @close=${this.#close} @cancel=${this.#cancelled}>
      <div class="stack">
        <div class="row spread">
          <h2 id="whose">${t("premises.title", { name: it?.name || it?.organisation || it?.numbers[0] || "" })}</h2>
          <button class="quiet" @click=${() => this.renderRoot.querySelector("dialog").close()}>${t("premises.close")}</button>
        </div>
        ${this.alert()}
        <div role="status" class="notice good" ?hidden=${!this._said}>${this._said}</div>
        ${it ? html`${this.#list("site", it.sites)} ${this.#list("device", it.devices)}` : nothing}
      </div>
    </dialog>`;
  }

  #list(kind, things) {
    const adding = this._edited?.kind === kind && !this._edited.thing.id;
    return html`<section aria-labelledby="all-${kind}">
      <h3 id="all-${kind}">${t(`premises.${KINDS[kind].path}`)}</h3>
      ${things.length
        ? html`<ul>
            ${repeat(things, (thing) => thing.id, (thing) => this.#thing(kind, thing))}
          </ul>`
        : html`<p class="soft">${t("premises.none")}</p>`}
      ${adding ? this.#form() : html`<div><button id="add-${kind}" @click=${() => this.#edit(kind, {})}>${t(KINDS[kind].add)}</button></div>`}
    </section>`;
  }

  #thing(kind, thing) {
    const name = thing.name ?? thing.serial;
    return html`<li class="stack">
      <div class="row spread">
        <span class=${thing.retired ? "retired" : ""}>
          ${kind === "site"
            ? html`<strong>${thing.name}</strong> ${thing.address}
                <span class="soft small number">${thing.region} ${thing.local_person} ${thing.local_number}</span>`
            : html`<strong class="number">${thing.serial}</strong> ${thing.model}
                <span class="soft small">${this.#where(thing)} ${thing.warranty_until ? `${t("premises.warranty_until")} ${day(thing.warranty_until)}` : ""}</span>`}
          ${thing.retired ? html`<span class="chip">${t("premises.retired")}</span>` : nothing}
        </span>
        <span class="row">
          <button id="change-${thing.id}" @click=${() => this.#edit(kind, thing)}>${t("premises.change")}<span class="unseen"> ${name}</span></button>
          <button ?disabled=${this._busy} @click=${() => this.#retire(kind, thing, !thing.retired)}>
            ${t(thing.retired ? "premises.again" : "premises.retire")}<span class="unseen"> ${name}</span>
          </button>
        </span>
      </div>
      ${this._edited?.thing.id === thing.id ? this.#form() : nothing}
    </li>`;
  }

  #where(device) {
    return this._contact.sites.find((site) => site.id === device.site_id)?.name ?? "";
  }

  #form() {
    const { kind, thing } = this._edited;
    const fields = Object.entries(KINDS[kind].fields);
    return html`<form @submit=${this.#save}>
      ${fields.map(([name, [type, longest]], n) => this.#field(name, type, longest, thing[name] ?? "", n === 0))}
      <div class="row">
        <button class="primary" ?disabled=${this._busy}>${t("premises.save")}</button>
        <button type="button" class="quiet" @click=${() => this.#leave()}>${t("premises.cancel")}</button>
      </div>
    </form>`;
  }

  #field(name, type, longest, value, required) {
    const label = html`<span class="label">${t(`premises.${name}`)}</span>`;
    if (type === "site") {
      const sites = this._contact.sites.filter((site) => !site.retired || site.id === value);
      return html`<label>
        ${label}
        <select name=${name}>
          <option value="">${t("premises.no_site")}</option>
          ${sites.map((site) => html`<option value=${site.id} ?selected=${site.id === value}>${site.name}</option>`)}
        </select>
      </label>`;
    }
    return html`<label>${label}<input name=${name} type=${type} .value=${value} maxlength=${longest ?? nothing} ?required=${required}></label>`;
  }
}

customElements.define("cti-premises", Premises);
