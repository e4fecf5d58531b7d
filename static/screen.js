// What the player and the connection tell, shown around the picture.

import { cuesOf } from "./captions.js";
import { t } from "./i18n.js";
import { element, player } from "./page.js";
import { waitOf } from "./words.js";

const STATES = {
  loading: "Loading",
  idle: "Ready",
  offline: "Offline",
  waiting: "Thinking",
  filling: "Getting ready",
  speaking: "Speaking",
  starved: "Buffering",
  replaying: "Playing",
  paused: "Paused",
  blocked: "Waiting for a click",
  broken: "Unavailable",
};
const CAPTIONS_KEY = "avatar328.captions";

let offline = false;
let state = "loading";

export function showState(next = state) {
  state = next;
  const shown = offline && ["loading", "idle"].includes(state) ? "offline" : state;
  element("stage").dataset.state = shown;
  element("state-text").textContent = t(STATES[shown]);
  const hadFocus = [element("speak"), element("stop")].includes(document.activeElement);
  element("stop").hidden = !player.busy;
  element("speak").hidden = player.busy;
  if (hadFocus) element(player.busy ? "stop" : "speak").focus(); // the focus may not vanish with its button
  element("unmute").hidden = state !== "blocked";
  if (state === "blocked") element("unmute").focus();
}

export function showOffline(is) {
  offline = is;
  showState();
}

/** Something to read where the picture would be, or nothing. */
export function showEmpty(text) {
  element("empty").hidden = text === null;
  element("empty").textContent = text ?? "";
}

/** For people who cannot see the page; said once each. */
export function announce(text) {
  element("live").textContent = text;
}

// --- captions ---------------------------------------------------------------------------------------

let captionsOn = readSwitch();

function readSwitch() {
  try {
    return localStorage.getItem(CAPTIONS_KEY) !== "off";
  } catch {
    return true;
  }
}

function showSwitch() {
  element("captions").setAttribute("aria-pressed", String(captionsOn));
  element("caption").hidden = !captionsOn;
}

export function switchCaptions() {
  captionsOn = !captionsOn;
  showSwitch();
  try {
    localStorage.setItem(CAPTIONS_KEY, captionsOn ? "on" : "off");
  } catch {
    // storage is switched off: the choice lasts as long as the page
  }
}

function caption(text, lang = "") {
  const line = element("caption");
  if (line.textContent === text) return;
  line.textContent = text;
  line.lang = lang;
}

/** The captions of a take, as far as it is here. */
export function captionsOf(take) {
  const { captions, fps, duration_s, end } = take;
  return cuesOf({ captions, fps, duration_s, whole: end !== null });
}

// --- the player -------------------------------------------------------------------------------------

export function followPlayer() {
  player.addEventListener("state", ({ detail }) => {
    if (detail === "filling" || detail === "starved") filling = false;
    showState(detail);
  });
  let filling = false;
  player.addEventListener("wait", ({ detail }) => {
    const known = Number.isFinite(detail);
    const text = known ? t("Ready in {wait}", { wait: waitOf(detail) }) : t("Getting ready");
    element("state-text").textContent = text;
    if (!filling) announce(text);
    filling = true;
  });
  player.addEventListener("visible", () => {
    element("canvas").hidden = false;
    element("poster").alt = ""; // behind the canvas, which has its own label
    if (player.state === "idle" && state === "loading") showState("idle");
  });
  player.addEventListener("progress", ({ detail }) => {
    const { take } = player;
    const cue = take ? captionsOf(take).find(({ from_s, to_s }) => detail.played_s >= from_s && detail.played_s < to_s) : null;
    caption(cue?.text ?? "", take?.asked.lang);
  });
  player.addEventListener("left", ({ detail }) => {
    caption("");
    if (!detail.idle) element("canvas").hidden = true; // no closed mouth is here but the poster's
  });
  showSwitch();
}
