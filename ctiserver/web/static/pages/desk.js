// The agent's desk: status, the call, the record. It tells the server when a pop was painted.
import { LitElement, css, html, nothing } from "lit";
import { api } from "../lib/api.js";
import { shared } from "../lib/styles.js";
import { Worded, ago, fault, t, title } from "../lib/words.js";
import { caller } from "../parts/pop.js";
import "../parts/record.js";
import "../parts/search.js";
import "../parts/status.js";

class Desk extends Worded(LitElement) {
  static properties = {
    me: { attribute: false },
    socket: { attribute: false },
    _words: { state: true }, // what the site calls things: record types, results, pause reasons
    _presence: { state: true },
    _shown: { state: true },
    _recordId: { state: true },
    _mine: { state: true },
    _urged: { state: true }, // a record of mine whose caller rang again
    _error: { state: true },
  };

  static styles = [
    shared,
    css`
      :host {
        display: grid;
        gap: 1rem;
      }
      .columns {
        display: grid;
        grid-template-columns: minmax(0, 5fr) minmax(0, 7fr);
        gap: 1rem;
        align-items: start;
      }
      @media (max-width: 60rem) {
        .columns {
          grid-template-columns: minmax(0, 1fr);
        }
      }
      .idle {
        display: grid;
        justify-items: center;
        gap: 0.4rem;
        text-align: center;
        padding: 3rem 1.5rem;
      }
      .idle svg {
        width: 3.6rem;
        height: 3.6rem;
        color: var(--accent);
        opacity: 0.55;
      }
      .idle h2 {
        font-size: 1.2rem;
      }
      li + li {
        border-top: 1px solid var(--line);
      }
      li {
        padding: 0.55rem 0;
      }
      a {
        color: var(--accent);
        font-weight: 600;
      }
      .keys {
        display: flex;
        flex-wrap: wrap;
        justify-content: center;
        gap: 0.3rem 1rem;
        padding-top: 0.8rem;
      }
    `,
  ];

  #painted = null; // the pop that was last reported
  #stops = [];

  constructor() {
    super();
    this._words = null;
    this._shown = null;
    this._mine = [];
    this._recordId = null;
  }

  connectedCallback() {
    super.connectedCallback();
    window.addEventListener("hashchange", this.#route);
    if (this.me.agent_id) this.#begin();
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    window.removeEventListener("hashchange", this.#route);
    for (const stop of this.#stops) stop();
    this.#stops = [];
  }

  async #begin() {
    try {
      const [types, results, reasons, queues, presence] = await Promise.all([
        api("GET", "record-types"),
        api("GET", "dispositions"),
        api("GET", "pause-reasons"),
        api("GET", "queues"),
        api("GET", "agents/me"),
      ]);
      this._words = {
        types: types.record_types,
        dispositions: results.dispositions,
        reasons: reasons.pause_reasons,
        queues: new Map(queues.queues.map((queue) => [queue.name, queue.title])),
      };
      this._presence = presence;
    } catch (error) {
      this._error = error;
      return;
    }
    if (!this.isConnected) return;
    this.#stops = [
      this.socket.follow(`presence:${this.me.agent_id}`, (presence) => (this._presence = presence)),
      this.socket.follow(`pop:${this.me.agent_id}`, (shown) => this.#show(shown)),
      this.socket.follow(`inbox:${this.me.user_id}`, (said, event) => {
        if (event !== "called_again") return;
        this._urged = said;
        this.#readMine();
      }),
    ];
    this.#route();
    this.#readMine();
  }

  #route = () => {
    const [page, recordId] = location.hash.replace(/^#\/?/, "").split("/");
    if (page === "desk" && recordId) this._recordId = recordId;
  };

  async #readMine() {
    try {
      this._mine = (await api("GET", "records?owner=me")).records;
    } catch {
      this._mine = []; // the list is a convenience; the line at the top says when the server is away
    }
  }

  #show(shown) {
    const before = this._shown;
    this._shown = shown;
    if (shown && shown.pop_id !== before?.pop_id) this.#open(shown.records.at(-1)?.id ?? null);
    else if (shown?.records.length && !this._recordId) this.#open(shown.records.at(-1).id);
    if (!shown) this.#readMine();
    document.title = shown?.phase === "ringing" ? `☎ ${caller(shown)}` : `${t("nav.desk")} · ${t("app.name")}`;
  }

  #open(recordId) {
    this._recordId = recordId;
    // A pop may be pushed after the person chose another page and before this one is gone: theirs stands.
    if (!/^#\/desk(\/|$)/.test(location.hash)) return;
    history.replaceState(null, "", recordId ? `#/desk/${recordId}` : "#/desk");
  }

  updated() {
    if (this._shown && this._shown.pop_id !== this.#painted) this.#report(this._shown.pop_id);
  }

  async #report(popId) {
    this.#painted = popId;
    await this.updateComplete;
    await this.renderRoot.querySelector("cti-pop").updateComplete;
    // The first callback runs before the frame is drawn, the second after it was: then it has been seen.
    requestAnimationFrame(() =>
      requestAnimationFrame(() =>
        api("POST", `pops/${popId}/painted`).catch(() => {
          if (this.#painted === popId) this.#painted = null; // told again at the next drawing
        }),
      ),
    );
  }

  // What an action answered may be older than what was pushed since: it counts only where nothing is pushed.
  #answered = (event) => {
    if (this.socket.state !== "open") this._presence = event.detail;
  };

  #ready = () => {
    if (this._shown?.phase === "ended") api("POST", "pops/mine/dismiss").catch(() => {});
    this.#open(null);
    this.#readMine();
  };

  #disposed = () => {
    this.#readMine();
    this.renderRoot.querySelector("cti-status").focusReady();
  };

  render() {
    if (!this.me.agent_id) return html`<p class="notice">${t("desk.no_agent")}</p>`;
    if (this._error) return html`<p class="notice bad" role="alert">${fault(this._error)}</p>`;
    if (!this._words) return nothing;
    return html`
      <h1 class="unseen">${t("nav.desk")}</h1>
      <cti-status
        .presence=${this._presence}
        .reasons=${this._words.reasons}
        .queues=${this._words.queues}
        @presence=${this.#answered}
        @ready=${this.#ready}
      ></cti-status>
      <p class="unseen" role="alert">${this.#announcement()}</p>
      <div role="status">
        ${this._urged
          ? html`<p class="notice warn row spread">
              <a href="#/desk/${this._urged.record_id}" @click=${() => (this._urged = null)}>${t("desk.urged", { ...this._urged })}</a>
              <button class="quiet" @click=${() => (this._urged = null)}>${t("day.close")}</button>
            </p>`
          : nothing}
      </div>
      <div class="columns">
        ${this._shown
          ? html`<cti-pop
              .shown=${this._shown}
              .types=${this._words.types}
              .queues=${this._words.queues}
              .openRecord=${this._recordId}
              @open-record=${(event) => this.#open(event.detail)}
            ></cti-pop>`
          : this.#idle()}
        <div class="stack">
          ${this._recordId
            ? html`<cti-record
                  .recordId=${this._recordId}
                  .types=${this._words.types}
                  .dispositions=${this._words.dispositions}
                  .socket=${this.socket}
                  .callId=${this._shown?.call_id ?? null}
                  @disposed=${this.#disposed}
                ></cti-record>
                ${this._shown ? nothing : html`<div><button @click=${() => this.#open(null)}>${t("desk.back")}</button></div>`}`
            : html`${this.#mine()}<cti-search
                  .types=${this._words.types}
                  @open-record=${(event) => this.#open(event.detail)}
                ></cti-search>`}
        </div>
      </div>
    `;
  }

  #announcement() {
    const it = this._shown;
    return it?.phase === "ringing" ? t("pop.announce", { who: caller(it), queue: it.queue ? title(this._words.queues.get(it.queue), it.queue) : "" }) : "";
  }

  #idle() {
    const out = this._presence && !this._presence.logged_in;
    return html`<section class="card idle">
      <svg viewBox="0 0 24 24" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="1.4" stroke-linecap="round">
        <path d="M4.5 14v-2a7.5 7.5 0 0 1 15 0v2" />
        <rect x="3.2" y="13" width="3.6" height="5.4" rx="1.7" />
        <rect x="17.2" y="13" width="3.6" height="5.4" rx="1.7" />
        <path d="M19 18.4c0 1.6-1.6 2.4-4 2.4" />
      </svg>
      <h2>${t("desk.idle")}</h2>
      <p class="soft">${t(out ? "desk.idle_out" : "desk.idle_hint")}</p>
      <p class="keys soft small" aria-label=${t("desk.keys")}>
        <span><kbd>Alt R</kbd> ${t("desk.key_ready")}</span>
        <span><kbd>Alt P</kbd> ${t("desk.key_pause")}</span>
        <span><kbd>Alt N</kbd> ${t("desk.key_notes")}</span>
        <span><kbd>Alt D</kbd> ${t("desk.key_result")}</span>
        <span><kbd>Ctrl ↵</kbd> ${t("desk.key_save")}</span>
      </p>
    </section>`;
  }

  #mine() {
    return html`<section class="card stack" aria-labelledby="mine">
      <h2 id="mine">${t("desk.mine")}</h2>
      ${this._mine.length
        ? html`<ul>
            ${this._mine.map(
              (record) =>
                html`<li class="row spread">
                  <a href="#/desk/${record.id}" class="number">${record.number}</a>
                  <span>${record.subject || this.#typeTitle(record.type)}</span>
                  ${record.repeat_calls ? html`<span class="chip warn">${t("record.urged", { n: record.repeat_calls })}</span>` : nothing}
                  <span class="soft small">${ago(record.opened_at)}</span>
                </li>`,
            )}
          </ul>`
        : html`<p class="soft">${t("desk.none_mine")}</p>`}
    </section>`;
  }

  #typeTitle(name) {
    return title(this._words.types.find((type) => type.name === name)?.title, name);
  }
}

customElements.define("cti-desk", Desk);
