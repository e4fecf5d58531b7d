// Hands on what a microphone hears, in pieces of about 20 ms.

const SAMPLES = 1024;

class Heard extends AudioWorkletProcessor {
  constructor() {
    super();
    this._piece = new Int16Array(SAMPLES);
    this._filled = 0;
  }

  process([[channel]]) {
    for (const value of channel ?? []) {
      this._piece[this._filled++] = Math.max(-1, Math.min(1, value)) * 32767;
      if (this._filled < SAMPLES) continue;
      this.port.postMessage(this._piece);
      this._filled = 0;
    }
    return true;
  }
}

registerProcessor("heard", Heard);
