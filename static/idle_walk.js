// Where the avatar stands in its template while nobody speaks, and how it gets to where speech begins.

import { idleAhead, idleStep } from "./walk.js";

const FADE_FRAMES = 4;
const LEAD_FIRST_FRAMES = 6; // how far ahead of the idle picture an utterance begins...
const LEAD_FRAMES = [3, 40]; // ...later as far as the picture walks while the answer is made
const LEAD_SHARE = 0.8; // of that: rather hold the picture a little than the speech
const MISSED_MS = 400; // then another closed mouth is shown than the one that belongs here

export class IdleWalk {
  constructor() {
    this.still = false; // reduced motion: the picture stands
    this.frames = null; // IdleFrames
    this.at = null; // {index, direction} of the frame on screen
    this._next = null; // shown next, out of order: where speech has left the template
    this._target = null; // hold here: speech begins with this frame
    this._fade = 0; // pictures that are still mixed with the one before
    this._due_ms = 0;
    this._lead = LEAD_FIRST_FRAMES;
    this._missed_ms = null; // since when the frame after speech is not here
  }

  /** Walk through another avatar. */
  enter(frames) {
    this.frames?.close();
    this.frames = frames;
    this.at = this._next = this._target = null;
    this._fade = 0;
  }

  /** Head for the frame on which speech shall begin. */
  aim() {
    this._next = null;
    const { frames } = this;
    if (!frames?.header || !this.at) return { start_frame: 0, direction: 1 };
    const steps = this.still ? 0 : this._lead;
    this._target = idleAhead(this.at, frames.low, frames.high, (index) => frames.has(index), steps);
    return { start_frame: this._target.index, direction: this._target.direction };
  }

  /** The answer took so long this time: aim accordingly the next time. */
  learn(waited_frames) {
    const lead = Math.round((this._lead + LEAD_SHARE * waited_frames) / 2);
    this._lead = Math.max(LEAD_FRAMES[0], Math.min(LEAD_FRAMES[1], lead));
  }

  /** Is there a closed mouth to show? */
  get ready() {
    return (this.frames?.loaded ?? 0) > 0;
  }

  /** Speech begins later than was thought: walk on, and let it begin anywhere. */
  release() {
    this._target = null;
  }

  get arrived() {
    return !this._target || this.at?.index === this._target.index;
  }

  /** Speech has shown this frame. */
  follow(at) {
    this.at = at;
    this._target = null;
  }

  /** Speech is over. @param {{index: number, direction: number} | null} next null: nothing of it was shown */
  resume(next) {
    this._target = null;
    this._next = next;
    this._fade = next ? FADE_FRAMES : 0;
    this._due_ms = 0;
    if (next) this.frames?.anchor(next.index);
  }

  /**
   * The picture to draw now, if it is time for one.
   * @param {boolean} hurried speech waits for this walk to arrive: twice as fast
   * @returns {{bitmap: ImageBitmap, alpha: number, template_index: number, first: boolean} | null}
   */
  step(now_ms, hurried) {
    const { frames } = this;
    if (!frames?.header || now_ms < this._due_ms) return null;
    const next = this._following();
    const bitmap = frames.picture(next.index, next.direction);
    if (!bitmap) {
      if (this._next && !frames.has(next.index)) this._closeMouth(now_ms);
      return null; // not here or not decoded yet: the last picture stays
    }
    this._missed_ms = null;
    const frame_ms = 1000 / frames.header.fps;
    this._due_ms = Math.max(now_ms - frame_ms, this._due_ms) + (hurried ? frame_ms / 2 : frame_ms);
    if (next.index === this.at?.index && !this._next && this._fade === 0) return null;
    const step = { bitmap, alpha: this._fade > 0 ? 1 / this._fade : 1, template_index: next.index, first: !this.at };
    this._fade = Math.max(0, this._fade - 1);
    this.at = next;
    this._next = null;
    return step;
  }

  /** The frame after speech does not come (the server may be gone): the nearest that is here has a closed mouth too. */
  _closeMouth(now_ms) {
    this._missed_ms ??= now_ms;
    if (now_ms - this._missed_ms < MISSED_MS) return;
    const near = this.frames.nearest(this._next.index);
    if (near !== null) this._next = { index: near, direction: this._next.direction };
  }

  _following() {
    const { frames, at } = this;
    if (this._next) return this._next;
    if (!at) return { index: frames.first, direction: 1 };
    if (this._target?.index === at.index) return at;
    if (this.still && !this._target && this._fade === 0) return at;
    return idleStep(at, frames.low, frames.high, (index) => frames.has(index));
  }
}
