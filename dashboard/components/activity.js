// The Activity page: one sentence for what belongs together, live, back to the beginning.

import { ask, publishLine, rackTarget } from "pirack/actions.js";
import { copyButton } from "pirack/dialogs.js";
import { aimed, h, setAttr, setText } from "pirack/dom.js";
import { goTo } from "pirack/links.js";
import { blocked, listen, merge, readEvent, store } from "pirack/store.js";
import { fold, KINDS, storyItem } from "pirack/story.js";
import { stackName } from "pirack/words.js";

const PAGE = 200;
const MOST = 3000;

const openBoard = (id) => goTo(`/?node=${encodeURIComponent(id)}`);

export default {
  template: `<div class="log-page"></div>`,
  mounted() {
    this.events = [];
    this.asked = new Map();
    this.numbers = new Map();
    this.opened = new Set();
    this.kinds = new Set();
    this.build();
    this.stop = listen((change) => this.take(change));
    const url = new URLSearchParams(window.location.search);
    for (const kind of (url.get("kind") ?? "").split(",")) if (kind in KINDS) this.kinds.add(kind);
    this.scope = url.get("scope") ?? "rack";
    if (store.loaded) this.take({ snapshot: true, rows: new Set(), events: true });
  },
  unmounted() {
    this.stop();
  },
  methods: {
    build() {
      this.chips = [["", "All"], ...Object.entries(KINDS).map(([kind, [label]]) => [kind, label])].map(([kind, label]) => h("button", { class: "chip", type: "button", "data-kind": kind, on: { click: () => this.choose(kind) } }, h("span", { text: label })));
      this.select = h("select", { "aria-label": "About", on: { change: () => { this.scope = this.select.value; this.restart(); } } });
      this.list = h("ol", { class: "log", "aria-label": "Events, newest first" });
      this.note = h("p", { class: "quiet", role: "status" });
      this.older = h("button", { class: "button", type: "button", text: "Older", on: { click: () => this.load() } });
      const copy = copyButton(() => publishLine(this.target(), { verb: "events", args: this.words() }), "Copy");
      const bar = h("div", { class: "bar-row log-bar" }, h("div", { class: "chips", role: "group", "aria-label": "Filter by kind" }, this.chips), h("div", { class: "tools" }, h("label", { class: "about-whom" }, "About ", this.select), copy));
      this.$el.append(bar, h("section", { class: "log-card" }, this.list, h("div", { class: "log-end" }, this.note, this.older)));
    },
    target() {
      return { ...rackTarget(), scope: this.scope };
    },
    words() {
      const before = this.events[0]?.seq;
      return [`limit=${PAGE}`, ...(this.kinds.size ? [`kind=${[...this.kinds].join(",")}`] : []), ...(before ? [`before=${before}`] : [])];
    },
    choose(kind) {
      if (!kind) this.kinds.clear();
      else if (!this.kinds.delete(kind)) this.kinds.add(kind);
      this.restart();
    },
    restart() {
      this.events = [];
      this.ended = false;
      this.error = "";
      this.toUrl();
      this.load();
      this.draw();
    },
    load() {
      if (blocked()) return;
      this.number = ""; // what was asked before may still be answered
      this.got = 0;
      this.waiting = ask(this.target(), { verb: "events" }, this.words());
      this.drawEnd();
    },
    take(change) {
      if (change.snapshot || change.structure || change.stacks) this.drawScopes();
      for (const { reference, id } of change.sent ?? []) if (reference === this.waiting) this.number = id;
      for (const { reference, text } of change.refused ?? []) if (reference === this.waiting) this.fail(text);
      for (const receipt of change.receipts ?? []) if (receipt.id === this.number) this.answer(receipt);
      if ((change.snapshot && !this.waiting) || (change.connection && this.error && !blocked())) this.restart();
      else {
        this.due ||= change.events;
        if (this.due && !aimed(this.list)) this.live();
        if (change.connection) this.drawEnd();
      }
    },
    fail(text) {
      this.waiting = 0;
      this.error = text;
      this.drawEnd();
    },
    answer({ events, complete, error }) {
      if (events.length) this.events = merge(this.events, events.map(readEvent));
      this.got = (this.got ?? 0) + events.length;
      if (!complete) return;
      this.ended = !error && this.got < PAGE;
      this.got = 0;
      this.fail(error);
      this.draw();
    },
    /** Whether a line fits what is chosen; the master answers for the past, we for the new. */
    fits({ kind, node, stack }) {
      if (this.kinds.size && !this.kinds.has(kind)) return false;
      const [what, name] = this.scope.split("/");
      return what === "rack" || (what === "stack" ? stack === Number(name) : node === name);
    },
    live() {
      this.due = false;
      const last = this.events.at(-1)?.seq ?? 0;
      const fresh = store.events.filter((event) => event.seq > last && this.fits(event));
      if (!fresh.length) return;
      this.events = merge(this.events, fresh).slice(-MOST);
      this.draw();
    },
    draw() {
      for (const chip of this.chips) setAttr(chip, "aria-pressed", String(chip.dataset.kind ? this.kinds.has(chip.dataset.kind) : !this.kinds.size));
      for (const each of this.list.querySelectorAll("li[data-key]")) {
        const { key } = each.dataset, open = each.querySelector("details")?.open;
        if (open) this.opened.add(key);
        else this.opened.delete(key);
      }
      const read = window.scrollY > 0 && [...this.list.children].find((each) => each.dataset.key && each.getBoundingClientRect().bottom > this.$el.offsetTop);
      const top = read && read.getBoundingClientRect().top;
      let day = "";
      const items = fold(this.events).flatMap((story) => {
        const date = new Date(story.lines.at(-1).ts * 1000).toLocaleDateString("en-GB", { weekday: "long", day: "numeric", month: "long" });
        const head = date === day ? [] : [h("li", { class: "log-day", text: date })];
        day = date;
        return [...head, storyItem(story, { onOpen: openBoard, full: true, open: this.opened.has(story.key) })];
      });
      this.list.replaceChildren(...items);
      this.drawEnd();
      const again = read && items.find((each) => each.dataset.key === read.dataset.key);
      if (again) window.scrollBy(0, again.getBoundingClientRect().top - top); // what is read stays
    },
    drawEnd() {
      const why = this.error || blocked();
      const words = why || (this.waiting ? "Asking the master…" : !this.events.length ? "Nothing of this kind has happened." : this.ended ? "This is where the history begins." : "");
      setText(this.note, words);
      setAttr(this.note, "hidden", !words);
      setAttr(this.older, "hidden", Boolean(this.waiting) || this.ended || !this.events.length || this.events.length >= MOST);
      setAttr(this.older, "disabled", Boolean(blocked()));
    },
    drawScopes() {
      const stacks = [...store.stacks.values()].sort((a, b) => a.number - b.number);
      const nodes = [...store.nodes.values()].sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
      const option = (value, text) => h("option", { value, text, selected: value === this.scope });
      this.select.replaceChildren(option("rack", "the whole rack"), h("optgroup", { label: "Stacks" }, stacks.map((stack) => option(`stack/${stack.number}`, stackName(stack)))), h("optgroup", { label: "Boards" }, nodes.map((node) => option(`node/${node.id}`, node.name))));
      this.select.value = this.scope;
    },
    toUrl() {
      const url = new URLSearchParams();
      if (this.kinds.size) url.set("kind", [...this.kinds].join(","));
      if (this.scope !== "rack") url.set("scope", this.scope);
      const query = url.toString();
      window.history.replaceState(window.history.state, "", query ? `?${query}` : window.location.pathname);
    },
  },
};
