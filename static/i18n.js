// The page's language. English is written where it is said; languages/CODE.json has its translations.

export const LANGUAGES = { en: "English", de: "Deutsch", es: "Español", zh: "中文" };
const KEY = "avatar328.language";
const ATTRIBUTES = ["aria-label", "placeholder", "title", "content", "alt"];

function wanted() {
  const asked = new URLSearchParams(location.search).get("lang");
  let kept = null;
  try {
    kept = localStorage.getItem(KEY);
  } catch {
    // storage is switched off
  }
  const known = [asked, kept, ...navigator.languages].map((code) => code?.split("-")[0].toLowerCase());
  return known.find((code) => code in LANGUAGES) ?? "en";
}

export const language = wanted();
let catalogue = {};
if (language !== "en") {
  try {
    const response = await fetch(`/static/languages/${language}.json`);
    if (response.ok) catalogue = await response.json();
  } catch {
    // the page stays English until it is loaded again
  }
}

/** A sentence in the page's language. @param {object} [values] for its {gaps} */
export function t(english, values = {}) {
  const text = catalogue[english] ?? english;
  return text.replace(/\{(\w+)\}/g, (gap, name) => values[name] ?? gap);
}

/** Translate what stands in the document. */
export function translate(root) {
  if (language === "en") return;
  document.documentElement.lang = language;
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const text = node.textContent.trim();
    if (text in catalogue) node.textContent = node.textContent.replace(text, () => catalogue[text]);
  }
  translateAttributes(root);
  root.addEventListener("themechange", () => translateAttributes(root)); // theme.js is no module, and speaks English
}

function translateAttributes(root) {
  for (const name of ATTRIBUTES) {
    for (const node of root.querySelectorAll(`[${name}]`)) {
      const text = node.getAttribute(name);
      if (text in catalogue) node.setAttribute(name, catalogue[text]);
    }
  }
}

export function chooseLanguage(code) {
  try {
    localStorage.setItem(KEY, code);
  } catch {
    // storage is switched off: the address says it
  }
  const address = new URL(location.href);
  address.searchParams.set("lang", code);
  location.replace(address);
}
