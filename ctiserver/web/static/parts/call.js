// A button that calls a number by the agent's phone; where that can't be, what stands inside the element is shown.
import { LitElement, html } from "lit";
import { outgoing } from "../lib/outgoing.js";
import { shared } from "../lib/styles.js";
import { Worded, t } from "../lib/words.js";

class Call extends Worded(LitElement) {
  static properties = {
    number: { attribute: false },
    from: { attribute: false }, // {contact_id}, {record_id} or {order_id}
    who: { attribute: false }, // said to those who can't see what stands beside
  };

  static styles = [shared];

  #changed = () => this.requestUpdate();

  connectedCallback() {
    super.connectedCallback();
    outgoing.addEventListener("change", this.#changed);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    outgoing.removeEventListener("change", this.#changed);
  }

  render() {
    if (!outgoing.possible || !this.number) return html`<slot></slot>`;
    return html`<button @click=${() => outgoing.call(this.number, this.from)}>
      <span aria-hidden="true">☎</span> ${t("phone.dial")}<span class="unseen"> ${this.who ?? this.number}</span>
    </button>`;
  }
}

customElements.define("cti-call", Call);
