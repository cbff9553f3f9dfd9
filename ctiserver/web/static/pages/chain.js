// One record's chain, from the ring to the end: every hand-over, how long it waited, and where it is broken.
import { LitElement, css, html, nothing } from "lit";
import { api } from "../lib/api.js";
import { Fallible } from "../lib/fallible.js";
import { shared } from "../lib/styles.js";
import { dayTime, duration, t, word } from "../lib/words.js";

const LONG_WAIT_MS = 60_000; // shorter ones are part of every call

class Chain extends Fallible(LitElement) {
  static properties = {
    _chain: { state: true },
  };

  static styles = [
    shared,
    css`
      h1 {
        font-size: 1.3rem;
        padding-bottom: 0.9rem;
      }
      ol {
        position: relative;
        padding: 0.4rem 0;
      }
      li {
        display: grid;
        grid-template-columns: 9rem 1.4rem minmax(0, 1fr) auto;
        gap: 0.2rem 0.8rem;
        padding: 0.55rem 1.25rem;
        align-items: baseline;
      }
      .knot {
        width: 0.8rem;
        height: 0.8rem;
        border-radius: 50%;
        background: var(--accent);
        justify-self: center;
      }
      .wait {
        grid-column: 3 / -1;
        color: var(--soft);
      }
      .wait.long {
        color: var(--bad);
        font-weight: 600;
      }
      .what {
        overflow-wrap: anywhere;
      }
      .steps {
        grid-column: 3 / -1;
        overflow-wrap: anywhere;
      }
      @media (max-width: 38rem) {
        li {
          grid-template-columns: 1.4rem minmax(0, 1fr);
        }
        li .number.soft,
        .wait,
        .steps {
          grid-column: 2 / -1;
        }
        .knot {
          grid-row: 1;
        }
      }
    `,
  ];

  connectedCallback() {
    super.connectedCallback();
    window.addEventListener("hashchange", this.#read);
    this.#read();
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    window.removeEventListener("hashchange", this.#read);
  }

  #read = async () => {
    const [page, recordId] = location.hash.replace(/^#\/?/, "").split("/");
    if (page !== "chain" || !recordId) return;
    await this.attempt(async () => {
      this._chain = await api("GET", `records/${encodeURIComponent(recordId)}/chain`);
    });
  };

  render() {
    const it = this._chain;
    return html`
      ${this.alert()}
      ${it
        ? html`<div class="row spread">
              <h1>${t("chain.title")} <a class="number" href="#/desk/${it.record_id}">${it.number}</a></h1>
              <span class="chip ${it.whole ? "good" : "bad"}">${t(it.whole ? "chain.whole" : "chain.broken")}</span>
            </div>
            ${it.breaks.length
              ? html`<ul class="card stack">
                  ${it.breaks.map(
                    (gap) =>
                      html`<li class="notice bad">${t(`chain_break.${gap.kind}`, { number: gap.number, since: dayTime(gap.since) })}</li>`,
                  )}
                </ul>`
              : nothing}
            <ol class="card">
              ${it.links.map((link) => this.#link(link))}
            </ol>`
        : nothing}
    `;
  }

  #link(link) {
    const lasted = link.until ? (new Date(link.until) - new Date(link.at)) / 1000 : 0;
    return html`<li>
      ${link.waited_ms >= 1000
        ? html`<span class="wait number small ${link.waited_ms >= LONG_WAIT_MS ? "long" : ""}">
            ${t("chain.waited", { time: duration(link.waited_ms / 1000) })}
          </span>`
        : nothing}
      <time class="number soft" datetime=${link.at}>${dayTime(link.at)}</time>
      <span class="knot" aria-hidden="true"></span>
      <span class="what"><strong>${t(`chain.${link.kind}`)}</strong> ${this.#about(link)}</span>
      <span class="number soft">${lasted >= 1 ? duration(lasted) : ""}</span>
      ${link.kind === "menu" ? html`<span class="steps small soft">${link.state}</span>` : nothing}
    </li>`;
  }

  #about(link) {
    return html`${this.#what(link)} ${link.number ? html`<span class="number">${link.number}</span>` : nothing}
    <span class="soft">${link.kind === "expense" ? t(`payer.${link.who}`) : link.who.replace(/^user:/, "")}</span>
    ${this.#state(link)}`;
  }

  #what(link) {
    if (link.kind === "order") return word("order", link.what);
    return link.kind === "closed" ? word("resolution", link.what) : link.what;
  }

  #state(link) {
    if (!link.state || link.kind === "menu") return nothing;
    if (link.kind === "recording") return html`<span class="chip ${link.state === "lost" ? "bad" : ""}">${word("recording_state", link.state)}</span>`;
    if (link.kind === "expense") return link.state === "approved" ? nothing : html`<span class="chip warn">${t(`expense.${link.state}`)}</span>`;
    if (link.kind === "queue") return html`<span class="chip">${word("call_outcome", link.state)}</span>`;
    const outcome = word("outcome", link.state);
    return html`<span class="chip">${outcome === link.state ? word("order_state", link.state) : outcome}</span>`;
  }
}

customElements.define("cti-chain", Chain);
