// Choosing an avatar and a voice.

import { quality } from "./quality.js";

const make = (name, className, text = "") => Object.assign(document.createElement(name), { className, textContent: text });

/** "demo_presenter" -> "Demo presenter" */
export function titleOf(name) {
  const words = name.replace(/[_-]+/g, " ").trim();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

const isOk = (avatar) => avatar.status === "ok";

export const posterOf = (avatar) => avatar.poster ?? `/avatar?avatar=${encodeURIComponent(avatar.name)}`;

/**
 * Fill the list.
 * @returns {object | null} the avatar that is chosen
 */
export function fillAvatars(list, avatars, wanted, onchoose) {
  const usable = avatars.filter(isOk);
  const chosen = usable.find(({ name }) => name === wanted) ?? usable[0] ?? null;
  list.replaceChildren(...[...usable, ...avatars.filter((avatar) => !isOk(avatar))].map((avatar) => card(avatar, avatar === chosen, onchoose)));
  return chosen;
}

function card(avatar, checked, onchoose) {
  const ok = isOk(avatar);
  const label = make("label", "avatar");
  const input = Object.assign(make("input", ""), { type: "radio", name: "avatar", value: avatar.name, checked, disabled: !ok });
  input.addEventListener("change", () => onchoose(avatar));
  const box = make("span", "avatar-card");
  const text = make("span", "");
  const name = make("span", "avatar-name", titleOf(avatar.name));
  if (ok) {
    const measured = quality(avatar.metrics);
    const origin = avatar.synthetic ? "synthetic" : avatar.consent ? "with consent" : "";
    name.append(make("small", "", origin));
    text.append(name, make("span", "avatar-said", measured.text));
    const grade = make("span", "grade", measured.label);
    grade.dataset.grade = measured.grade;
    grade.title = measured.details;
    const picture = Object.assign(make("img", ""), { src: posterOf(avatar), alt: "", loading: "lazy", width: 56, height: 56 });
    box.append(picture, text, grade);
  } else {
    const none = make("span", "none");
    none.append(make("span", "icon icon-warning"));
    name.append(make("small", "", "cannot be used"));
    const why = make("span", "avatar-said why", avatar.problem || "This avatar cannot be opened.");
    why.title = why.textContent;
    text.append(name, why);
    box.append(none, text);
  }
  label.append(input, box);
  return label;
}

/** "Amy, woman (Piper)" under the heading "Piper" */
function withoutEngine(label, engine) {
  return label.replace(new RegExp(`\\s*\\(${engine}\\)$`, "i"), "");
}

/** Fill the voices, grouped by engine; the first is the server's default. */
export function fillVoices(select, voices, wanted) {
  const groups = new Map();
  for (const voice of voices) {
    if (!groups.has(voice.engine)) groups.set(voice.engine, []);
    groups.get(voice.engine).push(voice);
  }
  select.replaceChildren(
    ...[...groups].map(([engine, members]) => {
      const group = Object.assign(document.createElement("optgroup"), { label: titleOf(engine) });
      group.append(...members.map(({ name, label }) => new Option(withoutEngine(label || name, engine), name)));
      return group;
    }),
  );
  const first = voices[0]?.name ?? "";
  select.value = voices.some(({ name }) => name === wanted) ? wanted : first;
  select.disabled = voices.length === 0;
  if (voices.length === 0) select.replaceChildren(new Option("No voice on this server", ""));
}
