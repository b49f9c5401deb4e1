// Texts in the browser's language: Chinese or English, from JSON dictionaries.

const root = document.documentElement.dataset.root;
export const language = navigator.language.toLowerCase().startsWith("zh") ? "zh-CN" : "en-US";
const dictionary = await load(language === "zh-CN" ? "zh" : "en");
// What the core says is kept in English: sentences that come often, as [pattern, translation].
const sentences = Object.entries(language === "zh-CN" ? await load("zh.said") : {}).map(([pattern, text]) => [new RegExp(`^${pattern}$`), text]);
document.documentElement.lang = language;

async function load(name) {
  const answer = await fetch(`${root}/static/i18n/${name}.json`);
  return answer.ok ? answer.json() : {};
}

// A word that the server sends (a state, the name of a line or an axis), in the page's language if it is known.
export function word(text) {
  return dictionary[`word.${text}`] ?? dictionary[`state.${text}`] ?? text;
}

// What the core says, line by line, in the page's language as far as it is known. Parts of a sentence are
// sentences again: a day's name before a reason, a reason within an answer.
export function said(text) {
  return text.split("\n").map(sentence).join("\n");
}

function sentence(text) {
  for (const [pattern, translation] of sentences) {
    const found = pattern.exec(text);
    if (found) return translation.replace(/\{(\d)\}/g, (_, index) => sentence(found[index]));
  }
  return text;
}

// All texts whose keys begin so, by the rest of the key.
export function texts(prefix) {
  return Object.fromEntries(Object.entries(dictionary).filter(([key]) => key.startsWith(prefix)).map(([key, text]) => [key.slice(prefix.length), text]));
}

// Whether there is a text of this key.
export const has = (key) => key in dictionary;

// The text of a key, with {name} filled in; an unknown key is shown as it is.
export function t(key, values = {}) {
  const found = dictionary[key] ?? key;
  return found.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}
