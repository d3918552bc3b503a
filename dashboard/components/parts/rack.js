// The rack from the front: stacks where they stand, every board in them.

import { h, setAttr, setText } from "pirack/dom.js";
import { BUSY, CRIT, glyph, icon, OFF, OK, SEVERITY, STATES, WARN, OFFLINE } from "pirack/icons.js";
import { Cell, METRICS, Slot } from "pirack/slot.js";
import { underWay } from "pirack/actions.js";
import { filtering, members, shown, store } from "pirack/store.js";
import { list, moment, plural, stackName } from "pirack/words.js";

const CELLS_ABOVE = 120;
const SLOT_CARD_PX = 224;
const CELL_PX = 24;
const TALL = 16;
const FEW = 2;
const DOING = { reboot: "rebooting", shutdown: "stopping", update: "updating", power: "switching", install: "installing" };
const BORDERED = new Set([CRIT, OFFLINE, WARN]);

/** Return the worst state among nodes, by SEVERITY. */
export function worst(nodes) {
  return SEVERITY.find((state) => nodes.some((node) => node.state === state)) ?? OK;
}

/** Whether the only board without a place is the master's own Pi, which needs none. */
function ownHome(nodes) {
  return nodes.length === 1 && nodes[0].id === store.connection.home;
}

/** Put cards of stacks at their x,y where there is room for all columns, `least` pixels
 * each; else in order. */
export function layOut(element, cards, least) {
  const stacks = cards.filter((card) => card.stack);
  const columns = Math.max(0, ...stacks.map((card) => card.stack.x)) + 1;
  const spots = new Set(stacks.map(({ stack }) => `${stack.x},${stack.y}`));
  const rows = Math.max(0, ...stacks.map((card) => card.stack.y)) + 1;
  const tower = rows > TALL && rows > columns * 4; // counted off in a few columns, not built so
  const fits = !tower && columns * (least + 12) <= element.clientWidth && spots.size === stacks.length && columns > 1;
  element.style.setProperty("--least", `${least}px`);
  element.style.gridTemplateColumns = fits ? `repeat(${columns}, minmax(0, 1fr))` : "";
  for (const card of cards) card.element.style.gridArea = fits && card.stack ? `${card.stack.y + 1} / ${card.stack.x + 1}` : "";
}

/** The outlet of a stack as read back: a sentence, and two words where something is off. */
function outlet({ power, wanted, fault }, switching) {
  if (switching) return { text: `Switching now; outlet reads back ${power ?? "nothing"}, wanted ${wanted ?? "not set"}`, short: "", state: "switching" };
  const differs = wanted && power && wanted !== power;
  if (fault) return { text: fault, short: differs ? `${power}, not ${wanted}` : "outlet fault", state: "unknown" };
  if (differs) return { text: `Outlet reads back ${power}, but ${wanted} is wanted`, short: `${power}, not ${wanted}`, state: "unknown" };
  return { text: power ? `Outlet reads back ${power}, as wanted` : "", short: "", state: power };
}

/** Draws the rack into an element and keeps it up to date. */
export class Rack {
  constructor(element, { onMenu }) {
    this.element = element;
    this.onMenu = onMenu;
    this.boards = new Map();
    this.cards = [];
    this.metricName = "cpu";
    this.wish = "";
    this.due = 0;
    this.observer = new ResizeObserver(() => this.place());
    this.observer.observe(element);
  }

  /** "slots" or "cells": as chosen, else by the number of boards. */
  get view() {
    return this.wish || (store.nodes.size > CELLS_ABOVE ? "cells" : "slots");
  }

  choose(view) {
    this.wish = view;
    this.build();
  }

  metric(name) {
    this.metricName = name;
    for (const board of this.boards.values()) board.update();
  }

  /** Take one change of the store. */
  take(change) {
    if (change.snapshot) this.build();
    else if (change.structure) this.buildSoon();
    for (const node of change.rows) this.boards.get(node.index)?.update();
    if (change.match || change.filter) this.refilter();
    if (change.sampled) for (const board of this.boards.values()) board.sampled();
    if (change.second) for (const board of this.boards.values()) if (board.node.words) board.second();
    if (change.snapshot || change.stacks || change.rows.size || change.match || change.filter) this.headers();
  }

  refilter() {
    for (const board of this.boards.values()) board.drawShown();
  }

  /** A thousand nodes introduce themselves one by one; draw them in a few strokes. */
  buildSoon() {
    if (this.due) return;
    this.due = window.setTimeout(() => this.build(), 150);
  }

  build() {
    window.clearTimeout(this.due);
    this.due = 0;
    const focused = document.activeElement?.dataset?.node;
    this.boards.clear();
    this.element.dataset.view = this.view;
    const stacks = [...store.stacks.values()].sort((a, b) => a.number - b.number);
    const places = new Map([[null, []], ...stacks.map((stack) => [stack.number, []])]);
    for (const node of store.nodes.values()) places.get(places.has(node.stack) ? node.stack : null).push(node);
    this.cards = stacks.map((stack) => this.card(stack, places.get(stack.number)));
    const homeless = members(null);
    if (homeless.length) this.cards.push(this.card(null, homeless));
    this.element.replaceChildren(...this.cards.map((card) => card.element));
    this.place();
    this.headers();
    const first = this.element.querySelector(".slot:not([inert]), .cell:not([inert])");
    const again = focused && this.element.querySelector(`[data-node="${CSS.escape(focused)}"]`);
    if (again) again.focus({ preventScroll: true });
    (again ?? first)?.setAttribute("tabindex", "0");
  }

  card(stack, nodes) {
    const title = h("h2", { class: "stack-name", text: stack ? stackName(stack) : ownHome(nodes) ? "Master" : "Without a place" });
    const power = h("span", { class: "stack-power" });
    const roll = h("span", { class: "stack-roll" });
    const lock = h("span", { class: "stack-lock" });
    const menu = stack && h("button", { class: "icon-button stack-menu", type: "button", "aria-label": `Actions for ${title.textContent}`, "aria-haspopup": "dialog", on: { click: () => this.onMenu(stack, menu) } }, icon("more"));
    const body = h("div", { class: "stack-body" });
    body.append(...this.fill(stack, nodes));
    const element = h("section", { class: stack ? "stack" : nodes.length <= FEW ? "stack homeless few" : "stack homeless", "aria-label": title.textContent }, h("header", { class: "stack-head" }, title, power, lock, roll, menu), body);
    if (stack && this.view === "cells") setText(title, String(stack.number));
    const longest = Math.max(...nodes.map((node) => node.name.length), 5);
    element.style.setProperty("--name", `${Math.min(longest, 14) * 0.56 + 0.2}em`);
    return { stack, element, power, lock, roll, body, powerShown: null, lockShown: null, stateShown: null };
  }

  /** Boards by slot, with outlines where a slot is empty. */
  fill(stack, nodes) {
    const bySlot = new Map(nodes.map((node) => [node.slot, node]));
    const rest = stack ? nodes.filter((node) => !(node.slot >= 1 && node.slot <= stack.slots) || bySlot.get(node.slot) !== node) : nodes;
    const found = [];
    for (let slot = 1; slot <= (stack?.slots ?? 0); slot += 1) {
      const node = bySlot.get(slot);
      found.push(node ? this.board(node).element : h("div", { class: this.view === "cells" ? "cell empty" : "slot empty", text: this.view === "cells" ? "" : emptyWords(stack, slot) }));
    }
    return [...found, ...rest.sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true })).map((node) => this.board(node).element)];
  }

  board(node) {
    const board = this.view === "cells" ? new Cell(node, () => this.metricName) : new Slot(node);
    this.boards.set(node.index, board);
    return board;
  }

  place() {
    const slots = this.cards.filter((card) => card.stack).map((card) => card.stack.slots || 4);
    const across = Math.max(2, ...slots.map((count) => Math.ceil(Math.sqrt(count))));
    this.element.style.setProperty("--across", across);
    layOut(this.element, this.cards, this.view === "cells" ? across * (CELL_PX + 4) + 10 : SLOT_CARD_PX);
  }

  headers() {
    for (const card of this.cards) this.header(card);
  }

  header(card) {
    const nodes = [...card.body.children].map((element) => store.ids.get(element.dataset.node)).filter(Boolean);
    const state = worst(nodes);
    if (card.stateShown !== state) {
      card.stateShown = state;
      setAttr(card.element, "data-worst", BORDERED.has(state) ? STATES[state].key : null);
    }
    card.element.classList.toggle("dim-all", filtering() && !nodes.some(shown));
    const online = nodes.filter((node) => node.state < BUSY).length;
    const off = nodes.length > 0 && nodes.every((node) => node.state === OFF);
    const [work] = underWay(nodes);
    const doing = work && (work.running.length ? `${DOING[work.verb] ?? work.verb} ${work.running.length} of ${nodes.length}` : `${work.queued.length} of ${nodes.length} waiting`);
    setText(card.roll, doing || (nodes.length === 0 ? "empty" : off ? "off" : online === nodes.length ? "" : `${online} of ${nodes.length} online`));
    setAttr(card.roll, "data-busy", Boolean(work));
    setAttr(card.roll, "title", work ? `${work.running.length} running, ${work.queued.length} waiting${work.by ? `; asked by ${work.by}` : ""}` : null);
    const stack = card.stack && store.stacks.get(card.stack.number);
    if (stack) {
      this.power(card, stack, nodes);
      this.reserved(card, stack.lock);
    }
  }

  power(card, stack, nodes) {
    const { text, short, state } = outlet(stack, nodes.some((node) => node.running?.verb === "power"));
    const key = `${text} ${state}`;
    if (key === card.powerShown) return;
    card.powerShown = key;
    const words = [h("span", { class: "sr-only", text }), short && h("span", { "aria-hidden": "true", text: short })].filter(Boolean);
    card.power.replaceChildren(...(state ? [icon(stack.power === "off" ? "unplugged" : "power", 15), ...words] : []));
    setAttr(card.power, "data-power", state);
    setAttr(card.power, "title", text);
  }

  reserved(card, lock) {
    const key = lock ? `${lock.by} ${lock.until}` : "";
    if (key === card.lockShown) return;
    card.lockShown = key;
    const words = lock && `Reserved by ${lock.by} until ${moment(lock.until)}${lock.reason ? `: ${lock.reason}` : ""}`;
    card.lock.replaceChildren(...(lock ? [icon("lock", 15), h("span", { class: "sr-only", text: words })] : []));
    setAttr(card.lock, "title", words);
  }
}

/** What stands in a slot without a node. */
function emptyWords(stack, slot) {
  return stack.found.includes(slot) ? `slot ${slot}: found, no agent yet` : `slot ${slot} is empty`;
}

/** The legend of the cells view. */
export function legend(rack) {
  const select = h("select", { "aria-label": "Shade by", on: { change: () => { rack.metric(select.value); draw(); } } }, Object.entries(METRICS).map(([name, { label }]) => h("option", { value: name, text: label })));
  const low = h("span"), high = h("span");
  const draw = () => {
    const { low: least, high: most, unit } = METRICS[rack.metricName];
    setText(low, `${least} ${unit}`);
    setText(high, `${most} ${unit}`);
  };
  draw();
  return h("div", { class: "legend" }, h("label", {}, "Shade by ", select), low, h("span", { class: "ramp", "aria-hidden": "true" }), high);
}

/** One sentence on what a set of nodes is. */
export function describe(nodes) {
  const counts = SEVERITY.map((state) => [state, nodes.filter((node) => node.state === state).length]).filter(([, count]) => count);
  return `${plural(nodes.length, "board")}: ${list(counts.map(([state, count]) => `${count} ${STATES[state].label.toLowerCase()}`), 9)}`;
}

export { glyph };
