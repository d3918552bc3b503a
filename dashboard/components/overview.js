// The Overview: figures, filters, the rack, what needs a look, and one board in full.

import { rackTarget, stackTarget, tagTarget } from "pirack/actions.js";
import { openMenu } from "pirack/dialogs.js";
import { h, setAttr, setText } from "pirack/dom.js";
import { Chips, Figures } from "pirack/figures.js";
import { Hover } from "pirack/hover.js";
import { icon } from "pirack/icons.js";
import { neighbour, typing } from "pirack/keys.js";
import { Panel } from "pirack/panel.js";
import { describe, legend, Rack } from "pirack/rack.js";
import { Search } from "pirack/search.js";
import { UnderWay } from "pirack/running.js";
import { Activity, Attention, Services } from "pirack/side.js";
import { moment } from "pirack/words.js";
import { filtering, frozen, listen, notify, shown, store } from "pirack/store.js";

const ARROWS = new Set(["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"]);

export default {
  template: `<div class="overview"></div>`,
  mounted() {
    this.build();
    this.stop = listen((change) => this.take(change));
    this.onKey = (event) => this.key(event);
    this.onFailure = (event) => this.fail(event.detail);
    document.addEventListener("keydown", this.onKey);
    document.addEventListener("pirack-failure", this.onFailure);
    this.fromUrl();
    if (store.loaded) this.take({ snapshot: true, rows: new Set() });
  },
  unmounted() {
    this.stop();
    this.search.remove();
    this.hover.remove();
    document.removeEventListener("keydown", this.onKey);
    document.removeEventListener("pirack-failure", this.onFailure);
    document.body.classList.remove("panel-open");
    store.open = "";
    store.filter.clear();
    store.say({ kind: "open", node: "" });
    store.say({ kind: "search", text: "" });
  },
  methods: {
    build() {
      const open = (id) => this.open(id);
      this.rackElement = h("div", { class: "rack", role: "group", "aria-label": "Boards in the rack" });
      this.rack = new Rack(this.rackElement, { onMenu: ({ number }, button) => openMenu(button, stackTarget(store.stacks.get(number)), ({ nodes }) => this.headline(number, nodes)) });
      this.hover = new Hover(this.rackElement);
      this.search = new Search({ onOpen: open, onChange: () => this.toUrl() });
      this.panel = new Panel({ onClose: () => this.close(), onOpen: open });
      this.empty = h("div", { class: "empty", hidden: true });
      this.legend = legend(this.rack);
      this.parts = [this.rack, new Figures({ onOpen: open }), new Chips(), new UnderWay(), new Attention({ onOpen: open }), new Services(), new Activity({ onOpen: open }), this.panel, this.hover, this.search];
      const [, figures, chips, work, attention, services, activity] = this.parts;
      const skeleton = h("div", { class: "rack skeleton", "aria-hidden": "true" }, Array.from({ length: 12 }, () => h("div", { class: "ghost" }, Array.from({ length: 4 }, () => h("span")))));
      this.skeleton = h("div", { role: "status" }, h("span", { class: "sr-only", text: "Loading the rack" }), skeleton);
      const bar = h("div", { class: "bar-row" }, chips.element, h("div", { class: "tools" }, this.viewSwitch(), this.rackButton()));
      this.main = h("div", { class: "column" }, figures.element, bar, this.legend, this.empty, h("div", { class: "rack-frame" }, this.skeleton, this.rackElement), h("p", { class: "caption" }));
      this.caption = this.main.querySelector(".caption");
      const side = h("div", { class: "side" }, work.element, attention.element, services.element, activity.element);
      this.$el.append(this.main, side, this.panel.shade, this.panel.element, this.hover.element);
      this.rackElement.addEventListener("click", (event) => this.clicked(event));
      this.rackElement.addEventListener("focusin", (event) => this.rove(event.target));
    },
    viewSwitch() {
      this.switches = ["slots", "cells"].map((view) => h("button", { class: "switch", type: "button", "data-view": view, "aria-label": `Show as ${view}`, title: `Show as ${view}`, on: { click: () => { this.rack.choose(view); this.draw(); } } }, icon(view)));
      return h("div", { class: "switches", role: "group", "aria-label": "View" }, this.switches);
    },
    rackButton() {
      const button = h("button", { class: "button rack-actions", type: "button", "aria-haspopup": "dialog", on: { click: () => openMenu(button, rackTarget(), ({ nodes }) => describe(nodes), (done) => this.tags(button, done)) } }, icon("bolt", 16), "Rack", icon("down", 14));
      return button;
    },
    /** What the menu of a stack says first: its boards, its outlet, who has reserved it. */
    headline(number, nodes) {
      const { power, wanted, lock } = store.stacks.get(number);
      const outlet = !power ? "" : power === wanted || !wanted ? ` · power ${power}` : ` · power ${power}, wanted ${wanted}`;
      const held = lock ? ` · reserved by ${lock.by} until ${moment(lock.until)}` : "";
      return `${describe(nodes)}${outlet}${held}`;
    },
    /** The tags of the rack, each with a menu of its own. */
    tags(button, done) {
      const tags = [...new Set([...store.nodes.values()].flatMap((node) => node.tags))].sort();
      const open = (tag) => { done(); openMenu(button, tagTarget(tag), ({ nodes }) => describe(nodes)); };
      return h("div", { class: "menu-tags", hidden: !tags.length }, h("span", { class: "quiet", text: "Only boards with the tag" }), tags.map((tag) => h("button", { class: "chip", type: "button", text: tag, on: { click: () => open(tag) } })));
    },
    take(change) {
      for (const part of this.parts) part.take(change);
      this.draw();
      if (change.filter) this.toUrl();
    },
    draw() {
      const { connection, nodes, stacks } = store;
      const known = nodes.size > 0 || stacks.size > 0;
      const waiting = !store.loaded || (connection.broker && !connection.ready && !known);
      setAttr(this.skeleton, "hidden", !waiting);
      setAttr(this.rackElement, "hidden", !known);
      const cells = this.rack.view === "cells";
      setAttr(this.legend, "hidden", !known || !cells);
      setAttr(this.caption, "hidden", !known || cells);
      setText(this.caption, "Upper bar CPU, lower bar memory; the line is CPU over the last minutes, at most 3. Front view, slot 1 on top.");
      for (const each of this.switches) setAttr(each, "aria-pressed", String(each.dataset.view === this.rack.view));
      this.drawEmpty(known);
    },
    drawEmpty(known) {
      const none = known && filtering() && ![...store.nodes.values()].some(shown);
      const { broker, ready, home } = store.connection;
      const alone = known && ready && !store.stacks.size && store.nodes.size === 1 && store.ids.has(home);
      const kind = none ? "none" : alone ? "alone" : known || !store.loaded ? "" : !broker ? "broker" : ready ? "new" : "master";
      if (kind === this.emptyKind) return;
      this.emptyKind = kind;
      setAttr(this.empty, "hidden", !kind);
      if (kind) this.empty.replaceChildren(...this.emptyWords(kind));
    },
    emptyWords(kind) {
      const say = (title, ...rest) => [h("h2", { text: title }), ...rest];
      const line = (text) => h("code", { text });
      if (kind === "none") return say("No board matches", h("p", { text: "Nothing in this rack fits the search and the states chosen." }), h("button", { class: "button", type: "button", text: "Show all boards", on: { click: () => this.clear() } }));
      if (kind === "broker") return say("The broker cannot be reached", h("p", { text: `Nothing is known of the rack yet: ${frozen()}. This page fills by itself as soon as the broker answers.` }), h("p", {}, "To see why: ", line("pirack doctor")));
      if (kind === "master") return say("Waiting for the master", h("p", { text: "The broker is there, but no master has said what the rack looks like." }), h("p", {}, "Start it: ", line("pirack master --config pirack.toml")));
      return say(kind === "alone" ? "Only the master so far" : "No nodes yet", h("p", { text: "A board appears here by itself a few seconds after its agent starts." }), h("ul", {}, h("li", {}, "To let a Pi join: ", line("pirack node add")), h("li", {}, "By hand, on a board: ", line("pirack-agent --config pirack.toml")), h("li", {}, "To try PiRack without one: ", line("pirack up --simulate 12x4"))));
    },
    clear() {
      store.filter.clear();
      this.search.set("");
      notify({ rows: new Set(), filter: true });
    },
    clicked(event) {
      const board = event.target.closest("[data-node]");
      if (board) this.open(board.dataset.node);
    },
    open(id) {
      this.hover.hide();
      if (!store.open) this.opener = document.activeElement;
      store.open = id;
      store.say({ kind: "open", node: id });
      for (const each of this.rackElement.querySelectorAll("[aria-current]")) each.removeAttribute("aria-current");
      this.rackElement.querySelector(`[data-node="${CSS.escape(id)}"]`)?.setAttribute("aria-current", "true");
      this.panel.show(id);
      this.toUrl();
    },
    close() {
      const id = store.open;
      store.open = "";
      store.node = null;
      store.say({ kind: "open", node: "" });
      this.panel.show("");
      const board = this.rackElement.querySelector(`[data-node="${CSS.escape(id)}"]`);
      board?.removeAttribute("aria-current");
      (this.opener?.isConnected ? this.opener : board)?.focus?.();
      this.toUrl();
    },
    rove(target) {
      const board = target.closest?.("[data-node]");
      if (!board) return;
      for (const each of this.rackElement.querySelectorAll('[tabindex="0"]')) each.setAttribute("tabindex", "-1");
      board.setAttribute("tabindex", "0");
    },
    key(event) {
      if (event.key === "Escape" && !document.querySelector("dialog[open], :popover-open")) {
        if (store.open) this.close();
        else if (filtering()) this.clear();
        return;
      }
      const board = event.target.closest?.("[data-node]");
      if (!board || !ARROWS.has(event.key) || typing(event)) return;
      event.preventDefault();
      neighbour(this.rackElement, board, event.key)?.focus();
    },
    fail(error) {
      this.emptyKind = "failure";
      this.empty.hidden = false;
      this.empty.replaceChildren(h("h2", { text: "Part of this page failed" }), h("p", { text: "What is shown may be incomplete. Reloading usually helps; if it comes back, please report this line:" }), h("code", { text: String(error) }), h("button", { class: "button", type: "button", text: "Reload", on: { click: () => window.location.reload() } }));
    },
    fromUrl() {
      const url = new URLSearchParams(window.location.search);
      for (const key of (url.get("state") ?? "").split(",").filter(Boolean)) store.filter.add(key);
      const wait = window.setInterval(() => {
        if (!window.did_handshake || !store.loaded) return;
        window.clearInterval(wait);
        if (url.get("q")) this.search.set(url.get("q"));
        if (url.get("node")) this.open(url.get("node"));
      }, 50);
    },
    toUrl() {
      const url = new URLSearchParams();
      if (this.search.text) url.set("q", this.search.text);
      if (store.filter.size) url.set("state", [...store.filter].join(","));
      if (store.open) url.set("node", store.open);
      const query = url.toString();
      window.history.replaceState(window.history.state, "", query ? `?${query}` : window.location.pathname);
    },
  },
};
