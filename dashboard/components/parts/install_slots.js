// The wizard that finds out which board is in which slot of its stack: one board after the
// other blinks, a person says where; two boards that are the wrong way round are swapped.

import { ask, publishLine, stackTarget } from "pirack/actions.js";
import { begin } from "pirack/consent.js";
import { lineBox, openDialog } from "pirack/dialogs.js";
import { h, setAttr, setText } from "pirack/dom.js";
import { icon } from "pirack/icons.js";
import { hindrance, installAction, installTarget } from "pirack/install_controls.js";
import { mark, nameOf, occupied } from "pirack/install_words.js";
import { listen, members, store } from "pirack/store.js";

const IDENTIFY = { verb: "identify", args: [], label: "Blink", confirm: "", danger: false, placeholders: [] };

/** Open the wizard at a stack. */
export function openSlots(model, number) {
  return new Slots(model, number);
}

class Slots {
  constructor(model, number) {
    this.model = model;
    this.number = number;
    this.seen = new Set();
    this.swapped = new Set();
    this.asked = new Map();
    this.build();
    this.dialog = openDialog("Which board is in which slot?", { body: this.body, buttons: [this.close] });
    this.dialog.classList.add("in-slots");
    this.stop = listen((change) => this.take(change));
    this.dialog.addEventListener("close", () => this.stop());
    this.go(number);
    this.answers.querySelector(".same")?.focus();
  }

  build() {
    this.select = h("select", { on: { change: () => this.go(Number(this.select.value)) } }, occupied(this.model.stacks).map((number) => h("option", { value: number, text: nameOf(number, store.stacks) })));
    this.list = h("ol", { class: "in-front" });
    this.words = h("p", { class: "in-ask", role: "status" });
    this.answers = h("div", { class: "in-answers", role: "group", "aria-label": "The slot where it blinks" });
    this.error = h("p", { class: "receipt-error", role: "alert", hidden: true });
    this.why = h("p", { class: "why", hidden: true });
    this.blink = h("button", { class: "button", type: "button", on: { click: () => this.identify() } }, icon("identify", 16), h("span", { text: "Blink again" }));
    this.skip = h("button", { class: "button", type: "button", text: "Skip it", on: { click: () => this.next(true) } });
    this.cycle = h("button", { class: "button primary", type: "button", hidden: true, on: { click: () => this.powerCycle() } }, icon("reboot", 16), h("span"));
    this.onward = h("button", { class: "button primary", type: "button", hidden: true, on: { click: () => this.go(this.following()) } }, h("span"));
    this.line = lineBox("");
    this.close = h("button", { class: "button", type: "button", text: "Close", on: { click: () => this.dialog.close() } });
    const top = h("label", { class: "in-which" }, "Stack ", this.select);
    this.body = h("div", { class: "dialog-body" }, top, h("div", { class: "in-wizard" }, this.list, h("div", { class: "in-question" }, this.words, this.why, this.answers, this.error, h("div", { class: "in-actions" }, this.blink, this.skip, this.cycle, this.onward))), this.line.element);
  }

  /** The boards of the stack by slot; those without a slot cannot be told from here. */
  get boards() {
    return (this.model.stacks.get(this.number)?.boards ?? []).filter(({ slot }) => slot !== null);
  }

  get board() {
    return this.boards.find(({ mac }) => mac && mac === this.mac);
  }

  go(number) {
    this.number = number;
    this.select.value = String(number);
    this.mac = this.boards.find(({ mac }) => mac && !this.seen.has(mac))?.mac ?? "";
    this.fail("");
    this.draw();
    this.identify();
  }

  /** The next board that nobody has seen yet; after `skip` the present one comes last. */
  next(skip = false) {
    const open = this.boards.filter(({ mac }) => mac && !this.seen.has(mac));
    const at = open.findIndex(({ mac }) => mac === this.mac);
    const wanted = skip ? open[(at + 1) % Math.max(open.length, 1)] : open[0];
    this.mac = wanted?.mac ?? "";
    this.draw();
    this.identify();
  }

  following() {
    const numbers = [...this.select.options].map(({ value }) => Number(value));
    return numbers[numbers.indexOf(this.number) + 1];
  }

  node() {
    return this.board && store.ids.get(this.board.node);
  }

  /** Whether the LED can be asked for: its agent must be there. */
  awake() {
    const node = this.node();
    return Boolean(node) && node.state < 5;
  }

  identify() {
    if (!this.board || !this.awake() || hindrance("identify")) return;
    this.fail("");
    this.asked.set(ask(this.blinkTarget(), IDENTIFY), {});
  }

  blinkTarget() {
    const node = this.node();
    return { scope: `node/${node?.id ?? (this.board?.name || "?")}`, nodes: [] };
  }

  swapAction(slot) {
    const other = this.boards.find((board) => board.slot === slot);
    return installAction("Swap", "swap", this.board.name, other.name);
  }

  /** A person sees the board blink in a slot. */
  here(slot) {
    const { board } = this;
    if (!board) return;
    this.fail("");
    if (slot === board.slot) {
      this.seen.add(board.mac);
      this.next();
    } else this.asked.set(ask(installTarget(), this.swapAction(slot)), { swap: board.mac, from: this.boards.find((other) => other.slot === slot).mac });
    this.draw();
  }

  /** Answers come by reference first, then by the command's own id. */
  take(change) {
    for (const { reference, id } of change.sent ?? []) this.move(reference, id);
    for (const { reference, text } of change.refused ?? []) if (this.asked.delete(reference)) this.fail(text);
    for (const receipt of change.receipts ?? []) if (receipt.complete) this.answered(receipt);
    if (change.install || change.snapshot || change.connection || change.rows?.size) this.draw();
  }

  move(reference, id) {
    const about = this.asked.get(reference);
    if (!about) return;
    this.asked.delete(reference);
    this.asked.set(id, about);
  }

  answered({ id, ok, error, rows }) {
    const about = this.asked.get(id);
    if (!about || !this.asked.delete(id)) return;
    if (!ok) this.fail(error || rows.find((row) => row[3])?.[3] || "It was refused, without a reason.");
    else if (about.swap) {
      this.seen.add(about.swap);
      this.seen.delete(about.from);
      this.swapped.add(this.number);
      this.next();
    }
    this.draw();
  }

  fail(text) {
    setText(this.error, text);
    setAttr(this.error, "hidden", !text);
  }

  powerCycle() {
    this.dialog.close();
    const target = stackTarget(store.stacks.get(this.number), members(this.number));
    begin(target, { verb: "power", args: ["cycle"], label: "Power-cycle", placeholders: [], danger: true, red: true });
  }

  draw() {
    const { board } = this, swapping = [...this.asked.values()].some(({ swap }) => swap);
    this.drawFront();
    const why = board ? hindrance("identify") : "";
    const note = why || (board && hindrance() ? `Blinking is all you can do here. To swap: ${hindrance()}` : "");
    setText(this.why, note);
    setAttr(this.why, "hidden", !note);
    setText(this.words, swapping ? "Swapping the two…" : board ? this.question(board) : this.ending());
    setAttr(this.blink, "hidden", !board);
    setAttr(this.blink, "disabled", Boolean(why) || !this.awake());
    setAttr(this.skip, "hidden", !board);
    this.drawAnswers(swapping);
    const cycle = !board && this.swapped.has(this.number), next = !board && this.following();
    setAttr(this.cycle, "hidden", !cycle);
    setAttr(this.cycle, "disabled", Boolean(hindrance()));
    setText(this.cycle.lastChild, `Power-cycle ${nameOf(this.number, store.stacks)}…`);
    setAttr(this.onward, "hidden", !next);
    setAttr(this.onward, "class", cycle ? "button" : "button primary");
    setText(this.onward.lastChild, next ? `Go on with ${nameOf(next, store.stacks)}` : "");
    setAttr(this.line.element, "hidden", !board);
    this.drawLine();
    if (!swapping) this.refocus();
  }

  /** The line to copy: of the answer under the pointer or the focus, else of the blinking. */
  drawLine() {
    const { board } = this;
    if (!board) return;
    const swap = board.slot !== this.shown && this.boards.some(({ slot }) => slot === this.shown);
    this.line.set(swap ? publishLine(installTarget(), this.swapAction(this.shown)) : publishLine(this.blinkTarget(), IDENTIFY));
  }

  /** Who answers by keyboard goes on where the next answer is. */
  refocus() {
    if (!this.held) return;
    this.held = false;
    [this.answers.querySelector(".same"), this.cycle, this.onward, this.close].find((each) => each && !each.hidden && !each.disabled)?.focus();
  }

  question(board) {
    if (!this.node()) return `No agent of ${board.name} (${board.mac}) is heard yet, so its LED cannot blink. Start its agent, or skip it.`;
    if (!this.awake()) return `${board.name} does not answer now, so its LED cannot blink. Skip it, or wait until it is back.`;
    return `${board.name} blinks its green LED now. In which slot of ${nameOf(this.number, store.stacks)} do you see it?`;
  }

  ending() {
    const unseen = this.boards.filter(({ mac }) => mac).length === 0;
    if (unseen) return "No board is known in this stack.";
    if (this.swapped.has(this.number)) return "Every board of this stack is where you saw it. Those that were swapped get their new addresses when they boot next: power-cycle the stack.";
    return "Every board of this stack is where PiRack thought it was.";
  }

  drawFront() {
    const key = JSON.stringify([this.boards, this.mac, [...this.seen]]);
    if (key === this.frontKey) return;
    this.frontKey = key;
    this.list.replaceChildren(...this.boards.map((board) => {
      const current = board.mac && board.mac === this.mac, seen = this.seen.has(board.mac);
      const words = current ? "blinking" : seen ? "seen" : board.mac ? "" : "empty";
      return h("li", { class: "in-slot", "data-now": Boolean(current), "data-seen": seen }, h("b", { text: board.slot }), h("span", { class: "in-name", text: board.mac ? board.name : "no board" }), h("span", { class: "in-mac", text: board.mac }), h("span", { class: "in-words" }, current ? icon("identify", 15) : seen ? mark("verified", 14) : "", words));
    }));
  }

  drawAnswers(swapping) {
    const { board } = this, why = hindrance();
    const key = JSON.stringify([this.mac, board?.slot, this.boards.length, why, swapping]);
    if (key === this.answersKey) return;
    this.answersKey = key;
    this.shown = board?.slot;
    const buttons = !board ? [] : this.boards.map(({ slot }) => {
      const same = slot === board.slot;
      const preview = () => {
        this.shown = slot;
        this.drawLine();
      };
      return h("button", { class: same ? "button in-answer same" : "button in-answer", type: "button", disabled: swapping || (!same && Boolean(why)), title: same ? "Where PiRack thinks it is" : why || `Swap ${board.name} with the board of slot ${slot}`, "aria-label": same ? `Slot ${slot}, where PiRack thinks it is` : `Slot ${slot}: swap the two`, on: { click: () => this.here(slot), focus: preview, pointerenter: preview } }, h("b", { text: slot }), h("span", { text: same ? "as thought" : "swap" }));
    });
    this.held ||= this.answers.contains(document.activeElement);
    this.answers.replaceChildren(...buttons);
  }
}
