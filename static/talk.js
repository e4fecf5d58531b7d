// "Talk": a live session. The avatar says one's own words as one says them, and, where somebody answers, converses.

import { t } from "./i18n.js";
import { canListen, Microphone } from "./microphone.js";
import { element, page, player as main } from "./page.js";
import { LiveSession } from "./session.js";
import { tiersHere } from "./session_h264.js";
import { LivePlayer } from "./session_player.js";
import { VoiceActivity } from "./voice_activity.js";

const KINDS = ["mirror", "question", "free"];

let talk = null;

class Talk {
  constructor() {
    this.player = new LivePlayer(element("talk-canvas"), new LiveSession({ avatar: page.avatar?.name, tiers: tiersHere() }));
    this.session = this.player.session;
    this.listening = null; // "mirror", "question" or "free"
    this.microphone = null;
    this._opening = 0;
    this._asked = 0;
    this._line = null; // of the answer that is being written
    this.player.addEventListener("problem", ({ detail }) => this._tell(detail.problem));
    this.player.addEventListener("closed", () => this._say(t("The session is over. Close this and open it again.")));
    this.player.addEventListener("state", ({ detail }) => (element("talk").dataset.state = detail.state));
    this.session.addEventListener("heard", ({ detail }) => detail.turn === this._asked && this._add("you", detail.text));
    this.session.addEventListener("answer", ({ detail }) => this._answered(detail));
  }

  async open() {
    this.player.unlock();
    this._say(t("Connecting…"));
    try {
      const { conversation } = await this.player.open();
      element("talk-form").hidden = !conversation.text;
      element("talk-lines").hidden = !conversation.text;
      for (const kind of ["question", "free"]) element(`talk-${kind}`).hidden = !conversation.speech;
      for (const kind of KINDS) element(`talk-${kind}`).disabled = !canListen();
      this._say(canListen() ? "" : t("Browsers give a microphone to pages at https or localhost only."));
    } catch (problem) {
      this._tell(problem);
    }
  }

  close() {
    this._quiet();
    this.player.close();
  }

  /** What is heard from now on is said at once, or is a question when it ends; "free": whenever somebody speaks. */
  async listen(kind) {
    const before = this.listening;
    this._quiet();
    if (before === "question") this._ask();
    if (before === "mirror") this.player.end();
    if (before === kind) return;
    this._interrupt();
    const opening = ++this._opening;
    let take = (samples) => this.player.appendAudio(samples);
    const microphone = new Microphone((samples) => this.microphone === microphone && take(samples));
    try {
      const rate = await microphone.open();
      if (opening !== this._opening || this !== talk) return microphone.close();
      if (kind === "mirror") this.player.beginAudio(rate);
      else if (kind === "question") this.session.listen(rate);
      else take = this._whoeverSpeaks(rate);
      [this.microphone, this.listening] = [microphone, kind];
      this._say(asked(kind));
    } catch {
      this._say(t("The microphone cannot be used: allow it in the browser."));
    }
    this._show();
  }

  /** Takes what a microphone hears: who begins to speak interrupts, and who has stopped is answered. */
  _whoeverSpeaks(rate) {
    const activity = new VoiceActivity(rate, {
      onbegin: (pieces) => {
        this._interrupt();
        this.session.listen(rate);
        for (const piece of pieces) this.player.appendAudio(piece);
      },
      onpiece: (piece) => this.player.appendAudio(piece),
      onend: () => this._ask(),
    });
    return (samples) => activity.hear(samples);
  }

  ask(text) {
    this._quiet();
    this._interrupt();
    this._add("you", text);
    this._ask(text);
  }

  stop() {
    this._quiet();
    this._interrupt();
  }

  _ask(text) {
    this._asked += 1;
    this._line = null;
    this.player.ask(text, { voice: page.voice || undefined, speed: Number(element("speed").value) });
  }

  _interrupt() {
    this.player.cancel().catch(() => {}); // the session is over, and says so itself
  }

  _quiet() {
    this._opening += 1;
    this.microphone?.close();
    [this.microphone, this.listening] = [null, null];
    this._say("");
    this._show();
  }

  _answered({ turn, text }) {
    if (turn !== this._asked) return; // of a question before this one
    this._line ??= this._add("avatar", "");
    this._line.append(text);
    element("talk-lines").scrollTop = element("talk-lines").scrollHeight;
  }

  _add(who, text) {
    const line = Object.assign(document.createElement("li"), { className: who, dir: "auto", textContent: text });
    element("talk-lines").append(line);
    line.scrollIntoView({ block: "nearest" });
    return line;
  }

  _show() {
    for (const kind of KINDS) {
      element(`talk-${kind}`).setAttribute("aria-pressed", String(this.listening === kind));
    }
  }

  _say(text) {
    element("talk-said").textContent = text;
  }

  _tell(problem) {
    this._say([problem.title, problem.detail].filter(Boolean).join(": "));
  }
}

function asked(kind) {
  if (kind === "mirror") return t("Speak: the avatar says what you say. Headphones keep it from hearing itself.");
  if (kind === "question") return t("Ask, then press again.");
  return t("Just speak, also while the avatar does. Headphones keep it from hearing itself.");
}

function start() {
  const dialog = element("talk");
  const leave = () => {
    talk?.close();
    talk = window.avatar328.talk = null;
  };
  dialog.addEventListener("close", leave);
  window.addEventListener("pagehide", leave);
  element("talk-close").addEventListener("click", () => dialog.close());
  for (const kind of KINDS) element(`talk-${kind}`).addEventListener("click", () => talk?.listen(kind));
  element("talk-stop").addEventListener("click", () => talk?.stop());
  element("talk-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = element("talk-text").value.trim();
    element("talk-text").value = "";
    if (text) talk?.ask(text);
  });
}

/** Call this inside a click: the page is to be heard. */
export function openTalk() {
  if (!window.avatar328.talkStarted) start();
  window.avatar328.talkStarted = true;
  main.stop();
  element("talk-lines").replaceChildren();
  element("talk").showModal();
  talk = window.avatar328.talk = new Talk();
  return talk.open();
}
