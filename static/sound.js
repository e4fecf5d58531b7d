// The sound of one utterance, and with it the only clock: how many of its seconds have been heard.
//
// Chunks become AudioBufferSourceNodes that start where the one before ends, to the sample. While the context is
// suspended its time stands still, and so does everything that is scheduled on it.

const GROUP_S = 0.2; // shorter buffers cost more, longer ones delay the start
const FLUSH_BELOW_S = 0.3; // with less than this scheduled, half a group goes out
const LEAD_S = 0.05; // between the decision to start and the first sample
const FADE_S = 0.015;

/** Changes the rate of a stream, chunk by chunk, as if it were whole (linear interpolation). */
export class Resampler {
  constructor(from_hz, to_hz) {
    this._step = from_hz / to_hz;
    this._at = 0; // place of the next output sample, in input samples after `_last`
    this._last = null;
  }

  push(chunk) {
    if (chunk.length === 0) return chunk;
    const input = new Float32Array(chunk.length + 1);
    input[0] = this._last ?? chunk[0];
    input.set(chunk, 1);
    if (this._last === null) this._at = 1;
    const count = Math.max(0, Math.ceil((chunk.length - this._at) / this._step));
    const out = new Float32Array(count);
    for (let i = 0; i < count; i += 1) {
      const at = this._at + i * this._step;
      const left = Math.floor(at);
      out[i] = input[left] + (at - left) * (input[left + 1] - input[left]);
    }
    this._at += count * this._step - chunk.length;
    this._last = chunk[chunk.length - 1];
    return out;
  }
}

export class SpeechSound {
  /**
   * @param {BaseAudioContext} context
   * @param {number} rate_hz of the samples that are pushed
   */
  constructor(context, rate_hz) {
    this.context = context;
    this.pushed_s = 0;
    this.shifts = 0; // how often the schedule had to move because it had run dry
    this.output = context.createGain();
    this.output.connect(context.destination);
    this._rate_hz = rate_hz;
    this._resampler = context.sampleRate === rate_hz ? null : new Resampler(rate_hz, context.sampleRate);
    this._waiting = []; // chunks that are in no buffer yet
    this._waitingSamples = 0;
    this._scheduledSamples = 0;
    this._t0 = null; // context time of the first sample
    this._nodes = new Set();
    this.latency_s = 0; // from the context to the ear; only `pump` renews it: to look at the clock does not move it
    this._pushedSamples = 0;
    this._stopped = false;
  }

  /** The next samples, s16le. */
  push(pcm) {
    const view = new DataView(pcm.buffer, pcm.byteOffset, pcm.byteLength);
    const chunk = new Float32Array(pcm.byteLength >> 1);
    let energy = 0;
    for (let i = 0; i < chunk.length; i += 1) {
      chunk[i] = view.getInt16(2 * i, true) / 32768;
      energy += chunk[i] * chunk[i];
    }
    this._pushedSamples += chunk.length;
    this.pushed_s = this._pushedSamples / this._rate_hz;
    const ready = this._resampler ? this._resampler.push(chunk) : chunk;
    this._waiting.push(ready);
    this._waitingSamples += ready.length;
    return Math.sqrt(energy / Math.max(1, chunk.length));
  }

  get started() {
    return this._t0 !== null;
  }

  start() {
    const rate = this.context.sampleRate;
    this._t0 = Math.ceil((this.context.currentTime + LEAD_S) * rate) / rate; // on the sample grid: no interpolation
    this.pump(true);
  }

  /** Hand what waits to the context: whole groups, or everything when little is scheduled or `all` is asked for. */
  pump(all = false) {
    this._listen();
    if (!this.started || this._stopped || this._waitingSamples === 0) return;
    const rate = this.context.sampleRate;
    if (!all && this.scheduled_s > FLUSH_BELOW_S && this._waitingSamples < GROUP_S * rate) return;
    const earliest = this.context.currentTime + 0.01;
    const end = this._t0 + this._scheduledSamples / rate;
    if (end < earliest && this._scheduledSamples > 0) {
      this._t0 += Math.ceil((earliest - end) * rate) / rate;
      this.shifts += 1;
    }
    const buffer = this.context.createBuffer(1, this._waitingSamples, rate);
    let at = 0;
    for (const chunk of this._waiting) {
      buffer.copyToChannel(chunk, 0, at);
      at += chunk.length;
    }
    const node = this.context.createBufferSource();
    node.buffer = buffer;
    node.connect(this.output);
    node.onended = () => this._nodes.delete(node);
    this._nodes.add(node);
    node.start(this._t0 + this._scheduledSamples / rate);
    this._scheduledSamples += at;
    this._waiting.length = 0;
    this._waitingSamples = 0;
  }

  /** Seconds between now and the end of what is scheduled. */
  get scheduled_s() {
    return this._t0 + this._scheduledSamples / this.context.sampleRate - this.context.currentTime;
  }

  /** Which second of the utterance is heard now; negative before its first. */
  get position_s() {
    return this.started ? this.context.currentTime - this.latency_s - this._t0 : -Infinity;
  }

  _listen() {
    const reported = this.context.outputLatency || this.context.baseLatency || 0;
    if (this.latency_s === 0) this.latency_s = reported;
    else if (this.context.state === "running") this.latency_s += 0.05 * (reported - this.latency_s); // the report jitters
  }

  /** Silence at once, without a click. */
  stop() {
    if (this._stopped) return;
    this._stopped = true;
    this._waiting.length = 0;
    const now = this.context.currentTime;
    this.output.gain.setValueAtTime(1, now);
    this.output.gain.linearRampToValueAtTime(0, now + FADE_S);
    for (const node of this._nodes) node.stop(now + FADE_S);
    setTimeout(() => this.output.disconnect(), 1000 * FADE_S + 200);
  }
}
