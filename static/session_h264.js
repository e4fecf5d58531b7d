// The pictures of a live session as one video, decoded by the browser (WebCodecs): a fifth of the bytes of JPEG.
//
// An access unit may need those before it, so every frame that comes is decoded, in order, also one that comes too
// late to be shown; but not long before it is due, for pictures are large.

import { keep } from "./session_screen.js";

const SEQUENCE_PARAMETERS = 7;
const SLOW_MBIT = 3; // what JPEG needs, and some air

/** The tiers to ask for: patches are the cheapest to make; on a slow network, and where a browser can, the video. */
export async function tiersHere({ connection } = navigator) {
  const slow = connection && (connection.saveData || connection.downlink < SLOW_MBIT);
  return slow && (await decodesH264()) ? ["h264", "patch", "jpeg"] : ["patch", "jpeg"];
}

/** Does this browser decode it here? Only in a secure context: https, or this machine itself. */
export async function decodesH264() {
  if (!("VideoDecoder" in window)) return false;
  const { supported } = await VideoDecoder.isConfigSupported({ codec: "avc1.640028" });
  return supported;
}

export class H264Pictures {
  constructor() {
    this._decoder = null;
    this._waiting = []; // frames that came and are not given to the decoder, with their access units
    this._decoding = new Map(); // sequence -> frame
  }

  /** A frame came. */
  add(frame) {
    this._waiting.push({ frame, unit: frame.picture });
  }

  /** Decode up to this frame; then it has a bitmap. */
  until(frame) {
    const count = this._waiting.findIndex((waiting) => waiting.frame === frame) + 1;
    for (const { frame: given, unit } of this._waiting.splice(0, count)) {
      if (given.key) this._begin(unit);
      if (this._decoder?.state !== "configured") continue; // it failed: the next key picture begins anew
      this._decoding.set(given.sequence, given);
      const type = given.key ? "key" : "delta";
      this._decoder.decode(new EncodedVideoChunk({ type, timestamp: given.sequence, data: unit }));
    }
  }

  /** What came and was not decoded belongs to what was interrupted. */
  clear() {
    this._waiting = [];
  }

  close() {
    this.clear();
    if (this._decoder && this._decoder.state !== "closed") this._decoder.close();
    this._decoder = null;
  }

  _begin(unit) {
    if (this._decoder?.state === "configured") return;
    this._decoder = new VideoDecoder({
      output: (picture) => this._take(picture),
      error: () => this._decoding.clear(), // the last picture stays, until the next key picture
    });
    this._decoder.configure({ codec: codecOf(unit), optimizeForLatency: true });
  }

  _take(picture) {
    const frame = this._decoding.get(picture.timestamp);
    this._decoding.delete(picture.timestamp);
    if (!frame || frame.gone) return picture.close();
    createImageBitmap(picture) // its own memory, for a decoder has few pictures
      .then((bitmap) => keep(frame, bitmap))
      .finally(() => picture.close());
  }
}

/** The name of a coding, as its sequence parameters say: profile, constraints and level. */
function codecOf(unit) {
  for (let at = 0; at + 6 < unit.length; at += 1) {
    const begins = unit[at] === 0 && unit[at + 1] === 0 && unit[at + 2] === 1;
    if (!begins || (unit[at + 3] & 31) !== SEQUENCE_PARAMETERS) continue;
    return `avc1.${[...unit.slice(at + 4, at + 7)].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
  }
  throw new Error("a key picture has no sequence parameters");
}
