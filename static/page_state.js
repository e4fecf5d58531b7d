// What was chosen: in the address for others, in the browser's storage for the next time.

const KEY = "avatar328.last";
const IN_ADDRESS = ["avatar", "voice", "text", "aspect"];
const LONGEST_TEXT = 1500; // in an address

function stored() {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? "{}");
  } catch {
    return {}; // switched off, or not ours
  }
}

/** {avatar, voice, text, aspect, speed}, each a string or undefined; the address goes before what was kept. */
export function recall() {
  const address = new URLSearchParams(location.search);
  const found = stored();
  for (const name of IN_ADDRESS) if (address.has(name)) found[name] = address.get(name);
  return found;
}

/** Keep what changed; `share` puts it into the address as well. */
export function remember(changed, { share = true } = {}) {
  try {
    localStorage.setItem(KEY, JSON.stringify({ ...stored(), ...changed }));
  } catch {
    // switched off: the address still has it
  }
  if (!share) return;
  const address = new URL(location.href);
  for (const name of IN_ADDRESS) {
    if (!(name in changed)) continue;
    const value = changed[name] ?? "";
    if (value && value.length <= LONGEST_TEXT) address.searchParams.set(name, value);
    else address.searchParams.delete(name);
  }
  history.replaceState(null, "", address);
}
