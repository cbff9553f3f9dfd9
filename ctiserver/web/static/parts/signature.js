// The customer's signature, drawn by finger or mouse; its value is a small PNG as a data URL, empty while nothing is drawn.
import { LitElement, css, html } from "lit";
import { shared } from "../lib/styles.js";
import { Worded, t } from "../lib/words.js";

const WIDTH = 480;
const HEIGHT = 160;

class Signature extends Worded(LitElement) {
  static styles = [
    shared,
    css`
      canvas {
        width: 100%;
        aspect-ratio: 3 / 1;
        background: #ffffff;
        border: 1px solid var(--line-strong);
        border-radius: 0.5rem;
        touch-action: none;
      }
    `,
  ];

  #drawn = false;
  #at = null; // where the pen is while it is down

  get value() {
    return this.#drawn ? this.renderRoot.querySelector("canvas").toDataURL("image/png") : "";
  }

  #spot(event) {
    const box = event.target.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * WIDTH, ((event.clientY - box.top) / box.height) * HEIGHT];
  }

  #down(event) {
    event.target.setPointerCapture(event.pointerId);
    this.#at = this.#spot(event);
  }

  #move(event) {
    if (!this.#at) return;
    const pen = event.target.getContext("2d");
    const to = this.#spot(event);
    pen.lineWidth = 2.5;
    pen.lineCap = "round";
    pen.strokeStyle = "#111827";
    pen.beginPath();
    pen.moveTo(...this.#at);
    pen.lineTo(...to);
    pen.stroke();
    this.#at = to;
    this.#drawn = true;
  }

  #clear() {
    this.renderRoot.querySelector("canvas").getContext("2d").clearRect(0, 0, WIDTH, HEIGHT);
    this.#drawn = false;
  }

  render() {
    return html`<span class="label">${t("tasks.signature")}</span>
      <canvas
        width=${WIDTH}
        height=${HEIGHT}
        role="img"
        aria-label=${t("tasks.signature")}
        @pointerdown=${this.#down}
        @pointermove=${this.#move}
        @pointerup=${() => (this.#at = null)}
        @pointercancel=${() => (this.#at = null)}
      ></canvas>
      <button type="button" class="quiet" @click=${this.#clear}>${t("tasks.sign_anew")}</button>`;
  }
}

customElements.define("cti-signature", Signature);
