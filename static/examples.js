// Sentences to try an avatar with.

import { t } from "./i18n.js";

export const EXAMPLES = {
  Greeting: "Good morning! I am an avatar, and nobody ever filmed me saying this sentence.",
  "Lip test": "Peter Piper picked a peck of pickled peppers, while Betty bought a bit of better butter.",
  Numbers: "On 3 March 2026, revenue rose 12.5% to $3.4 million. That is 42 more orders a day.",
  "A pause": "Take a slow breath in. And out again. Now, let us begin.",
};

/** What an avatar says about itself. */
export const introduction = (name) =>
  t("Hello, I am {name}. Type anything you like, and I will say it. Nobody ever filmed me saying this.", { name });
