// When somebody begins to speak, and when they have stopped: by loudness over what is heard all the time.
//
//   const activity = new VoiceActivity(rate, { onbegin: (pieces) => …, onpiece: (piece) => …, onend: () => … });
//   activity.hear(samples); // of a microphone, as they come
//
// The floor follows quiet moments at once and loud ones slowly, so a fan is a floor within seconds and a word is not.

const OVER_FLOOR_DB = 10; // is a voice
const STILL_OVER_DB = 6; // is still one, once there was one...
const STILL_BELOW_DB = 22; // ...and not so much quieter than its loudest: what is left of noise jumps about
const QUIETEST_DB = -55; // of full scale; below it nobody speaks
const RISES_DB_S = 4; // the floor, where it is quieter than what is heard
const BEGINS_S = 0.12; // of voice within...
const BEGINS_WITHIN_S = 0.25;
const ENDS_S = 0.8; // without a voice: longer than people pause between words
const BEFORE_S = 0.4; // the first sound is often a quiet one

export class VoiceActivity {
  /**
   * @param {number} rate Hz
   * @param {{onbegin: function(Int16Array[]), onpiece: function(Int16Array), onend: function()}} told pieces at the
   *   beginning are what was heard shortly before it as well
   */
  constructor(rate, told) {
    this._rate = rate;
    this._told = told;
    this._floor_db = null;
    this._before = []; // {piece, seconds, voice}, the last moments
    this._silent_s = 0;
    this._loudest_db = 0;
    this.speaking = false;
  }

  /** @param {Int16Array} piece some 20 ms */
  hear(piece) {
    const seconds = piece.length / this._rate;
    const level_db = loudness(piece);
    this._floor_db = Math.min(level_db, (this._floor_db ?? level_db) + RISES_DB_S * seconds);
    const over_db = level_db - Math.max(this._floor_db, QUIETEST_DB);
    if (this.speaking) this._goOn(piece, seconds, level_db, over_db);
    else this._wait({ piece, seconds, level_db, voice: over_db > OVER_FLOOR_DB });
  }

  _wait(heard) {
    this._before.push(heard);
    while (total(this._before) - this._before[0].seconds >= BEFORE_S) this._before.shift();
    let within_s = 0;
    const lately = this._before.toReversed().filter(({ seconds }) => (within_s += seconds) <= BEGINS_WITHIN_S);
    if (total(lately.filter(({ voice }) => voice)) < BEGINS_S) return;
    const pieces = this._before.map(({ piece }) => piece);
    this._loudest_db = Math.max(...lately.map(({ level_db }) => level_db));
    this._before = [];
    this._silent_s = 0;
    this.speaking = true;
    this._told.onbegin(pieces);
  }

  _goOn(piece, seconds, level_db, over_db) {
    this._told.onpiece(piece);
    this._loudest_db = Math.max(this._loudest_db, level_db);
    const voice = over_db > STILL_OVER_DB && level_db > this._loudest_db - STILL_BELOW_DB;
    this._silent_s = voice ? 0 : this._silent_s + seconds;
    if (this._silent_s < ENDS_S) return;
    this.speaking = false;
    this._told.onend();
  }
}

/** Of full scale, dB. */
function loudness(piece) {
  let sum = 0;
  for (const sample of piece) sum += sample * sample;
  return 10 * Math.log10(sum / piece.length / 32768 ** 2 + 1e-12);
}

function total(heard) {
  return heard.reduce((sum, { seconds }) => sum + seconds, 0);
}
