// The call log: what happened to each call, which way it took, and to whom it was shown and when.
import { LitElement, css, html, nothing, repeat } from "lit";
import { api } from "../lib/api.js";
import { Fallible } from "../lib/fallible.js";
import { shared } from "../lib/styles.js";
import { dayTime, duration, t, word } from "../lib/words.js";

const TONES = { answered: "good", voicemail: "warn", abandoned: "bad", timeout: "bad", no_answer: "bad", busy: "bad", failed: "bad" };

class Calls extends Fallible(LitElement) {
  static properties = {
    _calls: { state: true },
    _before: { state: true }, // where the next page begins; null at the end
    _call: { state: true }, // the one that is open, whole
    _pops: { state: true },
    _recordings: { state: true },
  };

  static styles = [
    shared,
    css`
      .columns {
        display: grid;
        grid-template-columns: minmax(0, 7fr) minmax(0, 5fr);
        gap: 1rem;
        align-items: start;
      }
      @media (max-width: 60rem) {
        .columns {
          grid-template-columns: minmax(0, 1fr);
        }
      }
      h1 {
        font-size: 1.3rem;
        padding-bottom: 0.9rem;
      }
      .list {
        padding: 0.3rem 0;
      }
      .list a {
        display: grid;
        grid-template-columns: 9rem minmax(0, 1fr) auto 4rem;
        gap: 0.3rem 0.8rem;
        align-items: center;
        padding: 0.6rem 1.25rem;
        color: inherit;
        text-decoration: none;
      }
      .list a:hover {
        background: var(--sunken);
      }
      .list a[aria-current] {
        background: var(--accent-soft);
      }
      .list li + li {
        border-top: 1px solid var(--line);
      }
      .who {
        font-weight: 600;
        overflow-wrap: anywhere;
      }
      @media (max-width: 34rem) {
        .list a {
          grid-template-columns: minmax(0, 1fr) auto;
        }
      }
      .detail li {
        padding: 0.45rem 0;
      }
      .detail li + li {
        border-top: 1px solid var(--line);
      }
      .detail a {
        color: var(--accent);
        font-weight: 600;
      }
      .path {
        display: flex;
        flex-wrap: wrap;
        gap: 0.35rem;
      }
      audio {
        width: 100%;
      }
      .path li,
      .path li + li {
        border: 0;
        padding: 0.12rem 0.6rem;
      }
    `,
  ];

  constructor() {
    super();
    this._calls = null;
    this._before = null;
    this._call = null;
    this._pops = [];
    this._recordings = [];
  }

  connectedCallback() {
    super.connectedCallback();
    window.addEventListener("hashchange", this.#route);
    this.#read();
    this.#route();
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    window.removeEventListener("hashchange", this.#route);
  }

  #route = async () => {
    const [page, callId] = location.hash.replace(/^#\/?/, "").split("/");
    if (page !== "calls" || !callId) {
      this._call = null;
      return;
    }
    await this.attempt(async () => {
      const [call, { pops }, { recordings }] = await Promise.all([
        api("GET", `calls/${callId}`),
        api("GET", `calls/${callId}/pops`),
        api("GET", `calls/${callId}/recordings`),
      ]);
      this._call = call;
      this._pops = pops;
      this._recordings = recordings;
    });
  };

  async #read(before) {
    await this.attempt(async () => {
      const page = await api("GET", before ? `calls?before=${encodeURIComponent(before)}` : "calls");
      this._calls = [...(before ? this._calls : []), ...page.calls];
      this._before = page.before;
    });
  }

  render() {
    return html`
      <div class="row spread">
        <h1>${t("calls.title")}</h1>
        <button class="quiet" @click=${() => this.#read()}>${t("tasks.refresh")}</button>
      </div>
      ${this.alert()}
      <div class="columns">
        <div class="stack">
          ${this._calls?.length === 0 ? html`<p class="card soft">${t("calls.empty")}</p>` : nothing}
          ${this._calls?.length
            ? html`<ul class="card list">
                ${repeat(this._calls, (call) => call.id, (call) => this.#row(call))}
              </ul>`
            : nothing}
          ${this._before ? html`<div><button @click=${() => this.#read(this._before)}>${t("calls.more")}</button></div>` : nothing}
        </div>
        ${this._call ? this.#detail(this._call) : html`<p class="card soft">${t("calls.choose")}</p>`}
      </div>
    `;
  }

  #row(call) {
    return html`<li>
      <a href="#/calls/${call.id}" aria-current=${call.id === this._call?.id ? "true" : nothing}>
        <span class="number soft small">${dayTime(call.started_at)}</span>
        <span><span class="who number">${call.caller_name || call.ani || t("pop.withheld")}</span> <span class="soft">${call.queue}</span></span>
        ${this.#outcome(call)}
        <span class="number soft">${call.talk_ms ? duration(call.talk_ms / 1000) : ""}</span>
      </a>
    </li>`;
  }

  #outcome(call) {
    if (!call.outcome) return html`<span class="chip accent">${t("calls.going_on")}</span>`;
    return html`<span class="chip ${TONES[call.outcome] ?? ""}">${word("call_outcome", call.outcome)}</span>`;
  }

  #detail(call) {
    return html`<section class="card stack detail" aria-labelledby="call">
      <div class="row spread">
        <h2 id="call" class="number">${call.caller_name || call.ani || t("pop.withheld")} → ${call.dnis}</h2>
        ${this.#outcome(call)}
      </div>
      <p class="soft small number">
        ${dayTime(call.started_at)} ${call.agent ? html` · ${call.agent}` : nothing}
        ${call.wait_ms === null ? nothing : html` · ${t("calls.waited", { time: duration(call.wait_ms / 1000) })}`}
      </p>
      ${call.path.length
        ? html`<div>
            <h3>${t("calls.path")}</h3>
            <ol class="path">
              ${call.path.map((step) => html`<li class="chip">${step.node}${step.outcome ? ` → ${step.outcome}` : ""}</li>`)}
            </ol>
          </div>`
        : nothing}
      <div>
        <h3>${t("record.title")}</h3>
        ${call.records.length
          ? html`<ul>
              ${call.records.map((record) => html`<li><a class="number" href="#/desk/${record.id}">${record.number}</a></li>`)}
            </ul>`
          : html`<p class="soft">${call.no_record_reason ? word("no_record", call.no_record_reason) : t("calls.no_record")}</p>`}
      </div>
      ${this._recordings.length
        ? html`<div>
            <h3>${t("calls.recordings")}</h3>
            <ul>
              ${repeat(this._recordings, (one) => one.id, (one) => html`<li class="stack">${this.#recording(one)}</li>`)}
            </ul>
          </div>`
        : nothing}
      <div>
        <h3>${t("calls.pops")}</h3>
        ${this._pops.length
          ? html`<ul>
              ${this._pops.map((pop) => html`<li class="row spread">${this.#pop(pop)}</li>`)}
            </ul>`
          : html`<p class="soft">${t("calls.no_pop")}</p>`}
      </div>
    </section>`;
  }

  /** Silence in the recording while something private is said, or sound again. */
  async #mask(one) {
    await this.attempt(async () => {
      const { recordings } = await api("POST", `calls/${one.call_id}/recording`, { do: one.masked ? "resume" : "mask" });
      this._recordings = recordings;
    });
  }

  #recording(one) {
    const tone = { found: "good", lost: "bad", recording: "accent" }[one.state] ?? "";
    return html`<div class="row spread">
        <span class="number soft small">
          ${dayTime(one.started_at)} · ${t(one.talk_only ? "calls.talk_only" : "calls.all_of_it")}
          ${one.seconds === null ? nothing : html` · ${duration(one.seconds)}`}
        </span>
        <span class="chip ${tone}">${word("recording_state", one.state)}</span>
      </div>
      ${one.state === "found"
        ? html`<audio
            controls
            preload="none"
            src="/api/v1/recordings/${one.id}/audio"
            aria-label=${t("calls.play", { time: dayTime(one.started_at) })}
          ></audio>`
        : nothing}
      ${one.state === "recording"
        ? html`<div>
            <button @click=${() => this.#mask(one)}>${t(one.masked ? "calls.resume" : "calls.mask")}</button>
          </div>`
        : nothing}
      ${one.masks.length ? html`<p class="soft small">${t("calls.masked", { n: one.masks.length })}</p>` : nothing}`;
  }

  #pop(pop) {
    const painted = pop.painted_at
      ? t("calls.painted", { ms: Math.round(new Date(pop.painted_at) - new Date(pop.sent_at)) })
      : t("calls.not_painted");
    return html`<span>${pop.agent_id} <span class="number soft small">${dayTime(pop.sent_at)}</span></span>
      <span class="chip ${pop.painted_at ? "good" : "bad"}">${painted}</span>
      ${pop.reason ? html`<span class="soft small">${word("pop_reason", pop.reason)}</span>` : nothing}`;
  }
}

customElements.define("cti-calls", Calls);
