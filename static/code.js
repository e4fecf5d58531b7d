// "Code": this very request for curl, Python, JavaScript, and a page that shows the avatar in a frame.

import { t } from "./i18n.js";
import { element, page } from "./page.js";
import { shape } from "./shape.js";

const KINDS = { curl: "curl", python: "Python", javascript: "JavaScript", iframe: "iframe" };
const COPIED_MS = 2000;
let chosen = "curl";

function asked() {
  const text = element("text").value.trim() || t("Good morning.");
  const wanted = { text, avatar: page.avatar?.name ?? "", voice: page.voice, speed: Number(element("speed").value) };
  if (!wanted.voice) delete wanted.voice;
  if (wanted.speed === 1) delete wanted.speed;
  return wanted;
}

/** The address of the request; in quotes where a shell would read the question mark. */
const generate = (server) => (shape() === "original" ? `${server}/generate` : `${server}/generate?aspect=${shape()}`);
const inShell = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const inHtml = (text) => text.replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll("<", "&lt;");

const WRITERS = {
  curl: (server, wanted) =>
    `curl ${shape() === "original" ? generate(server) : inShell(generate(server))} \\\n  -H 'Content-Type: application/json' -H 'Accept: video/mp4' \\\n  -d ${inShell(JSON.stringify(wanted))} -o said.mp4\n`,
  python: (server, wanted) =>
    [
      "import json, urllib.request\n",
      `wanted = json.loads(${JSON.stringify(JSON.stringify(wanted))})`,
      'headers = {"Content-Type": "application/json", "Accept": "video/mp4"}',
      `request = urllib.request.Request("${generate(server)}", json.dumps(wanted).encode(), headers)`,
      'with urllib.request.urlopen(request) as answer, open("said.mp4", "wb") as file:',
      "    file.write(answer.read())\n",
    ].join("\n"),
  javascript: (server, wanted) =>
    [
      `const answer = await fetch("${generate(server)}", {`,
      '  method: "POST",',
      '  headers: { "Content-Type": "application/json", Accept: "video/mp4" },',
      `  body: JSON.stringify(${JSON.stringify(wanted)}),`,
      "});",
      "const movie = await answer.blob(); // for the src of a <video>: URL.createObjectURL(movie)\n",
    ].join("\n"),
  iframe: (server, { text, avatar, voice }) => {
    const query = new URLSearchParams({ avatar, ...(voice ? { voice } : {}), ...(shape() === "original" ? {} : { aspect: shape() }), text });
    return `<iframe src="${inHtml(`${server}/embed?${query}`)}"\n  width="400" height="460" style="border: 0" allow="autoplay" title="${inHtml(avatar)}"></iframe>\n`;
  },
};

function show(kind = chosen) {
  chosen = kind;
  for (const tab of element("code-tabs").children) {
    tab.setAttribute("aria-selected", String(tab.value === kind));
    tab.tabIndex = tab.value === kind ? 0 : -1;
  }
  element("code-text").textContent = WRITERS[kind](location.origin, asked());
  element("code-note").hidden = kind !== "iframe";
}

export function startCode() {
  const dialog = element("code");
  const tabs = Object.entries(KINDS).map(([value, label]) => {
    const tab = Object.assign(document.createElement("button"), { type: "button", value, textContent: label });
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-controls", "code-text");
    tab.addEventListener("click", () => show(value));
    return tab;
  });
  element("code-tabs").replaceChildren(...tabs);
  element("code-tabs").addEventListener("keydown", ({ key }) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
    if (!step) return;
    const next = tabs[(tabs.findIndex(({ value }) => value === chosen) + step + tabs.length) % tabs.length];
    show(next.value);
    next.focus();
  });
  element("code-open").addEventListener("click", () => {
    show();
    dialog.showModal();
  });
  element("code-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", ({ target }) => target === dialog && dialog.close());
  element("code-copy").addEventListener("click", async () => {
    const button = element("code-copy");
    try {
      await navigator.clipboard.writeText(element("code-text").textContent);
      button.textContent = t("Copied");
    } catch {
      getSelection().selectAllChildren(element("code-text")); // no permission, or no secure address
      button.textContent = t("Press Ctrl+C");
    }
    setTimeout(() => (button.textContent = t("Copy")), COPIED_MS);
  });
}
