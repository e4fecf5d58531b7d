// What the player tells, shown around the picture.

import { showNotice } from "./notice.js";
import { element, FPS, page, player, wave } from "./page.js";

const STATES = {
  loading: "Loading",
  idle: "Ready",
  waiting: "Thinking",
  speaking: "Speaking",
  starved: "Buffering",
  blocked: "Waiting for a click",
  broken: "Unavailable",
};

const clock = (s) => `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")}`;

export function showState(state) {
  element("stage").dataset.state = state;
  element("state-text").textContent = STATES[state];
  const hadFocus = [element("speak"), element("stop")].includes(document.activeElement);
  element("stop").hidden = !player.busy;
  element("speak").hidden = player.busy;
  if (hadFocus) element(player.busy ? "stop" : "speak").focus(); // the focus may not vanish with its button
  element("unmute").hidden = state !== "blocked";
  if (state === "blocked") element("unmute").focus();
}

/** Something to read where the picture would be, or nothing. */
export function showEmpty(text) {
  element("empty").hidden = text === null;
  element("empty").textContent = text ?? "";
}

export function caption(text) {
  element("caption").hidden = !text;
  element("caption").textContent = text ?? "";
}

export function followPlayer() {
  player.addEventListener("state", ({ detail }) => showState(detail));
  player.addEventListener("caption", ({ detail }) => caption(detail));
  player.addEventListener("visible", () => {
    element("canvas").hidden = false;
    element("poster").alt = ""; // behind the canvas, which has its own label
    if (!player.busy) showState("idle");
  });
  player.addEventListener("level", ({ detail }) => {
    wave.level(detail.index, detail.level);
    element("generated").textContent = `${((detail.index + 1) / FPS).toFixed(1)} s generated`;
  });
  player.addEventListener("progress", ({ detail }) => {
    wave.played(detail.played_s * FPS);
    element("played").textContent = clock(detail.played_s);
    const bar = element("progress");
    bar.setAttribute("aria-valuenow", detail.played_s.toFixed(1));
    bar.setAttribute("aria-valuemax", detail.received_s.toFixed(1));
    bar.setAttribute("aria-valuetext", `${detail.played_s.toFixed(0)} of ${detail.received_s.toFixed(0)} seconds`);
  });
  player.addEventListener("received", () => wave.end());
  player.addEventListener("left", ({ detail }) => {
    caption(null);
    wave.end();
    wave.played(detail.shown);
    element("played").textContent = clock(detail.played_s);
    if (detail.why === "stopped") element("generated").textContent = `Stopped after ${detail.played_s.toFixed(1)} s`;
    if (detail.why === "failed" && detail.shown === 0) element("generated").textContent = "Nothing was said";
  });
  player.addEventListener("failed", ({ detail }) => {
    const mayPass = detail.status === 0 || detail.status >= 429; // asking again changes nothing about a wrong request
    showNotice(detail, { again: mayPass ? page.said.again : null });
  });
}
