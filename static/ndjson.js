// One JSON object per line, read while it arrives. Linear in the data: every character is looked at once.

export class LineSplitter {
  constructor() {
    this._parts = []; // pieces of the line that has not ended yet
  }

  /** Take the next piece of text; returns the lines that it completes, without their newline. */
  push(text) {
    const lines = [];
    let from = 0;
    for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", from)) {
      this._parts.push(text.slice(from, at));
      lines.push(this._parts.join(""));
      this._parts.length = 0;
      from = at + 1;
    }
    if (from < text.length) this._parts.push(text.slice(from));
    return lines;
  }

  /** What stands after the last newline. */
  end() {
    const rest = this._parts.join("");
    this._parts.length = 0;
    return rest;
  }
}

/**
 * The objects of an NDJSON body. Nothing is read ahead of the consumer, so a consumer that waits makes the
 * server wait. Leaving the loop early cancels the body.
 */
export async function* records(body) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const splitter = new LineSplitter();
  let finished = false;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      const lines = splitter.push(decoder.decode(value, { stream: !done }));
      if (done) lines.push(splitter.end());
      for (const line of lines) if (line.trim() !== "") yield JSON.parse(line);
      if (done) {
        finished = true;
        return;
      }
    }
  } finally {
    if (!finished) reader.cancel().catch(() => {}); // already aborted: nothing left to cancel
  }
}

/** Base64 to bytes. */
export function bytes(base64) {
  if (typeof Uint8Array.fromBase64 === "function") return Uint8Array.fromBase64(base64);
  const binary = atob(base64);
  const out = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i += 1) out[i] = binary.charCodeAt(i);
  return out;
}
