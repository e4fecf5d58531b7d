// What to read aloud for a recording: every sound of the language, questions and pauses, in sentences that read easily.

export const READING = [
  "My name does not matter here, but my voice and my mouth do, so I will read this calmly, as if I told it to a friend.",
  "Every Wednesday a small boat leaves the harbour at half past five, with bread, post, apples and a few sleepy people on board.",
  "Who would have thought that the fog could be so thick? Nobody saw the old lighthouse, and the captain kept blowing his horn.",
  "Both brothers pushed the heavy box up the path; it rained, it was cold, and the younger one began to laugh and could not stop.",
  "Please bring me twelve blue buttons, a measure of thin thread, and, if there is one, a very sharp pair of scissors.",
  "I usually choose the quiet way through the woods, where beech and oak grow close together and the ground is soft.",
  "Is it far? Not at all: over the bridge, past the church, then left, and you will hear the music from the market.",
  "Thank you for listening. Now I close my mouth, look into the camera, and wait.",
];
