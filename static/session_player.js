// Shows and plays a live session on a canvas: idle walk, speech, and the way from one to the other and back.
//
//   const player = new LivePlayer(canvas, new LiveSession({ avatar: "demo" }));
//   await player.open();
//   button.onclick = () => { player.unlock(); player.speak("Hello there."); };
//
// The sound is the only clock while somebody speaks: frame i is shown when its first sample is heard, the last one is
// held when a picture is late, and where sound is missing both stop and go on together. In silence the template is
// walked through here, and the server is told where, so that speech begins on the frame that comes next.

import { AudioOutput } from "./audio_output.js";
import { forget, LiveScreen } from "./session_screen.js";
import { SpeechSound } from "./sound.js";

const DECODED_AHEAD = 6;
const ENOUGH_FRAMES = 5; // to begin; to go on after sound was missing, so many more each time
const STARVED_BELOW_S = 0.05;
const CLOSES_WITHIN_MS = 250; // after an interruption a closing mouth is waited for
const TICK_MS = 50; // where nothing is repainted, as in a hidden page
const [LEAD_LEAST, LEAD_FIRST, LEAD_MOST] = [2, 6, 25];

export class LivePlayer extends EventTarget {
  /**
   * Events: state, caption, shown, finished, problem, closed.
   * @param {HTMLCanvasElement} canvas
   * @param {LiveSession} session that is not open yet
   * @param {{audio?: AudioOutput, transparent?: boolean}} how without what is behind the person, for a film that was
   *   copied before one colour; the session's tier has to be "patch"
   */
  constructor(canvas, session, { audio = new AudioOutput(), transparent = false } = {}) {
    super();
    this.session = session;
    this.state = "idle"; // waiting, speaking, starved; blocked: the browser wants a click before it lets us be heard
    this.underruns = 0;
    this._screen = new LiveScreen(canvas, transparent);
    this._audio = audio;
    this._turns = []; // utterances that are not over, the one that is said first
    this._closing = []; // frames in which an interrupted mouth closes
    this._next_ms = 0; // when the next idle frame is due
    this._asked = false; // something was given that has not begun
    this._lead = LEAD_FIRST;
    this._stopped = false;
    for (const name of ["begin", "frame", "caption", "finished", "problem", "closed"]) {
      session.addEventListener(name, ({ detail }) => this[`_on_${name}`](detail));
    }
  }

  /** @returns {Promise<object>} the server's welcome; rejected by a Problem */
  async open() {
    const welcome = await this.session.open();
    this._frame_ms = 1000 / welcome.fps;
    this._screen.open(welcome, (problem) => this._tell("problem", { problem }));
    this._next_ms = performance.now();
    const repaint = () => {
      if (this._stopped) return;
      this._tick();
      requestAnimationFrame(repaint);
    };
    requestAnimationFrame(repaint);
    this._timer = setInterval(() => this._tick(), TICK_MS);
    return welcome;
  }

  /** Call this inside a click or key handler: from here on the page may be heard. */
  unlock() {
    this._audio.unlock();
  }

  speak(text, how) {
    this._ask();
    this.session.speak(text, how);
  }

  appendText(text, how) {
    this._ask();
    this.session.appendText(text, how);
  }

  /** A question, to be answered; see LiveSession.ask. */
  ask(text, how) {
    this._ask();
    this.session.ask(text, how);
  }

  beginAudio(sample_rate) {
    this._ask();
    this.session.beginAudio(sample_rate);
  }

  appendAudio(samples) {
    this.session.appendAudio(samples);
  }

  end() {
    this.session.end();
  }

  /** Sound and mouth stop now; the answer says how much of it was played. */
  cancel() {
    const turn = this._turns[0];
    const samples = turn?.sound?.started ? Math.max(0, Math.floor(turn.sound.position_s * turn.rate)) : undefined;
    turn?.sound?.stop();
    for (const { frames } of this._turns) frames.forEach(forget);
    this._turns = [];
    this._closing = [];
    this._screen.clear();
    this._asked = false;
    this._next_ms = performance.now() + CLOSES_WITHIN_MS;
    this._enter("idle");
    return this.session.cancel(samples);
  }

  close() {
    this._stopped = true;
    clearInterval(this._timer);
    this._turns[0]?.sound?.stop();
    this._screen.close();
    this.session.close();
  }

  // --- what comes -------------------------------------------------------------------------------
  _on_begin({ epoch, sample_rate, frame, direction }) {
    const start = { index: frame, direction };
    this._asked = false;
    this._turns.push({
      epoch, start, rate: sample_rate, frames: [], shown: -1, heard: -1, sound: null, complete: false, starved: 0,
      begun_ms: performance.now(),
    });
  }

  _on_frame(frame) {
    const turn = this._turns.at(-1);
    this._screen.came(frame);
    if (frame.idle) {
      this._closing.push(frame);
      if (this._turns.length === 0) this._next_ms = Math.min(this._next_ms, performance.now());
      this._screen.decode(frame);
    } else if (turn?.epoch === frame.epoch) {
      turn.frames.push(frame);
      turn.complete = frame.last;
      if (turn.frames.length <= DECODED_AHEAD) this._screen.decode(frame);
      turn.sound?.push(frame.sound);
    }
  }

  _on_caption(caption) {
    this._tell("caption", caption);
  }

  _on_finished(told) {
    this._tell("finished", told);
  }

  _on_problem(told) {
    const failed = this._turns.find(({ epoch }) => epoch === told.epoch);
    if (failed) failed.complete = true;
    this._asked = false;
    this._tell("problem", told);
  }

  _on_closed(told) {
    this._tell("closed", told);
  }

  // --- what is shown ----------------------------------------------------------------------------
  _tick() {
    if (this._stopped || !this._screen.ready) return;
    const turn = this._turns[0];
    if (!turn?.sound?.started) this._rest(turn);
    if (turn) this._play(turn);
  }

  /** One more frame of silence, when it is due; towards the frame on which an utterance begins. */
  _rest(turn) {
    const now_ms = performance.now();
    if (now_ms < this._next_ms) return;
    const closing = this._closing[0];
    if (!closing && turn && this._screen.arrived(turn.start)) return;
    const frame = closing ?? { step: this._screen.next(Boolean(turn)), place: null, picture: null };
    if (!this._screen.draw(frame)) return;
    if (closing) {
      this._closing.shift();
      this.session.shown(closing.sequence);
      forget(closing);
    }
    this._next_ms = Math.max(this._next_ms + this._frame_ms, now_ms - this._frame_ms);
    if (this._asked && !turn) this.session.idle(this._screen.at, this._lead);
  }

  _play(turn) {
    if (!turn.sound?.started && !this._start(turn)) return;
    const { frames, sound } = turn;
    const starved = this.state === "starved";
    sound.pump(turn.complete || starved);
    const position_s = sound.position_s;
    const due = Math.min(Math.floor((position_s * 1000) / this._frame_ms), frames.length - 1);
    if (due > turn.heard) this.session.shown(frames[(turn.heard = due)].sequence);
    this._show(turn, due, position_s);
    const enough_ms = (1 + turn.starved) * ENOUGH_FRAMES * this._frame_ms;
    const over = position_s * 1000 >= frames.length * this._frame_ms;
    if (turn.complete && over) this._finish(turn);
    else if (starved && (turn.complete || sound.scheduled_s * 1000 > enough_ms)) {
      sound.context.resume();
      this._enter("speaking");
    } else if (!starved && !turn.complete && sound.scheduled_s < STARVED_BELOW_S) {
      this.underruns += 1;
      turn.starved += 1;
      sound.context.suspend();
      this._enter("starved");
    }
  }

  /** Begin to be heard, once enough is here and the walk has come to the first frame. */
  _start(turn) {
    const enough = turn.frames.length >= ENOUGH_FRAMES || turn.complete;
    if (!enough) return false;
    if (turn.sound === null) {
      const took = Math.ceil((performance.now() - turn.begun_ms) / this._frame_ms);
      this._lead = Math.min(Math.max(took + 1, LEAD_LEAST), LEAD_MOST);
      turn.sound = new SpeechSound(this._audio.at(turn.rate), turn.rate);
      for (const { sound } of turn.frames) turn.sound.push(sound);
      this._audio.running().then((running) => running || this._enter("blocked"));
      this._enter("waiting");
    }
    if (turn.frames.length === 0) {
      this._finish(turn); // it failed before its first frame
      return false;
    }
    if (turn.sound.context.state !== "running" || !(document.hidden || this._screen.arrived(turn.start))) return false;
    turn.sound.start();
    this._enter("speaking");
    return true;
  }

  /** The newest picture up to the one that is due and not older than the one on the screen. */
  _show(turn, due, heard_s) {
    const { frames } = turn;
    for (let index = due; index > turn.shown; index -= 1) {
      if (!this._screen.draw(frames[index], index < due)) continue;
      frames.slice(turn.shown + 1, index + 1).forEach(forget);
      turn.shown = index;
      const { epoch, sequence, step: at } = frames[index];
      this._tell("shown", { epoch, index, sequence, avatar_frame: at.index, heard_s });
    }
    const next = Math.max(turn.shown + 1, due);
    frames.slice(next, next + DECODED_AHEAD).forEach((frame) => this._screen.decode(frame));
  }

  _finish(turn) {
    turn.frames.forEach(forget);
    this._turns.shift();
    this._next_ms = performance.now();
    this._enter("idle");
    if (this._turns.length === 0) this._audio.rest();
  }

  _enter(state) {
    if (state === this.state) return;
    this.state = state;
    this._tell("state", { state });
  }

  _tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  _ask() {
    if (this._turns.length > 0) return;
    this._asked = true;
    this.session.idle(this._screen.at, this._lead);
  }
}
