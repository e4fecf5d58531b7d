// What was on screen when: enough to measure lip sync from outside, bounded in memory.

const KEEP = 2048;

export class ShownLog {
  constructor() {
    this._entries = [];
    this._at = 0;
  }

  /** @param {{kind: string, index: number, template_index: number, clock_s: number|null}} entry */
  add(entry) {
    const stamped = { ...entry, at_ms: performance.now() };
    if (this._entries.length < KEEP) this._entries.push(stamped);
    else this._entries[this._at] = stamped;
    this._at = (this._at + 1) % KEEP;
  }

  /** Oldest first. */
  all() {
    const full = this._entries.length === KEEP;
    return full ? [...this._entries.slice(this._at), ...this._entries.slice(0, this._at)] : [...this._entries];
  }

  /** How far after its time each spoken frame was drawn, since `from_ms`; and the log itself, oldest first. */
  measure(from_ms) {
    const shown = this.all();
    const speech = shown.filter((entry) => entry.kind === "speech" && entry.at_ms >= from_ms);
    const skew_ms = speech.map((entry) => 1000 * (entry.clock_s - entry.index / entry.fps));
    return { skew_p50_ms: quantile(skew_ms, 0.5), skew_p95_ms: quantile(skew_ms.map(Math.abs), 0.95), shown };
  }
}

/** The value below which `share` of the values lie. */
function quantile(values, share) {
  if (values.length === 0) return null;
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}
