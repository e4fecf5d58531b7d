// The one place where the page says that something went wrong, and what to do about it.

const element = (id) => document.getElementById(id);
let retry = null;
let countdown = 0;

/** The server's details begin small and end without a stop; a name at the beginning stays as it is. */
function sentence(text) {
  const begun = /^[a-z]+[ ,]/.test(text) ? text.charAt(0).toUpperCase() + text.slice(1) : text;
  return /[.!?…]$/.test(begun) ? begun : `${begun}.`;
}

/**
 * @param {{title: string, detail?: string, retryAfter_s?: number, errors?: object[]}} problem
 * @param {{again?: function, level?: "error" | "note", key?: string}} options
 */
export function showNotice(problem, { again = null, level = "error", key = "" } = {}) {
  clearInterval(countdown);
  const box = element("notice");
  box.dataset.level = level;
  box.dataset.key = key;
  element("notice-title").textContent = problem.title;
  const fields = (problem.errors ?? []).map(({ field, message }) => `${field}: ${message}`);
  element("notice-detail").textContent = [problem.detail, ...fields].filter(Boolean).map(sentence).join(" ");
  retry = again;
  const button = element("notice-retry");
  button.hidden = again === null;
  let left_s = again ? Math.min(problem.retryAfter_s ?? 0, 600) : 0;
  const show = () => {
    button.disabled = left_s > 0;
    button.textContent = left_s > 0 ? `Try again in ${left_s} s` : "Try again";
  };
  show();
  if (left_s > 0) {
    countdown = setInterval(() => {
      left_s -= 1;
      show();
      if (left_s <= 0) clearInterval(countdown);
    }, 1000);
  }
  box.hidden = false;
}

/** @param {string} [key] hide it only if this is what it says */
export function hideNotice(key) {
  const box = element("notice");
  if (key !== undefined && box.dataset.key !== key) return;
  clearInterval(countdown);
  box.hidden = true;
}

element("notice-close").addEventListener("click", () => hideNotice());
element("notice-retry").addEventListener("click", () => {
  hideNotice();
  retry?.();
});
