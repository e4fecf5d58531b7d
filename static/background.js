// "Background…": a copy of the chosen avatar with something else behind the person, by a job.

import { asProblem, request } from "./api.js";
import { isMaking, watchJob } from "./create.js";
import { t } from "./i18n.js";
import { element, page } from "./page.js";

export function openBackground() {
  const fixed = page.avatar.kind === "video";
  element("behind-name").value = `${page.avatar.name}-2`;
  element("behind-problem").textContent = fixed
    ? t("A network draws this avatar with its own background; only films and photos can have another.")
    : isMaking()
      ? t("Another avatar is being made: wait for it.")
      : "";
  element("behind-do").disabled = fixed || isMaking();
  element("behind").showModal();
}

async function begin() {
  const name = element("behind-name").value.trim().replace(/\s+/g, "-");
  const body = new FormData();
  body.append("name", name);
  body.append("of", page.avatar.name);
  body.append("background", element("behind-kind").value === "blur" ? "blur" : element("behind-colour").value);
  element("behind-do").disabled = true;
  try {
    await request("/avatars", { method: "POST", body });
    element("behind").close();
    watchJob(name);
  } catch (error) {
    const { title, detail } = asProblem(error);
    element("behind-problem").textContent = `${title}. ${detail}`;
  } finally {
    element("behind-do").disabled = false;
  }
}

element("behind-close").addEventListener("click", () => element("behind").close());
element("behind-kind").addEventListener("change", ({ target }) => {
  element("behind-colour-field").hidden = target.value === "blur";
});
element("behind-form").addEventListener("submit", (event) => {
  event.preventDefault();
  begin();
});
