// The agent's own status: in the queues or not, paused or not, how long; and the buttons that change it.
import { LitElement, css, html, nothing } from "lit";
import { api } from "../lib/api.js";
import { Fallible } from "../lib/fallible.js";
import { shared } from "../lib/styles.js";
import { Ticking, since } from "../lib/ticking.js";
import { duration, t, title } from "../lib/words.js";

const TONES = { available: "good", ringing: "accent", talking: "accent", wrap_up: "warn", paused: "warn", unreachable: "bad", logged_out: "" };

class Status extends Fallible(LitElement) {
  static properties = {
    presence: { attribute: false },
    reasons: { attribute: false },
    queues: { attribute: false },
  };

  static styles = [
    shared,
    css`
      section {
        display: flex;
        flex-wrap: wrap;
        align-items: center;
        gap: 0.6rem 1.2rem;
        padding: 0.75rem 1.1rem;
      }
      .state {
        display: flex;
        align-items: baseline;
        gap: 0.7rem;
        font-weight: 650;
      }
      .chip {
        font-size: 1rem;
        padding: 0.25rem 0.9rem;
      }
      .chip::before {
        content: "";
        width: 0.6rem;
        height: 0.6rem;
        border-radius: 50%;
        background: currentcolor;
      }
      .actions {
        margin-left: auto;
      }
      select {
        width: auto !important;
        min-width: 8rem;
      }
      .pause {
        display: flex;
        gap: 0;
      }
      .pause select {
        border-radius: 9px 0 0 9px;
        border-right: 0;
      }
      .pause button {
        border-radius: 0 9px 9px 0;
      }
      .notice {
        width: 100%;
      }
    `,
  ];

  #ticking = new Ticking(this);

  connectedCallback() {
    super.connectedCallback();
    window.addEventListener("keydown", this.#key);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    window.removeEventListener("keydown", this.#key);
  }

  #key = (event) => {
    if (!event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.code === "KeyR" && this.#canBeReady()) {
      event.preventDefault();
      this.ready();
    } else if (event.code === "KeyP") {
      event.preventDefault();
      this.renderRoot.querySelector("select")?.focus();
    }
  };

  #canBeReady = () => this.presence?.logged_in && (this.presence.pause_reason !== null || this.presence.wrap_up_until !== null);

  async #act(action, body) {
    return this.attempt(async () => {
      const presence = await api("POST", `agents/me/${action}`, body);
      this.dispatchEvent(new CustomEvent("presence", { detail: presence }));
    });
  }

  async ready() {
    if (await this.#act("unpause")) this.dispatchEvent(new Event("ready"));
  }

  /** Put the focus where an agent who has finished goes next. */
  focusReady() {
    this.renderRoot.querySelector("#ready")?.focus();
  }

  render() {
    const it = this.presence;
    if (!it) return nothing;
    const left = it.wrap_up_until ? (new Date(it.wrap_up_until).getTime() - Date.now()) / 1000 : null;
    const reason = this.reasons.find((known) => known.name === it.pause_reason);
    return html`<section class="card" aria-label=${t("status.title")}>
      <div class="state">
        <span class="chip ${TONES[it.state]}">${t(`state.${it.state}`)}${it.state === "paused" && reason ? ` · ${title(reason.title)}` : ""}</span>
        <span class="number soft" aria-hidden="true">
          ${it.state === "wrap_up" ? t("status.left", { time: duration(left) }) : duration(since(it.since))}
        </span>
      </div>
      ${it.queues.length ? html`<span class="soft small">${t("status.queues", { names: it.queues.map((name) => title(this.queues.get(name), name)).join(" · ") })}</span>` : nothing}
      <div class="row actions">${it.logged_in ? this.#inQueues(it) : this.#outside()}</div>
      ${it.pbx_trouble ? html`<p class="notice bad" role="alert">${t(`pbx_trouble.${it.pbx_trouble}`)}</p>` : nothing}
      ${it.pbx_up ? nothing : html`<p class="notice bad" role="alert">${t("status.pbx_away")}</p>`}
      ${it.logged_in && !it.reachable ? html`<p class="notice bad" role="alert">${t("status.unreachable")}</p>` : nothing}
      ${it.pause_reason === "no_answer" ? html`<p class="notice bad">${t("status.no_answer")}</p>` : nothing}
      ${it.pause_reason === "after_wrap_up" ? html`<p class="notice">${t("status.after_wrap_up")}</p>` : nothing}
      ${this.alert()}
    </section>`;
  }

  #outside() {
    return html`<button class="primary" ?disabled=${this._busy} @click=${() => this.#act("login")}>${t("status.log_in")}</button>`;
  }

  #inQueues(it) {
    return html`
      ${this.#canBeReady()
        ? html`<button id="ready" class="primary" ?disabled=${this._busy} aria-keyshortcuts="Alt+R" @click=${this.ready}>
            ${t("status.ready")} <kbd aria-hidden="true">Alt R</kbd>
          </button>`
        : nothing}
      ${it.wrap_up_until && it.extension_s
        ? html`<button ?disabled=${this._busy} @click=${() => this.#act("extend")}>
            ${t("status.extend", { time: duration(it.extension_s) })}
          </button>`
        : nothing}
      ${it.pause_reason === null
        ? html`<span class="pause">
            <select aria-label=${t("status.pause_reason")} aria-keyshortcuts="Alt+P">
              ${this.reasons.map((known) => html`<option value=${known.name}>${title(known.title, known.name)}</option>`)}
            </select>
            <button ?disabled=${this._busy} @click=${() => this.#act("pause", { reason: this.renderRoot.querySelector("select").value })}>
              ${t("status.pause")}
            </button>
          </span>`
        : nothing}
      <button class="quiet" ?disabled=${this._busy} @click=${() => this.#act("logout")}>${t("status.log_out")}</button>
    `;
  }
}

customElements.define("cti-status", Status);
