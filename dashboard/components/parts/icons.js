// Pictures: icons, the states of a board, the marks of an install run.

import { h } from "vue";
import { store } from "./store.js";

/** @type {Map<string, string>} */
const shapes = new Map();

/** What stands inside a picture: the head of the page has components/icons.svg. @param {string} id */
function shape(id) {
  if (!shapes.has(id)) {
    const sheet = /** @type {HTMLTemplateElement} */ (document.getElementById("icons"));
    shapes.set(id, sheet.content.getElementById(id)?.innerHTML ?? "");
  }
  return shapes.get(id) ?? "";
}

/** Attributes of a state's picture; `label` false where the words stand beside it. */
export function glyphAttributes(/** @type {number} */ state, size = 16, label = true) {
  const { key, label: words } = store.settings.states[state];
  const said = label ? { role: "img", "aria-label": words } : { "aria-hidden": "true" };
  return { viewBox: "0 0 16 16", width: size, height: size, class: `glyph g-${key}`, ...said };
}

/** @param {number} state */
export const glyphShape = (state) => shape(`glyph-${store.settings.states[state].key}`);

export const Glyph = ({ state, size = 16, label = true }) =>
  h("svg", { ...glyphAttributes(state, size, label), innerHTML: glyphShape(state) });
Glyph.props = ["state", "size", "label"];

/** A picture beside words that say the same. */
const decoration = (grid, size, kind, innerHTML) =>
  h("svg", {
    viewBox: `0 0 ${grid} ${grid}`,
    width: size,
    height: size,
    class: kind,
    "aria-hidden": "true",
    innerHTML,
  });

export const Icon = ({ name, size = 18 }) =>
  decoration(24, size, `icon i-${name}`, shape(`icon-${name}`) || shape("icon-run"));
Icon.props = ["name", "size"];

export const Mark = ({ name, size = 15 }) => decoration(16, size, `glyph m-${name}`, shape(`mark-${name}`));
Mark.props = ["name", "size"];
