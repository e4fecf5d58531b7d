// What the server has: avatars, voices, and how it is.

import { asProblem, getJson } from "./api.js";
import { Connection } from "./connection.js";
import { showServer } from "./details.js";
import { t } from "./i18n.js";
import { IdleFrames } from "./idle.js";
import { hideNotice, showNotice } from "./notice.js";
import { element, page, player } from "./page.js";
import { recall, remember } from "./page_state.js";
import { fillAvatars, fillQualities, posterOf } from "./pickers.js";
import { announce, showEmpty, showOffline, showState } from "./screen.js";
import { fitStage } from "./shape.js";
import { chooseVoice, fillVoices, nameOf } from "./voices.js";
import { titleOf } from "./words.js";

const STATES = { connecting: "Connecting…", warming: "Warming up", ready: "Ready", lost: "Offline" };
const LEVELS = { connecting: "wait", warming: "fair", ready: "good", lost: "weak" };
const GOOD_NEWS_MS = 4000;

export const connection = new Connection(async (health) => {
  page.textLimit = health.limits?.text_characters ?? page.textLimit;
  page.uploadMb = health.limits?.upload_mb ?? page.uploadMb;
  page.uploadS = health.limits?.upload_s ?? page.uploadS;
  showLimits();
  element("avatar-tools").hidden = !health.creation?.enabled;
  showServer(health);
  if (!page.voices.length) await loadVoices();
  if (!page.avatars.some(({ status }) => status === "ok")) await loadAvatars();
});

/** One state drives header, stage and toast. */
connection.addEventListener("told", ({ detail: { state, before } }) => {
  element("server").textContent = t(STATES[state]);
  element("server").dataset.level = LEVELS[state];
  showOffline(state === "lost");
  if (state === "lost") {
    if (!page.avatar) showEmpty(t("The avatar appears here as soon as the server answers."));
    const { title, detail, status } = connection.problem;
    const told = status === 0 ? { title: t("Not connected"), detail: t("The server does not answer. The page keeps trying.") } : { title, detail };
    showNotice(told, { again: () => connection.check(), key: "connection" });
  } else if (before === "lost") {
    hideNotice("connection");
    announce(t("Connected"));
    const again = connection.interrupted;
    connection.interrupted = null;
    const action = again ? { label: t("Say it again"), run: again } : null;
    if (player.take === null) showNotice({ title: t("Connected again") }, { level: "good", action, key: "back", for_ms: again ? 0 : GOOD_NEWS_MS });
  }
});

/** Something that was asked for failed: is it the connection, or this very request? */
export async function tellFailure(problem, again) {
  const gone = problem.status === 0 && !(await connection.check());
  if (gone) connection.interrupted = again;
  else showNotice(problem, { again, action: otherVoice(problem) });
}

/** A voice that can say what the chosen one cannot. */
function otherVoice(problem) {
  const voice = page.voices.find(({ name }) => problem.voices.includes(name));
  if (!voice) return null;
  const run = () => {
    chooseVoice(voice.name);
    page.said?.again();
  };
  return { label: t("Use {voice}", { voice: nameOf(voice) }), run };
}

export async function loadAvatars() {
  const { avatars } = await getJson("/avatars");
  page.avatars = avatars;
  const wanted = recall().avatar ?? avatars.find((entry) => entry.default)?.name;
  const chosen = fillAvatars(element("avatars"), avatars, wanted, (avatar) => {
    remember({ avatar: avatar.name });
    choose(avatar);
  });
  fillQualities(element("qualities"), avatars);
  if (chosen) {
    choose(chosen);
    return;
  }
  showState("broken");
  if (avatars.length === 0) element("avatars").textContent = t("None yet");
  showEmpty(
    avatars.length > 0
      ? t("None of the avatars on this server can be opened. The list says why.")
      : t("There is no avatar on this server yet. Train one: bash training_328.sh NAME GPU"),
  );
}

async function loadVoices() {
  const { voices, default: first } = await getJson("/voices");
  fillVoices(voices, recall().voice, first);
}

function showLimits() {
  countCharacters();
  const minutes = Math.round(page.uploadS / 60);
  element("limits").textContent = t("WAV, MP3, M4A or a video, up to {mb} MB and {minutes} min", { mb: page.uploadMb, minutes });
}

/** 1500 -> "1,500"; toLocaleString would first load a browser's knowledge of all languages, before the first paint. */
const grouped = (count) => String(count).replace(/\B(?=(\d{3})+$)/g, ",");

export function countCharacters() {
  const count = [...element("text").value.trim()].length;
  element("count").textContent = `${grouped(count)} / ${grouped(page.textLimit)}`;
  element("count").toggleAttribute("data-over", count > page.textLimit);
}

/** Show an avatar: its poster at once, its motion as soon as the first frames are here. */
function choose(avatar) {
  page.avatar = avatar;
  const title = titleOf(avatar.name);
  element("title").textContent = t("What should {name} say?", { name: title });
  element("meet-text").textContent = t("Meet {name}", { name: title });
  element("meet").hidden = page.said !== null;
  fitStage();
  showEmpty(null);
  element("canvas").hidden = true;
  element("canvas").setAttribute("aria-label", t("{name}, a moving picture", { name: title }));
  const poster = element("poster");
  poster.onload = () => (poster.hidden = false);
  poster.onerror = () => (poster.hidden = true);
  poster.alt = title;
  const shown = poster.getAttribute("src"); // since the first paint: loaded again only if it is another's, or failed
  const isIts = shown === posterOf(avatar) || (avatar.default && shown === "/avatar");
  if (!isIts || (poster.complete && poster.naturalWidth === 0)) poster.src = posterOf(avatar);
  hideNotice("idle");
  player.setIdle(
    new IdleFrames(avatar.name, {
      onerror: async (error) => {
        const { title: what, detail, status } = asProblem(error);
        if (status === 0 && !(await connection.check())) return;
        const told = { title: t("The avatar stands still for now"), detail: `${what}. ${detail} ${t("The page keeps trying.")}` };
        showNotice(told, { level: "note", key: "idle" });
        if (player.state === "idle") showState("idle");
      },
      onrecovered: () => hideNotice("idle"),
    }),
  );
  showState("loading");
}
