// The avatar's closed-mouth frames: fetched in pieces, kept as they came, decoded just before they are shown.

import { problemOf } from "./api.js";
import { bytes, records } from "./ndjson.js";

const PIECE_FRAMES = 25;
const REACH_FRAMES = 250; // ten seconds to each side: bounds what a long template costs page and server
const AT_ONCE = 2; // pieces ahead of the walk
const BEHIND = 3; // a piece behind the walk is as far away as one that lies so many pieces further ahead
const PACE_MS = 500; // half of what a piece lasts
const DECODED_AHEAD = 4;
const RETRY_FIRST_MS = 1000;
const RETRY_LAST_MS = 30000;

export class IdleFrames {
  /**
   * @param {string} avatar
   * @param {{onerror: function(Error), onrecovered: function}} hooks
   * @param {{pace_ms?: number, transparent?: boolean}} how the time from one piece that lies further away to the next,
   *   0 where speech is drawn over them; whether what is behind the person is left out
   */
  constructor(avatar, hooks, { pace_ms = PACE_MS, transparent = false } = {}) {
    this.avatar = avatar;
    this.first = 0; // where the walk begins, as the server's does
    this.header = null; // fps, width, height, frames, low, high
    this._hooks = hooks;
    this._pace_ms = pace_ms;
    this._transparent = transparent;
    this._coded = new Map(); // template index -> bytes; a Blob from its first time on screen on
    this._decoded = new Map(); // template index -> {bitmap | null}
    this._anchor = 0;
    this._near = 0;
    this._direction = 1; // of the walk
    this._paused = false;
    this._closed = false;
    this._abort = new AbortController(); // of the piece that is being fetched
    this._wake = null;
    this._load();
  }

  get low() {
    return Math.max(this.header.low, Math.min(this._anchor - REACH_FRAMES, this.header.high));
  }

  get high() {
    return Math.min(this.header.high, Math.max(this._anchor + REACH_FRAMES, this.header.low));
  }

  has(index) {
    return this._coded.has(index);
  }

  /** The loaded frame that is closest to another one, or null. */
  nearest(index) {
    let best = null;
    for (const known of this._coded.keys()) {
      if (best === null || Math.abs(known - index) < Math.abs(best - index)) best = known;
    }
    return best;
  }

  get loaded() {
    return this._coded.size;
  }

  /** Stay around this frame from now on: fetch what is missing there, forget what is far away. */
  anchor(index) {
    this._anchor = index;
    this._near = index;
    const may = this.has(index); // else what is far away is all there is
    for (const known of may ? this._coded.keys() : []) {
      if (Math.abs(known - index) > REACH_FRAMES + PIECE_FRAMES) this._coded.delete(known);
    }
    this._wakeUp();
  }

  /** While somebody speaks the server has better things to do than to draw idle frames. */
  pause(paused) {
    this._paused = paused;
    if (paused) this._abort.abort();
    this._wakeUp();
  }

  /** The picture of a frame, or null while it is being decoded; decodes the ones that follow. */
  picture(index, direction) {
    [this._near, this._direction] = [index, direction];
    for (let ahead = 0; ahead <= DECODED_AHEAD; ahead += 1) {
      this._decode(index + ahead * direction);
      if (ahead <= 1) this._decode(index - ahead * direction); // the walk may turn
    }
    for (const [known, entry] of this._decoded) {
      if (Math.abs(known - index) > DECODED_AHEAD + 1) {
        entry.dropped = true;
        entry.bitmap?.close();
        this._decoded.delete(known);
      }
    }
    return this.decoded(index);
  }

  /** The picture of a frame if it is decoded, or null; changes nothing. */
  decoded(index) {
    return this._decoded.get(index)?.bitmap ?? null;
  }

  close() {
    this._closed = true;
    this._abort.abort();
    this._wakeUp();
    for (const entry of this._decoded.values()) {
      entry.dropped = true;
      entry.bitmap?.close();
    }
    this._decoded.clear();
    this._coded.clear();
  }

  _decode(index) {
    const coded = this._coded.get(index);
    if (!coded || this._decoded.has(index)) return;
    const entry = { bitmap: null, dropped: false };
    this._decoded.set(index, entry);
    // To make a Blob takes longer than to read its bytes: one with a picture, not twenty-five at once with a piece.
    const blob = coded instanceof Blob ? coded : new Blob([coded], { type: this.header.media });
    this._coded.set(index, blob);
    createImageBitmap(blob).then(
      (bitmap) => {
        if (entry.dropped) bitmap.close();
        else entry.bitmap = bitmap;
      },
      () => this._coded.delete(index), // not a picture: treated as missing
    );
  }

  async _load() {
    let delay_ms = RETRY_FIRST_MS;
    let failing = false;
    let begun_ms = -Infinity;
    while (!this._closed) {
      const missing = this._missing();
      const rest_ms = missing === null ? Infinity : missing.far > AT_ONCE ? begun_ms + this._pace_ms - performance.now() : 0;
      if (rest_ms > 0) {
        await this._rest(rest_ms);
        continue;
      }
      this._abort = new AbortController();
      begun_ms = performance.now();
      try {
        await this._fetchPiece(missing.first, this._abort.signal);
        if (failing) this._hooks.onrecovered();
        failing = false;
        delay_ms = RETRY_FIRST_MS;
      } catch (error) {
        if (this._abort.signal.aborted) continue;
        if (!failing) this._hooks.onerror(error);
        failing = true;
        await new Promise((resolve) => setTimeout(resolve, delay_ms));
        delay_ms = Math.min(delay_ms * 2, RETRY_LAST_MS);
      }
    }
  }

  /** Until something changes, or so long. */
  async _rest(rest_ms) {
    const timer = Number.isFinite(rest_ms) ? setTimeout(() => this._wakeUp(), rest_ms) : 0;
    await new Promise((resolve) => (this._wake = resolve));
    clearTimeout(timer);
  }

  _wakeUp() {
    this._wake?.();
    this._wake = null;
  }

  /** The first frame of the nearest piece that is not complete and how many pieces away it is, or null. */
  _missing() {
    if (this.header === null) return { first: 0, far: 0 };
    const pieceOf = (index) => Math.floor(index / PIECE_FRAMES);
    const from = pieceOf(Math.max(0, Math.min(this._near, this.low)));
    const to = pieceOf(Math.max(this._near, this.high));
    const here = pieceOf(this._near);
    let nearest = null;
    for (let piece = from; piece <= to; piece += 1) {
      const ahead = (piece - here) * this._direction;
      const far = ahead < 0 ? BEHIND - ahead : ahead;
      if ((nearest === null || far < nearest.far) && !this._complete(piece)) nearest = { first: piece * PIECE_FRAMES, far };
    }
    return this._paused && nearest?.far > 0 ? null : nearest;
  }

  _complete(piece) {
    const end = Math.min((piece + 1) * PIECE_FRAMES, this.header.frames);
    for (let index = piece * PIECE_FRAMES; index < end; index += 1) if (!this._coded.has(index)) return false;
    return true;
  }

  async _fetchPiece(first, signal) {
    const query = new URLSearchParams({ avatar: this.avatar, first, count: PIECE_FRAMES });
    if (this._transparent) query.set("transparent", true);
    const response = await fetch(`/avatar/frames?${query}`, { signal });
    if (!response.ok) throw await problemOf(response);
    let ended = false;
    for await (const record of records(response.body)) {
      if (record.type === "header" && this.header === null) {
        this.header = record;
      } else if (record.type === "frame") {
        this._coded.set(record.template_index, bytes(record.image));
      } else if (record.type === "error") {
        throw new Error(record.problem?.detail ?? "the server could not draw the idle frames");
      } else if (record.type === "end") {
        ended = true;
      }
    }
    if (!ended) throw new Error("the connection broke while the idle frames were loading");
    if (!this._complete(Math.floor(first / PIECE_FRAMES))) throw new Error("the server sent too few idle frames");
  }
}
