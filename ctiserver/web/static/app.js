// The shell: who is logged in, which page is open, in which language, over one connection.
import { LitElement, css, html, nothing } from "lit";
import { api, loggedIn } from "./lib/api.js";
import { forgetOffline } from "./lib/offline.js";
import { Socket } from "./lib/socket.js";
import { shared } from "./lib/styles.js";
import { LANGUAGES, Worded, currentLanguage, setLanguage, t } from "./lib/words.js";
import "./pages/accounts.js";
import "./pages/aside.js";
import "./pages/audit.js";
import "./pages/calls.js";
import "./pages/chain.js";
import "./pages/day.js";
import "./pages/desk.js";
import "./pages/goods.js";
import "./pages/late.js";
import "./pages/login.js";
import "./pages/messages.js";
import "./pages/missed.js";
import "./pages/money.js";
import "./pages/tasks.js";
import "./pages/team.js";
import "./parts/phone.js";

const DESK_ROLES = ["agent", "supervisor", "admin"];
// A page without a key is reached by a link of another one.
const PAGES = {
  desk: { roles: DESK_ROLES, key: "Digit1" },
  tasks: { roles: null, key: "Digit2" },
  calls: { roles: DESK_ROLES, key: "Digit3" },
  team: { roles: ["supervisor", "admin"], key: "Digit4" },
  missed: { roles: ["supervisor", "admin"], key: "Digit5" },
  late: { roles: ["supervisor", "admin"], key: "Digit7" },
  day: { roles: ["dispatcher", "supervisor", "admin"], key: "KeyV" },
  chain: { roles: [...DESK_ROLES, "dispatcher"] },
  messages: { roles: ["supervisor", "admin"], key: "KeyM" },
  goods: { roles: ["technician", "storekeeper", "supervisor", "admin"], key: "Digit6" },
  money: { roles: ["cashier", "supervisor", "admin"], key: "Digit0" },
  audit: { roles: ["supervisor", "admin"], key: "Digit8" },
  aside: { roles: ["admin"], key: "KeyA" },
  accounts: { roles: ["admin"], key: "Digit9" },
};

class App extends Worded(LitElement) {
  #chosen = false; // the language was picked before log-in
  static properties = {
    _me: { state: true }, // undefined: not known yet; null: nobody
    _page: { state: true },
    _link: { state: true },
  };

  static styles = [
    shared,
    css`
      header {
        display: flex;
        flex-wrap: wrap;
        align-items: center;
        gap: 0.4rem 1.2rem;
        padding: 0.5rem clamp(0.8rem, 2.5vw, 1.8rem);
        background: var(--card);
        border-bottom: 1px solid var(--line);
      }
      .brand {
        display: flex;
        align-items: center;
        gap: 0.55rem;
        font-weight: 700;
        letter-spacing: -0.01em;
      }
      .brand img {
        width: 1.7rem;
        height: 1.7rem;
      }
      nav {
        display: flex;
        gap: 0.2rem;
        flex: 1;
      }
      nav a {
        padding: 0.45rem 0.85rem;
        border-radius: 9px;
        color: var(--ink-soft);
        text-decoration: none;
        font-weight: 600;
      }
      nav a:hover {
        background: var(--sunken);
      }
      nav a[aria-current] {
        color: var(--accent-strong);
        background: var(--accent-soft);
      }
      .who {
        display: flex;
        align-items: center;
        gap: 0.6rem;
      }
      .who button {
        min-height: 2.1rem;
        padding: 0.2rem 0.6rem;
      }
      .languages {
        display: inline-flex;
        border: 1px solid var(--line);
        border-radius: 9px;
        overflow: hidden;
      }
      .languages button {
        border: 0;
        border-radius: 0;
        min-height: 2rem;
        font-size: 0.83rem;
        color: var(--ink-soft);
      }
      .languages button[aria-pressed="true"] {
        background: var(--accent-soft);
        color: var(--accent-strong);
      }
      .dot {
        width: 0.6rem;
        height: 0.6rem;
        border-radius: 50%;
        background: var(--good);
      }
      .dot.waiting {
        background: var(--bad);
      }
      .offline {
        padding: 0.45rem clamp(0.8rem, 2.5vw, 1.8rem);
        background: var(--bad-soft);
        color: var(--bad);
        font-weight: 600;
      }
      main {
        padding: clamp(0.8rem, 2vw, 1.4rem) clamp(0.8rem, 2.5vw, 1.8rem) 3rem;
        max-width: 92rem;
        margin: 0 auto;
      }
      main:focus {
        outline: none;
      }
      .skip {
        position: absolute;
        left: -99rem;
      }
      .skip:focus {
        left: 0.5rem;
        top: 0.4rem;
        background: var(--card);
        padding: 0.4rem 0.8rem;
        z-index: 9;
      }
    `,
  ];

  constructor() {
    super();
    this._me = undefined;
    this._page = "";
    this._link = "stopped";
    this.socket = new Socket();
    this.socket.addEventListener("state", () => (this._link = this.socket.state));
  }

  connectedCallback() {
    super.connectedCallback();
    window.addEventListener("hashchange", this.#route);
    window.addEventListener("cti-logged-out", this.#loggedOut);
    window.addEventListener("keydown", this.#key);
    this.#load();
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    window.removeEventListener("hashchange", this.#route);
    window.removeEventListener("cti-logged-out", this.#loggedOut);
    window.removeEventListener("keydown", this.#key);
  }

  async #load() {
    try {
      const { me } = await api("GET", "session");
      if (me) this.#enter(me);
      else this._me = null;
    } catch {
      this._me = null;
    }
  }

  #enter(me) {
    loggedIn();
    this._me = me;
    if (this.#chosen) api("PATCH", "me", { language: currentLanguage() }).catch(() => {});
    else setLanguage(me.language);
    this.socket.start();
    this.#route();
  }

  #allowed(page) {
    const { roles } = PAGES[page] ?? {};
    return page in PAGES && (roles === null || roles.includes(this._me.role));
  }

  #route = () => {
    if (!this._me) return;
    const wanted = location.hash.replace(/^#\/?/, "").split("/")[0];
    const page = this.#allowed(wanted) ? wanted : Object.keys(PAGES).find((name) => this.#allowed(name));
    if (page !== wanted) history.replaceState(null, "", `#/${page}`);
    this._page = page;
    document.title = `${t(`nav.${page}`)} · ${t("app.name")}`;
  };

  #loggedOut = () => {
    if (!this._me) return;
    forgetOffline();
    this.socket.stop();
    this._me = null;
    document.title = t("app.name");
  };

  #key = (event) => {
    if (!this._me || !event.altKey || event.ctrlKey || event.metaKey) return;
    const page = Object.keys(PAGES).find((name) => PAGES[name].key === event.code);
    if (page && this.#allowed(page)) {
      event.preventDefault();
      location.hash = `#/${page}`;
    }
  };

  async #logOut() {
    try {
      await api("DELETE", "session");
    } finally {
      this.#loggedOut();
    }
  }

  #speak(tag) {
    setLanguage(tag);
    this.#route();
    if (!this._me) this.#chosen = true; // anyone who logs in here now wants this language
    else {
      this._me = { ...this._me, language: tag };
      api("PATCH", "me", { language: tag }).catch(() => {}); // the choice stands in this browser either way
    }
  }

  render() {
    if (this._me === undefined) return nothing;
    return html`
      ${this._me ? html`<a class="skip" href="#main" @click=${this.#skip}>${t("app.skip")}</a>` : nothing}
      <header>
        <span class="brand"><img src="/static/icon.svg" alt="">${t("app.name")}</span>
        ${this._me ? this.#nav() : html`<nav></nav>`}
        <div class="who">
          <div class="languages" role="group" aria-label=${t("app.language")}>
            ${LANGUAGES.map(
              (tag) =>
                html`<button lang=${tag} aria-pressed=${tag === currentLanguage()} @click=${() => this.#speak(tag)}>
                  ${t(`app.${tag}`)}
                </button>`,
            )}
          </div>
          ${this._me
            ? html`<span class="dot ${this._link}" title=${this._link === "open" ? t("app.online") : t("app.offline")}></span>
                <span>${this._me.name}</span>
                <button class="quiet" @click=${this.#logOut}>${t("app.log_out")}</button>`
            : nothing}
        </div>
      </header>
      <div role="status">
        ${this.#offline()}
      </div>
      ${this._me?.agent_id ? html`<cti-phone .me=${this._me} .socket=${this.socket}></cti-phone>` : nothing}
      <main id="main" tabindex="-1">${this._me ? this.#content() : html`<cti-login @entered=${(e) => this.#enter(e.detail)}></cti-login>`}</main>
    `;
  }

  #offline() {
    if (!this._me || this._link === "open") return nothing;
    if (this.socket.restarting) return html`<p class="offline">${t("app.restarting")}</p>`;
    return this._link === "waiting" ? html`<p class="offline">${t("app.offline")}</p>` : nothing;
  }

  #skip(event) {
    event.preventDefault();
    this.renderRoot.querySelector("main").focus();
  }

  #nav() {
    return html`<nav aria-label=${t("app.nav")}>
      ${Object.keys(PAGES)
        .filter((page) => PAGES[page].key && this.#allowed(page))
        .map(
          (page) =>
            html`<a href="#/${page}" aria-current=${page === this._page ? "page" : nothing}>${t(`nav.${page}`)}</a>`,
        )}
    </nav>`;
  }

  #content() {
    switch (this._page) {
      case "desk":
        return html`<cti-desk .me=${this._me} .socket=${this.socket}></cti-desk>`;
      case "tasks":
        return html`<cti-tasks .me=${this._me} .socket=${this.socket}></cti-tasks>`;
      case "calls":
        return html`<cti-calls></cti-calls>`;
      case "team":
        return html`<cti-team .socket=${this.socket}></cti-team>`;
      case "missed":
        return html`<cti-missed .socket=${this.socket}></cti-missed>`;
      case "audit":
        return html`<cti-audit></cti-audit>`;
      case "aside":
        return html`<cti-aside></cti-aside>`;
      case "accounts":
        return html`<cti-accounts .me=${this._me}></cti-accounts>`;
      case "late":
        return html`<cti-late></cti-late>`;
      case "day":
        return html`<cti-day .me=${this._me} .socket=${this.socket}></cti-day>`;
      case "goods":
        return html`<cti-goods .me=${this._me}></cti-goods>`;
      case "money":
        return html`<cti-money .me=${this._me}></cti-money>`;
      case "messages":
        return html`<cti-messages></cti-messages>`;
      case "chain":
        return html`<cti-chain></cti-chain>`;
      default:
        return nothing;
    }
  }
}

customElements.define("cti-app", App);
