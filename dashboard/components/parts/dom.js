// Plain DOM, and nothing that could read a node's words as markup: text goes in as text.

const SVG = "http://www.w3.org/2000/svg";

/** Make an element. `props`: class, text, hidden, on: {event: handler}; the rest are attributes. */
export function h(tag, props = {}, ...kids) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "text") element.textContent = value;
    else if (key === "on") for (const [name, run] of Object.entries(value)) element.addEventListener(name, run);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...kids.flat().filter((kid) => kid !== null && kid !== undefined && kid !== false));
  return element;
}

/** Make an SVG element. */
export function s(tag, attributes = {}, ...kids) {
  const element = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...kids);
  return element;
}

/** Set text only where it differs: an equal write still costs a layout. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Set or remove an attribute only where it differs. */
export function setAttr(element, name, value) {
  const wanted = value === true ? "" : value;
  if (wanted === false || wanted === null || wanted === undefined) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
  } else if (element.getAttribute(name) !== String(wanted)) element.setAttribute(name, wanted);
}

/** Whether a pointer is down inside: what is replaced then gets no click. */
export const pressed = (element) => element.matches(":active");

let pointedAt = null, pointedWhen = -Infinity;
for (const kind of ["pointermove", "pointerdown"]) {
  window.addEventListener(kind, (event) => { pointedAt = event.target; pointedWhen = performance.now(); }, { passive: true, capture: true });
}
const AIMING_MS = 4000;

/** Whether somebody aims at something inside: what stands there is to stay for a moment. */
export const aimed = (element) => performance.now() - pointedWhen < AIMING_MS && element.contains(pointedAt);

const stacked = window.matchMedia("(max-width: 1180px)");

/** What a section of the side column moves when it grows: the column, or where all
 * stands in one column, the page. */
export const around = (element) => element.closest(stacked.matches ? ".overview" : ".side") ?? element;

/** Run what may grow or shrink the inside of a scrolling element: what is under the
 * pointer, or else what is read, stays where it is. */
export function steadily(scroller, run) {
  const under = scroller.querySelector(":scope > :hover");
  const top = scroller.getBoundingClientRect().top;
  const kept = under ?? (scroller.scrollTop > 0 ? [...scroller.children].find((each) => each.getBoundingClientRect().bottom > top + 8) : null);
  const before = kept?.getBoundingClientRect().top;
  run();
  if (kept?.isConnected && kept.checkVisibility()) scroller.scrollTop += kept.getBoundingClientRect().top - before;
}

/** Copy text; also on plain http, where browsers hide the clipboard interface. */
export async function copyText(text) {
  if (window.isSecureContext && navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // Permission denied: the old way below still works.
    }
  }
  const area = h("textarea", { class: "offscreen", readonly: true });
  area.value = text;
  (document.querySelector("dialog[open]") ?? document.body).append(area);
  const before = document.activeElement;
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  before?.focus?.();
  return copied;
}

let lastId = 0;

/** Return an id no other element of this page has. */
export function uniqueId(word) {
  lastId += 1;
  return `pr-${word}-${lastId}`;
}

export const narrow = window.matchMedia("(max-width: 760px)");
