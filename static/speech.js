// Asking the server to say a text or a recording.

import { request } from "./api.js";
import { t } from "./i18n.js";
import { hideNotice, showNotice } from "./notice.js";
import { element, page, player } from "./page.js";
import { remember } from "./page_state.js";
import { Take } from "./take.js";
import { expectTake } from "./transport.js";

const CHARACTERS_PER_S = 14; // a guess, until sentences have been heard
const SYLLABLES_PER_S = 5; // where a character is one
const SLOW_MS = 8000; // so long it is said that the machine is slow
const MEASURE_MS = 3000; // for the length of a recording

export function speakText() {
  const text = element("text").value.trim();
  if (!text) {
    showNotice({ title: t("There is nothing to say yet"), detail: t("Write a sentence, or choose an example.") }, { level: "note" });
    element("text").focus();
    return;
  }
  const count = [...text].length;
  if (count > page.textLimit) {
    const detail = t("It has {count} characters; this server takes {most}.", { count, most: page.textLimit });
    showNotice({ title: t("The text is too long"), detail });
    element("text").focus();
    return;
  }
  if (!canSpeak()) return;
  const asked = { text, avatar: page.avatar.name, speed: Number(element("speed").value) };
  if (page.voice) asked.voice = page.voice;
  remember({ text });
  const headers = { "Content-Type": "application/json", Accept: "application/x-ndjson" };
  perform({
    asked: { ...asked, lang: page.voices.find(({ name }) => name === page.voice)?.language ?? "" },
    said: t("Waiting for the first words"),
    expected_s: lengthOfText(text) / asked.speed,
    open: (start, signal) =>
      request("/generate?in_time=true", { method: "POST", headers, body: JSON.stringify({ ...asked, ...start }), signal }),
    again: speakText,
  });
}

export function speakFile(file) {
  if (!canSpeak()) return;
  if (file.size > page.uploadMb * 2 ** 20) {
    const detail = t("{name} has {size} MB; this server takes {most} MB.", {
      name: file.name,
      size: Math.ceil(file.size / 2 ** 20),
      most: page.uploadMb,
    });
    showNotice({ title: t("The recording is too large"), detail });
    return;
  }
  const avatar = page.avatar.name;
  perform({
    asked: { avatar, label: file.name },
    said: t("Uploading {name}", { name: file.name }),
    expected_s: lengthOf(file),
    open: (start, signal) => {
      const form = new FormData();
      form.append("file", file);
      for (const [key, value] of Object.entries({ avatar, ...start })) form.append(key, value);
      return request("/generate-from-audio?in_time=true", { method: "POST", headers: { Accept: "application/x-ndjson" }, body: form, signal });
    },
    again: () => speakFile(file),
  });
}

function lengthOfText(text) {
  const syllables = text.match(/[\p{Script=Han}\p{Script=Hangul}\p{Script=Hiragana}\p{Script=Katakana}]/gu)?.length ?? 0;
  return syllables / SYLLABLES_PER_S + (text.length - syllables) / CHARACTERS_PER_S;
}

/** Seconds of a recording as this browser reads it; 0 where it cannot. */
function lengthOf(file) {
  const url = URL.createObjectURL(file);
  const audio = new Audio();
  return new Promise((resolve) => {
    audio.onloadedmetadata = () => resolve(Number.isFinite(audio.duration) ? audio.duration : 0);
    audio.onerror = () => resolve(0);
    setTimeout(() => resolve(0), MEASURE_MS);
    audio.src = url;
  }).finally(() => URL.revokeObjectURL(url));
}

function canSpeak() {
  if (page.avatar) return true;
  showNotice({
    title: t("There is no avatar to speak"),
    detail: t("Wait until one is shown, or train one: bash training_328.sh NAME GPU"),
  });
  return false;
}

async function perform(job) {
  hideNotice();
  player.unlock(); // inside the click or key handler, or the browser keeps it silent
  page.said = job;
  element("meet").hidden = true;
  const take = new Take(job.asked);
  player.stop();
  expectTake(take, typeof job.expected_s === "number" ? job.expected_s : 0, job.said);
  const done = player.say(take, job.open, job.expected_s);
  showStage();
  await done;
  if (take.held) showNotice({ title: t("This machine is slow"), detail: t("The mouth was drawn 12.5 times a second, so that nothing stops.") }, { level: "note", key: "slow", for_ms: SLOW_MS });
  if (take.worthKeeping) page.takes.add(take);
}

/** On a small screen the picture may be scrolled away. */
function showStage() {
  const { top, bottom } = element("stage").getBoundingClientRect();
  if (top >= -(bottom - top) / 3 && top < innerHeight / 2) return;
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  element("stage").scrollIntoView({ block: "start", behavior: calm ? "auto" : "smooth" });
}
