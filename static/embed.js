// The avatar in a frame of another page: /embed?avatar=&voice=&text=&aspect=&transparent=. A click, and it says the text.

import { asProblem, request } from "./api.js";
import { showPart } from "./aspect.js";
import { cuesOf } from "./captions.js";
import { t, translate } from "./i18n.js";
import { IdleFrames } from "./idle.js";
import { Player } from "./player.js";
import { Take } from "./take.js";
import { waitOf } from "./words.js";

const GREETING = "Hello.";
const element = (id) => document.getElementById(id);
const asked = Object.fromEntries(new URLSearchParams(location.search));
const cutOut = asked.transparent === "1" || asked.transparent === "true";
const { TransparentPlayer } = cutOut ? await import("./embed_transparent.js") : {};
const player = cutOut ? new TransparentPlayer(element("canvas")) : new Player(element("canvas"));
let take = null;

translate(document);
document.body.classList.toggle("transparent", cutOut);
if (cutOut) document.documentElement.dataset.theme = "light"; // a frame of another scheme than its page's is opaque
player.still = matchMedia("(prefers-reduced-motion: reduce)").matches;
player.addEventListener("visible", () => (element("canvas").hidden = false));
player.addEventListener("state", ({ detail }) => {
  element("stage").dataset.state = detail;
  const idle = detail === "idle";
  element("play-icon").className = `icon icon-${idle ? (take ? "again" : "play") : "stop"}`;
  element("play-text").textContent = idle ? (take ? t("Again") : t("Play")) : t("Stop");
});
player.addEventListener("caption", ({ detail }) => tell(detail));
player.addEventListener("wait", ({ detail }) => {
  if (Number.isFinite(detail)) tell(t("Ready in {wait}", { wait: waitOf(detail) }));
});
player.addEventListener("progress", ({ detail: { played_s } }) => {
  const { captions, fps, duration_s, end } = player.take;
  const cue = cuesOf({ captions, fps, duration_s, whole: end !== null }).find(({ from_s, to_s }) => played_s >= from_s && played_s < to_s);
  tell(cue?.text ?? "");
});
player.addEventListener("left", ({ detail }) => {
  if (detail.why !== "failed") tell("");
});
player.addEventListener("failed", ({ detail }) => {
  take = null;
  tell(asProblem(detail).message);
});

function tell(text) {
  if (element("caption").textContent !== text) element("caption").textContent = text;
}

async function say() {
  const { avatar, voice } = asked;
  if (cutOut) {
    element("play").disabled = true; // while it connects
    await player.say(asked.text || GREETING, voice).finally(() => (element("play").disabled = false));
    return;
  }
  player.unlock();
  const wanted = { text: asked.text || GREETING, ...(avatar ? { avatar } : {}), ...(voice ? { voice } : {}) };
  const headers = { "Content-Type": "application/json", Accept: "application/x-ndjson" };
  take = new Take({ avatar: avatar ?? "", ...wanted });
  const mine = take;
  const open = (start, signal) =>
    request("/generate", { method: "POST", headers, body: JSON.stringify({ ...wanted, ...start }), signal });
  if ((await player.say(take, open, wanted.text.length / 14)) !== "end" && take === mine) take = null;
}

element("play").addEventListener("click", () => {
  if (player.state !== "idle") player.stop();
  else if (take?.end) player.replay(take);
  else say().catch((error) => tell(asProblem(error).message));
});

async function start() {
  const { avatars } = await (await request("/avatars")).json();
  const shown = avatars.find(({ name, default: first }) => (asked.avatar ? name === asked.avatar : first));
  if (shown?.status !== "ok") {
    tell(t("There is no avatar {name} here.", { name: asked.avatar ?? "" }));
    return;
  }
  showPart(element("stage"), shown, asked.aspect);
  if (cutOut) {
    await player.open(shown.name);
    element("canvas").hidden = false;
    return;
  }
  player.setIdle(new IdleFrames(shown.name, { onerror: () => {}, onrecovered: () => {} }));
}

window.avatar328 = { player };
start().catch((error) => tell(asProblem(error).message));
