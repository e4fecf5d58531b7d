// One take: everything an answer of the server was made of, kept while the page is open and in its store afterwards.

import { waveHeader } from "./wave_file.js";

const LEAST_FRAMES = 12; // what was stopped earlier is not worth a place in the strip

export class Take {
  /** @param {{avatar: string, text?: string, label?: string, voice?: string, speed?: number, lang?: string}} asked */
  constructor(asked) {
    this.id = `${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 8)}`;
    this.made_ms = Date.now();
    this.asked = asked;
    this.header = null;
    this.end = null; // the `end` record; null: it was stopped or broke
    this.pictures = []; // Blob of every frame, JPEG
    this.templates = []; // template index of every frame
    this.levels = []; // loudness of every frame
    this.held = 0; // frames that show the mouth of the frame before them, because the server is too slow
    this.captions = []; // {at, text}: a sentence begins with frame `at`
    this._sounds = []; // bytes of every frame, s16le
    this._stored = null; // the sound of a take out of the store
  }

  get frames() {
    return this.pictures.length;
  }

  get fps() {
    return this.header?.fps ?? 25;
  }

  get duration_s() {
    return this.frames / this.fps;
  }

  /** What it is called: its words, or the name of the recording. */
  get words() {
    return this.asked.text || this.asked.label || "";
  }

  get worthKeeping() {
    return this.frames >= LEAST_FRAMES;
  }

  add(record, picture, pcm, level) {
    this.pictures.push(picture);
    this.templates.push(record.template_index);
    this.levels.push(level);
    this.held += record.held ? 1 : 0;
    this._sounds.push(pcm);
  }

  /** Its sound, s16le. @returns {Blob} */
  sound() {
    return this._stored ?? new Blob(this._sounds);
  }

  /** Its sound as a file that an audio element plays. @returns {Blob} */
  wav() {
    const sound = this.sound();
    return new Blob([waveHeader(sound.size, this.header.sample_rate), sound], { type: "audio/wav" });
  }

  /** What the store keeps: few large pieces instead of many small ones. */
  toStored() {
    const { id, made_ms, asked, header, end, captions, templates, levels } = this;
    const thumbnail = this.pictures[Math.floor(this.frames / 2)];
    const sizes = this.pictures.map(({ size }) => size);
    const pictures = new Blob(this.pictures);
    return { id, made_ms, asked, header, end, captions, templates, levels, thumbnail, sizes, pictures, sound: this.sound() };
  }

  static fromStored(stored) {
    const take = new Take(stored.asked);
    const { id, made_ms, header, end, captions, templates, levels } = stored;
    Object.assign(take, { id, made_ms, header, end, captions, templates, levels, _stored: stored.sound });
    let at = 0;
    take.pictures = stored.sizes.map((size) => stored.pictures.slice(at, (at += size), "image/jpeg"));
    return take;
  }
}
