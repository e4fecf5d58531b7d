// Draws the avatar: its idle walk, and what it says. While it speaks, the sound is the only clock.
//
//   idle -> waiting -> speaking <-> starved -> idle        (blocked: the browser wants a click before it plays sound)
//
// Frame n is drawn when n / fps seconds have been heard. When the stream runs dry, sound and picture stop together.

import { asProblem } from "./api.js";
import { AudioOutput } from "./audio_output.js";
import { IdleWalk } from "./idle_walk.js";
import { Picture } from "./picture.js";
import { ShownLog } from "./shown_log.js";
import { SpeechSound } from "./sound.js";
import { Utterance } from "./utterance.js";

const START_S = 0.24; // buffered before the first sound...
const REBUFFER_S = 0.3; // ...and after the first starvation; more after each further one, up to...
const REBUFFER_MOST_S = 1.8;
const STARVED_BELOW_S = 0.05;
const ARRIVE_MS = 800; // the walk to the first frame may not hold the speech up longer
const REST_MS = 500; // then the audio device may sleep
const PUMP_MS = 30; // hidden pages draw nothing, but the sound goes on

export class Player extends EventTarget {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    super();
    this.state = "idle";
    this.audio = new AudioOutput();
    this.sound = null; // of the utterance, or the last one
    this._picture = new Picture(canvas);
    this._walk = new IdleWalk();
    this._utterance = null;
    this._direction = 1; // in which speech walks the template
    this._log = new ShownLog();
    this._reset();
    this._repaint = this._repaint.bind(this);
    requestAnimationFrame(this._repaint);
    setInterval(() => this._pump(), PUMP_MS);
  }

  /** Show another avatar's idle frames (an IdleFrames). */
  setIdle(frames) {
    this.stop();
    this._walk.enter(frames);
  }

  /** Reduced motion: stand still unless somebody speaks. */
  set still(still) {
    this._walk.still = still;
  }

  get busy() {
    return this._utterance !== null;
  }

  /** Inside a click or key handler: what comes may be heard. */
  unlock() {
    this.audio.unlock();
  }

  /**
   * Speak what a request answers.
   * @param {function({start_frame: number, direction: number}, AbortSignal): Promise<Response>} open
   * @returns {Promise<"end" | "stopped" | "failed">}
   */
  say(open) {
    this.stop();
    const start = this._walk.aim();
    const utterance = new Utterance({
      onheader: (header) => this._begin(utterance, header),
      onsound: (index, pcm) => this._hear(utterance, index, pcm),
    });
    this._reset();
    this._utterance = utterance;
    this._direction = start.direction;
    this._walk.frames?.pause(true);
    this._become("waiting");
    const done = new Promise((resolve) => (this._done = resolve));
    utterance.read((signal) => open(start, signal)).then(() => this._finishReading(utterance));
    return done;
  }

  /** Silence and idle, at once. */
  stop() {
    if (!this._utterance) return;
    this._utterance.abort();
    this.sound?.stop();
    this._leave("stopped", null);
  }

  /** What was shown and how well. */
  stats() {
    const received_s = this._utterance?.received_s ?? 0;
    return {
      state: this.state,
      ...this._numbers,
      received_s,
      played_s: this._played_s(),
      buffer_s: Math.max(0, received_s - this._played_s()),
      decoded: this._utterance?.decoded ?? 0,
      sample_rate_hz: this.sound?.context.sampleRate ?? null,
      output_latency_ms: this.sound ? 1000 * this.sound.latency_s : null,
      audio_shifts: this.sound?.shifts ?? 0,
      idle_frames: this._walk.frames?.loaded ?? 0,
      ...this._log.measure(this._asked_ms),
    };
  }

  // --- the life of an utterance ---------------------------------------------------------------------

  _reset() {
    this.sound = null;
    this._starved = false;
    this._arriveBy_ms = null;
    this._asked_ms = performance.now();
    this._numbers = { underruns: 0, first_frame_ms: null, header_ms: null, ready_ms: null, late: 0, dropped: 0 };
  }

  async _begin(utterance, header) {
    if (this._utterance !== utterance) return;
    this._numbers.header_ms = performance.now() - this._asked_ms;
    this.sound = new SpeechSound(this.audio.at(header.sample_rate), header.sample_rate);
    if (!(await this.audio.running()) && this._utterance === utterance) this._become("blocked");
  }

  _hear(utterance, index, pcm) {
    if (this._utterance === utterance) this._emit("level", { index, level: this.sound.push(pcm) });
  }

  _finishReading(utterance) {
    if (this._utterance !== utterance) return;
    if (utterance.end) this._walk.frames?.anchor(utterance.end.template_index);
    if (utterance.failure) this._emit("failed", asProblem(utterance.failure));
    else this._emit("received", null);
    if (utterance.received === 0) this._leave(utterance.failure ? "failed" : "end", null);
  }

  /** Back to idling, from the frame after the last one shown. */
  _leave(why, end) {
    const utterance = this._utterance;
    let next = null;
    if (utterance.shown >= 0) {
      next = end ? { index: end.template_index, direction: end.direction } : { ...this._walk.at };
    }
    this._walk.resume(next);
    this._walk.frames?.pause(false);
    this._utterance = null;
    utterance.abort();
    setTimeout(() => {
      if (!this._utterance) this.audio.rest();
    }, REST_MS);
    this._become("idle");
    this._emit("left", { why, shown: utterance.shown + 1, played_s: (utterance.shown + 1) / utterance.fps });
    this._done(why);
  }

  /** Keeps the sound fed and decides when to start, starve, go on and end. */
  _pump() {
    const { _utterance: utterance, sound } = this;
    if (!utterance || !sound) return;
    if (!sound.started) {
      const enough = utterance.received > 0 && (sound.pushed_s >= START_S || utterance.ended);
      if (enough && this._numbers.ready_ms === null) {
        this._numbers.ready_ms = performance.now() - this._asked_ms;
        this._walk.learn(Math.round((this._numbers.ready_ms / 1000) * utterance.fps));
      }
      if (enough && sound.context.state === "running" && this._arrived()) {
        sound.start();
        this._become("speaking");
      }
      return;
    }
    sound.pump(utterance.ended || this._starved);
    utterance.heard(Math.floor(sound.position_s * utterance.fps));
    if (utterance.ended) {
      if (this._starved) this._goOn();
      if (sound.position_s >= utterance.received_s) this._leave(utterance.failure ? "failed" : "end", utterance.end);
    } else if (!this._starved && sound.scheduled_s < STARVED_BELOW_S) {
      this._starved = true;
      this._numbers.underruns += 1;
      sound.context.suspend();
      this._become("starved");
    } else if (this._starved) {
      const enough_s = Math.min(REBUFFER_S * this._numbers.underruns, REBUFFER_MOST_S);
      if (sound.scheduled_s >= enough_s) this._goOn();
    }
  }

  _goOn() {
    this._starved = false;
    this.sound.context.resume();
    this._become("speaking");
  }

  /** Is the frame on screen the one that speech begins with? */
  _arrived() {
    if (this._walk.arrived || document.hidden) return true;
    this._arriveBy_ms ??= performance.now() + ARRIVE_MS;
    return performance.now() > this._arriveBy_ms;
  }

  // --- drawing --------------------------------------------------------------------------------------

  _repaint(now_ms) {
    requestAnimationFrame(this._repaint);
    this._pump();
    if (this._utterance && this.sound?.started && this.sound.position_s >= 0) this._paintSpeech();
    else this._paintIdle(now_ms);
  }

  _paintSpeech() {
    const utterance = this._utterance;
    const clock_s = this.sound.position_s;
    const due = Math.floor(clock_s * utterance.fps + 1e-6);
    const frame = utterance.take(due);
    if (frame) {
      const { index, template_index } = frame;
      this._picture.draw(frame.bitmap, 1);
      frame.bitmap.close();
      if (index > 0 && template_index !== this._walk.at?.index) {
        this._direction = Math.sign(template_index - (this._walk.at?.index ?? 0));
      }
      this._walk.follow({ index: template_index, direction: this._direction });
      this._log.add({ kind: "speech", index, template_index, clock_s, fps: utterance.fps });
      if (this._numbers.first_frame_ms === null) {
        this._numbers.first_frame_ms = performance.now() - this._asked_ms;
        this._emit("visible", null);
      }
    }
    this._numbers.late = utterance.late;
    this._numbers.dropped = utterance.dropped;
    const caption = utterance.captionAt(due);
    if (caption !== null) this._emit("caption", caption);
    this._emit("progress", { played_s: this._played_s(), received_s: utterance.received_s });
  }

  _paintIdle(now_ms) {
    const hurried = this.sound !== null && !this.sound.started && this.sound.pushed_s >= START_S;
    const step = this._walk.step(now_ms, hurried);
    if (!step) return;
    this._picture.draw(step.bitmap, step.alpha);
    const fps = this._walk.frames.header.fps;
    this._log.add({ kind: "idle", index: -1, template_index: step.template_index, clock_s: null, fps });
    if (step.first) this._emit("visible", null);
  }

  _played_s() {
    if (!this._utterance || !this.sound?.started) return 0;
    return Math.max(0, Math.min(this.sound.position_s, this._utterance.received_s));
  }

  _become(state) {
    if (this.state === state) return;
    this.state = state;
    this._emit("state", state);
  }

  _emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
