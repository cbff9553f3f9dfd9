// Accounts, for admins: who may log in, as what, with which phone.
import { LitElement, css, html, nothing, repeat } from "lit";
import { api } from "../lib/api.js";
import { Fallible } from "../lib/fallible.js";
import { shared } from "../lib/styles.js";
import { LANGUAGES, fault, t } from "../lib/words.js";

const ROLES = ["agent", "supervisor", "technician", "dispatcher", "storekeeper", "cashier", "admin", "machine"];

/** Words of a list as people type them: by commas or blanks. */
const listed = (text) => text.split(/[\s,，、]+/).filter(Boolean);

class Accounts extends Fallible(LitElement) {
  static properties = {
    me: { attribute: false },
    _users: { state: true },
    _said: { state: true },
    _changing: { state: true }, // whose new password is being typed
    _fitting: { state: true }, // whose skills, regions, department and hours are being changed
  };

  static styles = [
    shared,
    css`
      h1 {
        font-size: 1.3rem;
        padding-bottom: 0.9rem;
      }
      form.new {
        display: grid;
        grid-template-columns: repeat(auto-fit, minmax(12rem, 1fr));
        gap: 0.8rem;
        align-items: end;
        margin-top: 0.9rem;
      }
      details {
        margin-bottom: 1rem;
      }
      summary {
        font-weight: 650;
        cursor: pointer;
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
        padding: 0.5rem 0.8rem 0.5rem 0;
        border-bottom: 1px solid var(--line);
      }
      tr:last-child td {
        border: 0;
      }
      th {
        font-size: 0.82rem;
        color: var(--ink-soft);
      }
      tr.shut td {
        color: var(--ink-soft);
      }
      td form {
        display: flex;
        gap: 0.4rem;
      }
    `,
  ];

  connectedCallback() {
    super.connectedCallback();
    this.#do(() => {});
  }

  /** Do something, then read all accounts again. */
  async #do(work, said = null) {
    this._said = null;
    return this.attempt(async () => {
      await work();
      this._users = (await api("GET", "users")).users;
      this._said = said;
    });
  }

  async #add(event) {
    event.preventDefault();
    const form = event.target;
    const data = Object.fromEntries(new FormData(form));
    const body = {
      login: data.login.trim(),
      name: data.name.trim(),
      role: data.role,
      password: data.password,
      language: data.language,
      skills: listed(data.skills),
      regions: listed(data.regions),
      department: data.department.trim(),
      calendar: data.calendar.trim(),
      extension: data.extension.trim() || null,
    };
    if (await this.#do(() => api("POST", "users", body), t("accounts.added", { name: body.login }))) form.reset();
  }

  #change(user, change) {
    return this.#do(() => api("PATCH", `users/${user.login}`, change), t("accounts.changed", { name: user.login }));
  }

  async #fit(event, user) {
    event.preventDefault();
    const data = Object.fromEntries(new FormData(event.target));
    const change = {
      skills: listed(data.skills),
      regions: listed(data.regions),
      department: data.department.trim(),
      calendar: data.calendar.trim(),
    };
    const work = () => api("PATCH", `users/${user.login}`, change);
    if (await this.#do(work, t("accounts.fitted", { name: user.login }))) this._fitting = null;
  }

  async #password(event, user) {
    event.preventDefault();
    const password = new FormData(event.target).get("password");
    const done = await this.#do(
      () => api("POST", `users/${user.login}/password`, { password }),
      t("accounts.changed", { name: user.login }),
    );
    if (done) this._changing = null;
  }

  render() {
    return html`
      <h1>${t("accounts.title")}</h1>
      ${this.alert()}
      <div role="status" class="notice good" ?hidden=${!this._said}>${this._said ?? ""}</div>
      ${this.#new()}
      ${this._users
        ? html`<div class="card scroll" tabindex="0" role="region" aria-label=${t("accounts.title")}>
            <table>
              <thead>
                <tr>
                  ${["login", "name", "role", "extension", "skills"].map((key) => html`<th scope="col">${t(`accounts.${key}`)}</th>`)}
                  <td></td>
                </tr>
              </thead>
              <tbody>${repeat(this._users, (user) => user.login, (user) => this.#row(user))}</tbody>
            </table>
          </div>`
        : nothing}
    `;
  }

  said(error) {
    const fields = Object.entries(error.fields ?? {}).map(([name, what]) => `${name}: ${what}`);
    return [fault(error), ...fields].join(" ");
  }

  #new() {
    return html`<details class="card">
      <summary>${t("accounts.new")}</summary>
      <form class="new" @submit=${this.#add}>
        <label><span class="label">${t("accounts.login")}</span><input name="login" required pattern="[a-z][a-z0-9._\\-]{0,39}" autocomplete="off"></label>
        <label><span class="label">${t("accounts.name")}</span><input name="name" autocomplete="off"></label>
        <label>
          <span class="label">${t("accounts.role")}</span>
          <select name="role">${ROLES.map((role) => html`<option value=${role}>${t(`role.${role}`)}</option>`)}</select>
        </label>
        <label>
          <span class="label">${t("accounts.password")}</span>
          <input name="password" type="password" required minlength="8" maxlength="256" autocomplete="new-password">
        </label>
        <label>
          <span class="label">${t("accounts.extension")}</span>
          <input name="extension" pattern="[0-9]{2,6}" inputmode="numeric" autocomplete="off">
        </label>
        <label><span class="label">${t("accounts.skills")}</span><input name="skills" autocomplete="off"></label>
        <label><span class="label">${t("accounts.regions")}</span><input name="regions" autocomplete="off"></label>
        <label><span class="label">${t("accounts.department")}</span><input name="department" maxlength="40" autocomplete="off"></label>
        <label><span class="label">${t("accounts.calendar")}</span><input name="calendar" maxlength="40" autocomplete="off"></label>
        <label>
          <span class="label">${t("app.language")}</span>
          <select name="language">${LANGUAGES.map((tag) => html`<option value=${tag}>${t(`app.${tag}`)}</option>`)}</select>
        </label>
        <button class="primary" ?disabled=${this._busy}>${t("accounts.add")}</button>
      </form>
    </details>`;
  }

  #row(user) {
    const own = user.login === this.me.login;
    return html`<tr class=${user.active ? "" : "shut"}>
      <td>${user.login}</td>
      <td>${user.name}</td>
      <td>
        <select
          aria-label=${t("accounts.role_of", { name: user.login })}
          ?disabled=${own || this._busy}
          @change=${(event) => this.#change(user, { role: event.target.value })}
        >
          ${ROLES.map((role) => html`<option value=${role} ?selected=${role === user.role}>${t(`role.${role}`)}</option>`)}
        </select>
      </td>
      <td class="number">${user.extension ?? ""}</td>
      <td>
        ${this._fitting === user.login
          ? html`<form @submit=${(event) => this.#fit(event, user)}>
              ${["skills", "regions", "department", "calendar"].map(
                (name) =>
                  html`<label>
                    <span class="label">${t(`accounts.${name}`)}</span>
                    <input name=${name} maxlength="200" autocomplete="off" .value=${[user[name]].flat().join(" ")}>
                  </label>`,
              )}
              <button class="primary" ?disabled=${this._busy}>${t("accounts.save")}</button>
              <button type="button" @click=${() => (this._fitting = null)}>${t("tasks.back")}</button>
            </form>`
          : html`${[...user.skills, ...user.regions, user.department, user.calendar].filter(Boolean).join(" ")}
              <button class="quiet" aria-label=${t("accounts.fit_of", { name: user.login })} @click=${() => (this._fitting = user.login)}>
                ${t("accounts.change")}
              </button>`}
      </td>
      <td>
        ${this._changing === user.login
          ? html`<form @submit=${(event) => this.#password(event, user)}>
              <input
                name="password"
                type="password"
                required
                minlength="8"
                maxlength="256"
                autocomplete="new-password"
                aria-label=${t("accounts.password_of", { name: user.login })}
              >
              <button class="primary" ?disabled=${this._busy}>${t("accounts.save")}</button>
              <button type="button" @click=${() => (this._changing = null)}>${t("tasks.back")}</button>
            </form>`
          : html`<span class="row">
              <button ?disabled=${this._busy} @click=${() => (this._changing = user.login)}>${t("accounts.set_password")}</button>
              ${own
                ? nothing
                : html`<button ?disabled=${this._busy} @click=${() => this.#change(user, { active: !user.active })}>
                    ${t(user.active ? "accounts.shut" : "accounts.open")}
                  </button>`}
            </span>`}
      </td>
    </tr>`;
  }
}

customElements.define("cti-accounts", Accounts);
