// A live session with the server, as docs/protocol.md says; it knows no picture and no clock (session_player.js does).
//
//   const session = new LiveSession({ avatar: "demo" });
//   session.addEventListener("frame", ({ detail }) => session.shown(detail.sequence)); // it is on the screen
//   await session.open();
//   session.speak("Hello there.");
//   await session.cancel(); // nothing of what was said before comes any more
//
// Events, each with what the server said as its detail: begin, caption, frame, finished, problem, lost, resumed, closed.
// A connection that breaks is made anew, within the seconds that the server waits, and goes on where it was.

import { Problem, problemOfRecord } from "./api.js";

const VERSION = 1;
const HEADER = 24;
const [SOUND, PICTURE, PATCH, H264, AUDIO] = [1, 2, 3, 4, 16];
const [BACKWARDS, LAST, IDLE, HELD, KEY] = [1, 2, 4, 8, 16];
const FOR_GOOD = new Set([1000, 1001, 1008, 1013, 4001]); // a connection closed so is not made anew
const RETRY_FIRST_MS = 200;

export class LiveSession extends EventTarget {
  /**
   * @param {{avatar?: string, tiers?: string[] | Promise<string[]>}} wishes the tiers are "patch", "jpeg" and "h264",
   *   the best first; see tiersHere
   */
  constructor({ avatar, tiers = ["patch", "jpeg"] } = {}) {
    super();
    this.welcome = null;
    this._hello = { type: "hello", version: VERSION, avatar };
    this._tiers = tiers;
    this._socket = null;
    this._received = -1; // sequence of the last frame
    this._validFrom = 0; // older epochs were cancelled
    this._sounds = new Map(); // sequence -> s16le, until its picture is here
    this._cancels = []; // whoever waits for an answer
    this._held = []; // what came meanwhile: only the answer tells whether it is still wanted
    this._unsent = [];
    this._over = false;
  }

  /** @returns {Promise<object>} the server's welcome; rejected by a Problem */
  async open() {
    this._hello.tiers = await this._tiers;
    await this._connect();
    return this.welcome;
  }

  speak(text, { voice, speed } = {}) {
    this._put({ type: "speak", text, voice, speed });
  }

  /** Text while it is written, cut anywhere; `end` ends it. */
  appendText(text, { voice, speed } = {}) {
    this._put({ type: "append_text", text, voice, speed });
  }

  /** The sound that follows is at this rate, and begins an utterance. */
  beginAudio(sample_rate) {
    this._put({ type: "append_audio", sample_rate });
  }

  /** @param {Int16Array} samples any number of them; `end` ends it */
  appendAudio(samples) {
    const message = new Uint8Array(HEADER + 2 * samples.length);
    const view = new DataView(message.buffer);
    view.setUint8(0, AUDIO);
    view.setUint32(12, 2 * samples.length, true);
    samples.forEach((sample, index) => view.setInt16(HEADER + 2 * index, sample, true));
    this._put(message);
  }

  /** Have a question answered; without a text it is what was heard. Events heard and answer tell how it goes. */
  ask(text, { voice, speed } = {}) {
    this._put({ type: "ask", text, voice, speed });
  }

  /** The sound that follows (`appendAudio`) is at this rate, and a question; `ask` ends it. */
  listen(sample_rate) {
    this._put({ type: "listen", sample_rate });
  }

  end() {
    this._put({ type: "end" });
  }

  /**
   * Say nothing more of what was given.
   * @param {number} [samples] of what is being said that were played
   * @returns {Promise<object>} the answer; rejected when the session ends before it
   */
  cancel(samples) {
    this._put({ type: "cancel", samples });
    return new Promise((resolve, reject) => this._cancels.push({ resolve, reject }));
  }

  /** A frame is on the screen. */
  shown(sequence) {
    this._unsent = this._unsent.filter((message) => message.type !== "shown"); // the latest says it all
    this._put({ type: "shown", sequence });
  }

  /** Nothing is said, and this template frame is on the screen; speech begins `lead` frames later in the walk. */
  idle({ index, direction }, lead) {
    this._put({ type: "idle", frame: index, direction, lead });
  }

  close() {
    this._over = true;
    this._socket?.close(1000);
  }

  _connect(resume) {
    return new Promise((resolve, reject) => this._greet(resume, resolve, reject));
  }

  _greet(resume, resolve, reject) {
    const address = new URL("/ws", location.href);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    if (resume && this.welcome.route) address.searchParams.set("route", this.welcome.route); // of several servers
    const socket = new WebSocket(address);
    let greeted = false;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => socket.send(JSON.stringify({ ...this._hello, resume }));
    socket.onmessage = ({ data }) => {
      if (greeted) return this._take(data);
      const answer = JSON.parse(data);
      if (answer.type === "error") return reject(problemIn(answer));
      greeted = true;
      this.welcome = answer;
      this._socket = socket;
      resolve();
    };
    socket.onclose = ({ code }) => {
      if (greeted) this._lost(code);
      else reject(new Problem({ title: "The server cannot be reached", detail: `The connection failed (${code}).` }));
    };
  }

  async _lost(code) {
    this._sounds.clear(); // it comes again, with its picture
    if (this._over || FOR_GOOD.has(code)) return this._end(code);
    this._tell("lost", { code });
    const until_ms = performance.now() + 1000 * this.welcome.resume_s;
    for (let wait_ms = RETRY_FIRST_MS; performance.now() < until_ms && !this._over; wait_ms *= 2) {
      try {
        await this._connect({ session: this.welcome.session, sequence: this._received });
        for (const message of this._unsent.splice(0)) this._put(message);
        for (const _ of this._cancels) this._put({ type: "cancel" }); // the answer may have been lost
        return this._tell("resumed");
      } catch (problem) {
        if (problem.status) break; // the server is there, the session is not
      }
      await new Promise((resolve) => setTimeout(resolve, wait_ms));
    }
    this._end(code);
  }

  _end(code) {
    this._over = true;
    const problem = new Problem({ title: "The session is over", detail: `The connection was closed (${code}).` });
    for (const { reject } of this._cancels.splice(0)) reject(problem);
    this._tell("closed", { code });
  }

  _put(message) {
    if (this._socket?.readyState !== WebSocket.OPEN) {
      if (!this._over) this._unsent.push(message);
    } else {
      this._socket.send(message instanceof Uint8Array ? message : JSON.stringify(message));
    }
  }

  _take(data) {
    const [name, detail] = typeof data === "string" ? this._message(JSON.parse(data)) : this._binary(data);
    if (name === "cancelled") this._answered(detail);
    else if (name && this._cancels.length > 0) this._held.push([name, detail]);
    else if (name) this._give(name, detail);
  }

  _message({ type, ...detail }) {
    if (type !== "error") return [type, detail];
    return ["problem", { problem: problemIn(detail), epoch: detail.epoch, fatal: detail.fatal }];
  }

  _binary(data) {
    const view = new DataView(data);
    const [kind, flags] = [view.getUint8(0), view.getUint8(1)];
    const sequence = view.getUint32(8, true);
    if (kind === SOUND) this._sounds.set(sequence, new Uint8Array(data, HEADER));
    if (![PICTURE, PATCH, H264].includes(kind)) return [null]; // or of a later version
    this._received = sequence;
    const sound = this._sounds.get(sequence) ?? new Uint8Array(0);
    this._sounds.delete(sequence);
    const [left, top, width, height] = kind === PATCH ? [0, 2, 4, 6].map((at) => view.getUint16(HEADER + at, true)) : [];
    const coded = data.slice(HEADER + (kind === PATCH ? 8 : 0));
    return [
      "frame",
      {
        epoch: view.getUint32(4, true),
        sequence,
        first_sample: Number(view.getBigUint64(16, true)),
        sound,
        step: { index: view.getUint16(2, true), direction: flags & BACKWARDS ? -1 : 1 },
        picture: pictureIn(kind, coded), // null: the idle picture
        video: kind === H264, // to be decoded after those before it, but for a key
        key: (flags & KEY) !== 0,
        place: kind === PATCH ? { left, top, width, height } : null,
        last: (flags & LAST) !== 0,
        idle: (flags & IDLE) !== 0,
        held: (flags & HELD) !== 0, // the mouth of the frame before it: the server is too slow for every mouth
      },
    ];
  }

  _answered(answer) {
    this._validFrom = answer.valid_from;
    this._cancels.shift()?.resolve(answer);
    if (this._cancels.length === 0) for (const [name, detail] of this._held.splice(0)) this._give(name, detail);
  }

  _give(name, detail) {
    const passes = ["begin", "caption", "frame"].includes(name);
    if (!passes || detail.epoch >= this._validFrom) this._tell(name, detail);
  }

  _tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

function pictureIn(kind, coded) {
  if (kind === H264) return new Uint8Array(coded);
  return coded.byteLength ? new Blob([coded], { type: "image/jpeg" }) : null;
}

function problemIn(message) {
  const problem = problemOfRecord(message);
  problem.retryAfter_s = message.retry_after_s ?? 0;
  return problem;
}
