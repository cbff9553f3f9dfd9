// Mix into a component whose work takes a while and may fail: `_busy` while it is under way, and what went wrong stands
// where `this.alert()` is drawn, until the next attempt.
import { html } from "lit";
import { Worded, fault } from "./words.js";

export const Fallible = (Base) =>
  class extends Worded(Base) {
    static properties = { _busy: { state: true }, _error: { state: true } };

    #underWay = 0;

    /** Do `work`; false, and the fault is shown, if it threw. */
    async attempt(work) {
      this._error = null;
      this.#underWay += 1;
      this._busy = true;
      try {
        await work();
        return true;
      } catch (error) {
        this._error = error;
        return false;
      } finally {
        this.#underWay -= 1;
        this._busy = this.#underWay > 0;
      }
    }

    /** The fault in words; a component that knows more of it says more. */
    said(error) {
      return fault(error);
    }

    /** Always there, so that a screen reader hears what comes into it. */
    alert() {
      return html`<div role="alert" class="notice bad" ?hidden=${!this._error}>${this._error ? this.said(this._error) : ""}</div>`;
    }
  };
