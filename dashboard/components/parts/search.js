// The search box in the top bar; the grammar itself is dashboard/search.py.

import { h, narrow, setAttr, setText, uniqueId } from "pirack/dom.js";
import { icon } from "pirack/icons.js";
import { shown, store } from "pirack/store.js";

const WAIT_MS = 120;

export class Search {
  constructor({ onOpen, onChange }) {
    this.onOpen = onOpen;
    this.onChange = onChange;
    this.text = "";
    const id = uniqueId("hint");
    this.input = h("input", { type: "search", class: "search-input", placeholder: narrow.matches ? "Search boards" : "Search: name, IP, MAC, state:offline, temp:>70", "aria-label": "Search boards", "aria-describedby": id, autocomplete: "off", spellcheck: "false", maxlength: "200", enterkeyhint: "search", on: { input: () => this.later(), keydown: (event) => this.key(event) } });
    this.count = h("span", { class: "search-count" });
    this.key_ = h("kbd", { class: "search-key", "aria-hidden": "true", text: "/" });
    this.clearButton = h("button", { class: "icon-button search-clear", type: "button", "aria-label": "Clear the search", hidden: true, on: { click: () => { this.set(""); this.input.focus(); } } }, icon("close", 16));
    this.hint = h("p", { class: "search-hint", id, role: "status", hidden: true });
    this.element = h("div", { class: "search", role: "search" }, icon("search"), this.input, this.count, this.clearButton, this.key_, this.hint);
    document.getElementById("search-place")?.replaceChildren(this.element);
  }

  later() {
    window.clearTimeout(this.timer);
    this.timer = window.setTimeout(() => this.set(this.input.value), WAIT_MS);
  }

  set(text) {
    window.clearTimeout(this.timer);
    if (this.input.value !== text) this.input.value = text;
    this.text = text.trim();
    store.say({ kind: "search", text: this.text });
    setAttr(this.clearButton, "hidden", !text);
    setAttr(this.key_, "hidden", Boolean(text));
    this.onChange();
  }

  key(event) {
    if (event.key === "Escape") {
      event.stopPropagation();
      if (this.input.value) this.set("");
      else this.input.blur();
    }
    if (event.key !== "Enter") return;
    const hits = [...store.nodes.values()].filter(shown);
    if (hits.length === 1) this.onOpen(hits[0].id);
    else document.querySelector(".slot[data-node]:not([inert]), .cell[data-node]:not([inert])")?.focus();
  }

  take(change) {
    if (!change.match && !change.structure) return;
    setText(this.count, store.match ? `${store.match.size} of ${store.nodes.size}` : "");
    setText(this.hint, store.query.text === this.text ? store.query.hint : "");
    setAttr(this.hint, "hidden", !this.hint.textContent);
    setAttr(this.input, "aria-invalid", this.hint.textContent ? "true" : null);
  }

  remove() {
    window.clearTimeout(this.timer);
    this.element.remove();
  }
}
