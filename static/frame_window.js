// The pictures of a take that are decoded around the moment that is heard; never more than a handful.

const DECODED_AHEAD = 6;
const KEPT_BEHIND = 2; // a picture that is decoded this late is still better than an older one

export class FrameWindow {
  /** @param {Blob[]} pictures of the take; it may still grow */
  constructor(pictures) {
    this.shown = -1;
    this.late = 0;
    this.dropped = 0;
    this._pictures = pictures;
    this._decoded = new Map(); // index -> {bitmap, gone}
    this._lateCounted = -1;
  }

  get decoded() {
    let count = 0;
    for (const { bitmap } of this._decoded.values()) count += bitmap ? 1 : 0;
    return count;
  }

  /** Go on from another frame. */
  seek(index) {
    this.close();
    this.shown = index - 1;
    this._lateCounted = index - 1;
    this.decodeFrom(index);
  }

  /** The sound has come to frame `due`: forget what lies behind, also while nothing is drawn. */
  heard(due) {
    for (const index of this._decoded.keys()) if (index < due - KEPT_BEHIND) this._drop(index);
  }

  /**
   * The newest picture that may be shown when frame `due` is heard, or null if there is no newer one than last
   * time. The caller closes its bitmap. Frames that came too late are skipped.
   * @returns {{index: number, bitmap: ImageBitmap} | null}
   */
  take(due) {
    let newest = null;
    for (let index = Math.min(due, this._pictures.length - 1); index > this.shown && !newest; index -= 1) {
      const bitmap = this._decoded.get(index)?.bitmap;
      if (bitmap) newest = { index, bitmap };
    }
    if (newest) {
      this.dropped += newest.index - this.shown - 1;
      for (let index = this.shown + 1; index < newest.index; index += 1) this._drop(index);
      this.shown = newest.index;
      this._decoded.delete(newest.index);
    }
    if (due < this._pictures.length && this.shown < due && this._lateCounted < due) {
      this.late += 1;
      this._lateCounted = due;
    }
    this.decodeFrom(Math.max(due, this.shown + 1));
    return newest;
  }

  decodeFrom(first) {
    const end = Math.min(first + DECODED_AHEAD, this._pictures.length);
    for (let index = Math.max(0, first); index < end; index += 1) {
      if (this._decoded.has(index)) continue;
      const entry = { bitmap: null, gone: false };
      this._decoded.set(index, entry);
      createImageBitmap(this._pictures[index]).then(
        (bitmap) => {
          if (entry.gone) bitmap.close();
          else entry.bitmap = bitmap;
        },
        () => {}, // a damaged picture is a late one: the last stays
      );
    }
  }

  close() {
    for (const index of [...this._decoded.keys()]) this._drop(index);
  }

  _drop(index) {
    const entry = this._decoded.get(index);
    if (!entry) return;
    entry.gone = true;
    entry.bitmap?.close();
    this._decoded.delete(index);
  }
}
