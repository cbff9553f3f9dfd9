// The checklist of a work order. Emits "checked" with the names that are ticked.
import { LitElement, css, html, nothing } from "lit";
import { shared } from "../lib/styles.js";
import { Worded, t, title } from "../lib/words.js";

class Checklist extends Worded(LitElement) {
  static properties = {
    items: { attribute: false }, // `{name, title, required}`
    checked: { attribute: false }, // names
  };

  static styles = [
    shared,
    css`
      fieldset {
        border: 0;
        padding: 0;
        margin: 0;
        display: grid;
      }
      label {
        display: flex;
        align-items: center;
        gap: 0.7rem;
        min-height: 2.6rem;
      }
      input {
        width: 1.4rem;
        height: 1.4rem;
        flex: none;
      }
    `,
  ];

  #tick(name, on) {
    const others = this.checked.filter((one) => one !== name);
    this.dispatchEvent(new CustomEvent("checked", { detail: on ? [...others, name] : others }));
  }

  render() {
    return html`<fieldset>
      <legend class="label">${t("tasks.checklist")}</legend>
      ${this.items.map(
        (item) =>
          html`<label>
            <input
              type="checkbox"
              name=${item.name}
              .checked=${this.checked.includes(item.name)}
              @change=${(event) => this.#tick(item.name, event.target.checked)}
            />
            <span>${title(item.title, item.name)} ${item.required ? html`<span class="soft small">${t("tasks.required")}</span>` : nothing}</span>
          </label>`,
      )}
    </fieldset>`;
  }
}

customElements.define("cti-checklist", Checklist);
