// What an avatar's measurements mean, in words. The numbers come from its held-out recording (docs/model-details.md).

import { t } from "./i18n.js";

const MEASURES = [
  {
    key: "generated.opening_r",
    name: "Lip sync",
    grades: [[0.8, "good"], [0.6, "fair"], [-Infinity, "weak"]],
    words: { good: "follows closely", fair: "follows", weak: "follows loosely" },
  },
  {
    key: "generated.sharpness_ratio",
    name: "sharpness",
    grades: [[0.6, "good"], [0.35, "fair"], [-Infinity, "weak"]],
    words: { good: "crisp", fair: "a little soft", weak: "soft" },
  },
  {
    key: "generated.digital_silence_move_percent",
    name: "rest",
    percent: true,
    grades: [[-5, "good"], [-20, "fair"], [-Infinity, "weak"]], // less movement is better: compared negated
    negate: true,
    words: { good: "calm in silence", fair: "restless in silence", weak: "moves in silence" },
  },
];
const ORDER = ["good", "fair", "weak"];
const LABELS = { good: "Good", fair: "Fair", weak: "Draft", none: "Unmeasured" };

/**
 * @param {object} metrics of /avatars
 * @returns {{grade: string, label: string, text: string, details: string}}
 */
export function quality(metrics) {
  const found = [];
  for (const measure of MEASURES) {
    const value = metrics?.[measure.key];
    if (typeof value !== "number") continue;
    const grade = measure.grades.find(([from]) => (measure.negate ? -value : value) >= from)[1];
    found.push({ ...measure, value, grade });
  }
  if (found.length === 0) return { grade: "none", label: t(LABELS.none), text: t("Its quality has not been measured."), details: "" };
  const worst = ORDER[Math.max(...found.map(({ grade }) => ORDER.indexOf(grade)))];
  const numbers = found
    .filter(({ percent }) => !percent)
    .map(({ name, value }) => `${t(name)} ${value.toFixed(2)}`)
    .join(", ");
  const words = found.map(({ words: said, grade }) => t(said[grade])).join(", ");
  const text = numbers ? `${sentence(numbers)}: ${words}` : sentence(words);
  const details = found
    .map(({ name, value, percent }) => `${sentence(t(name))}: ${percent ? t("{share} % movement", { share: value.toFixed(1) }) : value.toFixed(3)}`)
    .join("\n");
  return { grade: worst, label: t(LABELS[worst]), text, details };
}

function sentence(words) {
  return words.charAt(0).toUpperCase() + words.slice(1);
}
