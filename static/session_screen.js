// The canvas of a live session: patches over the avatar's own idle pictures, or whole pictures.

import { IdleFrames } from "./idle.js";
import { H264Pictures } from "./session_h264.js";
import { idleStep, step } from "./walk.js";

const REANCHOR_FRAMES = 50;
const REACHED_WITHIN = 25; // frames; what lies farther away in the walk is not walked to

export class LiveScreen {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {boolean} transparent what is behind the person is left out; takes patches
   */
  constructor(canvas, transparent) {
    this.at = { index: 0, direction: 1 }; // the template frame that is seen
    this._canvas = canvas;
    this._context = canvas.getContext("2d", { alpha: transparent });
    this._transparent = transparent;
    this._idle = null;
    this._video = new H264Pictures();
    this._anchored = 0;
  }

  open({ avatar, width, height }, onerror) {
    [this._canvas.width, this._canvas.height] = [width, height];
    this._idle = new IdleFrames(avatar, { onerror, onrecovered: () => {} }, { pace_ms: 0, transparent: this._transparent });
  }

  close() {
    this._idle?.close();
    this._video.close();
  }

  /** A frame came; it is drawn later, or never. */
  came(frame) {
    if (frame.video) this._video.add(frame);
  }

  /** What came and was not drawn was interrupted. */
  clear() {
    this._video.clear();
  }

  /** Make a frame's picture ready to be drawn. */
  decode(frame) {
    if (frame.picture === null || frame.bitmap !== undefined || frame.gone) return;
    if (frame.video) this._video.until(frame);
    else decodeJpeg(frame);
  }

  get ready() {
    return Boolean(this._idle?.header);
  }

  /** The next step of the walk, not farther than what is loaded; `freely`: also far away from where silence is. */
  next(freely) {
    const { low, high } = freely ? this._idle.header : this._idle;
    return idleStep(this.at, low, high, (index) => this._idle.has(index));
  }

  /** Is the next step of the walk the one that speech begins with, or is that out of reach? */
  arrived(start) {
    const { low, high } = this._idle.header;
    let at = step(this.at, low, high);
    if (at.index === start.index) return true;
    for (let count = 0; count < REACHED_WITHIN; count += 1) {
      at = step(at, low, high);
      if (at.index === start.index && step(at, low, high).direction === start.direction) return false;
    }
    return true;
  }

  /**
   * Draw a frame if all of it is decoded; without a picture it is the idle picture.
   * @param {boolean} [late] it was due before: what is to come is not decoded any less for it
   */
  draw({ step: at, place, picture, bitmap }, late = false) {
    const whole = picture !== null && place === null;
    const below = whole ? null : late ? this._idle.decoded(at.index) : this._idle.picture(at.index, at.direction);
    if ((!whole && below === null) || (picture !== null && !bitmap)) return false;
    if (this._transparent) this._context.clearRect(0, 0, this._canvas.width, this._canvas.height);
    if (below) this._context.drawImage(below, 0, 0);
    if (this._transparent) this._context.globalCompositeOperation = "source-atop"; // the outline is the idle picture's
    if (bitmap) this._context.drawImage(bitmap, place?.left ?? 0, place?.top ?? 0);
    this._context.globalCompositeOperation = "source-over";
    this.at = at;
    if (Math.abs(at.index - this._anchored) >= REANCHOR_FRAMES && this._idle.has(at.index)) {
      this._anchored = at.index;
      this._idle.anchor(at.index);
    }
    return true;
  }
}

function decodeJpeg(frame) {
  frame.bitmap = null;
  createImageBitmap(frame.picture).then(
    (bitmap) => keep(frame, bitmap),
    () => {}, // a damaged picture is a late one: the last stays
  );
}

/** A frame's picture is decoded. */
export function keep(frame, bitmap) {
  if (frame.gone) bitmap.close();
  else frame.bitmap = bitmap;
}

/** A frame was drawn, or will never be. */
export function forget(frame) {
  frame.gone = true;
  frame.bitmap?.close();
  frame.bitmap = frame.picture = null;
}
