// The voices: searched, grouped by language, heard before they are chosen, and proposed by the text's language.

import { asProblem, request } from "./api.js";
import { language as pageLanguage, t } from "./i18n.js";
import { languageOf } from "./language.js";
import { showNotice } from "./notice.js";
import { element, page } from "./page.js";
import { recall, remember } from "./page_state.js";

const SAMPLES = {
  en: "Hello. This is how I sound.", de: "Hallo. So klinge ich.", es: "Hola. Así sueno.", fr: "Bonjour. Voici ma voix.",
  it: "Ciao. Questa è la mia voce.", pt: "Olá. Esta é a minha voz.", nl: "Hallo. Zo klink ik.", pl: "Dzień dobry. Tak brzmi mój głos.",
  sv: "Hej. Så här låter jag.", da: "Hej. Sådan lyder jeg.", nb: "Hei. Slik høres jeg ut.", fi: "Hei. Tältä minä kuulostan.",
  cs: "Dobrý den. Takhle zním.", tr: "Merhaba. Sesim böyle.", ru: "Здравствуйте. Вот мой голос.", uk: "Вітаю. Ось мій голос.",
  el: "Γεια σας. Έτσι ακούγομαι.", ar: "مرحبا. هذا صوتي.", fa: "سلام. این صدای من است.", he: "שלום. כך אני נשמע.",
  hi: "नमस्ते। यह मेरी आवाज़ है।", zh: "你好。这是我的声音。", yue: "你好。呢個係我把聲。", ja: "こんにちは。これがわたしのこえです。",
  ko: "안녕하세요. 제 목소리입니다.", hu: "Jó napot. Így szól a hangom.", ro: "Bună ziua. Aceasta este vocea mea.",
  id: "Halo. Inilah suara saya.", vi: "Xin chào. Đây là giọng của tôi.",
}; // prettier-ignore

const make = (name, className, text = "") => Object.assign(document.createElement(name), { className, textContent: text });
const heard = new Audio();
let hearing = null; // {button, abort} of the voice that is tried

/** "cmn-latn-pinyin" -> "zh" */
function primary(tag) {
  try {
    return new Intl.Locale(tag).language;
  } catch {
    return tag.split("-")[0].toLowerCase();
  }
}

/** A language's name in another, or "". */
function called(tag, by) {
  try {
    const name = new Intl.DisplayNames([by], { type: "language", fallback: "none" }).of(tag) ?? "";
    return name.charAt(0).toLocaleUpperCase(by) + name.slice(1);
  } catch {
    return ""; // no tag that this browser knows
  }
}

/** Without its engine: "Amy, woman (Piper)" -> "Amy, woman" */
export const nameOf = ({ label, name }) => (label || name).replace(/\s*\((?:Piper|Flite|eSpeak NG)\)$/i, "");

// --- choosing ---------------------------------------------------------------------------------------

export function chooseVoice(name, { keep = true } = {}) {
  const voice = page.voices.find((known) => known.name === name);
  page.voice = voice?.name ?? "";
  element("voice-name").textContent = voice ? nameOf(voice) : t("No voice on this server");
  checkVoice();
  if (keep) remember({ voice: page.voice });
  proposeVoice();
}

/** @param {object[]} voices of /voices @param {string | undefined} wanted @param {string} first the default one */
export function fillVoices(voices, wanted, first) {
  page.voices = voices;
  element("voice-list").replaceChildren();
  element("voice").disabled = voices.length === 0;
  const known = [wanted, first].find((name) => voices.some((voice) => voice.name === name));
  chooseVoice(known ?? voices[0]?.name ?? "", { keep: false });
}

function checkVoice() {
  for (const input of element("voice-list").querySelectorAll("input")) input.checked = input.value === page.voice;
}

/** When they are asked for: a hundred voices are a thousand elements, which the first paint need not wait for. */
function listVoices() {
  const { voices } = page;
  const groups = new Map();
  for (const voice of voices) {
    const code = primary(voice.language);
    if (!groups.has(code)) groups.set(code, []);
    groups.get(code).push(voice);
  }
  const near = [primary(voices[0]?.language ?? "en"), pageLanguage, ...navigator.languages.map(primary)];
  const rank = (code) => (near.includes(code) ? near.indexOf(code) : near.length);
  const titled = [...groups].map(([code, members]) => ({ code, members, title: called(code, pageLanguage) || nameOf(members[0]) }));
  titled.sort((a, b) => rank(a.code) - rank(b.code) || a.title.localeCompare(b.title, pageLanguage));
  element("voice-list").replaceChildren(...titled.map(group));
  checkVoice();
}

function group({ code, members, title }) {
  const box = make("div", "voice-group");
  const heading = make("h3", "", title);
  const own = called(code, code);
  if (own && own !== title) heading.append(Object.assign(make("small", "", own), { lang: code }));
  box.append(heading, ...members.map((voice) => row(voice, [title, own].join(" "))));
  return box;
}

function row(voice, languages) {
  const line = make("div", "voice");
  line.dataset.words = `${voice.label} ${voice.name} ${voice.language} ${languages}`.toLowerCase();
  const label = make("label", "");
  const input = Object.assign(make("input", ""), { type: "radio", name: "voice", value: voice.name });
  input.addEventListener("change", () => chooseVoice(voice.name));
  label.addEventListener("dblclick", () => element("voices").close());
  const text = make("span", "", nameOf(voice));
  text.append(make("small", "", voice.language));
  label.append(input, text);
  const listen = Object.assign(make("button", "round"), { type: "button" });
  listen.setAttribute("aria-label", t("Listen to {voice}", { voice: nameOf(voice) }));
  listen.setAttribute("aria-pressed", "false");
  listen.append(make("span", "icon icon-play"));
  listen.addEventListener("click", () => hear(voice, listen));
  line.append(label, listen);
  return line;
}

function search() {
  const wanted = element("voice-search").value.trim().toLowerCase().split(/\s+/);
  let found = 0;
  for (const box of element("voice-list").children) {
    let here = 0;
    for (const line of box.querySelectorAll(".voice")) {
      line.hidden = !wanted.every((word) => line.dataset.words.includes(word));
      here += line.hidden ? 0 : 1;
    }
    box.hidden = here === 0;
    found += here;
  }
  element("voice-none").hidden = found > 0;
}

// --- by ear -----------------------------------------------------------------------------------------

function hush() {
  heard.pause();
  if (!hearing) return;
  hearing.abort.abort();
  hearing.button.setAttribute("aria-pressed", "false");
  hearing.button.removeAttribute("aria-busy");
  hearing.button.firstElementChild.className = "icon icon-play";
  hearing = null;
}

async function hear(voice, button) {
  const again = hearing?.button === button;
  hush();
  if (again) return;
  const mine = (hearing = { button, abort: new AbortController() });
  button.setAttribute("aria-pressed", "true");
  button.setAttribute("aria-busy", "true");
  button.firstElementChild.className = "icon icon-stop";
  const code = primary(voice.language);
  const text = SAMPLES[code] ?? (called(code, code) || SAMPLES.en);
  const query = new URLSearchParams({ text, voice: voice.name, speed: element("speed").value });
  try {
    const answer = await request(`/get-tts-audio?${query}`, { signal: mine.abort.signal });
    const url = URL.createObjectURL(await answer.blob());
    if (hearing !== mine) return;
    button.removeAttribute("aria-busy");
    heard.src = url;
    heard.onended = hush;
    await heard.play();
  } catch (error) {
    if (hearing !== mine) return; // another one is listened to
    hush();
    element("voices").close(); // the toast lies below it
    showNotice(asProblem(error), { level: "note" });
  }
}

// --- by the text's language -------------------------------------------------------------------------

/** If another language is written than is spoken: offer a voice of it. */
export function proposeVoice() {
  const code = languageOf(element("text").value);
  const spoken = page.voices.find(({ name }) => name === page.voice);
  const fits = !code || !spoken || primary(spoken.language) === code;
  const voice = fits ? null : page.voices.find(({ language }) => primary(language) === code);
  element("proposal").hidden = !voice;
  if (!voice) return;
  const name = called(code, pageLanguage) || code;
  element("proposal-text").textContent = t("This looks like {language}.", { language: name });
  element("proposal-use").textContent = t("Use {voice}", { voice: nameOf(voice) });
  element("proposal-use").value = voice.name;
}

/** For a text that the page itself wrote: a voice of its language, unless somebody chose one. */
export function takeProposal() {
  if (!element("proposal").hidden && !recall().voice) chooseVoice(element("proposal-use").value, { keep: false });
}

export function startVoices() {
  const dialog = element("voices");
  element("voice").addEventListener("click", () => {
    if (!element("voice-list").firstChild) listVoices();
    element("voice-search").value = "";
    search();
    dialog.showModal();
    element("voice-list").querySelector("input:checked")?.scrollIntoView({ block: "center" });
  });
  element("voice-search").addEventListener("input", search);
  element("voices-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", ({ target }) => target === dialog && dialog.close()); // beside it
  dialog.addEventListener("close", hush);
  element("proposal-use").addEventListener("click", ({ target }) => {
    chooseVoice(target.value);
    element("voice").focus();
  });
}
