// The phone in the browser: JsSIP below, the state of phone-session.js above, one tab of the browser at a time.
import { UA } from "jssip";
import { api } from "./api.js";
import { Holding } from "./phone-hold.js";
import { PhoneLine } from "./phone-line.js";
import { FIRST, IllegalStep, step } from "./phone-session.js";
import { Ringer } from "./phone-ringer.js";

const LOCK = "cti-phone";
const REGISTER_S = 120;
const GATHER_MS = 500; // how long addresses are looked for once there is one; a STUN server that is away costs no more

/** The agent's phone. Emits "change" when `state` (see phone-session.js) did. */
export class BrowserPhone extends EventTarget {
  #user;
  #ua = null;
  #session = null;
  #holding = null; // of the session
  #iceServers = [];
  #release = null; // gives the lock back
  #expected = new Set(); // calls that this page asked for, or was told of: answered without a ring
  #audio = new Audio();
  #ringer = new Ringer();
  state = FIRST;

  /** `user`: the phone's name at the PBX. */
  constructor(user) {
    super();
    this.#user = user;
    this.#audio.autoplay = true;
  }

  /** Be the phone, as soon as no other tab is. `steal`: take it from the tab that is. */
  async start({ steal = false } = {}) {
    if (this.state.line === "off") this.#step({ type: "start" });
    try {
      await navigator.locks.request(LOCK, steal ? { steal: true } : {}, async () => {
        if (this.state.line !== "waiting") return;
        this.#step({ type: "elected" });
        const over = new Promise((release) => (this.#release = release));
        this.#connect();
        await over;
      });
    } catch (error) {
      if (error.name !== "AbortError") throw error;
      // Another tab took the lock: anyone who is at the desk is there now. This one stands by.
      this.#leave({ type: "robbed" });
      this.start();
    }
  }

  /** Be no phone any more. A call under way is lost to this page. */
  stop() {
    if (this.state.line !== "off") this.#leave({ type: "stop" });
  }

  #leave(event) {
    this.#ua?.stop();
    this.#ua = null;
    this.#drop();
    this.#step(event);
    this.#release?.();
    this.#release = null;
  }

  #connect() {
    if (!navigator.mediaDevices?.getUserMedia) {
      this.#step({ type: "refused", error: "insecure" });
      return;
    }
    const line = new PhoneLine(({ secret, ice_servers }) => {
      this.#ua.set("password", secret);
      this.#iceServers = ice_servers.map((urls) => ({ urls }));
    });
    const ua = new UA({
      sockets: [line],
      uri: `sip:${this.#user}@ctiserver.invalid`,
      authorization_user: this.#user,
      password: "given by each line",
      register_expires: REGISTER_S,
      session_timers: false,
      user_agent: "ctiserver",
      connection_recovery_min_interval: 1,
      connection_recovery_max_interval: 8,
    });
    ua.on("registered", () => this.#registered());
    ua.on("registrationFailed", () => this.#try({ type: this.#ua?.isConnected() ? "refused" : "disconnected" }));
    ua.on("disconnected", () => this.#try({ type: "disconnected" }));
    ua.on("newRTCSession", ({ originator, session, request }) => this.#invited(originator, session, request));
    this.#ua = ua;
    ua.start();
  }

  async #registered() {
    const fresh = this.state.line !== "ready";
    this.#try({ type: "registered" });
    if (!fresh) return;
    try {
      const { resume } = await api("POST", "phone/registered");
      if (!resume) return;
      this.#expected.add(resume);
      await api("POST", "phone/resume");
    } catch {
      // The caller is gone, or the server is: the line at the top of the page says so. The phone itself is fine.
    }
  }

  #invited(originator, session, request) {
    if (originator !== "remote") return;
    const wanted = request.getHeader("X-CTI-Answer") ?? "";
    const resumed = this.#expected.delete(wanted);
    if (resumed && this.#session) this.#drop(); // the talk that was lost with the line: this is it again
    if (this.#session) {
      session.terminate({ status_code: 486 });
      return;
    }
    this.#session = session;
    this.#holding = new Holding(session);
    const from = session.remote_identity;
    const name = from.display_name ?? "";
    this.#step({ type: "invited", caller: { number: from.uri.user ?? "", name: name === from.uri.user ? "" : name } });
    session.on("peerconnection", ({ peerconnection }) => this.#listen(peerconnection));
    session.on("confirmed", () => this.#of(session, { type: "connected" }));
    session.on("hold", ({ originator: who }) => who === "local" && this.#of(session, { type: "hold" }));
    session.on("unhold", ({ originator: who }) => who === "local" && this.#of(session, { type: "unhold" }));
    session.on("ended", () => this.#ended(session));
    session.on("failed", ({ cause }) => this.#ended(session, cause));
    let timer = 0;
    session.on("icecandidate", ({ ready }) => {
      clearTimeout(timer);
      timer = setTimeout(ready, GATHER_MS);
    });
    if (resumed) this.answer();
    else this.#ringer.start();
  }

  #listen(connection) {
    connection.addEventListener("track", ({ track }) => {
      if (track.kind === "audio") this.#audio.srcObject = new MediaStream([track]);
    });
  }

  #of(session, event) {
    if (session === this.#session) this.#try(event);
  }

  #ended(session, cause) {
    if (session !== this.#session) return;
    this.#drop();
    if (cause === "User Denied Media Access") this.dispatchEvent(new CustomEvent("failed", { detail: "microphone" }));
  }

  #drop() {
    const session = this.#session;
    this.#session = this.#holding = null;
    this.#ringer.stop();
    this.#audio.srcObject = null;
    if (session && !session.isEnded()) {
      try {
        session.terminate();
      } catch {
        // it was ending already
      }
    }
    this.#try({ type: "ended" });
  }

  /** Answer the call that rings. */
  answer() {
    this.#step({ type: "answer" });
    this.#ringer.stop();
    this.#session.answer({
      mediaConstraints: { audio: true, video: false },
      pcConfig: { iceServers: this.#iceServers },
    });
  }

  /** End the call, or refuse the one that rings. */
  hangUp() {
    if (!this.#session) throw new IllegalStep("nobody to hang up on");
    if (this.state.call === "ringing") this.#session.terminate({ status_code: 486 });
    else this.#session.terminate();
  }

  /** The call is over, by the PBX's word to the server: let go of what is left of it here. */
  forget() {
    if (this.state.call === "talking" || this.state.call === "held") this.#drop();
  }

  mute(muted) {
    this.#step({ type: muted ? "mute" : "unmute" });
    if (muted) this.#session.mute({ audio: true });
    else this.#session.unmute({ audio: true });
  }

  hold(held) {
    this.#holding?.want(held);
  }

  /** Send a key as the keypad does. */
  press(key) {
    this.#holding?.press(key);
  }

  /** The call with this id, which this page asks for, is answered without a ring. */
  expect(id) {
    this.#expected.add(id);
  }

  /** Packets and sound in both directions, for those who want to know whether anything flows. */
  async stats() {
    const found = { sent: 0, received: 0, energy: 0 };
    for (const entry of (await this.#session?.connection?.getStats())?.values() ?? []) {
      if (entry.type === "outbound-rtp") found.sent += entry.packetsSent;
      if (entry.type === "inbound-rtp") {
        found.received += entry.packetsReceived;
        found.energy += entry.totalAudioEnergy ?? 0;
      }
    }
    return found;
  }

  #try(event) {
    try {
      this.#step(event);
    } catch (error) {
      if (!(error instanceof IllegalStep)) throw error; // such an event is old news
    }
  }

  #step(event) {
    const next = step(this.state, event);
    this.state = next;
    this.dispatchEvent(new Event("change"));
  }
}
