// Choosing the shape of the picture; it is kept with the page's other choices and in the address.

import { partOf, showPart } from "./aspect.js";
import { element, page, player } from "./page.js";
import { recall, remember } from "./page_state.js";

const avatarOf = ({ header, asked }) => page.avatars.find(({ name }) => name === (header?.avatar ?? asked.avatar));

/** The shape that is chosen, as the server calls it. */
export const shape = () => element("aspect").value;

/** The chosen avatar's part, or that of a take of another one, which has its face elsewhere. */
export function fitStage(avatar = page.avatar) {
  if (!avatar) return;
  const style = showPart(element("stage"), avatar, shape());
  if (avatar === page.avatar) remember({ part: { avatar: avatar.name, aspect: shape(), style } }, { share: false });
}

/** What is coded of a take; null: all of it. */
export function cropOf(take) {
  const avatar = avatarOf(take);
  const isThere = avatar?.width === take.header.width && avatar?.height === take.header.height;
  return shape() === "original" || !isThere ? null : partOf(avatar, shape());
}

export function startShape() {
  const select = element("aspect");
  select.value = recall().aspect || "original";
  if (select.selectedIndex < 0) select.value = "original"; // an address may say anything
  select.addEventListener("change", () => {
    remember({ aspect: shape() === "original" ? "" : shape() });
    fitStage((player.take && avatarOf(player.take)) ?? page.avatar);
  });
  player.addEventListener("entered", ({ detail }) => fitStage(avatarOf(detail)));
  player.addEventListener("left", () => fitStage());
}
