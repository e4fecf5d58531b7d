// The loudness of what has been made, and how much of it has been heard.

const BAR_PX = 3;
const GAP_PX = 2;

export class Waveform {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this._canvas = canvas;
    this._draw2d = canvas.getContext("2d");
    this._levels = [];
    this._expected = 0;
    this._played = 0;
    this._asked = false;
    new ResizeObserver(() => this._ask()).observe(canvas);
    document.addEventListener("themechange", () => this._ask());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this._ask());
  }

  /** @param {number} expected frames, a guess until `end` */
  begin(expected) {
    this._levels = [];
    this._expected = expected;
    this._played = 0;
    this._ask();
  }

  /** All there is of a take. @param {number[]} levels */
  show(levels) {
    this.begin(levels.length);
    this._levels = [...levels];
  }

  level(index, level) {
    this._levels[index] = level;
    this._ask();
  }

  played(frames) {
    this._played = frames;
    this._ask();
  }

  /** No more will come. */
  end() {
    this._expected = this._levels.length;
    this._ask();
  }

  _ask() {
    if (this._asked) return;
    this._asked = true;
    requestAnimationFrame(() => {
      this._asked = false;
      this._paint();
    });
  }

  _paint() {
    const canvas = this._canvas;
    const scale = window.devicePixelRatio || 1;
    const [width, height] = [Math.round(canvas.clientWidth * scale), Math.round(canvas.clientHeight * scale)];
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const style = getComputedStyle(canvas);
    const colours = ["--accent", "--line-strong", "--line"].map((name) => style.getPropertyValue(name));
    const pitch = (BAR_PX + GAP_PX) * scale;
    const bars = Math.max(1, Math.floor(width / pitch));
    const frames = Math.max(this._expected, this._levels.length, 1);
    this._draw2d.clearRect(0, 0, width, height);
    for (let bar = 0; bar < bars; bar += 1) {
      const from = Math.floor((bar * frames) / bars);
      const to = Math.max(from + 1, Math.floor(((bar + 1) * frames) / bars));
      let level = -1;
      for (let i = from; i < Math.min(to, this._levels.length); i += 1) level = Math.max(level, this._levels[i] ?? 0);
      const made = level >= 0;
      const size = made ? Math.max(4 * scale, Math.min(1, Math.sqrt(level) * 1.5) * height) : 4 * scale;
      this._draw2d.fillStyle = made ? (from < this._played ? colours[0] : colours[1]) : colours[2];
      this._draw2d.beginPath();
      this._draw2d.roundRect(bar * pitch, (height - size) / 2, BAR_PX * scale, size, (BAR_PX * scale) / 2);
      this._draw2d.fill();
    }
  }
}
