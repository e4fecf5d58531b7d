// "New": an avatar of a photo or a recording, by a job that outlives the page. "Delete": the chosen one.

import { asProblem, getJson, request } from "./api.js";
import { loadAvatars } from "./catalogue.js";
import { t } from "./i18n.js";
import { element, page } from "./page.js";
import { remember } from "./page_state.js";
import { titleOf, waitOf } from "./words.js";

const KEY = "avatar328.creating";
const LOOK_MS = 1000;
const STATES = {
  queued: "It waits for its turn.",
  failed: "It could not be made.",
  cancelled: "It was cancelled. What was done so far is kept.",
  interrupted: "It was interrupted. What was done so far is kept.",
};
let making = "";
let timer = 0;
let shownPreview = "";

function keep(name) {
  making = name;
  try {
    if (name) localStorage.setItem(KEY, name);
    else localStorage.removeItem(KEY);
  } catch {
    // storage is switched off: a closed page forgets what it was waiting for
  }
}

const addressOf = (name) => `/avatars/${encodeURIComponent(name)}`;

function tell(text) {
  element("create-problem").textContent = text;
}

function tellProblem(error) {
  const { title, detail } = asProblem(error);
  tell(`${title}. ${detail}`);
}

function showForm(shown) {
  element("create-form").hidden = !shown;
  element("create-job").hidden = shown;
}

const isVideo = (file) => file?.type.startsWith("video/") ?? false;

function fileChanged() {
  element("create-preset-field").hidden = !isVideo(element("create-file").files[0]);
}

async function record() {
  const { openRecorder } = await import("./recorder.js");
  openRecorder((file) => {
    const chosen = new DataTransfer();
    chosen.items.add(file);
    element("create-file").files = chosen.files;
    fileChanged();
  });
}

async function begin() {
  const [file] = element("create-file").files;
  const name = element("create-name").value.trim().replace(/\s+/g, "-");
  const nobody = element("create-synthetic").checked;
  if (file.size > page.uploadMb << 20) {
    tell(t("It is larger than the {mb} MB that the server takes.", { mb: page.uploadMb }));
    return;
  }
  const body = new FormData();
  body.append("name", name);
  if (nobody) body.append("synthetic", "true");
  else body.append("consent", ["create-who", "create-date", "create-scope"].map((id) => element(id).value.trim()).join(", "));
  if (isVideo(file)) body.append("preset", element("create-preset").value);
  body.append(isVideo(file) ? "video" : "image", file);
  await send(name, body);
}

async function send(name, body) {
  const button = element("create-begin");
  button.disabled = true;
  tell("");
  try {
    await request("/avatars", { method: "POST", body });
    keep(name);
    showForm(false);
    look();
  } catch (error) {
    tellProblem(error);
  } finally {
    button.disabled = false;
  }
}

async function look() {
  clearTimeout(timer);
  const name = making;
  if (!name) return;
  try {
    const job = await getJson(`${addressOf(name)}/job`);
    if (name !== making) return;
    tell(job.problem ?? "");
    if (job.state === "done") {
      await ready(name);
      return;
    }
    show(job);
  } catch (error) {
    tellProblem(error);
    if (asProblem(error).status === 404) {
      keep("");
      showForm(true);
      return;
    }
  }
  timer = setTimeout(look, LOOK_MS);
}

function show(job) {
  const open = job.state === "queued" || job.state === "running";
  element("create-stage").textContent = `${titleOf(job.name)}: ${t(STATES[job.state] ?? job.stage)}`;
  element("create-progress").value = job.progress;
  element("create-eta").textContent = job.eta_s === null ? "" : t("This part is done in {time}", { time: waitOf(job.eta_s) });
  element("create-log").textContent = job.log.join("\n");
  if (job.state === "queued" && job.position > 0) element("create-eta").textContent = t("{count} before it", { count: job.position });
  element("create-preview").hidden = !job.preview;
  if (job.preview && shownPreview !== job.preview) element("create-preview-picture").src = shownPreview = job.preview;
  element("create-report").hidden = !job.report;
  if (job.report) element("create-report").href = job.report;
  element("create-use").hidden = !job.speaks;
  element("create-cancel").hidden = !open;
  element("create-resume").hidden = open;
  element("create-forget").hidden = open;
}

async function use(name) {
  remember({ avatar: name });
  await loadAvatars();
}

async function ready(name) {
  keep("");
  await use(name);
  element("create-form").reset();
  fileChanged();
  showForm(true);
  element("create").close();
}

async function ask(method, url) {
  try {
    await request(url, { method });
    return true;
  } catch (error) {
    tellProblem(error);
    return false;
  }
}

function startRemoval() {
  const [dialog, typed, button] = ["remove", "remove-name", "remove-do"].map(element);
  const matches = () => (button.disabled = typed.value.trim() !== page.avatar?.name);
  typed.addEventListener("input", matches);
  element("remove-open").addEventListener("click", () => {
    if (!page.avatar) return;
    typed.value = "";
    element("remove-problem").textContent = "";
    element("remove-text").textContent = t("This removes {name}, its recording and all that was trained, for good. Type the name to do it: {name}", { name: page.avatar.name });
    matches();
    dialog.showModal();
  });
  element("remove-close").addEventListener("click", () => dialog.close());
  element("remove-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    if (button.disabled) return;
    const { name } = page.avatar;
    try {
      await request(`${addressOf(name)}?confirm=${encodeURIComponent(name)}`, { method: "DELETE" });
    } catch (error) {
      const { title, detail } = asProblem(error);
      element("remove-problem").textContent = `${title}. ${detail}`;
      return;
    }
    remember({ avatar: page.avatars.find((entry) => entry.default)?.name ?? "" });
    dialog.close();
    await loadAvatars();
  });
}

export const isMaking = () => making !== "";

/** Show how far a job is that was just begun. */
export function watchJob(name) {
  keep(name);
  tell("");
  showForm(false);
  element("create").showModal();
  look();
}

export function startCreation() {
  try {
    making = localStorage.getItem(KEY) ?? "";
  } catch {
    // storage is switched off
  }
  element("create-open").addEventListener("click", () => {
    tell("");
    showForm(!making);
    element("create").showModal();
    look();
  });
  element("create-close").addEventListener("click", () => element("create").close());
  element("create-file").addEventListener("change", fileChanged);
  const canRecord = Boolean(navigator.mediaDevices?.getUserMedia && window.MediaRecorder); // https or localhost only
  element("create-record").disabled = !canRecord;
  if (!canRecord) element("create-recorded").textContent = t("Browsers give a camera to pages at https or localhost only.");
  element("create-record").addEventListener("click", record);
  element("create-synthetic").addEventListener("change", ({ target }) => {
    for (const id of ["create-who", "create-date", "create-scope"]) element(id).disabled = target.checked;
  });
  element("create-form").addEventListener("submit", (event) => {
    event.preventDefault();
    begin();
  });
  element("create-use").addEventListener("click", async () => {
    await use(making);
    element("create").close();
  });
  element("create-cancel").addEventListener("click", () => ask("DELETE", `${addressOf(making)}/job`));
  element("create-resume").addEventListener("click", () => {
    const body = new FormData();
    body.append("name", making);
    send(making, body);
  });
  element("create-forget").addEventListener("click", async () => {
    const name = making;
    if (!(await ask("DELETE", `${addressOf(name)}?confirm=${encodeURIComponent(name)}`))) return;
    clearTimeout(timer);
    keep("");
    showForm(true);
  });
  startRemoval();
  if (making) look();
}
