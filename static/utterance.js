// One answer of the server while it arrives: it becomes a take.

import { asProblem, Problem, problemOfRecord } from "./api.js";
import { bytes, records } from "./ndjson.js";

const AHEAD_S = 20; // the stream is not read further than this ahead of what is heard

export class Utterance {
  /**
   * @param {Take} take what is received goes into it
   * @param {{onheader: function(object), onsound: function(number, Uint8Array): number}} hooks
   *   onheader may return a promise; frames wait for it. onsound returns how loud a frame is.
   */
  constructor(take, hooks) {
    this.take = take;
    this.failure = null; // a Problem, when it stopped before its end
    this.ended = false;
    this.freely = false; // somebody pauses or waits: read on, so that the server's place becomes free
    this._hooks = hooks;
    this._abort = new AbortController();
    this._due = 0;
    this._room = null;
  }

  /** @param {function(AbortSignal): Promise<Response>} open */
  async read(open) {
    const { signal } = this._abort;
    try {
      const response = await open(signal);
      for await (const record of records(response.body)) {
        await this._take(record);
        if (this.ended || signal.aborted) break;
        while (this._isFar() && !signal.aborted) await new Promise((resolve) => (this._room = resolve));
        if (signal.aborted) break;
      }
      if (!this.take.end && !this.failure && !signal.aborted) {
        throw new Problem({ title: "The connection broke", detail: "The answer stopped before its end. Try again." });
      }
    } catch (error) {
      if (!signal.aborted) this.failure = asProblem(error);
    } finally {
      this.ended = true;
    }
  }

  /** Stop reading: the server sees the connection close. */
  abort() {
    this._abort.abort();
    this._room?.();
  }

  /** The sound has come to frame `due`: make room for more. */
  heard(due) {
    this._due = Math.max(0, due);
    if (this._isFar()) return;
    this._room?.();
    this._room = null;
  }

  _isFar() {
    return !this.freely && this.take.frames - this._due > AHEAD_S * this.take.fps;
  }

  async _take(record) {
    const { take } = this;
    if (record.type === "header") {
      take.header = record;
      await this._hooks.onheader(record);
    } else if (record.type === "frame") {
      if (!take.header) throw new Problem({ title: "The answer cannot be played", detail: "It has no header." });
      const pcm = bytes(record.audio);
      const picture = new Blob([bytes(record.image)], { type: "image/jpeg" });
      take.add(record, picture, pcm, this._hooks.onsound(record.index, pcm));
    } else if (record.type === "caption") {
      take.captions.push({ at: take.frames, text: record.text });
    } else if (record.type === "end") {
      take.end = record;
      this.ended = true;
    } else if (record.type === "error") {
      this.failure = problemOfRecord(record);
      this.ended = true;
    }
  }
}
