// Draws the avatar: its idle walk, and what it says. Whatever speaks (live.js, replay.js), its sound is the only clock.
//
//   idle -> waiting -> (filling) -> speaking <-> starved -> idle       idle -> replaying <-> paused -> idle
//
// Frame n is drawn when n / fps seconds have been heard. When a stream runs dry, sound and picture stop together.

import { asProblem } from "./api.js";
import { AudioOutput } from "./audio_output.js";
import { IdleWalk } from "./idle_walk.js";
import { Live } from "./live.js";
import { Picture } from "./picture.js";
import { Replay } from "./replay.js";
import { ShownLog } from "./shown_log.js";

const REST_MS = 500; // then the audio device may sleep
const PUMP_MS = 30; // hidden pages draw nothing, but the sound goes on
const NO_NUMBERS = { underruns: 0, first_frame_ms: null, header_ms: null, ready_ms: null };

export class Player extends EventTarget {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    super();
    this.state = "idle";
    this.audio = new AudioOutput();
    this.speed = 1; // of replays
    this._picture = new Picture(canvas);
    this._walk = new IdleWalk();
    this._act = null; // a Live or a Replay
    this._last = null; // the last one, for its numbers
    this._direction = 1; // in which speech walks the template
    this._log = new ShownLog();
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

  /** Something is being made. */
  get busy() {
    return this._act instanceof Live;
  }

  /** The take that is on stage. */
  get take() {
    return this._act?.take ?? null;
  }

  get paused() {
    return this._act?.paused ?? false;
  }

  /** The sound of the last utterance. */
  get sound() {
    return this._last?.sound ?? null;
  }

  /** Inside a click or key handler: what comes may be heard. */
  unlock() {
    this.audio.unlock();
  }

  /**
   * Speak what a request answers; it becomes the take.
   * @param {Take} take an empty one
   * @param {function({start_frame: number, direction: number}, AbortSignal): Promise<Response>} open
   * @param {number} expected_s how long it will be, a guess; 0: nobody knows
   * @returns {Promise<"end" | "stopped" | "failed">}
   */
  say(take, open, expected_s = 0) {
    this.stop();
    const start = this._walk.aim();
    const live = new Live(take, {
      audio: this.audio,
      walk: this._walk,
      expected_s,
      onstate: (state) => this._act === live && this._become(state),
      onwait: (wait_s) => this._emit("wait", wait_s),
      onlevel: (index, level) => this._emit("level", { index, level }),
    });
    this._enter(live, start.direction);
    this._become("waiting");
    const done = new Promise((resolve) => (this._done = resolve));
    live.read((signal) => open(start, signal)).then(() => this._finishReading(live));
    return done;
  }

  /** Play a take again. @param {{from_s?: number, paused?: boolean}} [options] */
  replay(take, { from_s = 0, paused = false } = {}) {
    if (this._act instanceof Replay && this._act.take === take) {
      this._act.seek(from_s);
      if (!paused) this._act.resume();
      return;
    }
    this.stop();
    let replay = null;
    let state = "idle";
    const onstate = (next) => (replay ? this._act === replay && this._become(next) : (state = next));
    replay = new Replay(take, { from_s, speed: this.speed, paused, onstate });
    this._enter(replay, take.header.direction ?? 1);
    this._done = () => {};
    this._become(state);
  }

  setSpeed(speed) {
    this.speed = speed;
    if (this._act instanceof Replay) this._act.speed = speed;
  }

  pause() {
    this._act?.pause();
  }

  resume() {
    this._act?.resume();
  }

  /** Go to another moment of the take on stage, if all of it is here. */
  seek(to_s) {
    if (!this._act?.seekable) return;
    if (this._act instanceof Replay) this._act.seek(to_s);
    else this.replay(this._act.take, { from_s: to_s, paused: this._act.paused });
  }

  /** Silence and idle, at once. */
  stop() {
    if (!this._act) return;
    this._leave("stopped", null);
  }

  /** What was shown and how well. */
  stats() {
    const received_s = this._act?.take.duration_s ?? 0;
    const { sound, window: frames, numbers, asked_ms } = this._last ?? {};
    return {
      state: this.state,
      ...(numbers ?? NO_NUMBERS),
      late: frames?.late ?? 0,
      dropped: frames?.dropped ?? 0,
      received_s,
      played_s: this._played_s(),
      buffer_s: Math.max(0, received_s - this._played_s()),
      decoded: frames?.decoded ?? 0,
      sample_rate_hz: sound?.context.sampleRate ?? null,
      output_latency_ms: sound ? 1000 * sound.latency_s : null,
      audio_shifts: sound?.shifts ?? 0,
      idle_frames: this._walk.frames?.loaded ?? 0,
      ...this._log.measure(asked_ms ?? 0),
    };
  }

  // --- the life of an act ---------------------------------------------------------------------------

  _enter(act, direction) {
    this._act = this._last = act;
    this._direction = direction;
    this._walk.frames?.pause(true);
    this._emit("entered", act.take);
  }

  _finishReading(live) {
    if (this._act !== live) return;
    const { failure } = live.utterance;
    if (live.take.end) this._walk.frames?.anchor(live.take.end.template_index);
    if (failure) this._emit("failed", asProblem(failure));
    else this._emit("received", null);
    if (live.take.frames === 0) this._leave(failure ? "failed" : "end", null);
  }

  /** Back to idling, from the frame after the last one shown. */
  _leave(why, end) {
    const act = this._act;
    const shown = act.window.shown + 1;
    let next = null;
    if (shown > 0) next = end ? { index: end.template_index, direction: end.direction } : { ...this._walk.at };
    this._walk.resume(next);
    this._walk.frames?.pause(false);
    act.stop();
    this._act = null;
    setTimeout(() => {
      if (!this._act) this.audio.rest();
    }, REST_MS);
    this._become("idle");
    this._emit("left", { why, shown, played_s: shown / act.take.fps, take: act.take, live: act instanceof Live, idle: this._walk.ready });
    this._done(why);
  }

  _pump() {
    const act = this._act;
    act?.pump();
    if (act && act === this._act && act.over) this._leave(act.utterance?.failure ? "failed" : "end", act.take.end);
  }

  // --- drawing --------------------------------------------------------------------------------------

  _repaint(now_ms) {
    requestAnimationFrame(this._repaint);
    this._pump();
    if (this._act?.sounding) this._paintSpeech(this._act);
    else this._paintIdle(now_ms);
  }

  _paintSpeech(act) {
    const clock_s = act.position_s;
    const due = Math.floor(clock_s * act.take.fps + 1e-6);
    const frame = act.window.take(due);
    if (frame) {
      const { index, bitmap } = frame;
      const template_index = act.take.templates[index];
      this._picture.draw(bitmap, act.fade > 0 ? 1 / act.fade : 1);
      act.fade = Math.max(0, act.fade - 1);
      bitmap.close();
      if (index > 0 && template_index !== this._walk.at?.index) {
        this._direction = Math.sign(template_index - (this._walk.at?.index ?? 0));
      }
      this._walk.follow({ index: template_index, direction: this._direction });
      const kind = act instanceof Live ? "speech" : "replay";
      this._log.add({ kind, index, template_index, clock_s, fps: act.take.fps });
      if (act.numbers && act.numbers.first_frame_ms === null) act.numbers.first_frame_ms = performance.now() - act.asked_ms;
      this._emit("visible", null);
    }
    this._emit("progress", { played_s: this._played_s(), received_s: act.take.duration_s, frame: due });
  }

  _paintIdle(now_ms) {
    const step = this._walk.step(now_ms, this._act?.hurried ?? false);
    if (!step) return;
    this._picture.draw(step.bitmap, step.alpha);
    const fps = this._walk.frames.header.fps;
    this._log.add({ kind: "idle", index: -1, template_index: step.template_index, clock_s: null, fps });
    if (step.first) this._emit("visible", null);
  }

  _played_s() {
    if (!this._act) return 0;
    return Math.max(0, Math.min(this._act.position_s, this._act.take.duration_s));
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
