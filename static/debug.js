// "Details": what the server saves, and the player's numbers while they change.

import { asProblem, getJson, postJson } from "./api.js";
import { t } from "./i18n.js";

const element = (id) => document.getElementById(id);
const FIELDS = { enabled: "debug-enabled", save_frames: "debug-frames", save_audio: "debug-audio" };
const ms = (value) => (value === null || value === undefined ? "–" : `${Math.round(value)} ms`);
const seconds = (value) => `${value.toFixed(2)} s`;
const NUMBERS = [
  ["State", (s) => s.state],
  ["Buffer", (s) => seconds(s.buffer_s)],
  ["Skew p95", (s) => ms(s.skew_p95_ms)],
  ["Late frames", (s) => String(s.late)],
  ["Skipped frames", (s) => String(s.dropped)],
  ["Underruns", (s) => String(s.underruns)],
  ["First frame after", (s) => ms(s.first_frame_ms)],
  ["Buffered after", (s) => ms(s.ready_ms)],
  ["Header after", (s) => ms(s.header_ms)],
  ["Audio rate", (s) => (s.sample_rate_hz ? `${s.sample_rate_hz} Hz` : "–")],
  ["Output latency", (s) => ms(s.output_latency_ms)],
  ["Idle frames held", (s) => String(s.idle_frames)],
];

export function startDebugPanel(player) {
  const panel = element("debug");
  const values = NUMBERS.map(([name]) => {
    const pair = document.createElement("div");
    const [term, value] = [document.createElement("dt"), document.createElement("dd")];
    term.textContent = t(name);
    pair.append(term, value);
    element("numbers").append(pair);
    return value;
  });
  setInterval(() => {
    if (!panel.open) return;
    const stats = player.stats();
    NUMBERS.forEach(([, show], i) => (values[i].textContent = show(stats)));
  }, 250);

  panel.addEventListener("toggle", () => {
    if (panel.open) load();
  });
  for (const id of Object.values(FIELDS)) element(id).addEventListener("change", save);
}

function show(status) {
  for (const [field, id] of Object.entries(FIELDS)) element(id).checked = Boolean(status[field]);
  enable();
}

function enable() {
  const on = element("debug-enabled").checked;
  element("debug-frames").disabled = element("debug-audio").disabled = !on;
}

async function load() {
  try {
    show(await getJson("/debug/status"));
    element("debug-said").textContent = "";
  } catch (error) {
    element("debug-said").textContent = asProblem(error).message;
  }
}

async function save() {
  enable();
  const wanted = Object.fromEntries(Object.entries(FIELDS).map(([field, id]) => [field, element(id).checked]));
  try {
    show(await postJson("/debug/config", wanted));
    element("debug-said").textContent = wanted.enabled ? t("Saved. It holds from the next utterance on.") : t("Off. Nothing is saved.");
  } catch (error) {
    await load();
    element("debug-said").textContent = t("Not changed: {why}", { why: asProblem(error).message });
  }
}
