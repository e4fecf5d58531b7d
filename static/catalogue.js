// What the server has: avatars, voices, and how it is.

import { asProblem, getJson } from "./api.js";
import { IdleFrames } from "./idle.js";
import { hideNotice, showNotice } from "./notice.js";
import { element, page, player } from "./page.js";
import { fillAvatars, fillVoices, posterOf, titleOf } from "./pickers.js";
import { showEmpty, showState } from "./screen.js";

const WARM_UP_MS = 2000;

export async function loadCatalogue() {
  const answers = await Promise.allSettled([loadAvatars(), loadVoices(), loadHealth()]);
  const failed = answers.find(({ status }) => status === "rejected");
  if (!failed) {
    hideNotice("load");
    return;
  }
  element("server").textContent = "Not connected";
  element("server").dataset.level = "weak";
  if (!page.avatar) {
    showState("broken");
    showEmpty("The avatar appears here as soon as the server answers.");
  }
  showNotice(asProblem(failed.reason), { again: loadCatalogue, key: "load" });
}

async function loadAvatars() {
  const { avatars } = await getJson("/avatars");
  const wanted = new URLSearchParams(location.search).get("avatar") ?? avatars.find((entry) => entry.default)?.name;
  const chosen = fillAvatars(element("avatars"), avatars, wanted, choose);
  if (chosen) {
    choose(chosen);
    return;
  }
  showState("broken");
  if (avatars.length === 0) element("avatars").textContent = "None yet";
  showEmpty(
    avatars.length > 0
      ? "None of the avatars on this server can be opened. The list says why."
      : "There is no avatar on this server yet. Train one: bash training_328.sh NAME GPU",
  );
}

async function loadVoices() {
  const { voices, default: first } = await getJson("/voices");
  fillVoices(element("voice"), voices, first);
}

async function loadHealth() {
  const { speech, reasons, status, limits } = await getJson("/health");
  page.textLimit = limits?.text_characters ?? page.textLimit;
  countCharacters();
  const server = element("server");
  server.textContent = status === "starting" ? "Warming up" : `Voice engine: ${titleOf(speech.engine)}`;
  server.dataset.level = status === "ok" && !speech.degraded ? "good" : "fair";
  server.title = [...reasons, speech.fallback_reason].filter(Boolean).join(" ");
  if (status === "starting") setTimeout(() => loadHealth().catch(() => {}), WARM_UP_MS); // told by the next request
}

export function countCharacters() {
  const count = [...element("text").value.trim()].length;
  element("count").textContent = `${count.toLocaleString("en")} / ${page.textLimit.toLocaleString("en")}`;
  element("count").toggleAttribute("data-over", count > page.textLimit);
}

/** Show an avatar: its poster at once, its motion as soon as the first frames are here. */
function choose(avatar) {
  page.avatar = avatar;
  const title = titleOf(avatar.name);
  element("title").textContent = `What should ${title} say?`;
  element("stage").style.setProperty("--aspect", String((avatar.width || 1) / (avatar.height || 1)));
  showEmpty(null);
  element("canvas").hidden = true;
  element("canvas").setAttribute("aria-label", `${title}, a moving picture`);
  const poster = element("poster");
  poster.onload = () => (poster.hidden = false);
  poster.onerror = () => (poster.hidden = true);
  poster.alt = title;
  poster.src = posterOf(avatar);
  hideNotice("idle");
  player.setIdle(
    new IdleFrames(avatar.name, {
      onerror: (error) => {
        const { title: what, detail } = asProblem(error);
        const told = { title: "The avatar stands still for now", detail: `${what}. ${detail} The page keeps trying.` };
        showNotice(told, { level: "note", key: "idle" });
        if (!player.busy) showState("idle");
      },
      onrecovered: () => hideNotice("idle"),
    }),
  );
  showState("loading");
}
