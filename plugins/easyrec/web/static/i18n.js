// Texts in the browser's language: Chinese or English, from JSON dictionaries.

const root = document.documentElement.dataset.root;
export const language = navigator.language.toLowerCase().startsWith("zh") ? "zh-CN" : "en-US";
const dictionary = await load(language === "zh-CN" ? "zh" : "en");
document.documentElement.lang = language;

async function load(name) {
  const answer = await fetch(`${root}/static/i18n/${name}.json`);
  return answer.ok ? answer.json() : {};
}

// A word that the server sends (a state, the name of a line or an axis), in the page's language if it is known.
export function word(text) {
  return dictionary[`word.${text}`] ?? dictionary[`state.${text}`] ?? text;
}

// The text of a key, with {name} filled in; an unknown key is shown as it is.
export function t(key, values = {}) {
  const found = dictionary[key] ?? key;
  return found.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}
