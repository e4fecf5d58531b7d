// Choosing an avatar.

import { t } from "./i18n.js";
import { quality } from "./quality.js";
import { titleOf } from "./words.js";

const make = (name, className, text = "") => Object.assign(document.createElement(name), { className, textContent: text });

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

/** What was measured of each avatar; for "Details". */
export function fillQualities(list, avatars) {
  list.replaceChildren(
    ...avatars.filter(isOk).map((avatar) => {
      const measured = quality(avatar.metrics);
      const [row, told] = [make("div", ""), make("dd", "", measured.text)];
      told.title = measured.details;
      const name = make("dt", "", `${titleOf(avatar.name)} `);
      const grade = make("span", "grade", measured.label);
      grade.dataset.grade = measured.grade;
      name.append(grade);
      row.append(name, told);
      return row;
    }),
  );
}

function smallPosterOf(avatar) {
  const address = new URL(posterOf(avatar), window.location.href);
  address.searchParams.set("width", 168); // three pixels of the screen for one of the card
  return address.href;
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
    const origin = avatar.synthetic ? t("Shows no real person") : avatar.consent ? t("Shown with consent") : t("No consent recorded");
    text.append(name, make("span", "avatar-said", origin));
    const picture = Object.assign(make("img", ""), { src: smallPosterOf(avatar), alt: "", loading: "lazy", width: 56, height: 56 });
    box.append(picture, text);
  } else {
    const none = make("span", "none");
    none.append(make("span", "icon icon-warning"));
    name.append(make("small", "", t("cannot be used")));
    const why = make("span", "avatar-said why", avatar.problem || t("This avatar cannot be opened."));
    why.title = why.textContent;
    text.append(name, why);
    box.append(none, text);
  }
  label.append(input, box);
  return label;
}
