// The commands of this tab: sent, running, and answered, with a row for every board.

import { h, setAttr, setText } from "pirack/dom.js";
import { cancelling, rackTarget, send } from "pirack/actions.js";
import { icon } from "pirack/icons.js";
import { listen } from "pirack/store.js";
import { plural, took } from "pirack/words.js";

const KEPT = 5;
/** A command that interrupts shows every board from the start, up to this many. */
const OPEN_UP_TO = 16;
const GOOD_STAYS_MS = 9000;
const PHASES = { accepted: "queued", running: "running", done: "done", failed: "failed", refused: "refused", expired: "expired", "not-delivered": "not delivered" };

class Receipt {
  constructor({ reference, target, action, total }, onClose) {
    this.reference = reference;
    this.total = total;
    this.live = action.danger && total > 1 && total <= OPEN_UP_TO;
    this.rows = new Map();
    this.phase = h("span", { class: "receipt-phase", text: "sending" });
    this.error = h("p", { class: "receipt-error", hidden: true });
    this.list = h("tbody");
    this.mark = h("span", { class: "receipt-mark" });
    this.details = h("details", { hidden: true }, h("summary", { text: "Each board" }), h("div", { class: "receipt-scroll", tabindex: "0" }, h("table", {}, h("thead", { class: "sr-only" }, h("tr", {}, ["Board", "Phase", "Answer", "Time"].map((text) => h("th", { text })))), this.list)));
    const close = h("button", { class: "icon-button", type: "button", "aria-label": "Dismiss", on: { click: () => onClose(this) } }, icon("close", 16));
    this.share = h("span", { class: "receipt-share", "aria-hidden": "true" });
    this.stop = action.danger && h("button", { class: "button small", type: "button", hidden: true, text: "Cancel", title: "What has not begun never does", on: { click: () => send(rackTarget(), cancelling({ id: this.id, verb: action.verb })) } });
    this.element = h("article", { class: "receipt", "data-phase": "running" }, h("header", {}, this.mark, h("b", { text: action.args.includes("force") ? `Force ${action.label.toLowerCase()}` : action.label }), h("span", { class: "receipt-target", text: target.title }), this.phase, this.stop, close), this.share, this.error, this.details);
    this.details.open = this.live;
    this.onClose = onClose;
    this.element.addEventListener("pointerenter", () => this.keep());
    this.element.addEventListener("focusin", () => this.keep());
  }

  keep() {
    window.clearTimeout(this.timer);
  }

  take({ phase, complete, ok, error, rows, duration, verified }) {
    for (const [node, ...row] of rows) this.rows.set(node, row);
    const all = [...this.rows.values()];
    const good = all.filter((row) => row[1] === "done").length;
    const ended = all.filter((row) => !["accepted", "running"].includes(row[1])).length;
    this.share.style.setProperty("--share", `${Math.round((100 * ended) / Math.max(this.total, all.length, 1))}%`);
    if (this.stop) setAttr(this.stop, "hidden", complete || !this.id);
    if (complete) this.finish({ phase, ok, good, count: all.length, duration, verified });
    else setText(this.phase, all.length > 1 ? `${PHASES[phase]} · ${ended} of ${Math.max(this.total, all.length)}` : PHASES[phase]);
    const only = all.length === 1 ? all[0][2] : "";
    this.fail(error || only);
    this.draw();
  }

  fail(text) {
    setText(this.error, text);
    setAttr(this.error, "hidden", !text);
  }

  finish({ phase, ok, good, count, duration, verified }) {
    this.complete = true;
    this.element.dataset.phase = ok ? "good" : "bad";
    this.mark.replaceChildren(icon(ok ? "check" : "close", 16));
    const result = ok ? "done" : count > 1 ? `${good} of ${plural(count, "board")} done` : PHASES[phase];
    setText(this.phase, `${result} · ${took(duration)}${ok && verified ? " · seen" : ""}`);
    const talks = [...this.rows.values()].some((row) => row[4]);
    if (!ok && count > 1) this.details.open = true;
    if (talks && count === 1) this.details.open = true;
    if (ok && !talks) this.timer = window.setTimeout(() => this.onClose(this), GOOD_STAYS_MS);
  }

  refuse(text) {
    this.complete = true;
    this.element.dataset.phase = "bad";
    this.mark.replaceChildren(icon("close", 16));
    setText(this.phase, "not sent");
    this.fail(text);
  }

  draw() {
    setAttr(this.details, "hidden", this.rows.size < 2 && ![...this.rows.values()].some((row) => row[4]));
    const rows = [...this.rows.values()].sort((a, b) => (a[1] === "done") - (b[1] === "done") || a[0].localeCompare(b[0], "en", { numeric: true }));
    this.list.replaceChildren(...rows.flatMap(([name, phase, error, exit, output, duration, verified]) => {
      const answer = error || (exit ? `exit code ${exit}` : verified ? "effect seen" : "");
      const line = h("tr", { "data-phase": phase }, h("th", { scope: "row", text: name }), h("td", { text: PHASES[phase] ?? phase }), h("td", { text: answer }), h("td", { class: "number", text: duration ? took(duration) : "" }));
      return output ? [line, h("tr", { class: "output" }, h("td", { colspan: "4" }, h("pre", { text: output.trim() })))] : [line];
    }));
  }
}

/** The dock at the edge of the page. */
export class Receipts {
  constructor() {
    this.element = h("div", { class: "receipts", role: "log", "aria-label": "Commands", "aria-live": "polite" });
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
    this.element.remove();
  }
}
