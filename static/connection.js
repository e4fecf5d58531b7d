// Is the server there? One answer for the header, the stage and the toast.
//
//   connecting -> warming -> ready <-> lost          lost: asked again by itself, until it answers

import { asProblem, getJson } from "./api.js";

const READY_MS = 10000;
const WARMING_MS = 2000;
const LOST_MS = [1000, 2000, 4000, 8000];
const ANSWER_MS = 8000;

export class Connection extends EventTarget {
  /** @param {function(object): Promise<void>} onhealth loads what is missing; connected only when it succeeds */
  constructor(onhealth) {
    super();
    this.state = "connecting";
    this.health = null;
    this.problem = null;
    this._onhealth = onhealth;
    this._tries = 0;
    this._timer = 0;
    this._asking = null;
    addEventListener("online", () => this.check());
    document.addEventListener("visibilitychange", () => !document.hidden && this.check());
  }

  get lost() {
    return this.state === "lost";
  }

  /** Ask now. @returns {Promise<boolean>} whether the server answers */
  check() {
    this._asking ??= this._check().finally(() => (this._asking = null));
    return this._asking;
  }

  async _check() {
    clearTimeout(this._timer);
    try {
      this.health = await getJson("/health", AbortSignal.timeout(ANSWER_MS));
      await this._onhealth(this.health);
      this.problem = null;
      this._tries = 0;
      this._become(this.health.status === "starting" ? "warming" : "ready");
    } catch (error) {
      this.problem = asProblem(error);
      this._become("lost");
      this._tries += 1;
    }
    this._later();
    return !this.lost;
  }

  _later() {
    const unknown = this.state === "warming" || this.health?.sessions?.source === "provisional";
    const lost_ms = LOST_MS[Math.min(this._tries, LOST_MS.length) - 1];
    const wait_ms = this.lost ? lost_ms : unknown ? WARMING_MS : READY_MS;
    this._timer = setTimeout(() => (document.hidden ? this._later() : this.check()), wait_ms);
  }

  _become(state) {
    const before = this.state;
    this.state = state;
    this.dispatchEvent(new CustomEvent("told", { detail: { state, before } }));
  }
}
