// A ring, made of two tones: no file to load, and silent where the browser lets no page sound before a click.
const EVERY_MS = 4000;
const LONG_S = 1;

export class Ringer {
  #context = null;
  #timer = 0;

  start() {
    if (this.#timer) return;
    this.#context ??= new AudioContext();
    this.#ring();
    this.#timer = setInterval(() => this.#ring(), EVERY_MS);
  }

  stop() {
    clearInterval(this.#timer);
    this.#timer = 0;
    this.#context?.suspend();
  }

  #ring() {
    this.#context.resume();
    const now = this.#context.currentTime;
    const loudness = this.#context.createGain();
    loudness.gain.setValueAtTime(0.12, now);
    loudness.gain.setTargetAtTime(0, now + LONG_S, 0.03);
    loudness.connect(this.#context.destination);
    for (const pitch of [440, 480]) {
      const tone = this.#context.createOscillator();
      tone.frequency.value = pitch;
      tone.connect(loudness);
      tone.start(now);
      tone.stop(now + LONG_S + 0.2);
    }
  }
}
