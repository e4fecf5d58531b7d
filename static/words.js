// Names and times, as people read them.

/** "demo_presenter" -> "Demo presenter" */
export function titleOf(name) {
  const words = name.replace(/[_-]+/g, " ").trim();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** 83.4 -> "1:23" */
export const clock = (s) => `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")}`;

const WORDS = 5;
const CHARACTERS = 40;

/** A name for a file: "demo-good-morning". @param {{avatar: string, text?: string, label?: string}} asked */
export function fileNameOf({ avatar, text = "", label = "" }) {
  const said = (text || label.replace(/\.[^.]*$/, "")).normalize("NFKC").toLowerCase();
  const words = said.match(/[\p{L}\p{M}\p{N}]+/gu) ?? [];
  let name = avatar;
  for (const word of words.slice(0, WORDS)) {
    if (name.length + 1 + word.length > CHARACTERS && name !== avatar) break;
    name += `-${[...word].slice(0, CHARACTERS).join("")}`;
  }
  return name;
}

/** How long somebody has to wait: "1 s", "2 min". */
export function waitOf(s) {
  const whole = Math.max(1, Math.ceil(s));
  return whole < 100 ? `${whole} s` : `${Math.round(whole / 60)} min`;
}
