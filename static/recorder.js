// Recording oneself for an avatar: counted in, silent, read, silent. What comes out is a file like any other.

import { t } from "./i18n.js";
import { element, page } from "./page.js";
import { READING } from "./reading.js";
import { clock } from "./words.js";

const COUNT_S = 3;
const QUIET_S = 5; // with the mouth closed, at the beginning and at the end
const VIDEO_BPS = 5e6; // less where the server takes so little that a minute would not fit
const LEAST_VIDEO_BPS = 1e6;
const FITTING_S = 60;
const SOUND_BPS = 128e3;
const LONGEST_S = 300;
const ROOM = 0.9; // of what the server takes: encoders do not keep to their rate
const LOOK_MS = 100; // the ear holds more, so that nothing loud is missed between two looks
const FALL = 0.8;
const LOUD_MS = 2000; // so long it is said that it was too loud
const SMALL_PX = 480;
const LEAST_FPS = 20;
const TYPES = ["video/webm;codecs=vp8,opus", "video/webm", "video/mp4"];

let session = null;

class Recording {
  /** @param {function(File)} onuse */
  constructor(onuse) {
    this._onuse = onuse;
    this._phase = "opening"; // -> ready -> counting -> quiet -> reading -> closing -> done
    this._pieces = [];
    this._url = null;
    this._loud_ms = -Infinity;
    this._level = 0;
    this._timer = setInterval(() => this._look(), LOOK_MS);
    const most_bits = 8 * ROOM * page.uploadMb * 2 ** 20;
    this._video_bps = Math.max(LEAST_VIDEO_BPS, Math.min(VIDEO_BPS, most_bits / FITTING_S - SOUND_BPS));
    this.most_s = Math.min(LONGEST_S, Math.floor(most_bits / (this._video_bps + SOUND_BPS)));
  }

  async open() {
    const video = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 25 }, facingMode: "user" };
    const audio = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    this._say(t("Allow the camera and the microphone in the browser."));
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video, audio });
    } catch {
      this._say(t("Neither can be used: allow camera and microphone in the browser."));
      return;
    }
    if (session !== this) return stopped(stream);
    this._stream = stream;
    this._context = new AudioContext();
    this._context.resume().catch(() => {}); // the meter stands still then
    this._ear = new AnalyserNode(this._context, { fftSize: 8192 });
    this._context.createMediaStreamSource(stream).connect(this._ear);
    this._show();
  }

  /** The one large button. */
  go() {
    if (this._phase === "ready") this._enter("counting", COUNT_S);
    else if (this._phase === "reading") this._enter("closing", QUIET_S);
    else if (this._phase === "done") this._show();
  }

  use() {
    this._onuse(this._file);
    element("record").close();
  }

  close() {
    clearInterval(this._timer);
    if (this._recorder?.state === "recording") this._recorder.stop();
    if (this._stream) stopped(this._stream);
    this._context?.close();
    this._forget();
  }

  /** The camera as it is now. */
  _show() {
    this._forget();
    const picture = element("record-video");
    Object.assign(picture, { srcObject: this._stream, controls: false, muted: true });
    picture.play().catch(() => {}); // it has no sound: nothing forbids it
    const { width = 0, height = 0 } = this._stream.getVideoTracks()[0].getSettings();
    const small = Math.min(width, height) < SMALL_PX;
    const size = small ? ` ${t("This camera gives {width}x{height} pixels only; a phone's video makes a better avatar.", { width, height })}` : "";
    this._say(t("Up to {time}. Twenty seconds will do, a minute is better.", { time: clock(this.most_s) }) + size);
    this._enter("ready");
  }

  _forget() {
    if (this._url) URL.revokeObjectURL(this._url);
    this._url = null;
    element("record-video").removeAttribute("src");
  }

  _enter(phase, length_s = 0) {
    this._phase = phase;
    this._until = performance.now() + 1000 * length_s;
    const recording = ["quiet", "reading", "closing"].includes(phase);
    element("record").dataset.phase = phase;
    element("record-place").hidden = phase === "done";
    element("record-count").hidden = phase !== "counting";
    element("record-count").textContent = String(COUNT_S);
    element("record-how").hidden = recording;
    element("record-text").hidden = !recording && phase !== "counting";
    element("record-use").hidden = phase !== "done";
    const go = element("record-go");
    go.disabled = !["ready", "reading", "done"].includes(phase);
    go.textContent = phase === "reading" ? t("Finish") : phase === "done" ? t("Once more") : t("Record");
    if (phase === "counting") this._say(t("Mouth closed, look into the camera."));
    if (phase === "quiet") this._say(t("Keep your mouth closed…"));
    if (phase === "closing") this._say(t("Mouth closed again…"));
  }

  _look() {
    if (!this._ear) return;
    this._hear();
    const left_s = (this._until - performance.now()) / 1000;
    if (this._phase === "counting") element("record-count").textContent = String(Math.max(1, Math.ceil(left_s)));
    const recorded_s = this._begun ? (performance.now() - this._begun) / 1000 : 0;
    if (this._recorder?.state === "recording") element("record-time").textContent = `${clock(recorded_s)} / ${clock(this.most_s)}`;
    if (this._phase === "reading" && recorded_s > this.most_s - QUIET_S) this._enter("closing", QUIET_S);
    if (left_s > 0) return;
    if (this._phase === "counting") this._record();
    else if (this._phase === "quiet") this._enter("reading");
    else if (this._phase === "closing") this._recorder.stop();
  }

  _hear() {
    const samples = new Float32Array(this._ear.fftSize);
    this._ear.getFloatTimeDomainData(samples);
    const peak = samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
    this._level = Math.max(peak, FALL * this._level); // it rises at once and falls slowly: eyes are slower than words
    element("record-meter").value = this._level;
    if (this._phase !== "reading") return;
    if (peak > 0.99) this._loud_ms = performance.now();
    const loud = performance.now() - this._loud_ms < LOUD_MS;
    this._say(loud ? t("Too loud: move away from the microphone.") : t("Now read aloud, as you would tell a friend."));
  }

  _record() {
    const mimeType = TYPES.find((type) => MediaRecorder.isTypeSupported(type));
    const bits = { videoBitsPerSecond: this._video_bps, audioBitsPerSecond: SOUND_BPS };
    this._pieces = [];
    const recorder = new MediaRecorder(this._stream, { mimeType, ...bits });
    recorder.ondataavailable = ({ data }) => this._pieces.push(data);
    recorder.onstop = () => session === this && this._review(recorder.mimeType);
    recorder.start(1000);
    this._recorder = recorder;
    this._begun = performance.now();
    this._frames = 0;
    this._count();
    this._enter("quiet", QUIET_S);
  }

  /** How many pictures come while it records: few where it is dark or the machine is slow. */
  _count() {
    this._frames += 1;
    if (this._recorder.state !== "recording") return;
    element("record-video").requestVideoFrameCallback?.(() => this._count());
  }

  _review(type) {
    const plain = type.split(";")[0];
    this._file = new File(this._pieces, `webcam.${plain.split("/")[1]}`, { type: plain });
    this._url = URL.createObjectURL(this._file);
    Object.assign(element("record-video"), { srcObject: null, src: this._url, controls: true, muted: false });
    const fps = Math.round((1000 * this._frames) / (performance.now() - this._begun));
    const few = fps < LEAST_FPS && "requestVideoFrameCallback" in HTMLVideoElement.prototype;
    const slow = few ? ` ${t("Only {fps} pictures a second came: it is too dark, or this machine is too slow. A phone's video makes a better avatar.", { fps })}` : "";
    const mb = (this._file.size / 2 ** 20).toFixed(1);
    this._say(t("{mb} MB. Look at it: is the face sharp, and every word heard?", { mb }) + slow);
    this._enter("done");
  }

  _say(text) {
    if (element("record-said").textContent !== text) element("record-said").textContent = text;
  }
}

function stopped(stream) {
  for (const track of stream.getTracks()) track.stop();
}

function start() {
  const leave = () => {
    session?.close();
    session = null;
  };
  element("record").addEventListener("close", leave);
  window.addEventListener("pagehide", leave);
  element("record-close").addEventListener("click", () => element("record").close());
  element("record-go").addEventListener("click", () => session?.go());
  element("record-use").addEventListener("click", () => session?.use());
  element("record-text").replaceChildren(
    ...READING.map((line) => Object.assign(document.createElement("p"), { textContent: t(line) })),
  );
}

let started = false;

/** @param {function(File)} onuse */
export function openRecorder(onuse) {
  if (!started) start();
  started = true;
  element("record-time").textContent = "";
  element("record").showModal();
  session = new Recording(onuse);
  session._enter("opening");
  return session.open();
}
