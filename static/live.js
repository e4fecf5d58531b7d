// A take while it is made: the sound is the only clock, and it starts when it can go on to its end.
//
//   waiting -> (filling) -> speaking <-> starved      paused: by the listener; blocked: the browser wants a click

import { FrameWindow } from "./frame_window.js";
import { Pace } from "./pace.js";
import { SpeechSound } from "./sound.js";
import { Utterance } from "./utterance.js";

const STARVED_BELOW_S = 0.05;
const ARRIVE_MS = 800; // the walk to the first frame may not hold the speech up longer
const LONGER_S = 2; // than the wait that was told

export class Live {
  /**
   * @param {Take} take
   * @param {{audio: AudioOutput, walk: IdleWalk, expected_s: number | Promise<number>,
   *   onstate: function(string), onwait: function(number), onlevel: function(number, number)}} with_
   */
  constructor(take, { audio, walk, expected_s, onstate, onwait, onlevel }) {
    this.take = take;
    this.window = new FrameWindow(take.pictures);
    this.sound = null;
    this.paused = false;
    this.asked_ms = performance.now();
    this.numbers = { underruns: 0, first_frame_ms: null, header_ms: null, ready_ms: null };
    this.fade = 0; // first frames that are mixed with what is on screen
    this._audio = audio;
    this._walk = walk;
    this._pace = new Pace(0);
    Promise.resolve(expected_s).then((known_s) => (this._pace.expected_s ||= known_s));
    this._said = 0; // captions that the length was guessed from
    this._say = { onstate, onwait, onlevel };
    this._go = false; // enough is here to begin
    this._starved = false;
    this._filled = false;
    this._told_s = Infinity; // how long one has to wait, as it was told last
    this._arriveBy_ms = null;
    this._closed = false;
    this.utterance = new Utterance(take, {
      onheader: (header) => this._begin(header),
      onsound: (index, pcm) => this._hear(index, pcm),
    });
  }

  read(open) {
    return this.utterance.read(open);
  }

  get sounding() {
    return this.sound?.started && this.sound.position_s >= 0;
  }

  get position_s() {
    return this.sound?.started ? this.sound.position_s : 0;
  }

  get hurried() {
    return this.sound !== null && !this.sound.started && this._go;
  }

  /** Everything is here: it could be replayed from anywhere. */
  get seekable() {
    return this.utterance.ended && this.take.frames > 0;
  }

  get over() {
    const { utterance, take, sound } = this;
    if (!utterance.ended) return false;
    return take.frames === 0 || (sound?.started && sound.position_s >= take.duration_s);
  }

  pause() {
    this.paused = true;
    this.utterance.freely = true;
    this.utterance.heard(this._due);
    this.sound?.context.suspend();
    this._say.onstate("paused");
  }

  resume() {
    this.paused = false;
    this.utterance.freely = false;
    if (!this._starved) this.sound?.context.resume();
    this._say.onstate(this._starved ? "starved" : this.sound?.started ? "speaking" : "waiting");
  }

  stop() {
    this._closed = true;
    this.utterance.abort();
    this.sound?.stop();
    this.window.close();
  }

  /** Keeps the sound fed and decides when to start, starve and go on. */
  pump() {
    const { utterance, sound, take } = this;
    if (this._closed || !sound || this.paused) return;
    const now_ms = performance.now();
    if (!sound.started) {
      this._go = take.frames > 0 && (utterance.ended || this._decide(sound.pushed_s, now_ms, "filling"));
      if (this._go && this.numbers.ready_ms === null) {
        this.numbers.ready_ms = now_ms - this.asked_ms;
        if (!this._filled) this._walk.learn(Math.round((this.numbers.ready_ms / 1000) * take.fps));
      }
      if (this._go && sound.context.state === "running" && this._arrived(now_ms)) {
        sound.start();
        this._say.onstate("speaking");
      }
      return;
    }
    sound.pump(utterance.ended || this._starved);
    utterance.heard(this._due);
    this.window.heard(this._due);
    if (this._starved) {
      if (utterance.ended || this._decide(sound.scheduled_s, now_ms, "starved")) this._goOn();
    } else if (!utterance.ended && sound.scheduled_s < STARVED_BELOW_S) {
      this._starved = true;
      this.numbers.underruns += 1;
      this._pace.stopped();
      sound.context.suspend();
      this._say.onstate("starved");
    }
  }

  get _due() {
    return Math.max(0, Math.floor(this.position_s * this.take.fps));
  }

  _goOn() {
    this._starved = false;
    this.utterance.freely = false;
    this.sound.context.resume();
    this._say.onstate("speaking");
  }

  /** May it be heard now? While it may not, it is told for how long. */
  _decide(buffered_s, now_ms, state) {
    const { go, wait_s } = this._pace.decide(buffered_s, now_ms);
    if (wait_s === null || go) {
      this._told_s = Infinity;
      return go;
    }
    if (!this._filled) {
      this._filled = true;
      this.utterance.freely = true;
      if (state === "filling") {
        this._walk.release();
        this.fade = 4;
      }
    }
    this._say.onstate(state);
    this._tellWait(wait_s);
    return false;
  }

  /** It counts down: only what is much longer than was told before is worth a step back. */
  _tellWait(wait_s) {
    if (wait_s > this._told_s && wait_s < this._told_s + LONGER_S) return;
    this._told_s = wait_s;
    this._say.onwait(wait_s);
  }

  async _begin(header) {
    if (this._closed) return;
    this.numbers.header_ms = performance.now() - this.asked_ms;
    this.sound = new SpeechSound(this._audio.at(header.sample_rate), header.sample_rate);
    if (!(await this._audio.running()) && !this._closed && !this.paused) this._say.onstate("blocked");
  }

  _hear(index, pcm) {
    if (this._closed) return 0;
    const level = this.sound.push(pcm);
    this._pace.frame(index + 1, this.take.fps, performance.now());
    this._guessLength();
    if (this.window.shown < 0 && index < 6) queueMicrotask(() => this._closed || this.window.decodeFrom(0));
    this._say.onlevel(index, level);
    return level;
  }

  /** The sentences that are over tell how fast the rest will be said. */
  _guessLength() {
    const { captions, asked, fps } = this.take;
    if (captions.length < 2 || captions.length === this._said || !asked.text) return;
    this._said = captions.length;
    const begun = captions.slice(0, -1).reduce((sum, { text }) => sum + text.length, 0);
    if (begun > 0) this._pace.expected_s = (asked.text.length / begun) * (captions.at(-1).at / fps);
  }

  /** Is the frame on screen the one that speech begins with? */
  _arrived(now_ms) {
    if (this._walk.arrived || document.hidden) return true;
    this._arriveBy_ms ??= now_ms + ARRIVE_MS;
    return now_ms > this._arriveBy_ms;
  }
}
