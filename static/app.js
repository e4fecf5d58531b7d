// The page: what can be done on it. Drawing and sound are the player's.

import { connection, countCharacters, tellFailure } from "./catalogue.js";
import { startCode } from "./code.js";
import { startCreation } from "./create.js";
import { startDebugPanel } from "./debug.js";
import { EXAMPLES, introduction } from "./examples.js";
import { chooseLanguage, language, LANGUAGES, t, translate } from "./i18n.js";
import { showNotice } from "./notice.js";
import { element, page, player } from "./page.js";
import { recall, remember } from "./page_state.js";
import { followPlayer } from "./screen.js";
import { startShape } from "./shape.js";
import { speakFile, speakText } from "./speech.js";
import { startTakes } from "./takes.js";
import { showTake, startTransport } from "./transport.js";
import { proposeVoice, startVoices, takeProposal } from "./voices.js";
import { titleOf } from "./words.js";

translate(document);
for (const [code, name] of Object.entries(LANGUAGES)) element("language").append(new Option(name, code, false, code === language));
element("language").addEventListener("change", ({ target }) => chooseLanguage(target.value));

// --- text -------------------------------------------------------------------------------------------

function speak(text) {
  element("text").value = text;
  textChanged();
  takeProposal();
  speakText();
}

for (const [name, phrase] of Object.entries(EXAMPLES)) {
  const button = Object.assign(document.createElement("button"), { type: "button", textContent: t(name), title: t(phrase) });
  button.addEventListener("click", () => speak(t(phrase)));
  element("examples").append(button);
}
element("meet").addEventListener("click", () => page.avatar && speak(introduction(titleOf(page.avatar.name))));
function textChanged() {
  countCharacters();
  proposeVoice();
}
element("text").addEventListener("input", textChanged);
element("text").addEventListener("change", ({ target }) => remember({ text: target.value.trim() }, { share: false }));
element("form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!player.busy) speakText();
});
element("stop").addEventListener("click", () => player.stop());
element("unmute").addEventListener("click", () => player.unlock());
document.addEventListener("keydown", (event) => {
  if (event.target.closest?.("dialog")) return;
  if (event.key === "Escape") player.stop();
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.isComposing) {
    event.preventDefault();
    speakText();
  }
});

function showSpeed() {
  const times = Number(element("speed").value).toFixed(1);
  element("speed-value").textContent = `${times}×`;
  element("speed").setAttribute("aria-valuetext", t("{times} times", { times }));
}
element("speed").addEventListener("input", showSpeed);
element("speed").addEventListener("change", ({ target }) => remember({ speed: target.value }, { share: false }));

// --- recordings -------------------------------------------------------------------------------------

function takeFiles(files) {
  if (files.length === 1) speakFile(files[0]);
  else if (files.length > 1) {
    const detail = t("{count} files were dropped; drop a single one.", { count: files.length });
    showNotice({ title: t("One recording at a time"), detail }, { level: "note" });
  }
}

element("upload").addEventListener("click", () => element("file").click());
element("file").addEventListener("change", ({ target }) => {
  takeFiles([...target.files]);
  target.value = ""; // so that the same file can be chosen again
});

let dragDepth = 0; // enter and leave come for every element that is crossed
const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
function dragged(depth) {
  dragDepth = Math.max(0, depth);
  element("drop").hidden = dragDepth === 0;
}
document.addEventListener("dragenter", (event) => carriesFiles(event) && dragged(dragDepth + 1));
document.addEventListener("dragleave", (event) => carriesFiles(event) && dragged(dragDepth - 1));
document.addEventListener("dragover", (event) => carriesFiles(event) && event.preventDefault());
document.addEventListener("drop", (event) => {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  dragged(0);
  takeFiles([...event.dataTransfer.files]);
});

// --- start ------------------------------------------------------------------------------------------

const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");
// Nor does it move behind a dialog: nobody looks, and a training on this machine needs the processor more.
const respectMotion = () => (player.still = reducedMotion.matches || document.querySelector("dialog[open]") !== null);
reducedMotion.addEventListener("change", respectMotion);
const dialogs = new MutationObserver(respectMotion);
for (const dialog of document.querySelectorAll("dialog")) dialogs.observe(dialog, { attributeFilter: ["open"] });
respectMotion();
const last = recall();
element("text").value = last.text ?? "";
if (last.speed) element("speed").value = last.speed;
showSpeed();
followPlayer();
player.addEventListener("failed", ({ detail }) => {
  const mayPass = detail.status === 0 || detail.status >= 429; // asking again changes nothing about a wrong request
  tellFailure(detail, mayPass ? page.said.again : null);
});
startTransport();
startShape();
startVoices();
startCode();
startCreation();
element("behind-open").addEventListener("click", async () => {
  const { openBackground } = await import("./background.js");
  if (page.avatar) openBackground();
});
element("talk-open").addEventListener("click", async () => {
  player.unlock();
  (await import("./talk.js")).openTalk();
});
page.takes = startTakes({
  onchoose: (take) => {
    element("meet").hidden = true;
    player.unlock();
    showTake(take);
    player.replay(take);
  },
  onremove: (id) => player.take?.id === id && player.stop(),
});
countCharacters();
startDebugPanel(player);
connection.check();
