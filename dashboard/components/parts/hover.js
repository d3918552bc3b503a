// The card that answers "what is this?" when the mouse rests on a board or it has focus.

import { h } from "pirack/dom.js";
import { STATES } from "pirack/icons.js";
import { facts, phrase } from "pirack/slot.js";
import { store } from "pirack/store.js";
import { stackName } from "pirack/words.js";

const WAIT_MS = 320;

/** Follows pointer and focus inside an element. */
export class Hover {
  constructor(area) {
    this.area = area;
    this.element = h("div", { class: "hover-card", hidden: true, "aria-hidden": "true" });
    area.addEventListener("pointerover", (event) => event.pointerType === "mouse" && this.aim(event.target, WAIT_MS));
    area.addEventListener("pointerleave", () => this.hide());
    area.addEventListener("pointerdown", () => this.hide());
    area.addEventListener("focusin", (event) => event.target.matches(":focus-visible") && this.aim(event.target, 0));
    area.addEventListener("focusout", () => this.hide());
    this.hideOnScroll = () => this.hide();
    window.addEventListener("scroll", this.hideOnScroll, { passive: true });
  }

  aim(target, wait) {
    const board = target.closest("[data-node]");
    if (board === this.board) return;
    this.hide();
    this.board = board;
    if (board) this.timer = window.setTimeout(() => this.show(), wait);
  }

  show() {
    const node = store.ids.get(this.board?.dataset.node);
    if (!node || !this.board.isConnected) return this.hide();
    this.draw(node);
    this.element.hidden = false;
    const from = this.board.getBoundingClientRect(), size = this.element.getBoundingClientRect();
    const left = Math.max(8, Math.min(from.left + 12, innerWidth - size.width - 8));
    const below = from.bottom + size.height + 12 < innerHeight;
    this.element.style.transform = `translate(${left}px, ${below ? from.bottom + 6 : from.top - size.height - 6}px)`;
  }

  draw(node) {
    const stack = store.stacks.get(node.stack);
    const where = stack ? `${stackName(stack)} · slot ${node.slot}` : "no place";
    const words = node.reason || phrase(node) || STATES[node.state].label;
    this.element.replaceChildren(h("b", { text: node.name }), h("span", { class: "hover-where", text: where }), h("p", { text: words }), h("dl", {}, facts(node).map(([term, value]) => h("div", {}, h("dt", { text: term }), h("dd", { text: value })))));
    this.element.dataset.state = STATES[node.state].key;
  }

  /** Keep the figures of an open card live. */
  take(change) {
    if (this.element.hidden || !change.rows.size) return;
    const node = store.ids.get(this.board?.dataset.node);
    if (node && change.rows.has(node)) this.draw(node);
  }

  hide() {
    window.clearTimeout(this.timer);
    this.board = null;
    this.element.hidden = true;
  }

  remove() {
    window.removeEventListener("scroll", this.hideOnScroll);
    this.element.remove();
  }
}
