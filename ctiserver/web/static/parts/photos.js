// The photos of a work order: those that the server has, those that wait, and two ways to more: the camera, and files.
// Emits "photo" with the JPEG of each that was added, and "fault" with what could not be read.
import { LitElement, css, html, nothing } from "lit";
import { scaled } from "../lib/photo.js";
import { shared } from "../lib/styles.js";
import { Worded, t } from "../lib/words.js";

const THUMB_PX = 160;

class Photos extends Worded(LitElement) {
  static properties = {
    kept: { attribute: false }, // as the server lists them: `{id}`
    waiting: { attribute: false }, // the files of acts that were not sent yet
    _busy: { state: true },
  };

  static styles = [
    shared,
    css`
      :host {
        display: grid;
        gap: 0.5rem;
      }
      ul {
        display: grid;
        grid-template-columns: repeat(auto-fill, minmax(5.6rem, 1fr));
        gap: 0.5rem;
      }
      li {
        position: relative;
      }
      img,
      canvas {
        display: block;
        width: 100%;
        aspect-ratio: 1;
        object-fit: cover;
        border: 1px solid var(--line);
        border-radius: 0.5rem;
      }
      .waits canvas {
        opacity: 0.6;
      }
      .waits .chip {
        position: absolute;
        left: 0.2rem;
        bottom: 0.2rem;
      }
      .ways {
        display: grid;
        grid-template-columns: 1fr 1fr;
        gap: 0.6rem;
      }
      .ways button {
        min-height: 3rem;
        justify-content: center;
      }
    `,
  ];

  #pick = (name) => this.renderRoot.querySelector(`input[name=${name}]`).click();

  async #chosen(event) {
    const files = [...event.target.files];
    event.target.value = ""; // the same file again is a change too
    this._busy = true;
    for (const file of files) {
      try {
        this.dispatchEvent(new CustomEvent("photo", { detail: await scaled(file) }));
      } catch (error) {
        this.dispatchEvent(new CustomEvent("fault", { detail: error }));
      }
    }
    this._busy = false;
  }

  updated() {
    // Drawn, not shown by an address of their own: the content policy lets no picture in that is not the server's.
    for (const canvas of this.renderRoot.querySelectorAll("canvas")) this.#draw(canvas, this.waiting[Number(canvas.dataset.index)]);
  }

  async #draw(canvas, file) {
    if (!file || canvas.file === file) return;
    canvas.file = file;
    const picture = await createImageBitmap(file);
    const side = Math.min(picture.width, picture.height);
    const [x, y] = [(picture.width - side) / 2, (picture.height - side) / 2];
    canvas.getContext("2d").drawImage(picture, x, y, side, side, 0, 0, THUMB_PX, THUMB_PX);
    picture.close();
  }

  render() {
    const kept = this.kept ?? [];
    const waiting = this.waiting ?? [];
    return html`<span class="label">${t("photos.title")}</span>
      ${kept.length + waiting.length
        ? html`<ul>
            ${kept.map(
              (photo, index) =>
                html`<li>
                  <a href="/api/v1/photos/${photo.id}" target="_blank" rel="noopener"
                    ><img src="/api/v1/photos/${photo.id}" alt=${t("photos.one", { n: index + 1 })} loading="lazy"
                  /></a>
                </li>`,
            )}
            ${waiting.map(
              (_, index) =>
                html`<li class="waits">
                  <canvas
                    width=${THUMB_PX}
                    height=${THUMB_PX}
                    data-index=${index}
                    role="img"
                    aria-label=${t("photos.one", { n: kept.length + index + 1 })}
                  ></canvas>
                  <span class="chip small">${t("photos.waits")}</span>
                </li>`,
            )}
          </ul>`
        : nothing}
      <div class="ways">
        <input name="camera" type="file" accept="image/*" capture="environment" hidden aria-label=${t("photos.take")} @change=${this.#chosen}>
        <input name="files" type="file" accept="image/*" multiple hidden aria-label=${t("photos.choose")} @change=${this.#chosen}>
        <button type="button" ?disabled=${this._busy} @click=${() => this.#pick("camera")}>${t("photos.take")}</button>
        <button type="button" ?disabled=${this._busy} @click=${() => this.#pick("files")}>${t("photos.choose")}</button>
      </div>`;
  }
}

customElements.define("cti-photos", Photos);
