// What is shown of the pictures: a part around the face, cut by the style alone, so that a frame costs nothing more.

/** The part of an avatar's pictures, as /avatars tells it: left, top, width, height in px; the whole where it does not. */
export function partOf(avatar, aspect) {
  return avatar?.crops?.[aspect] ?? [0, 0, avatar?.width || 1, avatar?.height || 1];
}

/** Show that part on a stage. @returns {object} the properties that were set, for the next first paint */
export function showPart(stage, avatar, aspect) {
  const [left, top, width, height] = partOf(avatar, aspect);
  const percent = (share) => `${(100 * share).toFixed(4)}%`;
  const style = {
    "--aspect": String(width / height),
    "--part-left": percent(-left / width),
    "--part-top": percent(-top / height),
    "--part-wide": percent((avatar?.width || 1) / width),
    "--part-high": percent((avatar?.height || 1) / height),
  };
  for (const [name, value] of Object.entries(style)) stage.style.setProperty(name, value);
  return style;
}
