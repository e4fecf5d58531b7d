// "Details": how the server is, for those who want to know.

import { t } from "./i18n.js";
import { element, FPS } from "./page.js";
import { titleOf } from "./words.js";

const LONG = 40; // characters; more are read across all columns

export function showServer({ speech, reasons, sessions, models, version }) {
  const facts = [
    [t("Voice engine"), titleOf(speech.engine)],
    [t("Speed"), speedOf(sessions)],
    [t("Computed by"), models?.provider ?? ""],
    [t("Version"), version ?? ""],
    [t("Notes"), [...reasons, speech.fallback_reason].filter(Boolean).join(" ")],
  ];
  const rows = facts.filter(([, value]) => value).map(([name, value]) => {
    const row = document.createElement("div");
    if (value.length > LONG) row.className = "long";
    const [term, told] = [document.createElement("dt"), document.createElement("dd")];
    term.textContent = name;
    told.textContent = value;
    row.append(term, told);
    return row;
  });
  element("server-facts").replaceChildren(...rows);
}

/** What the machine was measured to do; nothing where an operator set the number of places. */
function speedOf(sessions) {
  if (!sessions?.measured) return "";
  const rate = sessions.measured.frames_per_s;
  if (rate < FPS) return t("slower than real time: {rate} of {fps} frames/s", { rate: Math.round(rate), fps: FPS });
  return t("{count} at a time", { count: sessions.limit });
}
