// The order in which template frames are shown: to and fro between two calm frames, as services/avatars/template.py.

/**
 * The step after a shown frame.
 * @param {{index: number, direction: number}} at the frame that is shown and the way it is walked
 * @param {number} low where the walk turns to go forwards
 * @param {number} high where it turns to go backwards
 */
export function step({ index, direction }, low, high) {
  if (low >= high) return { index, direction };
  let way = direction;
  if (index >= high) way = -1;
  else if (index <= low) way = 1;
  return { index: index + way, direction: way };
}

/**
 * The idle walk: like `step`, but it never leaves what has been loaded. Where the next frame is not here yet
 * it turns round (neighbours stay neighbours), and where neither neighbour is, it stands still.
 */
export function idleStep(at, low, high, has) {
  const next = step(at, low, high);
  if (next.index === at.index || has(next.index)) return next;
  const back = { index: at.index - next.direction, direction: -next.direction };
  return has(back.index) ? back : at;
}

/** Where `idleStep` will stand after `count` steps. */
export function idleAhead(at, low, high, has, count) {
  let state = at;
  for (let i = 0; i < count; i += 1) state = idleStep(state, low, high, has);
  return state;
}
