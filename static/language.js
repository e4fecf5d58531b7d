// Which language a text is in: by its letters, and among the languages of Latin letters by their frequent words.

const SCRIPTS = [
  ["Hiragana", "ja"], ["Katakana", "ja"], ["Hangul", "ko"], ["Han", "zh"], ["Greek", "el"], ["Hebrew", "he"],
  ["Devanagari", "hi"], ["Bengali", "bn"], ["Tamil", "ta"], ["Telugu", "te"], ["Gujarati", "gu"], ["Kannada", "kn"],
  ["Malayalam", "ml"], ["Gurmukhi", "pa"], ["Sinhala", "si"], ["Thai", "th"], ["Georgian", "ka"], ["Armenian", "hy"],
  ["Ethiopic", "am"], ["Myanmar", "my"], ["Cyrillic", "ru"], ["Arabic", "ar"],
]; // prettier-ignore
const OWN_LETTERS = [["Cyrillic", /[іїєґ]/i, "uk"], ["Arabic", /[ٹڈڑے]/, "ur"], ["Arabic", /[پچژگ]/, "fa"]];
const WORDS = {
  en: "the and of to in is you that it for on are with this was have not be at my we hello good",
  de: "der die das und ist nicht ich ein eine zu mit auf für den von es sie wir guten heute hallo auch",
  es: "el la los las de que y en un una es por con para no se del hola buenos está muy como",
  fr: "le la les des et est une un que dans pour pas je vous nous avec sur bonjour du ce qui",
  it: "il lo gli la che e di un una è per non sono con del della ciao questo buongiorno mi come",
  pt: "o os as que e de um uma é não com para do da em por olá bom está muito você",
  nl: "de het een en van is niet ik dat op te zijn met voor hallo goede wij ook maar",
  pl: "i w nie na się jest to że z do dzień dobry jak co ale tak dla ja",
  sv: "och det är en ett att som på jag inte för med hej god den vi har till",
  da: "og det er en et at som på jeg ikke for med hej god den vi har til af",
  tr: "ve bir bu da de için ne ben var çok merhaba ile mi günaydın değil iyi",
  fi: "ja on ei se että oli hän en mutta hyvää hei niin kun minä olen",
  cs: "a je se na to že v ne dobrý den jak ale tak jsem pro ve",
  ro: "și este nu la de un o în cu pe bună ziua mai sunt pentru ce",
  hu: "a az és nem hogy egy is jó napot van ez de meg csak vagyok",
  id: "dan yang di ini itu dengan untuk tidak saya anda selamat pagi dari ke apa",
  vi: "và là của không có tôi một xin chào bạn này được cho với",
};
const LEAST_WORDS = 2;

const words = Object.entries(WORDS).map(([code, list]) => [code, new Set(list.split(" "))]);

/** @returns {string} its primary language, or "" where nobody can tell */
export function languageOf(text) {
  const letters = text.match(/\p{L}/gu) ?? [];
  const of = (script) => letters.filter((letter) => new RegExp(`\\p{Script=${script}}`, "u").test(letter)).length;
  if (letters.length === 0) return "";
  if (2 * of("Latin") >= letters.length) return byWords(text);
  const found = SCRIPTS.filter(([script]) => of(script) > 0);
  if (found.length === 0) return "";
  const kana = found.find(([, code]) => code === "ja");
  const [script, code] = kana ?? found.reduce((best, next) => (of(next[0]) > of(best[0]) ? next : best));
  return OWN_LETTERS.find(([of_, letter]) => of_ === script && letter.test(text))?.[2] ?? code;
}

function byWords(text) {
  const said = text.toLowerCase().match(/\p{L}+/gu) ?? [];
  const scores = words.map(([code, known]) => [said.filter((word) => known.has(word)).length, code]);
  const [[most, code], [second]] = scores.sort(([a], [b]) => b - a);
  return most >= LEAST_WORDS && most > second ? code : "";
}
