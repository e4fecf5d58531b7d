// The one AudioContext of the page. Browsers let it run only after a click or a key.

const ANSWER_MS = 700; // a context that may run is running after this time

export class AudioOutput {
  constructor() {
    this.context = null;
  }

  /** Call this inside the click or key handler: from here on the page may be heard. */
  unlock(rate_hz = 16000) {
    if (!this.context) this.context = this._create(rate_hz);
    this.context.resume().catch(() => {}); // answered by `running`
  }

  /** A context at this rate if the browser can, else the one there is (the sound is then resampled by us). */
  at(rate_hz) {
    if (this.context?.sampleRate === rate_hz) return this.context;
    const before = this.context;
    this.context = this._create(rate_hz);
    before?.close().catch(() => {});
    return this.context;
  }

  /** Does it run now, or shortly after being asked to? */
  async running() {
    const context = this.context;
    if (context.state === "running") return true;
    const timeout = new Promise((resolve) => setTimeout(resolve, ANSWER_MS));
    await Promise.race([context.resume().catch(() => {}), timeout]);
    return context.state === "running";
  }

  /** Nobody speaks: let the device sleep. */
  rest() {
    if (this.context?.state === "running") this.context.suspend().catch(() => {});
  }

  _create(rate_hz) {
    const Context = window.AudioContext ?? window.webkitAudioContext;
    try {
      return new Context({ sampleRate: rate_hz, latencyHint: "interactive" });
    } catch {
      return new Context({ latencyHint: "interactive" }); // this browser or device has one rate only
    }
  }
}
