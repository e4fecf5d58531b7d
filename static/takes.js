// The strip of takes: picture, words, length; a tap plays one again.

import { t } from "./i18n.js";
import { showNotice } from "./notice.js";
import { element, page } from "./page.js";
import { TakesStore } from "./takes_store.js";
import { clock, titleOf } from "./words.js";

const make = (name, className, text = "") => Object.assign(document.createElement(name), { className, textContent: text });

/** @param {{onchoose: function(Take), onremove: function(string)}} hooks */
export function startTakes({ onchoose, onremove }) {
  const store = new TakesStore();
  const items = new Map(); // id -> the <li>
  let told = false;

  function tell(error) {
    if (told) return;
    told = true;
    const detail = t("The browser does not store them ({why}).", { why: error?.message || error?.name || "–" });
    showNotice({ title: t("Takes last as long as this page"), detail }, { level: "note", key: "takes" });
  }

  function mark(id) {
    for (const [known, { button }] of items) button.setAttribute("aria-pressed", String(known === id));
  }

  function forget(id) {
    const item = items.get(id);
    if (!item) return;
    URL.revokeObjectURL(item.url);
    item.row.remove();
    items.delete(id);
    element("takes").hidden = items.size === 0;
  }

  /** @param {function(): Take} read */
  function show({ id, asked, thumbnail, frames, fps }, read, first) {
    forget(id);
    const url = URL.createObjectURL(thumbnail);
    const row = make("li", "take");
    const words = asked.text || asked.label || "";
    const length = clock(frames / fps);
    const button = Object.assign(make("button", "take-play"), { type: "button", title: words });
    button.setAttribute("aria-pressed", "false");
    const picture = Object.assign(make("img", ""), { src: url, alt: "" });
    const what = make("span", "hidden", t("Play again, {avatar},", { avatar: titleOf(asked.avatar) }));
    button.append(what, picture, make("span", "take-length", length), make("span", "take-words", words));
    button.addEventListener("click", () => {
      mark(id);
      onchoose(read());
    });
    const away = Object.assign(make("button", "take-away"), { type: "button" });
    away.setAttribute("aria-label", t("Delete this take: {words}", { words }));
    away.append(make("span", "icon icon-close"));
    away.addEventListener("click", () => {
      const next = row.nextElementSibling ?? row.previousElementSibling;
      forget(id);
      next?.querySelector("button").focus();
      onremove(id);
      store.remove(id).catch(tell);
    });
    row.append(button, away);
    items.set(id, { row, button, url });
    if (first) element("take-list").prepend(row);
    else element("take-list").append(row);
    element("takes").hidden = false;
  }

  store.all().then(
    (found) => {
      for (const stored of found) {
        const facts = { id: stored.id, asked: stored.asked, thumbnail: stored.thumbnail, frames: stored.sizes.length };
        show({ ...facts, fps: stored.header.fps }, () => TakesStore.take(stored), false);
      }
      page.takesLoaded = true;
    },
    () => (page.takesLoaded = true), // it is told when there is something to keep
  );

  return {
    mark,
    /** Put a take in front and store it. */
    async add(take) {
      const { id, asked, frames, fps } = take;
      show({ id, asked, frames, fps, thumbnail: take.pictures[Math.floor(frames / 2)] }, () => take, true);
      mark(id);
      try {
        for (const gone of await store.keep(take)) forget(gone);
      } catch (error) {
        tell(error);
      }
    },
  };
}
