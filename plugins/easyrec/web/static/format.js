// Numbers, durations and times as people read them.
import { h } from "./dom.js";
import { language, said, t } from "./i18n.js";

const DAYS_FROM = 72; // hours
const SMALL = 1e-4; // below it zeros would be counted
const SHORT = { month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };

export function number(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return text(value);
  if (Number.isInteger(value)) return String(value);
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-3 || size >= 1e6) ? value.toExponential(3) : value.toFixed(5);
}

// A parameter's value: any JSON.
export function text(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : digits(+value.toPrecision(6));
  return typeof value === "string" ? value : JSON.stringify(value);
}

const digits = (value) => (Math.abs(value) < SMALL ? value.toExponential() : String(value));

// All digits, for a title: what is shown is rounded.
export const exact = (value) => (value === null || value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value));

export const asJson = (value) => JSON.stringify(value, null, 1);

// What the core says; where it was translated, its own words are in the title.
export function spoken(words) {
  const shown = said(words ?? "");
  return shown === (words ?? "") ? shown : h("span", { title: words }, shown);
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const whole = Math.max(0, Math.round(seconds));
  const hours = Math.floor(whole / 3600);
  if (hours >= DAYS_FROM) return t("duration.days", { days: Math.floor(hours / 24), hours: hours % 24 });
  const minutes = Math.floor((whole % 3600) / 60);
  if (hours) return t("duration.hours", { hours, minutes });
  return minutes ? t("duration.minutes", { minutes, seconds: whole % 60 }) : t("duration.seconds", { seconds: whole });
}

export function time(iso) {
  return iso ? new Date(iso).toLocaleString(language) : "–";
}

// Without the year, for tables; the whole is in the title.
export function shortTime(iso) {
  return iso ? new Date(iso).toLocaleString(language, SHORT) : "–";
}

export function state(name) {
  return t(`state.${name}`);
}

// The part of a config path that tells parameters apart; the whole is in the title.
export function shortKey(key, keys) {
  const parts = key.split(".");
  for (let count = 1; count < parts.length; count += 1) {
    const short = parts.slice(-count).join(".");
    if (keys.filter((other) => other === short || other.endsWith(`.${short}`)).length === 1) return short;
  }
  return key;
}
