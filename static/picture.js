// The canvas the avatar is drawn on.

export class Picture {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this._canvas = canvas;
    this._context = canvas.getContext("2d", { alpha: false });
  }

  /** Draw over what is there; with alpha below 1 the two are mixed. */
  draw(bitmap, alpha) {
    if (this._canvas.width !== bitmap.width || this._canvas.height !== bitmap.height) {
      this._canvas.width = bitmap.width;
      this._canvas.height = bitmap.height;
    }
    this._context.globalAlpha = alpha;
    this._context.drawImage(bitmap, 0, 0);
  }
}
