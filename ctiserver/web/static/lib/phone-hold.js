// Holding a call and taking it back. Each is a negotiation with the PBX that takes a moment, in which JsSIP refuses the
// next one and a key is lost: what is wanted meanwhile waits here, and the last wish counts.

const AGAIN_MS = 200; // the PBX may be negotiating too, and nobody is told when it is done

export class Holding {
  #session;
  #wanted = false;
  #underWay = false;
  #keys = [];

  constructor(session) {
    this.#session = session;
  }

  /** Hold the call, or take it back, as soon as that can be. */
  want(held) {
    this.#wanted = held;
    this.#settle();
  }

  /** Send a key; in a call that is held, once it is taken back. */
  press(key) {
    this.#keys.push(key);
    this.#settle();
  }

  #settle() {
    const session = this.#session;
    if (this.#underWay || session.isEnded()) return;
    const held = session.isOnHold().local;
    if (held !== this.#wanted) {
      this.#underWay = true;
      const over = () => {
        this.#underWay = false;
        this.#settle();
      };
      const begun = this.#wanted ? session.hold({}, over) : session.unhold({}, over);
      if (!begun) setTimeout(over, AGAIN_MS);
    } else if (!held) {
      for (const key of this.#keys.splice(0)) session.sendDTMF(key, { transportType: "RFC2833" });
    }
  }
}
