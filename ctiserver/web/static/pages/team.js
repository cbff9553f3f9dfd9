// The board, for supervisors: each queue as it stands and what it came to today, who is what, and for how long. Every
// figure leads to exactly the calls that it counts, and says how old it is.
import { LitElement, css, html, nothing, repeat } from "lit";
import { api } from "../lib/api.js";
import { Fallible } from "../lib/fallible.js";
import { shared } from "../lib/styles.js";
import { Ticking, since } from "../lib/ticking.js";
import { clockTime, dayTime, duration, percent, t, title, word } from "../lib/words.js";
import "../parts/steering.js";

const ORDER = ["ringing", "talking", "wrap_up", "available", "paused", "unreachable", "unknown", "logged_out"];
const TONES = { available: "good", ringing: "accent", talking: "accent", wrap_up: "warn", paused: "warn", unreachable: "bad", unknown: "bad" };
// Older than this, a figure is shown as what it is: a memory.
const STALE_AFTER_S = 15;
const COUNTS = ["offered", "answered", "answered_in_time", "abandoned", "abandoned_short", "left_otherwise"];

/** The map after a snapshot (all of it) or a delta (one whole item). */
function merged(map, key, data, event) {
  if (event === "snapshot") return new Map(data.map((item) => [item[key], item]));
  return new Map(map).set(data[key], { ...map.get(data[key]), ...data });
}

class Team extends Fallible(LitElement) {
  static properties = {
    socket: { attribute: false },
    _agents: { state: true },
    _queues: { state: true },
    _figures: { state: true }, // of today, by queue
    _titles: { state: true },
    _reasons: { state: true },
    _counted: { state: true }, // the calls behind one figure
    _only: { state: true }, // agents of this state
    _steered: { state: true }, // the agent whom the supervisor is about to do something to
  };

  static styles = [
    shared,
    css`
      .tiles {
        display: grid;
        grid-template-columns: repeat(auto-fill, minmax(min(22rem, 100%), 1fr));
        gap: 0.8rem;
        padding-bottom: 1rem;
      }
      .tile {
        display: grid;
        gap: 0.7rem;
        align-content: start;
      }
      .tile.waiting {
        border-color: var(--warn);
      }
      .tile.stale dd {
        color: var(--ink-soft);
      }
      .figures {
        display: grid;
        grid-template-columns: repeat(3, 1fr);
        gap: 0.5rem;
      }
      .today {
        border-top: 1px solid var(--line);
        padding-top: 0.6rem;
      }
      .figures dt {
        font-size: 0.8rem;
        color: var(--ink-soft);
      }
      .figures dd {
        font-size: 1.5rem;
        font-weight: 700;
        line-height: 1.25;
      }
      .today dd {
        font-size: 1.15rem;
      }
      dd a {
        color: inherit;
        text-decoration: underline;
        text-decoration-color: var(--line-strong);
        text-underline-offset: 0.2em;
      }
      .states {
        padding-bottom: 1rem;
      }
      .states button {
        min-height: 0;
        border: 0;
      }
      .states button[aria-pressed="true"] {
        outline: 2px solid currentcolor;
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
      td:last-child {
        text-align: right;
        padding-right: 0;
      }
      tbody tr:last-child td {
        border: 0;
      }
      .counted td:last-child {
        text-align: left;
      }
      .counted:focus {
        outline: none;
      }
      th {
        font-size: 0.82rem;
        color: var(--ink-soft);
      }
      td button {
        min-height: 2rem;
        padding: 0.1rem 0.7rem;
      }
      h1 {
        font-size: 1.3rem;
      }
      .head {
        padding-bottom: 0.9rem;
      }
      .counted {
        margin-bottom: 1rem;
      }
      .counted a {
        color: var(--accent);
        font-weight: 600;
      }
    `,
  ];

  #ticking = new Ticking(this);
  #stops = [];
  #age = 0; // of the figures, when they came
  #heardAt = 0;

  constructor() {
    super();
    this._titles = new Map();
    this._queues = new Map();
    this._figures = new Map();
    this._reasons = [];
    this._only = null;
  }

  connectedCallback() {
    super.connectedCallback();
    window.addEventListener("hashchange", this.#route);
    this.#stops = [
      this.socket.follow("team:all", (data, event) => (this._agents = merged(this._agents, "agent_id", data, event))),
      this.socket.follow("queues:all", (data, event) => (this._queues = merged(this._queues, "name", data, event))),
      this.socket.follow("board:all", this.#board),
    ];
    this.#readWords();
    this.#route();
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    window.removeEventListener("hashchange", this.#route);
    for (const stop of this.#stops) stop();
  }

  #board = (data, event) => {
    this.#age = data.age_s;
    this.#heardAt = performance.now();
    if (event === "snapshot") this._figures = new Map(data.queues.map((queue) => [queue.name, queue]));
    else if (event === "queue") this._figures = new Map(this._figures).set(data.queue.name, data.queue);
    else this.requestUpdate();
  };

  /** How old the figures are: as old as the server said when it last spoke, and the time since. */
  get #ageNow() {
    return this.#age + (performance.now() - this.#heardAt) / 1000;
  }

  #route = async () => {
    const [page, queue, figure] = location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
    if (page !== "team" || !figure) {
      this._counted = null;
      return;
    }
    try {
      this._counted = await api("GET", `queues/${encodeURIComponent(queue)}/counted?figure=${encodeURIComponent(figure)}`);
      await this.updateComplete;
      this.renderRoot.querySelector(".counted")?.focus();
    } catch (error) {
      this._error = error;
    }
  };

  async #readWords() {
    try {
      const [{ queues }, { pause_reasons }] = await Promise.all([api("GET", "queues"), api("GET", "pause-reasons")]);
      this._titles = new Map(queues.map((queue) => [queue.name, queue.title]));
      this._reasons = pause_reasons;
    } catch (error) {
      this._error = error;
    }
  }

  render() {
    if (!this._agents) return nothing;
    const agents = [...this._agents.values()];
    const count = (state) => agents.filter((agent) => agent.state === state).length;
    const shown = agents.filter((agent) => !this._only || agent.state === this._only);
    const age = this.#ageNow;
    return html`
      <div class="row spread head">
        <h1>${t("team.title")}</h1>
        <span class="chip number ${age > STALE_AFTER_S ? "bad" : "good"}">
          ${age > STALE_AFTER_S ? t("team.stale", { age: duration(age) }) : t("team.live", { age: Math.round(age) })}
        </span>
      </div>
      ${this.alert()}
      ${[...new Map(agents.map((agent) => [agent.pbx, agent.pbx_trouble]))]
        .filter(([, trouble]) => trouble)
        .map(
          ([pbx, trouble]) =>
            html`<p class="notice bad" role="alert">${t("team.pbx_trouble", { pbx, what: t(`pbx_trouble.${trouble}`) })}</p>`,
        )}
      <div class="tiles">
        ${repeat(this._queues.values(), (queue) => queue.name, (queue) => this.#queue(queue, age))}
      </div>
      ${this._counted ? this.#list(this._counted) : nothing}
      <div class="row states" role="group" aria-label=${t("team.by_state")}>
        ${ORDER.map(
          (state) =>
            html`<button
              class="chip ${TONES[state] ?? ""}"
              aria-pressed=${this._only === state}
              @click=${() => (this._only = this._only === state ? null : state)}
            >
              ${t(`state.${state}`)} ${count(state)}
            </button>`,
        )}
      </div>
      ${agents.length ? this.#table(shown) : html`<p class="notice">${t("team.empty")}</p>`}
      ${this._steered
        ? html`<cti-steering
            .agent=${this._agents.get(this._steered)}
            .queues=${[...this._queues.keys()].map((name) => ({ name, title: title(this._titles.get(name), name) }))}
            .reasons=${this._reasons}
            @done=${() => (this._steered = null)}
          ></cti-steering>`
        : nothing}
    `;
  }

  #table(agents) {
    return html`<div class="card scroll" tabindex="0" role="region" aria-label=${t("team.title")}>
      <table>
        <thead>
          <tr>
            ${["agent", "extension", "state", "since", "queues"].map((name) => html`<th scope="col">${t(`team.${name}`)}</th>`)}
            <td></td>
          </tr>
        </thead>
        <tbody>
          ${repeat(
            agents.toSorted((a, b) => ORDER.indexOf(a.state) - ORDER.indexOf(b.state) || a.name.localeCompare(b.name)),
            (agent) => agent.agent_id,
            (agent) =>
              html`<tr>
                <td>${agent.name}</td>
                <td class="number">${agent.extension}</td>
                <td>
                  <span class="chip ${TONES[agent.state] ?? ""}">${t(`state.${agent.state}`)}</span>
                  ${agent.state === "paused" && agent.pause_reason
                    ? html`<span class="soft small">${this.#reason(agent.pause_reason)}</span>`
                    : nothing}
                </td>
                <td class="number">${duration(since(agent.since))}</td>
                <td>${agent.queues.map((name) => title(this._titles.get(name), name)).join(" · ")}</td>
                <td>
                  <button aria-label=${t("team.steer", { name: agent.name })} @click=${() => (this._steered = agent.agent_id)}>
                    ${t(agent.state === "talking" ? "team.listen_in" : "team.change")}
                  </button>
                </td>
              </tr>`,
          )}
        </tbody>
      </table>
    </div>`;
  }

  #reason(name) {
    return title(this._reasons.find((reason) => reason.name === name)?.title, word("pause_reason", name));
  }

  #queue(queue, age) {
    const today = this._figures.get(queue.name);
    const link = (figure, text) => html`<a href="#/team/${encodeURIComponent(queue.name)}/${figure}">${text}</a>`;
    return html`<section class="card tile ${queue.waiting ? "waiting" : ""} ${age > STALE_AFTER_S ? "stale" : ""}">
      <h2>${title(this._titles.get(queue.name), queue.name)}</h2>
      <dl class="figures">
        <div><dt>${t("board.waiting")}</dt><dd class="number">${link("waiting", queue.waiting)}</dd></div>
        <div>
          <dt>${t("board.longest")}</dt>
          <dd class="number">${queue.longest_since ? link("waiting", duration(since(queue.longest_since))) : "–"}</dd>
        </div>
        <div><dt>${t("board.ready")}</dt><dd class="number">${queue.agents_ready} / ${queue.members}</dd></div>
      </dl>
      ${today
        ? html`<dl class="figures today">
            <div>
              <dt>${t("board.service_level", { seconds: today.answered_within_s })}</dt>
              <dd class="number">${percent(today.sl_no_short)}</dd>
            </div>
            ${COUNTS.map(
              (figure) =>
                html`<div>
                  <dt>${t(`board.${figure}`)}</dt>
                  <dd class="number">${link(figure, today[figure])}</dd>
                </div>`,
            )}
          </dl>`
        : nothing}
    </section>`;
  }

  #list(counted) {
    const name = title(this._titles.get(counted.queue), counted.queue);
    return html`<section class="card stack counted" tabindex="-1" aria-labelledby="counted">
      <div class="row spread">
        <h2 id="counted">${t("board.counted", { queue: name, figure: t(`board.${counted.figure}`), n: counted.count })}</h2>
        <a class="button" href="#/team">${t("board.close")}</a>
      </div>
      ${counted.visits.length
        ? html`<div class="scroll" tabindex="0" role="region" aria-labelledby="counted">
            <table>
              <thead>
                <tr>${["caller", "entered", "wait", "left", "agent"].map((key) => html`<th scope="col">${t(`board_col.${key}`)}</th>`)}</tr>
              </thead>
              <tbody>
                ${counted.visits.map(
                  (visit) =>
                    html`<tr>
                      <td><a class="number" href="#/calls/${visit.call_id}">${visit.caller_name || visit.ani || t("pop.withheld")}</a></td>
                      <td class="number" title=${dayTime(visit.entered_at)}>${clockTime(visit.entered_at)}</td>
                      <td class="number">${duration(visit.wait_ms === null ? since(visit.entered_at) : visit.wait_ms / 1000)}</td>
                      <td>${visit.outcome ? word("visit_outcome", visit.outcome) : t("board.still_waiting")}</td>
                      <td>${visit.agent ?? ""}</td>
                    </tr>`,
                )}
              </tbody>
            </table>
          </div>`
        : html`<p class="soft">${t("board.nobody")}</p>`}
    </section>`;
  }
}

customElements.define("cti-team", Team);
