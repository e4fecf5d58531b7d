// A take that is here, played again: an audio element is its clock, so it can be paused, sought and slowed down.

import { FrameWindow } from "./frame_window.js";

export class Replay {
  /**
   * @param {Take} take
   * @param {{from_s: number, speed: number, paused: boolean, onstate: function(string)}} with_
   */
  constructor(take, { from_s, speed, paused, onstate }) {
    this.take = take;
    this.window = new FrameWindow(take.pictures);
    this.sound = null; // no AudioContext is used
    this.fade = 4;
    this.numbers = null;
    this.asked_ms = performance.now();
    this.seekable = true;
    this.sounding = true;
    this.over = false;
    this._onstate = onstate;
    this._url = URL.createObjectURL(take.wav());
    this._audio = new Audio(this._url);
    this._audio.preservesPitch = true;
    this._audio.addEventListener("ended", () => (this.over = true));
    this.speed = speed;
    this.seek(from_s);
    if (paused) onstate("paused");
    else this.resume();
  }

  get paused() {
    return this._audio.paused && !this.over;
  }

  get position_s() {
    return this.over ? this.take.duration_s : this._audio.currentTime;
  }

  set speed(speed) {
    this._audio.playbackRate = speed;
  }

  seek(to_s) {
    const most_s = this.take.duration_s - 1 / this.take.fps;
    const at_s = Math.max(0, Math.min(to_s, most_s));
    this._audio.currentTime = at_s;
    this.window.seek(Math.floor(at_s * this.take.fps + 1e-6));
  }

  pause() {
    this._audio.pause();
    this._onstate("paused");
  }

  resume() {
    this._onstate("replaying");
    this._audio.play().catch((error) => {
      if (error.name !== "AbortError") this._onstate("paused"); // the browser wants a click first
    });
  }

  stop() {
    this._audio.pause();
    this._audio.removeAttribute("src");
    this.window.close();
    URL.revokeObjectURL(this._url);
  }

  pump() {
    this.window.heard(Math.floor(this.position_s * this.take.fps));
  }
}
