// The takes of this browser, in its own database. Where it has none, they last as long as the page.

import { Take } from "./take.js";

const NAME = "avatar328";
const TABLE = "takes";
const MOST = 60; // the oldest go first

function open() {
  return new Promise((resolve, reject) => {
    const asked = indexedDB.open(NAME, 1);
    asked.onupgradeneeded = () => asked.result.createObjectStore(TABLE, { keyPath: "id" });
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error);
    asked.onblocked = () => reject(new Error("another page keeps the database of takes closed"));
  });
}

export class TakesStore {
  constructor() {
    this._database = null;
  }

  /** All takes, the newest first. @returns {Promise<object[]>} as Take.toStored makes them */
  async all() {
    const found = await this._do("readonly", (table) => table.getAll());
    return found.sort((a, b) => b.made_ms - a.made_ms);
  }

  /** Keep one; older ones make room for it. @returns {Promise<string[]>} the ids that had to go */
  async keep(take) {
    const gone = [];
    const known = (await this.all()).map(({ id }) => id);
    while (known.length >= MOST) gone.push(known.pop());
    for (const id of gone) await this.remove(id);
    for (;;) {
      try {
        await this._do("readwrite", (table) => table.put(take.toStored()));
        return gone;
      } catch (error) {
        if (error?.name !== "QuotaExceededError" || known.length === 0) throw error;
        gone.push(known.at(-1));
        await this.remove(known.pop());
      }
    }
  }

  remove(id) {
    return this._do("readwrite", (table) => table.delete(id));
  }

  static take(stored) {
    return Take.fromStored(stored);
  }

  async _do(mode, work) {
    this._database ??= await open();
    return new Promise((resolve, reject) => {
      const transaction = this._database.transaction(TABLE, mode);
      const asked = work(transaction.objectStore(TABLE));
      transaction.oncomplete = () => resolve(asked.result);
      transaction.onerror = transaction.onabort = () => reject(transaction.error ?? asked.error);
    });
  }
}
