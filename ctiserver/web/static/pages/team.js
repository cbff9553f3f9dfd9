// The team, for supervisors: who is what, and for how long. It follows the hub; nothing is asked twice.
import { LitElement, css, html, nothing, repeat } from "lit";
import { shared } from "../lib/styles.js";
import { Ticking, since } from "../lib/ticking.js";
import { Worded, clockTime, duration, t } from "../lib/words.js";

const ORDER = ["ringing", "talking", "wrap_up", "available", "paused", "unreachable", "logged_out"];
const TONES = { available: "good", ringing: "accent", talking: "accent", wrap_up: "warn", paused: "warn", unreachable: "bad" };

class Team extends Worded(LitElement) {
  static properties = {
    socket: { attribute: false },
    _agents: { state: true },
    _at: { state: true },
  };

  static styles = [
    shared,
    css`
      .tiles {
        display: grid;
        grid-template-columns: repeat(auto-fit, minmax(8rem, 1fr));
        gap: 0.8rem;
        padding-bottom: 1rem;
      }
      .tile {
        padding: 0.8rem 1rem;
      }
      .tile strong {
        display: block;
        font-size: 1.7rem;
        line-height: 1.2;
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
  #stop = null;

  connectedCallback() {
    super.connectedCallback();
    this.#stop = this.socket.follow("team:all", (data, event) => {
      this._agents =
        event === "snapshot"
          ? new Map(data.map((agent) => [agent.agent_id, agent]))
          : new Map(this._agents).set(data.agent_id, { ...this._agents.get(data.agent_id), ...data });
      this._at = new Date().toISOString();
    });
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.#stop?.();
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
      <div class="tiles">
        ${ORDER.filter((state) => state !== "ringing").map(
          (state) => html`<div class="card tile"><strong class="number">${count(state)}</strong>${t(`state.${state}`)}</div>`,
        )}
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
                      <td>${agent.queues.join(", ")}</td>
                    </tr>`,
                )}
              </tbody>
            </table>
          </div>`
        : html`<p class="notice">${t("team.empty")}</p>`}
    `;
  }
}

customElements.define("cti-team", Team);
