// The rack from the front during an install run: each stack with its phase, each slot with
// the board that was heard in it.

import { h, setAttr, setText } from "pirack/dom.js";
import { icon } from "pirack/icons.js";
import { arrange, boardWords, kindOf, live, mark, PHASES, troubleWords } from "pirack/install_words.js";
import { layOut } from "pirack/rack.js";
import { store } from "pirack/store.js";
import { plural, stackName } from "pirack/words.js";

const CARD_PX = 236;
const CELL_CARD_PX = 96;
/** Racks up to this size are drawn with a line per board, larger ones with a mark. */
const LINES_UP_TO = 120;

/** One slot as two lines: mark, name, address; then what is not well, and who stands there. */
function line(board, context, fresh) {
  const [shape, words, quiet] = boardWords(board, context);
  const heard = shape === "heard" && board.slot === null;
  const title = [board.mac, board.serial && `serial ${board.serial}`, board.model].filter(Boolean).join(" · ");
  const who = [heard ? "" : board.mac, board.model.replace(/^Raspberry Pi /, "Pi ").replace(/ Rev .*$/, "").replace(" Model ", " ")].filter(Boolean).join(" · ");
  const name = h("span", { class: "in-name", text: heard ? board.mac : board.name || (board.slot === null ? "no slot" : `slot ${board.slot}`) });
  const second = h("span", { class: "in-about-board" }, words && h("span", { class: quiet ? "sr-only" : "in-words", text: words }), who && h("span", { class: "in-mac", text: who }));
  return h("li", { class: fresh ? "in-board fresh" : "in-board", "data-mark": shape, title: title || null }, mark(shape), name, h("span", { class: "in-address", text: board.address }), (words && !quiet) || who ? second : words && h("span", { class: "sr-only", text: words }));
}

function cell(board, context, fresh) {
  const [shape, words] = boardWords(board, context);
  const text = [board.name || "no slot yet", words || (shape === "verified" ? "verified" : ""), board.address, board.mac].filter(Boolean).join(" · ");
  return h("li", { class: fresh ? "in-cell fresh" : "in-cell", "data-mark": shape, title: text }, mark(shape), h("span", { class: "sr-only", text }));
}

/** Slots nobody has said anything of yet. */
function unknown(slots) {
  return Array.from({ length: slots }, (_, index) => ({ slot: index + 1, name: "", address: "", mac: "", serial: "", model: "", verdict: "", verified: 0, node: "" }));
}

class Card {
  constructor(stack, { onSlots, onScan }) {
    this.stack = stack;
    this.name = h("h3", { class: "stack-name" });
    this.power = h("span", { class: "stack-power" });
    this.phase = h("span", { class: "in-phase" });
    const words = stackName(stack);
    this.order = h("button", { class: "icon-button", type: "button", "aria-label": `Check the slots of ${words} by their LEDs`, title: "Check the slots by their LEDs", on: { click: () => onSlots(stack.number) } }, icon("identify", 16));
    this.again = h("button", { class: "icon-button", type: "button", "aria-label": `Scan ${words} again`, title: "Scan this stack again", on: { click: () => onScan(stack.number) } }, icon("refresh", 16));
    this.list = h("ol", { class: "in-boards" });
    this.element = h("section", { class: "stack in-stack", "aria-label": words }, h("header", { class: "stack-head" }, this.name, this.power, this.phase, this.order, this.again), this.list);
    this.key = "";
    this.macs = null;
  }

  /** Draw it, if anything it shows is different. */
  draw(row, { state, lines, hindered }) {
    const stack = store.stacks.get(this.stack.number) ?? this.stack;
    const now = live(state), mine = Boolean(row && state && row.run === state.run);
    const ended = !now && (row?.boards ?? []).some((board) => board.mac);
    const touched = !state || state.only === null || state.only === stack.number;
    const here = now && state.stack === stack.number;
    const cut = kindOf(state) === "confirm" && touched;
    const phase = mine ? row.phase : "untouched";
    setAttr(this.order, "hidden", !ended || !lines);
    setAttr(this.again, "hidden", !ended || !lines);
    setAttr(this.again, "disabled", Boolean(hindered));
    const key = JSON.stringify([row, stack.name, stack.power, stack.slots, here, cut, now, lines, phase]);
    if (key === this.key) return;
    this.key = key;
    setText(this.name, lines ? stackName(stack) : String(stack.number));
    setAttr(this.element, "data-phase", cut ? "cut" : phase);
    setAttr(this.element, "data-here", here);
    this.drawPower(stack);
    this.drawPhase({ cut, phase, stack, row, here });
    this.drawBoards(row, { lines, phase, now, slots: stack.slots });
  }

  drawPower({ power }) {
    const words = power ? `Outlet reads back ${power}` : "";
    this.power.replaceChildren(...(power ? [icon(power === "off" ? "unplugged" : "power", 15), h("span", { class: "sr-only", text: words })] : []));
    setAttr(this.power, "data-power", power || null);
    setAttr(this.power, "title", words);
  }

  drawPhase({ cut, phase, stack, row, here }) {
    const loses = cut && (stack.power === "off" ? "is off already" : "will lose power");
    const [shape, words] = cut ? [stack.power === "off" ? "" : "trouble", loses] : PHASES[phase] ?? ["", phase];
    const heard = row?.boards.filter((board) => board.slot === null || board.verdict === "ok").length ?? 0;
    const text = here && phase === "scanning" && heard ? `${heard} of ${stack.slots} heard` : phase === "problems" ? troubleWords(row.boards) : words;
    this.phase.replaceChildren(...(shape ? [mark(shape, 14)] : []), h("span", { text }));
    setAttr(this.phase, "data-mark", shape || null);
    setAttr(this.phase, "title", text || null);
  }

  drawBoards(row, { lines, phase, now, slots }) {
    const boards = arrange(row?.boards.length ? row.boards : unknown(slots), phase);
    const before = this.run === row?.run ? this.macs : null;
    this.run = row?.run;
    this.macs = new Set(boards.map((board) => board.mac).filter(Boolean));
    const make = lines ? line : cell;
    setAttr(this.list, "class", lines ? "in-boards" : "in-cells");
    this.list.replaceChildren(...boards.map((board) => make(board, { phase, now }, now && before && board.mac && !before.has(board.mac))));
  }
}

/** Draws the stacks into an element and keeps them up to date. */
export class InstallRack {
  constructor(model, hooks) {
    this.model = model;
    this.hooks = hooks;
    this.cards = new Map();
    this.element = h("div", { class: "rack in-rack", role: "group", "aria-label": "Stacks of the rack" });
    this.note = h("p", { class: "caption" });
    this.observer = new ResizeObserver(() => this.place());
    this.observer.observe(this.element);
  }

  remove() {
    this.observer.disconnect();
  }

  draw(hindered) {
    const numbers = [...new Set([...store.stacks.keys(), ...this.model.stacks.keys()])].sort((a, b) => a - b);
    const boards = numbers.reduce((sum, number) => sum + (store.stacks.get(number)?.slots ?? 0), 0);
    this.lines = boards <= LINES_UP_TO;
    setAttr(this.element, "data-live", live(this.model.state));
    this.element.dataset.view = this.lines ? "slots" : "cells";
    if (numbers.join() !== [...this.cards.keys()].join()) this.build(numbers);
    for (const [number, card] of this.cards) card.draw(this.model.stacks.get(number), { state: this.model.state, lines: this.lines, hindered });
    setAttr(this.element, "hidden", !numbers.length);
    setText(this.note, numbers.length ? `${plural(numbers.length, "stack")}, ${plural(boards, "slot")}; slot 1 on top. Which board is in which slot of its stack is a guess until somebody has seen its LED.` : "");
  }

  build(numbers) {
    const stack = (number) => store.stacks.get(number) ?? { number, name: "", x: number, y: 0, slots: 0 };
    this.cards = new Map(numbers.map((number) => [number, new Card(stack(number), this.hooks)]));
    this.element.replaceChildren(...[...this.cards.values()].map((card) => card.element));
    this.place();
  }

  place() {
    const cards = [...this.cards.values()];
    for (const card of cards) card.stack = store.stacks.get(card.stack.number) ?? card.stack;
    layOut(this.element, cards, this.lines ? CARD_PX : CELL_CARD_PX);
  }
}
