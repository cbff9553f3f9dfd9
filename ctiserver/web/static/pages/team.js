// The board, for supervisors: each queue as it stands, who is what, and for how long. It follows the hub.
import { LitElement, css, html, nothing, repeat } from "lit";
import { api } from "../lib/api.js";
import { shared } from "../lib/styles.js";
import { Ticking, since } from "../lib/ticking.js";
import { Worded, clockTime, duration, fault, t, title } from "../lib/words.js";

const ORDER = ["ringing", "talking", "wrap_up", "available", "paused", "unreachable", "logged_out"];
const TONES = { available: "good", ringing: "accent", talking: "accent", wrap_up: "warn", paused: "warn", unreachable: "bad" };

/** The map after a snapshot (all of it) or a delta (one whole item). */
function merged(map, key, data, event) {
  if (event === "snapshot") return new Map(data.map((item) => [item[key], item]));
  return new Map(map).set(data[key], { ...map.get(data[key]), ...data });
}

class Team extends Worded(LitElement) {
  static properties = {
    socket: { attribute: false },
    _agents: { state: true },
    _queues: { state: true },
    _titles: { state: true },
    _at: { state: true },
    _error: { state: true },
  };

  static styles = [
    shared,
    css`
      .tiles {
        display: grid;
        grid-template-columns: repeat(auto-fit, minmax(min(17rem, 100%), 1fr));
        gap: 0.8rem;
        padding-bottom: 1rem;
      }
      .tile {
        display: grid;
        gap: 0.6rem;
      }
      .tile.waiting {
        border-color: var(--warn);
      }
      .figures {
        display: grid;
        grid-template-columns: repeat(3, 1fr);
        gap: 0.5rem;
      }
      .figures dt {
        font-size: 0.8rem;
        color: var(--ink-soft);
      }
      .figures dd {
        font-size: 1.6rem;
        font-weight: 700;
        line-height: 1.2;
      }
      .states {
        padding-bottom: 1rem;
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
        padding: 0.6rem 0.8rem 0.6rem 0;
        border-bottom: 1px solid var(--line);
      }
      tr:last-child td {
        border: 0;
      }
      th {
        font-size: 0.82rem;
        color: var(--ink-soft);
      }
      h1 {
        font-size: 1.3rem;
      }
      .head {
        padding-bottom: 0.9rem;
      }
    `,
  ];

  #ticking = new Ticking(this);
  #stops = [];

  constructor() {
    super();
    this._titles = new Map();
    this._queues = new Map();
  }

  connectedCallback() {
    super.connectedCallback();
    this.#stops = [
      this.socket.follow("team:all", (data, event) => {
        this._agents = merged(this._agents, "agent_id", data, event);
        this._at = new Date().toISOString();
      }),
      this.socket.follow("queues:all", (data, event) => {
        this._queues = merged(this._queues, "name", data, event);
        this._at = new Date().toISOString();
      }),
    ];
    this.#readTitles();
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    for (const stop of this.#stops) stop();
  }

  async #readTitles() {
    try {
      const { queues } = await api("GET", "queues");
      this._titles = new Map(queues.map((queue) => [queue.name, queue.title]));
    } catch (error) {
      this._error = error;
    }
  }

  render() {
    if (!this._agents) return nothing;
    const agents = [...this._agents.values()];
    const count = (state) => agents.filter((agent) => agent.state === state).length;
    return html`
      <div class="row spread head">
        <h1>${t("team.title")}</h1>
        <span class="soft small number">${t("team.age", { time: clockTime(this._at) })}</span>
      </div>
      <div role="alert" class="notice bad" ?hidden=${!this._error}>${this._error ? fault(this._error) : ""}</div>
      <div class="tiles">
        ${repeat(this._queues.values(), (queue) => queue.name, (queue) => this.#queue(queue))}
      </div>
      <div class="row states">
        ${ORDER.map((state) => html`<span class="chip ${TONES[state] ?? ""}">${t(`state.${state}`)} ${count(state)}</span>`)}
      </div>
      ${agents.length
        ? html`<div class="card scroll" tabindex="0" role="region" aria-label=${t("team.title")}>
            <table>
              <thead>
                <tr>
                  ${["agent", "extension", "state", "since", "queues"].map((name) => html`<th scope="col">${t(`team.${name}`)}</th>`)}
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
                      <td><span class="chip ${TONES[agent.state] ?? ""}">${t(`state.${agent.state}`)}</span></td>
                      <td class="number">${duration(since(agent.since))}</td>
                      <td>${agent.queues.map((name) => title(this._titles.get(name), name)).join(" · ")}</td>
                    </tr>`,
                )}
              </tbody>
            </table>
          </div>`
        : html`<p class="notice">${t("team.empty")}</p>`}
    `;
  }

  #queue(queue) {
    const figures = {
      waiting: queue.waiting,
      longest: queue.longest_since ? duration(since(queue.longest_since)) : "–",
      ready: `${queue.agents_ready} / ${queue.members}`,
    };
    return html`<section class="card tile ${queue.waiting ? "waiting" : ""}">
      <h2>${title(this._titles.get(queue.name), queue.name)}</h2>
      <dl class="figures">
        ${Object.entries(figures).map(([name, value]) => html`<div><dt>${t(`board.${name}`)}</dt><dd class="number">${value}</dd></div>`)}
      </dl>
    </section>`;
  }
}

customElements.define("cti-team", Team);
