// What is said when: at most two lines at a time, on the page and as subtitle files.

const LINE = 42; // units; the usual limit of subtitles, and half as many Chinese characters
const MOST = 2 * LINE;
const UNITS_PER_S = 14; // a guess, while the end of a sentence is not known

const WIDE = /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u;

const widthOf = (character) => (/\p{Mn}/u.test(character) ? 0 : WIDE.test(character) ? 2 : 1);

/** How wide a text is: a letter is one, a Chinese character two. */
const unitsOf = (text) => [...text].reduce((sum, character) => sum + widthOf(character), 0);

/** The longest beginning of at most so many units. */
function headOf(text, most) {
  let [used, head] = [0, ""];
  for (const character of text) {
    used += widthOf(character);
    if (used > most) break;
    head += character;
  }
  return head;
}

/** A sentence in parts of at most two lines, cut where one would pause. */
export function partsOf(text, most = MOST) {
  const parts = [];
  let rest = text.trim();
  while (unitsOf(rest) > most) {
    const head = headOf(rest, most);
    const cut = cutOf(head);
    parts.push(rest.slice(0, cut).trim());
    rest = rest.slice(cut).trim();
  }
  if (rest) parts.push(rest);
  return parts;
}

/** After the last pause of the second half, else the last space, else anywhere. */
function cutOf(head) {
  const half = head.length / 2;
  for (const pattern of [/[.!?;:,…—][\s]|[。！？；：，、]/gu, /\s/gu]) {
    const found = [...head.matchAll(pattern)].map((match) => match.index + match[0].length).filter((at) => at > half);
    if (found.length > 0) return found.at(-1);
  }
  return head.length;
}

const weight = (text) => Math.max(1, unitsOf(text));

/**
 * The captions of a take in order, seconds. Inside a sentence time is shared by width.
 * @returns {{from_s: number, to_s: number, text: string}[]}
 */
export function cuesOf({ captions, fps, duration_s, whole }) {
  const cues = [];
  captions.forEach(({ at, text }, i) => {
    const from_s = at / fps;
    const parts = partsOf(text);
    const total = parts.reduce((sum, part) => sum + weight(part), 0);
    const guessed_s = Math.max(from_s + total / UNITS_PER_S, duration_s);
    const to_s = captions[i + 1] ? captions[i + 1].at / fps : whole ? duration_s : guessed_s;
    let begun = 0;
    for (const part of parts) {
      const time = (count) => from_s + ((to_s - from_s) * count) / total;
      cues.push({ from_s: time(begun), to_s: time(begun + weight(part)), text: part });
      begun += weight(part);
    }
  });
  return cues.filter(({ from_s, to_s }) => to_s > from_s);
}

function stamp(s, comma) {
  const ms = Math.round(1000 * s);
  const two = (value) => String(value).padStart(2, "0");
  const whole = `${two(Math.floor(ms / 3600000))}:${two(Math.floor(ms / 60000) % 60)}:${two(Math.floor(ms / 1000) % 60)}`;
  return `${whole}${comma}${String(ms % 1000).padStart(3, "0")}`;
}

/** A part on one line or two of like length. */
export function inLines(text) {
  const units = unitsOf(text);
  if (units <= LINE) return text;
  const middle = headOf(text, Math.ceil(units / 2)).length;
  const after = text.indexOf(" ", middle);
  const before = text.lastIndexOf(" ", middle);
  const cut = after >= 0 && (before < 0 || after - middle <= middle - before) ? after : before;
  if (cut < 0) return `${text.slice(0, middle)}\n${text.slice(middle)}`;
  return `${text.slice(0, cut)}\n${text.slice(cut + 1)}`;
}

export function toSrt(cues) {
  return cues.map(({ from_s, to_s, text }, i) => `${i + 1}\n${stamp(from_s, ",")} --> ${stamp(to_s, ",")}\n${inLines(text)}\n`).join("\n");
}

export function toVtt(cues) {
  const escaped = (text) => inLines(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  return `WEBVTT\n\n${cues.map(({ from_s, to_s, text }) => `${stamp(from_s, ".")} --> ${stamp(to_s, ".")}\n${escaped(text)}\n`).join("\n")}`;
}
