// What a supervisor does to one agent: listen in, whisper, barge; set their state; seat them in queues. Each with its
// reason, which the audit log keeps.
import { LitElement, css, html, nothing } from "lit";
import { api } from "../lib/api.js";
import { Fallible } from "../lib/fallible.js";
import { dialogs, shared } from "../lib/styles.js";
import { t, title } from "../lib/words.js";

const MODES = ["listen", "whisper", "barge"];

class Steering extends Fallible(LitElement) {
  static properties = {
    agent: { attribute: false },
    queues: { attribute: false },
    reasons: { attribute: false },
    _said: { state: true },
  };

  static styles = [
    shared,
    dialogs,
    css`
      dialog {
        --width: 34rem;
      }
      .seats {
        display: flex;
        flex-wrap: wrap;
        gap: 0.4rem 1.2rem;
      }
      .seats label {
        display: inline-flex;
        align-items: center;
        gap: 0.5rem;
      }
    `,
  ];

  firstUpdated() {
    this.renderRoot.querySelector("dialog").showModal();
  }

  #close() {
    this.dispatchEvent(new CustomEvent("done"));
  }

  get #reason() {
    return this.renderRoot.querySelector("#reason");
  }

  async #do(work, { reasoned = true } = {}) {
    if (reasoned && !this.#reason.reportValidity()) return;
    this._said = null;
    await this.attempt(() => work(this.#reason.value.trim()));
  }

  #monitor(mode) {
    return this.#do(async (reason) => {
      await api("POST", `agents/${this.agent.agent_id}/monitor`, { mode, reason });
      this._said = t("steer.your_phone_rings");
    });
  }

  #set(state, pause_reason = "") {
    return this.#do(async (reason) => {
      await api("POST", `agents/${this.agent.agent_id}/state`, { state, pause_reason, reason });
      this.#close();
    });
  }

  #seat(queue, seated) {
    const path = `queues/${encodeURIComponent(queue)}/members/${this.agent.agent_id}`;
    return this.#do(() => (seated ? api("PUT", path, {}) : api("DELETE", path)), { reasoned: false });
  }

  render() {
    const it = this.agent;
    return html`<dialog aria-labelledby="who" @close=${this.#close}>
      <div class="stack">
        <div class="row spread">
          <h2 id="who">${it.name} · ${t(`state.${it.state}`)}</h2>
          <button class="quiet" @click=${this.#close}>${t("steer.close")}</button>
        </div>
        <label>
          <span class="label">${t("steer.reason")}</span>
          <textarea id="reason" rows="2" required minlength="3" maxlength="500"></textarea>
        </label>
        ${this.alert()}
        <div role="status" class="notice good" ?hidden=${!this._said}>${this._said ?? ""}</div>
        ${it.state === "talking"
          ? html`<section>
              <h3>${t("steer.call")}</h3>
              <div class="row">
                ${MODES.map(
                  (mode) => html`<button ?disabled=${this._busy} @click=${() => this.#monitor(mode)}>${t(`steer.${mode}`)}</button>`,
                )}
              </div>
              <p class="soft small">${t("steer.call_hint")}</p>
            </section>`
          : nothing}
        <section>
          <h3>${t("steer.state")}</h3>
          <div class="row">
            ${it.logged_in
              ? html`<button ?disabled=${this._busy} @click=${() => this.#set("ready")}>${t("status.ready")}</button>
                  ${this.reasons.map(
                    (reason) =>
                      html`<button ?disabled=${this._busy} @click=${() => this.#set("paused", reason.name)}>
                        ${t("status.pause")}: ${title(reason.title, reason.name)}
                      </button>`,
                  )}
                  <button ?disabled=${this._busy} @click=${() => this.#set("logged_out")}>${t("status.log_out")}</button>`
              : html`<button ?disabled=${this._busy} @click=${() => this.#set("logged_in")}>${t("status.log_in")}</button>`}
          </div>
        </section>
        ${it.logged_in
          ? html`<section>
              <h3>${t("steer.queues")}</h3>
              <div class="seats">
                ${this.queues.map(
                  (queue) =>
                    html`<label>
                      <input
                        type="checkbox"
                        .checked=${it.queues.includes(queue.name)}
                        ?disabled=${this._busy}
                        @change=${(event) => this.#seat(queue.name, event.target.checked)}
                      >
                      ${queue.title}
                    </label>`,
                )}
              </div>
              <p class="soft small">${t("steer.queues_hint")}</p>
            </section>`
          : nothing}
      </div>
    </dialog>`;
  }
}

customElements.define("cti-steering", Steering);
