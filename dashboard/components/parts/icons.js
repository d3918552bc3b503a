// Inline icons: line icons on a 24 grid, state glyphs and install marks on a 16 grid. Shapes
// differ, not only colours, so that a printed page or a colour-blind person reads the same.

import { h } from "vue";
import { store } from "./store.js";

/** @type {Record<string, string>} */
const LINES = {
  overview: "M4 4h7v9H4z M13 4h7v5h-7z M13 11h7v9h-7z M4 15h7v5H4z",
  about: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z M12 11v5 M12 7.8v.2",
  search: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14z M20 20l-4-4",
  close: "M6 6l12 12 M18 6L6 18",
  more: "M12 5v.01 M12 12v.01 M12 19v.01",
  bolt: "M13 3L5 14h6l-1 7 8-11h-6z",
  ping: "M4 12h3l2-6 4 12 2.5-8 1.5 2h3",
  refresh: "M20 11a8 8 0 0 0-14.5-3.5L4 9 M4 4v5h5 M4 13a8 8 0 0 0 14.5 3.5L20 15 M20 20v-5h-5",
  identify: "M9 18h6 M10 21h4 M12 3a6 6 0 0 0-3.5 10.9c.6.5.9 1.2 1 2.1h5c.1-.9.4-1.6 1-2.1A6 6 0 0 0 12 3z",
  temperature: "M14 14.5V5a2 2 0 1 0-4 0v9.5a4 4 0 1 0 4 0z",
  reboot: "M19 12a7 7 0 1 1-2.2-5.1 M19 4v4h-4",
  shutdown: "M12 3v8 M6.3 7a8 8 0 1 0 11.4 0",
  power: "M9 3v5 M15 3v5 M6.5 8h11v3a5.5 5.5 0 0 1-11 0z M12 16.5V21",
  unplugged: "M9 3v4 M15 3v5 M7 8h10.5v3c0 1-.3 2-.8 2.8 M13.5 16.3A5.5 5.5 0 0 1 6.5 11V9 M12 16.5V21 M4 4l16 16",
  update: "M12 4v11 M7 10l5 5 5-5 M5 20h14",
  run: "M4 5h16v14H4z M7.5 9.5l3 2.5-3 2.5 M12.5 15h4",
  copy: "M9 9h11v11H9z M5 15H4V4h11v1",
  check: "M5 12.5l4.5 4.5L19 7",
  down: "M6 9.5l6 6 6-6",
  cells: "M4 4h6.5v6.5H4z M13.5 4H20v6.5h-6.5z M4 13.5h6.5V20H4z M13.5 13.5H20V20h-6.5z",
  slots: "M4 5h16v5.5H4z M4 13.5h16V19H4z",
  auto: "M12 4a8 8 0 1 0 0 16z M12 4a8 8 0 0 1 0 16",
  light:
    "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8z M12 2.5v2 M12 19.5v2 M2.5 12h2 M19.5 12h2 M5.3 5.3l1.4 1.4 " +
    "M17.3 17.3l1.4 1.4 M18.7 5.3l-1.4 1.4 M6.7 17.3l-1.4 1.4",
  dark: "M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5z",
  install: "M12 3v8 M8.5 7.8L12 11.3l3.5-3.5 M4 14.5h16V20H4z M7.5 17.25v.01",
  activity: "M4 12a8 8 0 1 0 2.5-5.8L4 8.5 M4 4v4.5h4.5 M12 8v4.5l3 2",
  lock: "M6 11h12v9H6z M8.5 11V8a3.5 3.5 0 0 1 7 0v3",
  unlock: "M6 11h12v9H6z M8.5 11V8a3.5 3.5 0 0 1 6.8-1.2",
  help: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z M9.5 9.5a2.5 2.5 0 1 1 3.6 2.2c-.8.4-1.1.9-1.1 1.8 M12 16.7v.1",
  signout: "M14 4h6v16h-6 M4 12h11 M8 8l-4 4 4 4",
};

const fill = (/** @type {string} */ d) => `<path class="fill" d="${d}"/>`;
const ink = (/** @type {string} */ d) => `<path class="ink" d="${d}"/>`;
const line = (/** @type {string} */ d, dashes = "") =>
  `<path class="line" d="${d}"${dashes && ` stroke-dasharray="${dashes}"`}/>`;
const dot = (/** @type {number} */ radius) => `<circle class="fill" cx="8" cy="8" r="${radius}"/>`;
const ring = (dashes = "") =>
  `<circle class="line" cx="8" cy="8" r="5.8"${dashes && ` stroke-dasharray="${dashes}"`}/>`;
const DASHED = "2.6 1.95";
const TURNING = line("M13.4 8A5.4 5.4 0 1 1 11 3.5") + line("M8.6 3.4h3v-3");
const TRIANGLE = fill("M8 1.8l6.6 11.9H1.4z") + ink("M8 6v3.6 M8 11.6v.2");
const OCTAGON = fill("M5.2 1.2h5.6l4 4v5.6l-4 4H5.2l-4-4V5.2z") + ink("M5.6 5.6l4.8 4.8 M10.4 5.6l-4.8 4.8");
const QUESTION = line("M6.4 6.6a1.6 1.6 0 1 1 2.3 1.4c-.5.3-.7.6-.7 1.1 M8 10.9v.1");

/** The inside of a state's picture. @type {Record<string, string>} */
const GLYPHS = {
  ok: dot(3.4),
  warn: TRIANGLE,
  crit: OCTAGON,
  busy: TURNING,
  stale: ring(DASHED) + line("M8 4.8V8l2.2 1.6"),
  offline: ring() + line("M4 12L12 4"),
  off: line("M8 1.8v5.4 M4.4 4.2a5.4 5.4 0 1 0 7.2 0"),
  unseen: ring(".1 2.93") + QUESTION,
  frozen: line("M8 1.6v12.8 M2.5 4.8l11 6.4 M13.5 4.8l-11 6.4"),
};

/** The same for what an install run says of a board or a stack. @type {Record<string, string>} */
const MARKS = {
  verified: `<circle class="fill" cx="8" cy="8" r="7"/>${ink("M4.9 8.3l2.2 2.2 4-4.6")}`,
  placed: ring() + dot(2.2),
  known: ring(),
  heard: dot(2.2) + line("M4.2 4.2a5.4 5.4 0 0 0 0 7.6 M11.8 4.2a5.4 5.4 0 0 1 0 7.6"),
  listening: line("M5.4 5.4a3.7 3.7 0 0 0 0 5.2 M10.6 5.4a3.7 3.7 0 0 1 0 5.2"),
  scanning: TURNING,
  missing: ring() + line("M4 12L12 4"),
  trouble: TRIANGLE,
  waiting: ring(DASHED),
};

/** Attributes of a state's picture; `label` false where the words stand beside it. */
export function glyphAttributes(/** @type {number} */ state, size = 16, label = true) {
  const { key, label: words } = store.settings.states[state];
  const said = label ? { role: "img", "aria-label": words } : { "aria-hidden": "true" };
  return { viewBox: "0 0 16 16", width: size, height: size, class: `glyph g-${key}`, ...said };
}

/** @param {number} state */
export const glyphShape = (state) => GLYPHS[store.settings.states[state].key];

export const Icon = ({ name, size = 18 }) =>
  h("svg", { viewBox: "0 0 24 24", width: size, height: size, class: `icon i-${name}`, "aria-hidden": "true" }, [
    h("path", { d: LINES[name] ?? LINES.run }),
  ]);
Icon.props = ["name", "size"];

export const Glyph = ({ state, size = 16, label = true }) =>
  h("svg", { ...glyphAttributes(state, size, label), innerHTML: glyphShape(state) });
Glyph.props = ["state", "size", "label"];

/** Decoration, for the words stand beside it. */
export const Mark = ({ name, size = 15 }) =>
  h("svg", {
    viewBox: "0 0 16 16",
    width: size,
    height: size,
    class: `glyph m-${name}`,
    "aria-hidden": "true",
    innerHTML: MARKS[name] ?? "",
  });
Mark.props = ["name", "size"];
