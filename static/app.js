// The page: what can be done on it. Drawing and sound are the player's.

import { countCharacters, loadCatalogue } from "./catalogue.js";
import { startDebugPanel } from "./debug.js";
import { showNotice } from "./notice.js";
import { element, player } from "./page.js";
import { followPlayer } from "./screen.js";
import { speakFile, speakText } from "./speech.js";

const EXAMPLES = {
  Greeting: "Hello! I am an avatar, and nobody ever filmed me saying this sentence.",
  "Lip test": "Peter Piper picked a peck of pickled peppers, while Betty bought a bit of better butter.",
  Numbers: "On 3 March 2026, revenue rose 12.5% to $3.4 million. That is 42 more orders a day.",
  "A pause": "Take a slow breath in. And out again. Now, let us begin.",
};

// --- text -------------------------------------------------------------------------------------------

for (const [name, phrase] of Object.entries(EXAMPLES)) {
  const button = Object.assign(document.createElement("button"), { type: "button", textContent: name, title: phrase });
  button.addEventListener("click", () => {
    element("text").value = phrase;
    countCharacters();
    element("text").focus();
  });
  element("examples").append(button);
}
element("text").addEventListener("input", countCharacters);
element("form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!player.busy) speakText();
});
element("stop").addEventListener("click", () => player.stop());
element("unmute").addEventListener("click", () => player.unlock());
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") player.stop();
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.isComposing) {
    event.preventDefault();
    speakText();
  }
});

element("speed").addEventListener("input", ({ target }) => {
  const times = Number(target.value).toFixed(1);
  element("speed-value").textContent = `${times}×`;
  target.setAttribute("aria-valuetext", `${times} times`);
});

// --- recordings -------------------------------------------------------------------------------------

function takeFiles(files) {
  if (files.length === 1) speakFile(files[0]);
  else if (files.length > 1) {
    showNotice({ title: "One recording at a time", detail: `${files.length} files were dropped; drop a single one.` }, { level: "note" });
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
const respectMotion = () => (player.still = reducedMotion.matches);
reducedMotion.addEventListener("change", respectMotion);
respectMotion();
followPlayer();
countCharacters();
startDebugPanel(player);
loadCatalogue();
