// A take as a file: the server codes the pictures and the sound that are here; nothing is generated again.

import { asProblem, Problem, request } from "./api.js";
import { cuesOf } from "./captions.js";
import { t } from "./i18n.js";
import { page } from "./page.js";
import { cropOf, shape } from "./shape.js";
import { fileNameOf } from "./words.js";

const KEEP_MS = 60000;
const ROOM = 0.97; // of what an upload may be; the rest is the form around it

export function saveBlob(blob, name) {
  const url = URL.createObjectURL(blob);
  Object.assign(document.createElement("a"), { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), KEEP_MS);
}

/**
 * @param {boolean} captioned what is said is drawn into the pictures
 * @param {function(string)} ontold says how far it is
 */
export async function saveMovie(take, captioned, ontold) {
  ontold(t("Making MP4…"));
  const response = await movieOf(take, captioned);
  const pieces = [];
  let size = 0;
  const reader = response.body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      pieces.push(value);
      size += value.length;
      ontold(`MP4 ${(size / 1e6).toFixed(1)} MB`);
    }
  } catch (error) {
    throw asProblem(error);
  }
  saveBlob(new Blob(pieces, { type: "video/mp4" }), `${fileNameOf(take.asked)}.mp4`);
}

/** What is said from which picture on. */
function captionsOf({ captions, fps, duration_s, end }) {
  return cuesOf({ captions, fps, duration_s, whole: end !== null }).map(({ from_s, text }) => ({ at: Math.round(from_s * fps), text }));
}

function movieOf(take, captioned) {
  const pictures = new Blob(take.pictures);
  const sound = take.sound();
  const most = ROOM * page.uploadMb * 2 ** 20;
  if (pictures.size + sound.size > most) return generated(take, captioned);
  const form = new FormData();
  const { avatar, width, height, sample_rate, voice, consent } = take.header;
  const sizes = take.pictures.map(({ size }) => size);
  const captions = captioned ? captionsOf(take) : [];
  form.append("take", JSON.stringify({ avatar, width, height, sample_rate, voice, consent, sizes, captions, crop: cropOf(take) }));
  form.append("pictures", pictures);
  form.append("sound", sound);
  return request("/takes/mp4", { method: "POST", body: form });
}

/** A take that is too long to be sent: by the server, out of its cache the second time. */
function generated({ asked, header }, captioned) {
  if (!asked.text) {
    throw new Problem({
      title: t("This take is too long for an MP4"),
      detail: t("Its pictures are larger than the {mb} MB that the server takes.", { mb: page.uploadMb }),
    });
  }
  const { text, avatar, voice, speed } = asked;
  const { start_frame, direction } = header;
  const body = JSON.stringify({ text, avatar, voice, speed, start_frame, direction, cache: true });
  const headers = { "Content-Type": "application/json", Accept: "video/mp4" };
  const query = new URLSearchParams({ aspect: shape(), ...(captioned ? { captions: "true" } : {}) });
  return request(`/generate?${query}`, { method: "POST", headers, body });
}
