// Why an order is whose it is: how it came to them, and what was said of everybody who was looked at.
import { LitElement, css, html, nothing } from "lit";
import { shared } from "../lib/styles.js";
import { Worded, dayTime, t, word } from "../lib/words.js";

const CHOSEN = ["chosen", "sticky", "by_hand"];
const FITTING = ["has_more_orders", "somebody_did_it_before", "fits"];

class Why extends Worded(LitElement) {
  static properties = {
    assigned: { attribute: false }, // how it came to them; null: not noted
    considered: { attribute: false },
  };

  static styles = [
    shared,
    css`
      ul {
        padding-top: 0.3rem;
      }
      li {
        display: grid;
        grid-template-columns: minmax(6rem, auto) 1fr auto;
        gap: 0.1rem 0.8rem;
        padding: 0.2rem 0;
        align-items: baseline;
      }
      .out {
        color: var(--ink-soft);
      }
    `,
  ];

  render() {
    const it = this.assigned;
    return html`
      ${it
        ? html`<p>
            ${t(`assigned.${it.how}`, { by: it.by ?? "" })} ${it.reason ? html`<q>${it.reason}</q>` : nothing}
            <span class="soft small number">${dayTime(it.at)}</span>
          </p>`
        : nothing}
      ${this.considered?.length
        ? html`<ul>
            ${this.considered.map((one) => this.#one(one))}
          </ul>`
        : nothing}
    `;
  }

  #one(one) {
    const chosen = CHOSEN.includes(one.reason);
    const said = word("considered", one.reason);
    return html`<li class=${chosen || FITTING.includes(one.reason) ? "" : "out"}>
      ${chosen ? html`<strong>${one.name}</strong>` : html`<span>${one.name}</span>`}
      <span>${said}${one.against ? t("considered.although", { why: word("considered", one.against) }) : ""}</span>
      <span class="number small">${t("day.load", { n: one.open_orders })}</span>
    </li>`;
  }
}

customElements.define("cti-why", Why);
