// One board: a row with bars in the slots view, a square in the cells view. Made by hand,
// because a thousand of them change twice a second: measured 2 to 10 times cheaper.

import { HISTORY, level, NO_SAMPLE, now, SAMPLE_MS, State, shown, store } from "./store.js";
import { glyphAttributes, glyphShape } from "./widgets.js";
import { age } from "./words.js";

/** The element of the board an event is about. @param {Event} event @returns {HTMLElement | null} */
export const boardOf = ({ target }) => (target instanceof Element ? target.closest("[data-node]") : null);

/** The words of a node that is not simply fine, with their age counted up. @param {Board} node */
export function phrase(node) {
  const counted = [State.STALE, State.OFFLINE, State.BUSY].includes(node.state);
  return node.words && counted ? `${node.words} · ${age(now() - node.since)}` : node.words;
}

/** Whether words take the place of the bars. @param {Board} node */
function worded(node) {
  if (node.state === State.WARN || node.state === State.CRIT) return (node.levels & 63) === 0;
  return node.state !== State.OK || node.cpu < 0;
}

const LEAST_SPAN = 2;
const LEAST_TOP = 25;

/** @param {ArrayLike<number>} history */
function firstKnown(history) {
  const first = Array.from(history).findIndex((value) => value !== NO_SAMPLE);
  return first < 0 ? HISTORY - LEAST_SPAN : Math.min(first, HISTORY - LEAST_SPAN);
}

/** Over how long a line of samples goes. @param {ArrayLike<number>} history */
export const covered = (history) => age(((HISTORY - firstKnown(history)) * SAMPLE_MS) / 1000);

/** The unbroken runs of samples as points, over the time that is known (up to 3 min): a
 * fresh page is not blank, and a flat rack is not blown up.
 * @param {ArrayLike<number>} history @param {number} width @param {number} height */
function runs(history, width, height) {
  let top = LEAST_TOP;
  for (let i = 0; i < HISTORY; i += 1) if (history[i] !== NO_SAMPLE && history[i] > top) top = history[i];
  /** @type {string[][]} */
  const found = [];
  if (!history.length) return found;
  const first = firstKnown(history);
  /** @type {string[] | null} */
  let run = null;
  for (let i = first; i < HISTORY; i += 1) {
    if (history[i] === NO_SAMPLE) {
      if (run?.length === 1) found.pop(); // one sample before a gap shows no course
      run = null;
      continue;
    }
    const x = (((i - first) / (HISTORY - 1 - first)) * width).toFixed(1);
    const y = (height - 1.5 - (history[i] / top) * (height - 3)).toFixed(1);
    if (!run) {
      run = [];
      found.push(run);
    }
    run.push(`${x} ${y}`);
  }
  return found;
}

/** Samples as a line with gaps; the newest, if alone, is a dot.
 * @param {ArrayLike<number>} history @param {number} width @param {number} height */
export const sparkline = (history, width, height) =>
  runs(history, width, height)
    .map((run) => `M${run.join("L")}${run.length === 1 ? "h0" : ""}`)
    .join("");

/** What lies below that line.
 * @param {ArrayLike<number>} history @param {number} width @param {number} height */
export const sparkarea = (history, width, height) =>
  runs(history, width, height)
    .map((run) => `M${run.join("L")}V${height}H${run[0].split(" ")[0]}Z`)
    .join("");

/** Sets text only where it differs: an equal write still costs a layout.
 * @param {Element} element @param {string} text */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** @param {Element} element @param {string} level */
function setLevel(element, level) {
  if ((element.getAttribute("data-level") ?? "") !== level) {
    if (level) element.setAttribute("data-level", level);
    else element.removeAttribute("data-level");
  }
}

/** @param {number} state @param {number} size */
function glyphElement(state, size) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  for (const [name, value] of Object.entries(glyphAttributes(state, size))) svg.setAttribute(name, String(value));
  svg.innerHTML = glyphShape(state);
  return svg;
}

/** What row and square have in common. */
class BoardElement {
  /** @param {Board} node @param {string} kind */
  constructor(node, kind) {
    this.node = node;
    this.element = document.createElement("button");
    this.element.className = kind;
    this.element.type = "button";
    this.element.dataset.node = node.id;
    this.element.tabIndex = -1;
    this.state = -1;
  }

  /** Draws the state, and its glyph into `place`; a square shows none while all is well.
   * @param {Element} place @param {number} size */
  drawState(place, size, always = true) {
    const { state } = this.node;
    if (this.state === state) return;
    this.state = state;
    this.element.dataset.state = store.settings.states[state].key;
    place.replaceChildren(...(always || state !== State.OK ? [glyphElement(state, size)] : []));
  }

  drawShown() {
    const bright = shown(this.node);
    this.element.classList.toggle("dim", !bright);
    this.element.inert = !bright;
  }

  second() {}

  sampled() {}
}

const BAR = (kind) => `<span class="bar bar-${kind}"><span class="bar-fill"></span></span>`;
const ROW = `<span class="slot-glyph"></span><span class="slot-name"></span>
  <span class="slot-bars" aria-hidden="true">${BAR("cpu")}${BAR("memory")}</span>
  <span class="slot-words"></span><span class="slot-temp"></span>
  <svg class="spark" viewBox="0 0 56 20" preserveAspectRatio="none" aria-hidden="true"><path></path></svg>`;

/** A board as a row. */
export class Slot extends BoardElement {
  /** @param {Board} node */
  constructor(node) {
    super(node, "slot");
    this.element.innerHTML = ROW.replaceAll(/\n\s*/g, "");
    const [glyph, name, bars, words, temperature, spark] = this.element.children;
    this.glyph = glyph;
    this.name = name;
    this.words = words;
    this.temperature = temperature;
    this.line = spark.children[0];
    this.bars = [...bars.children].map((bar) => ({
      bar,
      fill: /** @type {HTMLElement} */ (bar.firstChild),
      value: -2,
    }));
    this.update();
    this.sampled();
  }

  update() {
    const { node } = this;
    this.drawState(this.glyph, 16);
    setText(this.name, node.name);
    this.element.classList.toggle("worded", worded(node));
    this.element.classList.toggle("working", Boolean(node.working));
    this.drawBar(0, node.cpu, level(node, "cpu"));
    this.drawBar(1, node.memory, level(node, "memory"));
    setText(this.temperature, node.temperature < 0 || node.state > State.CRIT ? "" : `${node.temperature}°`);
    setLevel(this.temperature, level(node, "temperature"));
    this.second();
    this.drawShown();
  }

  /** @param {number} at @param {number} value @param {string} severity */
  drawBar(at, value, severity) {
    const target = this.bars[at];
    if (target.value !== value) target.fill.style.transform = `scaleX(${Math.max(value, 0) / 100})`;
    target.value = value;
    setLevel(target.bar, severity);
  }

  second() {
    setText(this.words, worded(this.node) ? phrase(this.node) : "");
  }

  sampled() {
    this.line.setAttribute("d", sparkline(this.node.history, 56, 20));
  }
}

/** What squares can be shaded by. */
export const METRICS = {
  cpu: { label: "CPU", unit: "%", low: 0, high: 100 },
  memory: { label: "Memory", unit: "%", low: 0, high: 100 },
  temperature: { label: "Temperature", unit: "°C", low: 30, high: 85 },
};

/** A board as a square, shaded by one metric. */
export class Cell extends BoardElement {
  /** @param {Board} node @param {() => keyof typeof METRICS} metric */
  constructor(node, metric) {
    super(node, "cell");
    this.metric = metric;
    this.shade = -1;
    this.label = "";
    this.update();
  }

  update() {
    const { node } = this;
    this.drawState(this.element, 14, false);
    const { low, high } = METRICS[this.metric()];
    const value = node[this.metric()];
    const share = Math.min(Math.max((value - low) / (high - low), 0), 1);
    const shade = node.state > State.CRIT || value < 0 ? 0 : Math.round(share * 20) * 5;
    if (shade !== this.shade) this.element.style.setProperty("--shade", `${shade}%`);
    this.shade = shade;
    const label = `${node.name}, ${store.settings.states[node.state].label}`;
    if (label !== this.label) this.element.setAttribute("aria-label", label);
    this.label = label;
    this.drawShown();
  }
}
