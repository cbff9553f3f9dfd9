// Log in.
import { LitElement, css, html, nothing } from "lit";
import { api } from "../lib/api.js";
import { shared } from "../lib/styles.js";
import { Worded, fault, t } from "../lib/words.js";

class Login extends Worded(LitElement) {
  static properties = { _busy: { state: true }, _error: { state: true } };

  static styles = [
    shared,
    css`
      :host {
        display: grid;
        justify-items: center;
        padding-top: min(12vh, 7rem);
      }
      form {
        width: min(24rem, 100%);
        padding: 2rem;
        display: grid;
        gap: 1.1rem;
      }
      h1 {
        font-size: 1.45rem;
        letter-spacing: -0.015em;
      }
      button {
        justify-content: center;
        min-height: 2.8rem;
      }
    `,
  ];

  firstUpdated() {
    this.renderRoot.querySelector("input").focus();
  }

  async #submit(event) {
    event.preventDefault();
    const form = new FormData(event.target);
    this._busy = true;
    this._error = null;
    try {
      const me = await api("POST", "session", { login: form.get("login"), password: form.get("password") });
      this.dispatchEvent(new CustomEvent("entered", { detail: me }));
    } catch (error) {
      this._error = error;
      await this.updateComplete;
      this.renderRoot.querySelector("[name=password]").select();
    } finally {
      this._busy = false;
    }
  }

  render() {
    return html`<form class="card" @submit=${this.#submit} aria-labelledby="title">
      <div>
        <h1 id="title">${t("login.title")}</h1>
        <p class="soft">${t("login.lead")}</p>
      </div>
      <label>
        <span class="label">${t("login.name")}</span>
        <input name="login" autocomplete="username" autocapitalize="none" spellcheck="false" required maxlength="40">
      </label>
      <label>
        <span class="label">${t("login.password")}</span>
        <input name="password" type="password" autocomplete="current-password" required maxlength="256">
      </label>
      <div role="alert">${this._error ? html`<p class="notice bad">${fault(this._error)}</p>` : nothing}</div>
      <button class="primary" ?disabled=${this._busy}>${this._busy ? t("login.busy") : t("login.submit")}</button>
    </form>`;
  }
}

customElements.define("cti-login", Login);
