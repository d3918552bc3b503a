// One board: a row with bars in the slots view, a square in the cells view.

import { h, s, setAttr, setText } from "pirack/dom.js";
import { BUSY, CRIT, FROZEN, glyph, OFFLINE, OK, STALE, STATES, UNSEEN, WARN } from "pirack/icons.js";
import { HISTORY, level, NO_SAMPLE, now, SAMPLE_MS, shown } from "pirack/store.js";
import { age } from "pirack/words.js";

const LEVELS = ["", "warn", "crit"];

/** The words of a node that is not simply fine, with their age counted up. */
export function phrase(node) {
  if (!node.words) return "";
  const counted = node.state === STALE || node.state === OFFLINE || node.state === BUSY;
  return counted ? `${node.words} · ${age(now() - node.since)}` : node.words;
}

/** Whether words take the place of the bars. */
function worded(node) {
  if (node.state === WARN || node.state === CRIT) return (node.levels & 63) === 0;
  return node.state !== OK || node.cpu < 0;
}

const LEAST_SPAN = 2;
const LEAST_TOP = 25;

function firstKnown(history) {
  const first = history.findIndex((value) => value !== NO_SAMPLE);
  return first < 0 ? HISTORY - LEAST_SPAN : Math.min(first, HISTORY - LEAST_SPAN);
}

/** Over how long a line of samples goes. */
export const covered = (history) => age(((HISTORY - firstKnown(history)) * SAMPLE_MS) / 1000);

/** The unbroken runs of samples 0-100 as points, over the time that is known (up to
 * 3 min): a fresh page is not blank, and a flat rack is not blown up. */
function runs(history, width, height) {
  let top = LEAST_TOP;
  for (const value of history) if (value !== NO_SAMPLE && value > top) top = value;
  const found = [];
  const first = firstKnown(history);
  let run = null;
  for (let i = first; i < HISTORY; i += 1) {
    const value = history[i];
    if (value === NO_SAMPLE) {
      if (run?.length === 1) found.pop(); // one sample before a gap shows no course
      run = null;
      continue;
    }
    const x = (((i - first) / (HISTORY - 1 - first)) * width).toFixed(1);
    const y = (height - 1.5 - (value / top) * (height - 3)).toFixed(1);
    if (!run) found.push((run = []));
    run.push(`${x} ${y}`);
  }
  return found;
}

/** Draw samples as a line with gaps; the newest, if alone, is a dot. */
export function sparkline(history, width, height) {
  return runs(history, width, height).map((run) => `M${run.join("L")}${run.length === 1 ? "h0" : ""}`).join("");
}

/** What lies below that line. */
export function sparkarea(history, width, height) {
  return runs(history, width, height).map((run) => `M${run.join("L")}V${height}H${run[0].split(" ")[0]}Z`).join("");
}

function bar(kind) {
  const fill = h("span", { class: "bar-fill" });
  return { element: h("span", { class: `bar bar-${kind}` }, fill), fill, value: -2, level: -1 };
}

function drawBar(target, value, severity) {
  if (target.value !== value) {
    target.value = value;
    target.fill.style.transform = `scaleX(${Math.max(value, 0) / 100})`;
  }
  if (target.level !== severity) {
    target.level = severity;
    setAttr(target.element, "data-level", LEVELS[severity]);
  }
}

class Board {
  constructor(node, element) {
    this.node = node;
    this.element = element;
    this.state = -1;
    element.dataset.node = node.id;
    element.tabIndex = -1;
  }

  /** Draw glyph and state; returns whether the state changed. */
  drawState(place, always) {
    const { state } = this.node;
    if (this.state === state) return false;
    this.state = state;
    this.element.dataset.state = STATES[state].key;
    place.replaceChildren(...(always || state !== OK ? [glyph(state, { size: always ? 16 : 14 })] : []));
    return true;
  }

  drawShown() {
    const bright = shown(this.node);
    this.element.classList.toggle("dim", !bright);
    this.element.inert = !bright;
  }
}

/** A board as a row. */
export class Slot extends Board {
  constructor(node) {
    const element = h("button", { class: "slot", type: "button" });
    super(node, element);
    this.glyph = h("span", { class: "slot-glyph" });
    this.name = h("span", { class: "slot-name" });
    this.cpu = bar("cpu");
    this.memory = bar("memory");
    this.bars = h("span", { class: "slot-bars", "aria-hidden": "true" }, this.cpu.element, this.memory.element);
    this.words = h("span", { class: "slot-words" });
    this.temperature = h("span", { class: "slot-temp" });
    this.line = s("path");
    const spark = s("svg", { class: "spark", viewBox: "0 0 56 20", preserveAspectRatio: "none", "aria-hidden": "true" }, this.line);
    element.append(this.glyph, this.name, this.bars, this.words, this.temperature, spark);
    this.update();
    this.sampled();
  }

  update() {
    const { node } = this;
    this.drawState(this.glyph, true);
    setText(this.name, node.name);
    const wordy = worded(node);
    this.element.classList.toggle("worded", wordy);
    this.element.classList.toggle("working", Boolean(node.working));
    drawBar(this.cpu, node.cpu, level(node, "cpu"));
    drawBar(this.memory, node.memory, level(node, "memory"));
    setText(this.temperature, node.temperature < 0 || node.state > CRIT ? "" : `${node.temperature}°`);
    setAttr(this.temperature, "data-level", LEVELS[level(node, "temperature")]);
    this.second();
    this.drawShown();
  }

  second() {
    setText(this.words, worded(this.node) ? phrase(this.node) : "");
  }

  sampled() {
    this.line.setAttribute("d", sparkline(this.node.history, 56, 20));
  }
}

export const METRICS = {
  cpu: { label: "CPU", unit: "%", low: 0, high: 100 },
  memory: { label: "Memory", unit: "%", low: 0, high: 100 },
  temperature: { label: "Temperature", unit: "°C", low: 30, high: 85 },
};

/** A board as a square, shaded by one metric. */
export class Cell extends Board {
  constructor(node, metric) {
    super(node, h("button", { class: "cell", type: "button" }));
    this.metric = metric;
    this.shade = -1;
    this.label = "";
    this.update();
  }

  update() {
    const { node } = this;
    this.drawState(this.element, false);
    const { low, high } = METRICS[this.metric()];
    const value = node[this.metric()];
    const shade = node.state > CRIT || value < 0 ? 0 : Math.round(Math.min(Math.max((value - low) / (high - low), 0), 1) * 20) * 5;
    if (shade !== this.shade) {
      this.shade = shade;
      this.element.style.setProperty("--shade", `${shade}%`);
    }
    const label = `${node.name}, ${STATES[node.state].label}`;
    if (label !== this.label) {
      this.label = label;
      this.element.setAttribute("aria-label", label);
    }
    this.drawShown();
  }

  second() {}

  sampled() {}
}

/** Words for the hover card. */
export function facts(node) {
  if (node.state >= STALE && node.state <= FROZEN && node.state !== UNSEEN) return [[STATES[node.state].label, age(now() - node.since)]];
  if (node.cpu < 0) return [];
  const found = [["CPU", `${node.cpu} %`]];
  if (node.memory >= 0) found.push(["Memory", `${node.memory} %`]);
  if (node.temperature >= 0) found.push(["Temperature", `${node.temperature} °C`]);
  return found;
}
