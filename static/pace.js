// How fast a take arrives, and from when on it can be played once without a stop.
//
// Faster than it is heard: at once. Slower: when so much is here that the rest arrives while this is heard.

const START_S = 0.24; // buffered before the first sound, at least
const SURE_RATE = 2; // believed after the first frames
const FAST_RATE = 1.1; // believed after a second
const MEASURE_S = 1;
const MARGIN = 1.2; // on what the rest is guessed to need
const TAIL_S = 0.5; // a guess of the whole length that is exceeded is off by this at least
const REBUFFER_S = 0.3; // after a stop of a fast stream; more after each further one, up to...
const REBUFFER_MOST_S = 1.8;

export class Pace {
  /** @param {number} expected_s how long the take will be, a guess; 0: nobody knows */
  constructor(expected_s) {
    this.expected_s = expected_s;
    this._stops = 0;
    this._first = null; // {frames, at_ms} since when the rate is measured
    this._frames = 0;
    this._fps = 25;
  }

  /** A frame is here. */
  frame(count, fps, now_ms) {
    this._first ??= { frames: count, at_ms: now_ms };
    this._frames = count;
    this._fps = fps;
    this._last_ms = now_ms;
  }

  /** It ran dry: what was measured before is no use any more. */
  stopped() {
    this._stops += 1;
    this._first = null;
  }

  /** Seconds of the take per second, since it began or last ran dry; null while unknown. */
  rate(now_ms) {
    if (!this._first || this._frames === this._first.frames) return null;
    const elapsed_s = (now_ms - this._first.at_ms) / 1000;
    return (this._frames - this._first.frames) / this._fps / Math.max(elapsed_s, 1e-3);
  }

  /**
   * @param {number} buffered_s here and not heard yet
   * @returns {{go: boolean, wait_s: number | null}} wait_s: null while it is measured, Infinity where nobody knows
   */
  decide(buffered_s, now_ms) {
    const least_s = this._stops ? Math.min(REBUFFER_S * this._stops, REBUFFER_MOST_S) : START_S;
    const elapsed_s = this._first ? (now_ms - this._first.at_ms) / 1000 : 0;
    const rate = this.rate(now_ms);
    if (rate === null) return { go: false, wait_s: null };
    const fast = rate >= (elapsed_s < MEASURE_S ? SURE_RATE : FAST_RATE);
    if (fast) return { go: buffered_s >= least_s, wait_s: null };
    if (elapsed_s < MEASURE_S) return { go: false, wait_s: null };
    const received_s = this._frames / this._fps;
    if (!this.expected_s || this._stops > 1) return { go: false, wait_s: this.expected_s ? this._untilEnd(rate) : Infinity };
    const rest_s = Math.max(this.expected_s * MARGIN - received_s, TAIL_S);
    const share = Math.max(0, 1 / rate - 1) * MARGIN;
    const needed_s = Math.max(rest_s * share, least_s);
    if (buffered_s >= needed_s) return { go: true, wait_s: 0 };
    return { go: false, wait_s: Math.max((rest_s * share - buffered_s) / (rate * (1 + share)), 0.1) };
  }

  _untilEnd(rate) {
    return Math.max(this.expected_s - this._frames / this._fps, TAIL_S) / rate;
  }
}
