// Numbers, ages and names as a person reads them.

const NBSP = " ";

/** Seconds to "42 s", "3 min", "5 h", "2 d". */
export function age(seconds) {
  const value = Math.max(0, Math.round(seconds));
  if (value < 60) return `${value}${NBSP}s`;
  if (value < 3600) return `${Math.floor(value / 60)}${NBSP}min`;
  if (value < 86400) return `${Math.floor(value / 3600)}${NBSP}h`;
  return `${Math.floor(value / 86400)}${NBSP}d`;
}

/** Seconds to "3 d 4 h", for uptimes. */
export function span(seconds) {
  const minutes = Math.floor(seconds / 60);
  const parts = Object.entries({ d: Math.floor(minutes / 1440), h: Math.floor(minutes / 60) % 24, min: minutes % 60 });
  const first = parts.findIndex(([, count]) => count > 0);
  if (first < 0) return age(seconds);
  const two = parts.slice(first, first + 2).map(([unit, count]) => `${count}${NBSP}${unit}`);
  return two.join(" ");
}

const UNITS = { d: 86400, h: 3600, min: 60, s: 1 };

/** How long a command took: "12 ms", "2.4 s", "1 min 15 s"; pirack/receipt.py says it alike. */
export function took(seconds) {
  if (seconds < 0.0005) return `< 1${NBSP}ms`;
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)}${NBSP}ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)}${NBSP}s`;
  let left = Math.round(seconds);
  const said = [];
  for (const [name, unit] of Object.entries(UNITS)) {
    if (left >= unit) said.push(`${Math.floor(left / unit)}${NBSP}${name}`);
    left %= unit;
  }
  return said.slice(0, 2).join(" ");
}

/** Unix seconds to a 24 h clock time. */
export function clock(unix, { seconds = false } = {}) {
  const date = new Date(unix * 1000);
  const two = (number) => String(number).padStart(2, "0");
  const base = `${two(date.getHours())}:${two(date.getMinutes())}`;
  return seconds ? `${base}:${two(date.getSeconds())}` : base;
}

/** The clock time of a moment, with its day where that is not today. */
export function moment(unix, today = Date.now() / 1000) {
  const [day, now] = [new Date(unix * 1000), new Date(today * 1000)];
  if (day.toDateString() === now.toDateString()) return clock(unix);
  return `${day.getDate()} ${day.toLocaleDateString("en-GB", { month: "long" }).slice(0, 3)}, ${clock(unix)}`;
}

/** Who has reserved what is named before, until when and why. */
export const lockWords = ({ by, until, reason }, what = "") =>
  `Reserved${what} by ${by} until ${moment(until)}${reason ? `: ${reason}` : ""}`;

/** Unix seconds to ISO date and time, for titles. */
export function stamp(unix) {
  const date = new Date((unix - new Date(unix * 1000).getTimezoneOffset() * 60) * 1000);
  return date.toISOString().slice(0, 19).replace("T", " ");
}

/** Bytes in binary units. */
export function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = count,
    unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value < 10 && unit ? value.toFixed(1) : Math.round(value)}${NBSP}${units[unit]}`;
}

/** What a stack is called: "stack 1" in a configuration reads "Stack 01" on the page. */
export function stackName(stack) {
  const plain = /^stack\s*(\d+)$/i.exec(stack.name || `stack ${stack.number}`);
  return plain ? `Stack ${plain[1].padStart(2, "0")}` : stack.name;
}

export function plural(count, word, many = `${word}s`) {
  return `${count} ${count === 1 ? word : many}`;
}

/** "a, b and 3 more" */
export function list(words, most = 4) {
  if (words.length <= most) return words.join(", ");
  return `${words.slice(0, most).join(", ")} and ${words.length - most} more`;
}

/** Things with a name as a person counts them: s2 before s10. */
export function byName(things) {
  return [...things].sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
}

const OBEYED = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u;

/** Whether a text has characters that a terminal obeys or hides: ESC, DEL, C1, bidi. */
export function misleads(text) {
  return OBEYED.test(text);
}

/** JSON that means the same with such characters escaped: the line to paste must read as it runs. */
export function plainJson(value) {
  const escaped = (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return JSON.stringify(value).replace(new RegExp(OBEYED, "gu"), (found) => found.split("").map(escaped).join(""));
}

/** A text with a capital at its start. */
export const capital = (text) => text.replace(/^./, (letter) => letter.toUpperCase());

/** Quotes for a POSIX shell. */
export function quote(word) {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`;
}
