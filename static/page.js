// What the parts of the page share.

import { Player } from "./player.js";
import { Waveform } from "./waveform.js";

export const element = (id) => document.getElementById(id);
export const player = new Player(element("canvas"));
export const wave = new Waveform(element("wave"));
export const FPS = 25;

export const page = {
  avatar: null, // the chosen one, as /avatars tells it
  textLimit: 5000,
  said: null, // what was asked for last
};

window.avatar328 = { player, page }; // for the console and for tests
