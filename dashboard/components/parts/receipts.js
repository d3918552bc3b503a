// The commands of this tab: sent, running, and answered, with a row for every board.

import { aimed, h, setAttr, setText } from "pirack/dom.js";
import { cancelling, rackTarget, send } from "pirack/actions.js";
import { begin } from "pirack/consent.js";
import { CRIT, glyph, icon } from "pirack/icons.js";
import { listen } from "pirack/store.js";
import { byName, list, plural, took } from "pirack/words.js";

const KEPT = 5;
/** A command that interrupts shows every board from the start, up to this many. */
const OPEN_UP_TO = 16;
const ROWS_SEEN = 8;
const GOOD_STAYS_MS = 9000;
const PHASES = { accepted: "waiting", running: "running", done: "done", failed: "failed", refused: "refused", expired: "expired", "not-delivered": "not delivered" };
const UNDER_WAY = ["accepted", "running"];

/** Rows to lines: the failed first; boards with the same answer and no output are one. */
function fold(rows) {
  const lines = new Map();
  for (const { name, phase, error, exit, output, duration, verified } of rows) {
    const answer = (error.startsWith(`${name}, `) ? error.slice(name.length + 2) : error) || (exit ? `exit code ${exit}` : verified ? "effect seen" : "");
    const key = phase === "done" || output || !answer ? name : `${phase} ${answer}`;
    const line = lines.get(key) ?? { phase, answer, output, duration: 0, names: [] };
    lines.set(key, line);
    line.names.push(name);
    line.duration = Math.max(line.duration, duration ?? 0);
  }
  return [...lines.values()].sort((a, b) => (a.phase === "done") - (b.phase === "done"));
}

class Receipt {
  constructor({ reference, target, action, total }, onClose) {
    this.reference = reference;
    this.total = total;
    this.live = action.danger && total > 1 && total <= OPEN_UP_TO;
    this.brief = action.brief;
    this.again = h("p", { class: "receipt-again", hidden: true });
    this.repeat = (named) => begin(target, action.verb === "power" ? { ...action, args: action.args.slice(0, 1) } : action, named);
    this.rows = new Map();
    this.phase = h("span", { class: "receipt-phase", text: "sending" });
    this.error = h("p", { class: "receipt-error", hidden: true });
    this.list = h("tbody");
    this.mark = h("span", { class: "receipt-mark" });
    this.details = h("details", { hidden: !this.live }, h("summary", { text: "Each board" }), h("div", { class: "receipt-scroll", tabindex: "0" }, h("table", {}, h("thead", { class: "sr-only" }, h("tr", {}, ["Board", "Phase", "Answer", "Time"].map((text) => h("th", { text })))), this.list)));
    const close = h("button", { class: "icon-button", type: "button", "aria-label": "Dismiss", on: { click: () => onClose(this) } }, icon("close", 16));
    this.share = h("span", { class: "receipt-share", "aria-hidden": "true" });
    this.stop = action.danger && h("button", { class: "button small", type: "button", hidden: true, text: "Cancel", title: "What has not begun never does", on: { click: () => send(rackTarget(), cancelling({ id: this.id, verb: action.verb, word: action.args[0] })) } });
    this.element = h("article", { class: "receipt", "data-phase": "running" }, h("header", {}, this.mark, h("b", { text: action.args.includes("force") ? `Force ${action.label.toLowerCase()}` : action.label }), h("span", { class: "receipt-target", text: target.title }), this.phase, this.stop, close), this.share, this.error, this.again, this.details);
    this.details.open = this.live;
    if (this.live) this.details.style.setProperty("--rows", Math.min(total, ROWS_SEEN));
    this.onClose = onClose;
    this.element.addEventListener("pointerenter", () => this.keep());
    this.element.addEventListener("focusin", () => this.keep());
  }

  keep() {
    window.clearTimeout(this.timer);
  }

  take({ phase, complete, ok, error, rows, duration, verified }) {
    for (const [node, name, phase, error, exit, output, duration, verified, code] of rows) this.rows.set(node, { name, phase, error, exit, output, duration, verified, code });
    const all = [...this.rows.values()];
    const good = all.filter((row) => row.phase === "done").length;
    const ended = all.filter((row) => !UNDER_WAY.includes(row.phase)).length;
    this.share.style.setProperty("--share", `${Math.round((100 * ended) / Math.max(this.total, all.length, 1))}%`);
    if (this.stop) setAttr(this.stop, "hidden", complete || !this.id);
    if (complete) this.finish({ phase, ok, good, count: all.length, duration, verified });
    else setText(this.phase, all.length > 1 ? `${PHASES[phase]} · ${ended} of ${Math.max(this.total, all.length)}` : PHASES[phase]);
    const only = all.length === 1 ? all[0].error : "";
    const told = complete && all.length > 1 && /^\d+ of \d+ not done/.test(error); // head and rows say so
    this.fail(told ? "" : error || only);
    if (complete) this.offer(all.filter(({ code }) => code === "cannot-be-asked").map(({ name }) => name));
    this.draw();
  }

  /** The way to cut boards that cannot be asked: the same question, with these named. */
  offer(names) {
    setAttr(this.again, "hidden", !names.length);
    this.again.replaceChildren(h("button", { class: "button small", type: "button", text: `Cut ${list(names)} without asking…`, on: { click: () => this.repeat(names) } }));
  }

  fail(text) {
    setText(this.error, text);
    setAttr(this.error, "hidden", !text);
  }

  finish({ phase, ok, good, count, duration, verified }) {
    this.complete = true;
    this.element.dataset.phase = ok ? "good" : "bad";
    this.mark.replaceChildren(ok ? icon("check", 16) : glyph(CRIT, { size: 16, label: false }));
    const result = ok ? "done" : count > 1 ? `${good} of ${plural(count, "board")} done` : PHASES[phase];
    const words = `${result} · ${took(duration)}${ok && verified ? " · effect seen" : ""}`;
    setText(this.phase, ok && this.brief ? "accepted" : words); // the page says what comes of it
    const talks = [...this.rows.values()].some((row) => row.output);
    if (!ok && count > 1) this.details.open = true;
    if (talks && count === 1 && !this.brief) this.details.open = true;
    if (ok && (!talks || this.brief)) this.leave(GOOD_STAYS_MS);
  }

  /** Go after a time, and not while somebody aims at a receipt beside it. */
  leave(wait_ms) {
    const dock = this.element.parentElement;
    this.timer = window.setTimeout(() => (dock && aimed(dock) ? this.leave(1000) : this.onClose(this)), wait_ms);
  }

  refuse(text) {
    this.complete = true;
    this.element.dataset.phase = "bad";
    this.mark.replaceChildren(glyph(CRIT, { size: 16, label: false }));
    setText(this.phase, "not sent");
    this.fail(text);
  }

  draw() {
    setAttr(this.details, "hidden", this.brief || (!this.live && this.rows.size < 2 && ![...this.rows.values()].some((row) => row.output)));
    this.list.replaceChildren(...fold(byName(this.rows.values())).flatMap(({ names, phase, answer, output, duration }) => {
      const line = h("tr", { "data-phase": phase }, h("th", { scope: "row", text: names.length === 1 ? names[0] : plural(names.length, "board") }), h("td", { text: PHASES[phase] ?? phase }), h("td", { title: names.join(", "), text: names.length === 1 ? answer : `${list(names, 6)}: ${answer}` }), h("td", { class: "number", text: duration && !UNDER_WAY.includes(phase) ? took(duration) : "" }));
      return output ? [line, h("tr", { class: "output" }, h("td", { colspan: "4" }, h("pre", { text: output.trim() })))] : [line];
    }));
  }
}

/** The dock at the edge of the page. */
export class Receipts {
  constructor() {
    this.element = h("div", { class: "receipts", role: "log", "aria-label": "Commands", "aria-live": "polite" });
    this.room = new ResizeObserver(() => document.documentElement.style.setProperty("--dock", `${this.element.offsetHeight}px`));
    this.room.observe(this.element);
    this.open = new Map();
    this.numbers = new Map();
    this.asked = (event) => this.add(event.detail);
    document.addEventListener("pirack-asked", this.asked);
    this.stop = listen((change) => this.take(change));
  }

  add(detail) {
    const receipt = new Receipt(detail, (each) => this.close(each));
    this.open.set(detail.reference, receipt);
    this.element.append(receipt.element);
    const done = [...this.open.values()].filter((each) => each.complete);
    while (this.open.size > KEPT && done.length) this.close(done.shift());
  }

  close(receipt) {
    receipt.keep();
    receipt.element.remove();
    this.open.delete(receipt.reference);
  }

  take(change) {
    for (const { reference, id } of change.sent ?? []) {
      const receipt = this.open.get(reference);
      if (!receipt) continue;
      this.numbers.set(id, reference);
      receipt.id = id;
    }
    for (const { reference, text } of change.refused ?? []) this.open.get(reference)?.refuse(text);
    for (const receipt of change.receipts ?? []) {
      this.open.get(this.numbers.get(receipt.id))?.take(receipt);
      if (receipt.complete) this.numbers.delete(receipt.id);
    }
  }

  remove() {
    this.stop();
    document.removeEventListener("pirack-asked", this.asked);
    this.room.disconnect();
    this.element.remove();
  }
}
