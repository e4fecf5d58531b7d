// What the parts of the page share.

import { Player } from "./player.js";
import { Waveform } from "./waveform.js";

export const element = (id) => document.getElementById(id);
export const player = new Player(element("canvas"));
export const wave = new Waveform(element("wave"));
export const FPS = 25;

export const page = {
  avatar: null, // the chosen one, as /avatars tells it
  avatars: [],
  voices: [],
  voice: "", // name of the chosen one
  textLimit: 5000,
  uploadMb: 64,
  uploadS: 600,
  said: null, // what was asked for last
};

window.avatar328 = { player, page }; // for the console and for tests
