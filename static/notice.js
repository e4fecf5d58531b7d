// The one toast of the page: what went wrong, and what to do about it. It is in view wherever the page is scrolled.

import { t } from "./i18n.js";

const element = (id) => document.getElementById(id);
let actions = [];
let countdown = 0;
let timer = 0;

/** The server's details begin small and end without a stop; a name at the beginning stays as it is. */
function sentence(text) {
  const begun = /^[a-z]+[ ,]/.test(text) ? text.charAt(0).toUpperCase() + text.slice(1) : text;
  return /[.!?…。！？]$/.test(begun) ? begun : `${begun}.`;
}

/**
 * @param {{title: string, detail?: string, retryAfter_s?: number, errors?: object[]}} problem
 * @param {{again?: function, action?: {label: string, run: function}, level?: "error" | "note" | "good", key?: string,
 *   for_ms?: number}} options `again` is the button "Try again"; `action` is another one
 */
export function showNotice(problem, { again = null, action = null, level = "error", key = "", for_ms = 0 } = {}) {
  const box = element("notice");
  if (!box.hidden && box.dataset.key === "connection" && key !== "connection") return; // the reason for everything else
  clearInterval(countdown);
  clearTimeout(timer);
  box.dataset.level = level;
  box.dataset.key = key;
  element("notice-title").textContent = problem.title;
  const fields = (problem.errors ?? []).map(({ field, message }) => `${field}: ${message}`);
  element("notice-detail").textContent = [problem.detail, ...fields].filter(Boolean).map(sentence).join(" ");
  actions = [again, action?.run];
  const [button, other] = [element("notice-retry"), element("notice-action")];
  button.hidden = again === null;
  other.hidden = action === null;
  other.textContent = action?.label ?? "";
  let left_s = again ? Math.min(problem.retryAfter_s ?? 0, 600) : 0;
  const show = () => {
    button.disabled = left_s > 0;
    button.textContent = left_s > 0 ? t("Try again in {seconds} s", { seconds: left_s }) : t("Try again");
  };
  show();
  if (left_s > 0) {
    countdown = setInterval(() => {
      left_s -= 1;
      show();
      if (left_s <= 0) clearInterval(countdown);
    }, 1000);
  }
  if (for_ms > 0) timer = setTimeout(() => hideNotice(key), for_ms);
  box.hidden = false;
}

/** @param {string} [key] hide it only if this is what it says */
export function hideNotice(key) {
  const box = element("notice");
  if (key !== undefined && box.dataset.key !== key) return;
  clearInterval(countdown);
  clearTimeout(timer);
  box.hidden = true;
}

element("notice-close").addEventListener("click", () => hideNotice());
for (const [i, id] of ["notice-retry", "notice-action"].entries()) {
  element(id).addEventListener("click", () => {
    hideNotice();
    actions[i]?.();
  });
}
