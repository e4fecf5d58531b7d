// /embed?transparent=1: the person alone, on whatever the other page has behind the frame. Speech is a live session,
// whose patches are drawn inside the person's outline; until the first click one picture of the avatar needs none.

import { problemOf } from "./api.js";
import { bytes, records } from "./ndjson.js";
import { LiveSession } from "./session.js";
import { LivePlayer } from "./session_player.js";

export class TransparentPlayer extends EventTarget {
  /**
   * Events: state ("idle" or another), caption (what is being said, "" when nothing is), failed.
   * @param {HTMLCanvasElement} canvas
   */
  constructor(canvas) {
    super();
    this.live = null;
    this._canvas = canvas;
    this._avatar = "";
    this._captions = []; // of what is being said
  }

  get state() {
    return this.live?.state ?? "idle";
  }

  /**
   * Show the first picture.
   * @param {string} avatar a film that was copied before one colour
   */
  async open(avatar) {
    this._avatar = avatar;
    const query = new URLSearchParams({ avatar: this._avatar, first: 0, count: 1, transparent: true });
    const response = await fetch(`/avatar/frames?${query}`);
    if (!response.ok) throw await problemOf(response);
    let type = "";
    for await (const record of records(response.body)) {
      if (record.type === "header") type = record.media;
      if (record.type !== "frame") continue;
      const bitmap = await createImageBitmap(new Blob([bytes(record.image)], { type }));
      [this._canvas.width, this._canvas.height] = [bitmap.width, bitmap.height];
      this._canvas.getContext("2d").drawImage(bitmap, 0, 0);
      bitmap.close();
    }
  }

  /** Call this inside a click handler. */
  async say(text, voice) {
    const session = new LiveSession({ avatar: this._avatar, tiers: ["patch"] });
    const live = this.live ?? new LivePlayer(this._canvas, session, { transparent: true });
    live.unlock();
    if (!this.live) {
      this.live = live;
      live.addEventListener("state", ({ detail }) => this._tell("state", detail.state));
      live.addEventListener("caption", ({ detail }) => this._captions.push(detail));
      live.addEventListener("shown", ({ detail }) => this._shown(detail.index));
      live.addEventListener("finished", () => this._rest());
      live.addEventListener("problem", ({ detail }) => this._tell("failed", detail.problem));
      live.addEventListener("closed", () => this._over());
      await live.open();
    }
    live.speak(text, { voice });
  }

  stop() {
    this.live.cancel();
    this._rest();
  }

  _shown(index) {
    const caption = this._captions.findLast((told) => told.index <= index);
    this._tell("caption", caption?.text ?? "");
  }

  _rest() {
    this._captions = [];
    this._tell("caption", "");
  }

  _over() {
    this.live = null;
    this._rest();
    this._tell("state", "idle");
  }

  _tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
