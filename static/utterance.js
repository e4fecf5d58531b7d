// One answer of the server while it arrives: its frames, captions, end or failure. Holds a few seconds, no more.

import { asProblem, Problem, problemOfRecord } from "./api.js";
import { bytes, records } from "./ndjson.js";

const AHEAD_S = 4; // the stream is not read further than this ahead of what is heard
const DECODED_AHEAD = 6;
const KEPT_BEHIND = 2; // a picture that is decoded this late is still better than an older one

export class Utterance {
  /**
   * @param {{onheader: function(object), onsound: function(number, Uint8Array), oncaption: function}} hooks
   *   onheader may return a promise; frames wait for it.
   */
  constructor(hooks) {
    this.header = null;
    this.end = null; // the `end` record
    this.failure = null; // a Problem, when it stopped before its end
    this.ended = false;
    this.received = 0;
    this.shown = -1;
    this.late = 0;
    this.dropped = 0;
    this._hooks = hooks;
    this._abort = new AbortController();
    this._frames = new Map(); // index -> {index, template_index, jpeg, bitmap}
    this._captions = []; // {at, text}, in order
    this._due = 0;
    this._lateCounted = -1;
    this._room = null;
  }

  get fps() {
    return this.header?.fps ?? 25;
  }

  get received_s() {
    return this.received / this.fps;
  }

  get decoded() {
    let count = 0;
    for (const frame of this._frames.values()) count += frame.bitmap ? 1 : 0;
    return count;
  }

  /** @param {function(AbortSignal): Promise<Response>} open */
  async read(open) {
    try {
      const response = await open(this._abort.signal);
      for await (const record of records(response.body)) {
        await this._take(record);
        if (this.ended) break;
        while (this.received - this._due > AHEAD_S * this.fps && !this._abort.signal.aborted) {
          await new Promise((resolve) => (this._room = resolve));
        }
        if (this._abort.signal.aborted) break;
      }
      if (!this.end && !this.failure) {
        throw new Problem({ title: "The connection broke", detail: "The answer stopped before its end. Try again." });
      }
    } catch (error) {
      if (!this._abort.signal.aborted) this.failure = asProblem(error);
    } finally {
      this.ended = true;
    }
  }

  /** Stop reading: the server sees the connection close. */
  abort() {
    this._abort.abort();
    this._room?.();
    for (const frame of this._frames.values()) this._drop(frame);
    this._frames.clear();
  }

  /** The sound has come to frame `due`: make room for more, also while nothing is drawn. */
  heard(due) {
    this._due = Math.max(0, due);
    for (const [index, frame] of this._frames) {
      if (index >= due - KEPT_BEHIND) break; // in order of arrival
      this._drop(frame);
      this._frames.delete(index);
    }
    this._room?.();
    this._room = null;
  }

  /**
   * The newest picture that may be shown when frame `due` is heard, or null if there is no newer one than last
   * time. The caller closes its bitmap. Frames that came too late are skipped.
   */
  take(due) {
    let newest = null;
    for (let index = Math.min(due, this.received - 1); index > this.shown && !newest; index -= 1) {
      if (this._frames.get(index)?.bitmap) newest = this._frames.get(index);
    }
    if (newest) {
      for (let index = this.shown + 1; index < newest.index; index += 1) {
        this.dropped += 1;
        this._drop(this._frames.get(index));
        this._frames.delete(index);
      }
      this.shown = newest.index;
      this._frames.delete(newest.index);
    }
    if (due < this.received && this.shown < due && this._lateCounted < due) {
      this.late += 1;
      this._lateCounted = due;
    }
    this.decodeFrom(Math.max(due, this.shown + 1));
    return newest;
  }

  decodeFrom(first) {
    for (let index = Math.max(0, first); index < first + DECODED_AHEAD; index += 1) {
      const frame = this._frames.get(index);
      if (!frame || frame.decoding) continue;
      frame.decoding = true;
      createImageBitmap(frame.jpeg).then(
        (bitmap) => {
          if (frame.gone) bitmap.close();
          else frame.bitmap = bitmap;
        },
        () => {}, // a damaged picture is a late one: the last stays
      );
    }
  }

  /** The sentence that is said while frame `due` is heard, once, when it begins. */
  captionAt(due) {
    let text = null;
    while (this._captions.length > 0 && this._captions[0].at <= due) text = this._captions.shift().text;
    return text;
  }

  _drop(frame) {
    if (!frame) return;
    frame.gone = true;
    frame.bitmap?.close();
  }

  async _take(record) {
    if (record.type === "header") {
      this.header = record;
      await this._hooks.onheader(record);
    } else if (record.type === "frame") {
      if (!this.header) throw new Problem({ title: "The answer cannot be played", detail: "It has no header." });
      this._frames.set(record.index, {
        index: record.index,
        template_index: record.template_index,
        jpeg: new Blob([bytes(record.image)], { type: "image/jpeg" }),
        bitmap: null,
        decoding: false,
        gone: false,
      });
      this.received = record.index + 1;
      this._hooks.onsound(record.index, bytes(record.audio));
      if (this.shown < 0) this.decodeFrom(0);
    } else if (record.type === "caption") {
      this._captions.push({ at: this.received, text: record.text });
    } else if (record.type === "end") {
      this.end = record;
      this.ended = true;
    } else if (record.type === "error") {
      this.failure = problemOfRecord(record);
      this.ended = true;
    }
  }
}
