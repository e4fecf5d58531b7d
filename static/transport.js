// The bar under the stage: play, pause, seek, speed, captions, and the take as files.

import { toSrt, toVtt } from "./captions.js";
import { t } from "./i18n.js";
import { showNotice } from "./notice.js";
import { element, FPS, player, wave } from "./page.js";
import { captionsOf, switchCaptions } from "./screen.js";
import { saveBlob, saveMovie } from "./take_files.js";
import { clock, fileNameOf } from "./words.js";

let shown = null; // the take in the bar
let ended = true; // all of it that will ever come is here

/** Put a take into the bar. */
export function showTake(take) {
  shown = take;
  ended = take.frames > 0 && player.take !== take;
  wave.show(take.levels);
  element("played").textContent = clock(0);
  element("generated").textContent = ended ? clock(take.duration_s) : "";
  place(0);
  refresh();
}

/** A take that is about to be made. */
export function expectTake(take, expected_s, said) {
  shown = take;
  ended = false;
  wave.begin(Math.max(2 * FPS, Math.round(expected_s * FPS)));
  element("played").textContent = clock(0);
  element("generated").textContent = said;
  place(0);
  refresh();
}

function refresh() {
  const onStage = player.take === shown && shown !== null;
  element("transport").toggleAttribute("data-empty", shown === null);
  const playable = ended && (shown?.frames ?? 0) > 0;
  const running = onStage && !player.paused;
  const atEnd = !onStage && playable && Number(element("seek").value) > 0;
  const look = running ? "pause" : atEnd ? "again" : "play";
  element("play").disabled = !playable && !onStage;
  element("play").setAttribute("aria-label", running ? t("Pause") : t("Play"));
  element("play").firstElementChild.className = `icon icon-${look}`;
  element("seek").disabled = !playable;
  element("download").disabled = !playable;
  for (const id of ["srt", "vtt", "download-captioned"]) element(id).disabled = !playable || shown.captions.length === 0;
}

function place(played_s) {
  const seek = element("seek");
  seek.max = String(shown?.duration_s ?? 0);
  seek.value = String(played_s);
  const total = shown?.duration_s ?? 0;
  seek.setAttribute("aria-valuetext", t("{at} of {total} seconds", { at: Math.round(played_s), total: Math.round(total) }));
}

export function startTransport() {
  element("play").addEventListener("click", () => {
    if (player.take === shown && shown) {
      if (player.paused) player.resume();
      else player.pause();
    } else if (shown) {
      player.unlock();
      player.replay(shown);
    }
  });
  element("seek").addEventListener("input", ({ target }) => {
    const to_s = Number(target.value);
    if (player.take === shown) player.seek(to_s);
    else player.replay(shown, { from_s: to_s, paused: true });
  });
  element("rate").addEventListener("change", ({ target }) => player.setSpeed(Number(target.value)));
  element("captions").addEventListener("click", () => switchCaptions());
  element("srt").addEventListener("click", () => saveText("srt", "application/x-subrip", toSrt));
  element("vtt").addEventListener("click", () => saveText("vtt", "text/vtt", toVtt));
  element("download").addEventListener("click", () => movie(shown, element("download"), false));
  element("download-captioned").addEventListener("click", () => movie(shown, element("download-captioned"), true));

  player.addEventListener("state", refresh);
  player.addEventListener("entered", ({ detail }) => {
    if (detail !== shown) showTake(detail);
    refresh();
  });
  player.addEventListener("level", ({ detail }) => {
    wave.level(detail.index, detail.level);
    element("generated").textContent = t("{seconds} s made", { seconds: ((detail.index + 1) / FPS).toFixed(1) });
  });
  player.addEventListener("progress", ({ detail }) => {
    wave.played(detail.played_s * FPS);
    element("played").textContent = clock(detail.played_s);
    place(detail.played_s);
  });
  player.addEventListener("received", () => {
    ended = true;
    element("generated").textContent = clock(shown.duration_s);
    wave.end();
    refresh();
  });
  player.addEventListener("left", ({ detail }) => {
    ended = true;
    wave.end();
    if (detail.take === shown) {
      const at_s = detail.why === "end" ? detail.take.duration_s : detail.played_s;
      wave.played(at_s * FPS);
      element("played").textContent = clock(at_s);
      place(at_s);
    }
    if (detail.live && detail.why === "stopped") {
      element("generated").textContent = t("Stopped after {seconds} s", { seconds: detail.played_s.toFixed(1) });
    }
    if (detail.why === "failed" && detail.take.frames === 0) element("generated").textContent = t("Nothing was said");
    refresh();
  });
  refresh();
}

function saveText(ending, type, write) {
  saveBlob(new Blob([write(captionsOf(shown))], { type }), `${fileNameOf(shown.asked)}.${ending}`);
}

async function movie(take, button, captioned) {
  const label = button.lastElementChild;
  const named = label.textContent;
  if (button.getAttribute("aria-busy") === "true") return;
  button.setAttribute("aria-busy", "true");
  try {
    await saveMovie(take, captioned, (text) => (label.textContent = text));
  } catch (problem) {
    showNotice(problem, { again: () => movie(take, button, captioned) });
  }
  button.removeAttribute("aria-busy");
  label.textContent = named;
}
