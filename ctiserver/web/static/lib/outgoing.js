// Whether calls can be made from this page just now, and the wish to make one: told by the person who has the phone.
class Outgoing extends EventTarget {
  #possible = false;

  get possible() {
    return this.#possible;
  }

  set possible(now) {
    if (now === this.#possible) return;
    this.#possible = now;
    this.dispatchEvent(new Event("change"));
  }

  /** Call a number. `from`: what on the page it was started from, such as {record_id}. */
  call(number, from = {}) {
    this.dispatchEvent(new CustomEvent("call", { detail: { to: { kind: "number", key: number }, ...from } }));
  }
}

export const outgoing = new Outgoing();
