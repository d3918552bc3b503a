// The strip of figures over the whole rack, and the chips that filter by state.

import { aimed, h, s, setAttr, setText } from "pirack/dom.js";
import { BUSY, FROZEN, glyph, SEVERITY, STATES } from "pirack/icons.js";
import { HISTORY, NO_SAMPLE, level, notify, store } from "pirack/store.js";
import { sparkline } from "pirack/slot.js";
import { plural } from "pirack/words.js";

const ORDER = [0, 3, 1, 2, 4, 5, 8, 6, 7];

function mean(values) {
  return values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null;
}

function percentile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

class Figure {
  constructor(label, unit, { spark = false, onOpen = null } = {}) {
    this.value = h("span", { class: "kpi-value", text: "–" });
    this.unit = h("span", { class: "kpi-unit", text: unit });
    this.note = h("span", { class: "kpi-note" });
    this.element = h(onOpen ? "button" : "div", { class: "kpi", type: onOpen && "button", on: onOpen ? { click: onOpen } : {} }, h("span", { class: "kpi-label", text: label }), h("span", { class: "kpi-row" }, this.value, this.unit), this.note);
    if (spark) {
      this.history = new Uint8Array(HISTORY).fill(NO_SAMPLE);
      this.line = s("path");
      this.element.append(s("svg", { class: "spark kpi-spark", viewBox: "0 0 84 32", preserveAspectRatio: "none", "aria-hidden": "true" }, this.line));
    }
  }

  set(value, note) {
    setText(this.value, value === null ? "–" : String(Math.round(value)));
    setText(this.note, note);
    this.now = value;
  }

  sample() {
    this.history.copyWithin(0, 1);
    this.history[HISTORY - 1] = this.now ?? NO_SAMPLE;
    this.line.setAttribute("d", sparkline(this.history, 84, 32));
  }

  /** Start with what the nodes remember, so that a fresh page is not blank. */
  recall(nodes) {
    for (let i = 0; i < HISTORY; i += 1) {
      const known = nodes.map((node) => node.history[i]).filter((value) => value !== NO_SAMPLE);
      this.history[i] = known.length ? mean(known) : NO_SAMPLE;
    }
    this.line.setAttribute("d", sparkline(this.history, 84, 32));
  }
}

/** The strip of figures. */
export class Figures {
  constructor({ onOpen }) {
    this.online = h("span", { class: "kpi-value", text: "–" });
    this.of = h("span", { class: "kpi-unit" });
    this.not = h("span", { class: "kpi-note" });
    this.share = h("span", { class: "share", "aria-hidden": "true" });
    this.cpu = new Figure("CPU, mean", "%", { spark: true });
    this.memory = new Figure("Memory, mean", "%", { spark: false });
    this.hot = new Figure("Hottest board", "°C", { onOpen: () => this.hottest && onOpen(this.hottest.id) });
    this.power = new Figure("Stacks powered", "");
    const first = h("div", { class: "kpi kpi-online" }, h("span", { class: "kpi-label", text: "Boards online" }), h("span", { class: "kpi-row" }, this.online, this.of), this.share, this.not);
    this.element = h("section", { class: "kpis", "aria-label": "The rack in figures" }, first, this.cpu.element, this.memory.element, this.hot.element, this.power.element);
  }

  take(change) {
    if (change.snapshot || change.second || change.stacks) this.draw();
    if (change.snapshot) this.cpu.recall([...store.nodes.values()]);
    if (change.sampled) this.cpu.sample();
  }

  draw() {
    const nodes = [...store.nodes.values()];
    const live = nodes.filter((node) => node.cpu >= 0 && node.state < 3);
    const count = (state) => nodes.filter((node) => node.state === state).length;
    const online = nodes.filter((node) => node.state < BUSY).length;
    const [busy, unknown] = [count(BUSY), count(FROZEN)];
    const away = nodes.length - online - busy - unknown;
    const rest = [[away, "not online"], [busy, "busy"], [unknown, "not known yet"]].filter(([number]) => number);
    setText(this.online, String(online));
    setText(this.of, `of ${nodes.length}`);
    setText(this.not, rest.map(([number, what]) => `${number} ${what}`).join(", ") || "all of them");
    this.drawShare(nodes);
    const cpu = live.map((node) => node.cpu);
    this.cpu.set(mean(cpu), cpu.length ? `p95 ${percentile(cpu, 0.95)} %` : "no heartbeat");
    const full = live.filter((node) => level(node, "memory")).length;
    this.memory.set(mean(live.map((node) => node.memory).filter((percent) => percent >= 0)), live.length ? `${full || "none"} above ${full > 1 ? "their" : "its"} threshold` : "no heartbeat");
    const warm = live.filter((node) => node.temperature >= 0);
    this.hottest = warm.reduce((top, node) => (!top || node.temperature > top.temperature ? node : top), null);
    this.hot.set(this.hottest?.temperature ?? null, this.hottest?.name ?? "no sensor");
    setAttr(this.hot.element, "data-level", ["", "warn", "crit"][this.hottest ? level(this.hottest, "temperature") : 0]);
    const outlets = [...store.stacks.values()].filter((stack) => stack.power);
    const on = outlets.filter((stack) => stack.power === "on").length;
    this.power.set(outlets.length ? on : null, outlets.length ? (on === outlets.length ? "every outlet reads back on" : `${plural(outlets.length - on, "outlet")} off`) : "no outlet configured");
    setText(this.power.unit, outlets.length ? `of ${outlets.length}` : "");
  }

  drawShare(nodes) {
    const counts = ORDER.map((state) => [state, nodes.filter((node) => node.state === state).length]).filter(([, count]) => count);
    const key = counts.join();
    if (key === this.shareKey) return;
    this.shareKey = key;
    this.share.replaceChildren(...counts.map(([state, count]) => h("span", { class: `share-part g-${STATES[state].key}`, style: `flex-grow:${count}` })));
  }
}

/** Chips that filter by state. */
export class Chips {
  constructor() {
    this.all = this.chip("All", null, () => store.filter.clear());
    this.chips = ORDER.map((state) => this.chip(STATES[state].label, state, () => {
      const { key } = STATES[state];
      if (!store.filter.delete(key)) store.filter.add(key);
    }));
    this.element = h("div", { class: "chips", role: "group", "aria-label": "Filter by state" }, this.all.element, this.chips.map((chip) => chip.element));
  }

  chip(label, state, run) {
    const count = h("span", { class: "chip-count", text: "0" });
    const element = h("button", { class: "chip", type: "button", "aria-pressed": "false", on: { click: () => { run(); notify({ rows: new Set(), filter: true }); } } }, state === null ? null : glyph(state, { label: false }), h("span", { text: label }), count);
    if (state !== null) element.dataset.state = STATES[state].key;
    return { element, count, state };
  }

  take(change) {
    if (!(change.snapshot || change.rows.size || change.filter || change.structure || change.second)) return;
    const still = aimed(this.element);
    const counts = new Array(STATES.length).fill(0);
    for (const node of store.nodes.values()) counts[node.state] += 1;
    setText(this.all.count, String(store.nodes.size));
    setAttr(this.all.element, "aria-pressed", String(store.filter.size === 0));
    for (const { element, count, state } of this.chips) {
      const { key } = STATES[state];
      setText(count, String(counts[state]));
      setAttr(element, "aria-pressed", String(store.filter.has(key)));
      if (!still) setAttr(element, "hidden", counts[state] === 0 && !store.filter.has(key));
    }
  }
}

export { SEVERITY };
