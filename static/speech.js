// Asking the server to say a text or a recording, and to hand out the result as a file.

import { asProblem, request } from "./api.js";
import { hideNotice, showNotice } from "./notice.js";
import { element, FPS, page, player, wave } from "./page.js";
import { caption } from "./screen.js";

const CHARACTERS_PER_S = 14; // a guess, for the width of the waveform only

export function speakText() {
  const text = element("text").value.trim();
  if (!text) {
    showNotice({ title: "There is nothing to say yet", detail: "Write a sentence, or choose an example." }, { level: "note" });
    element("text").focus();
    return;
  }
  const count = [...text].length;
  if (count > page.textLimit) {
    showNotice({ title: "The text is too long", detail: `It has ${count} characters; this server takes ${page.textLimit}.` });
    element("text").focus();
    return;
  }
  if (!canSpeak()) return;
  const asked = { text, avatar: page.avatar.name, speed: Number(element("speed").value) };
  if (element("voice").value) asked.voice = element("voice").value;
  perform({
    expected_s: text.length / CHARACTERS_PER_S / asked.speed,
    open: (start, signal) => post("application/x-ndjson", { ...asked, ...start }, signal),
    href: `/generate?${new URLSearchParams({ ...asked, format: "mp4", download: "1", cache: "true" })}`,
    file: async () => (await post("video/mp4", { ...asked, cache: true })).blob(),
    fileName: `${page.avatar.name}.mp4`,
    again: speakText,
  });
}

function post(accept, asked, signal) {
  const headers = { "Content-Type": "application/json", Accept: accept };
  return request("/generate", { method: "POST", headers, body: JSON.stringify(asked), signal });
}

export function speakFile(file) {
  if (!canSpeak()) return;
  const avatar = page.avatar.name;
  const send = (accept, start, signal) => {
    const form = new FormData();
    form.append("file", file);
    for (const [key, value] of Object.entries({ avatar, ...start })) form.append(key, value);
    return request("/generate-from-audio", { method: "POST", headers: { Accept: accept }, body: form, signal });
  };
  perform({
    label: file.name,
    expected_s: 0,
    open: (start, signal) => send("application/x-ndjson", start, signal),
    file: async () => (await send("video/mp4", {})).blob(),
    fileName: `${file.name.replace(/\.[^.]*$/, "")}.mp4`,
    again: () => speakFile(file),
  });
}

function canSpeak() {
  if (page.avatar) return true;
  showNotice({ title: "There is no avatar to speak", detail: "Wait until one is shown, or train one: bash training_328.sh NAME GPU" });
  return false;
}

async function perform(job) {
  hideNotice();
  player.unlock(); // inside the click or key handler, or the browser keeps it silent
  page.said = job;
  element("download").hidden = true;
  caption(null);
  const done = player.say(job.open);
  showStage();
  wave.begin(Math.max(2 * FPS, Math.round(job.expected_s * FPS)));
  element("played").textContent = "0:00";
  element("generated").textContent = job.label ? `Uploading ${job.label}` : "Waiting for the first words";
  if ((await done) === "end" && page.said === job) offerDownload(job);
}

/** On a small screen the picture may be scrolled away. */
function showStage() {
  const { top, bottom } = element("stage").getBoundingClientRect();
  if (top >= -(bottom - top) / 3 && top < innerHeight / 2) return;
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  element("stage").scrollIntoView({ block: "start", behavior: calm ? "auto" : "smooth" });
}

// --- the result as a file -----------------------------------------------------------------------------

const LONGEST_HREF = 2000; // a longer text does not fit into every server's and proxy's address

function offerDownload(job) {
  const link = element("download");
  link.hidden = false;
  link.lastElementChild.textContent = "Download MP4";
  if (job.href && job.href.length <= LONGEST_HREF) {
    link.href = job.href;
    link.setAttribute("download", job.fileName);
    link.removeAttribute("role");
    link.onclick = null;
    return;
  }
  link.href = "#download";
  link.removeAttribute("download");
  link.setAttribute("role", "button");
  link.onclick = (event) => {
    event.preventDefault();
    save(job, link);
  };
}

async function save(job, link) {
  if (link.getAttribute("aria-disabled") === "true") return;
  link.setAttribute("aria-disabled", "true");
  link.lastElementChild.textContent = "Preparing…";
  try {
    const url = URL.createObjectURL(await job.file());
    Object.assign(document.createElement("a"), { href: url, download: job.fileName }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60000);
  } catch (error) {
    showNotice(asProblem(error), { again: () => save(job, link) });
  }
  link.removeAttribute("aria-disabled");
  link.lastElementChild.textContent = "Download MP4";
}
