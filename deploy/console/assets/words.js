// Numbers as people read them.

const LOCALE = "en-GB";

/** 1234 minor units of GBP: £12.34. */
export function money({ currency, minor_units }) {
  const options = { style: "currency", currency, minimumFractionDigits: 2, maximumFractionDigits: 2 };
  return new Intl.NumberFormat(LOCALE, options).format(minor_units / 100);
}

/** 12 ms, 3.4 s, 5 min, 2 h. */
export function duration(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 10000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 120000) return `${Math.round(ms / 1000)} s`;
  if (ms < 7200000) return `${Math.round(ms / 60000)} min`;
  return `${Math.round(ms / 3600000)} h`;
}

/** Short ones are told more finely: 0.42 ms. */
export function fine(ns) {
  const ms = ns / 1e6;
  return ms < 10 ? `${ms.toFixed(2)} ms` : duration(ms);
}

export function bytes(count) {
  if (count === null || count === undefined) return "–";
  if (count < 1e6) return `${Math.round(count / 1e3)} kB`;
  return `${(count / 1e6).toFixed(1)} MB`;
}

export function percent(share) {
  return share === null || share === undefined ? "–" : `${share.toFixed(1)} %`;
}

export function count(number) {
  return number === null || number === undefined ? "–" : new Intl.NumberFormat(LOCALE).format(number);
}

/** 09:01:02.345 */
export function clock(unix_ms) {
  const at = new Date(unix_ms);
  const two = (number, width = 2) => String(number).padStart(width, "0");
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${two(at.getMilliseconds(), 3)}`;
}

/** not_ready: not ready. */
export function plain(word) {
  return word.replaceAll("_", " ");
}

/** Unknown since when, and why. */
export function since(unknown) {
  return `unknown since ${clock(unknown.since_unix_ms).slice(0, 8)}: ${unknown.reason}`;
}

/** `1 check`, `2 checks`. */
export function several(number, word) {
  return `${count(number)} ${word}${number === 1 ? "" : "s"}`;
}
