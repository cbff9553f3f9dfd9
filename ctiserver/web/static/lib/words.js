// What the console says, in each language: one catalogue a language, the same keys in all of them (a test compares).
import en from "../words/en.js";
import zh from "../words/zh-CN.js";

const CATALOGUES = { "zh-CN": zh, en };
export const LANGUAGES = Object.keys(CATALOGUES);
const STORED = "cti-language";

function first() {
  const stored = localStorage.getItem(STORED);
  if (LANGUAGES.includes(stored)) return stored;
  return navigator.languages.some((tag) => tag.toLowerCase().startsWith("zh")) ? "zh-CN" : "en";
}

let language = first();
const hosts = new Set();
document.documentElement.lang = language;

export const currentLanguage = () => language;

export function setLanguage(tag) {
  if (!LANGUAGES.includes(tag)) return;
  language = tag;
  localStorage.setItem(STORED, tag);
  document.documentElement.lang = tag;
  for (const host of hosts) host.requestUpdate();
}

/** The text for a key; `{name}` is filled in from `values`. */
export function t(key, values = {}) {
  const text = CATALOGUES[language][key];
  if (text === undefined) throw new Error(`no text for ${key}`);
  return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
}

/** The text for a key that comes from the server; what we have no text for is shown as it is. */
export const word = (prefix, value) => CATALOGUES[language][`${prefix}.${value}`] ?? String(value);

/** A title that the site wrote in several languages. */
export const title = (texts, otherwise = "") => texts?.[language] ?? Object.values(texts ?? {})[0] ?? otherwise;

/** What went wrong, in the person's language; the server's own sentence where it says what to do. */
export function fault(error) {
  const known = CATALOGUES[language][`fault.${error.code}`];
  return known ?? error.message;
}

/** Mix into a component that shows words: it is drawn again when the language changes. */
export const Worded = (Base) =>
  class extends Base {
    connectedCallback() {
      super.connectedCallback();
      hosts.add(this);
    }
    disconnectedCallback() {
      super.disconnectedCallback();
      hosts.delete(this);
    }
  };

const dates = new Map();
function formatter(kind, options) {
  const key = `${language} ${kind}`;
  if (!dates.has(key)) dates.set(key, new Intl.DateTimeFormat(language, options));
  return dates.get(key);
}

/** The time of day. */
export const clockTime = (iso) => formatter("time", { hour: "2-digit", minute: "2-digit", hour12: false }).format(new Date(iso));

/** Day and time, without the year. */
export const dayTime = (iso) =>
  formatter("day", { month: "short", day: "numeric", weekday: "short", hour: "2-digit", minute: "2-digit", hour12: false }).format(
    new Date(iso),
  );

/** A calendar day. */
export const day = (iso) => formatter("date", { year: "numeric", month: "short", day: "numeric" }).format(new Date(iso));

/** Seconds as m:ss, or h:mm:ss. */
export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (value) => String(value).padStart(2, "0");
  const minutes = Math.floor(whole / 60);
  return minutes < 60 ? `${minutes}:${two(whole % 60)}` : `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(whole % 60)}`;
}

/** A share of 0 to 1; of nothing there is none. */
export const percent = (share) =>
  share === null ? "–" : new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 1 }).format(share);

/** How long ago, or how long from now, roughly: "40 min ago". */
export function ago(iso, now = Date.now()) {
  const seconds = (new Date(iso).getTime() - now) / 1000;
  const format = new Intl.RelativeTimeFormat(language, { numeric: "auto", style: "short" });
  for (const [unit, size] of [["day", 86_400], ["hour", 3600], ["minute", 60]]) {
    if (Math.abs(seconds) >= size) return format.format(Math.round(seconds / size), unit);
  }
  return seconds < 0 ? t("time.just_now") : format.format(Math.round(seconds / 60), "minute");
}
