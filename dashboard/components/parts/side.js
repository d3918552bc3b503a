// The right column: what needs a look, how the services stand, what happened.

import { aimed, around, h, setAttr, setText } from "pirack/dom.js";
import { CRIT, glyph, OFFLINE, STALE, STATES, WARN } from "pirack/icons.js";
import { follow } from "pirack/links.js";
import { ask } from "pirack/actions.js";
import { blocked, frozen, merge, notify, now, readEvent, store } from "pirack/store.js";
import { fold, storyItem } from "pirack/story.js";
import { age, byName, list, plural, stackName } from "pirack/words.js";

const URGENT = [CRIT, OFFLINE, WARN, STALE];
const SHOWN = 5;
const STORIES = 12;
const NODE_STORIES = 8;
const NODE_LINES = 40;
const UNDER_VOLTAGE = "under-voltage";

/** What needs a look, the worst first; a stack that fell silent whole is one line. */
export function concerns() {
  const found = [], covered = new Set();
  const inStack = new Map([...store.stacks.keys()].map((number) => [number, []]));
  for (const node of store.nodes.values()) inStack.get(node.stack)?.push(node);
  for (const stack of store.stacks.values()) {
    const nodes = inStack.get(stack.number);
    const weak = nodes.filter((node) => node.state === CRIT && node.words === UNDER_VOLTAGE);
    if (weak.length > 1) {
      weak.forEach((node) => covered.add(node));
      found.push({ key: `voltage-${stack.number}`, state: CRIT, since: Math.min(...weak.map((node) => node.since)), title: `${stackName(stack)}: under-voltage`, text: `${weak.length} of ${plural(nodes.length, "board")} (${list(byName(weak).map(({ name }) => name))}): check what they share, the supply and its cable.`, node: weak[0] });
    }
    if (stack.fault) found.push({ key: `outlet-${stack.number}`, state: WARN, since: null, title: `${stackName(stack)}: its outlet`, text: stack.fault, node: nodes[0] });
    if (nodes.length < 2 || nodes.some((node) => node.state !== OFFLINE)) continue;
    nodes.forEach((node) => covered.add(node));
    const since = Math.max(...nodes.map((node) => node.since));
    const power = stack.power ? `its outlet is ${stack.power}` : "it has no outlet we can read";
    found.push({ key: `stack-${stack.number}`, state: OFFLINE, since, title: `${stackName(stack)}: no board answers`, text: `${plural(nodes.length, "board")} silent; ${power}.`, node: nodes[0] });
  }
  for (const node of store.nodes.values()) {
    if (!URGENT.includes(node.state) || covered.has(node)) continue;
    const place = store.stacks.get(node.stack);
    const where = place ? ` · ${stackName(place)}, slot ${node.slot ?? "?"}` : "";
    found.push({ key: node.id, state: node.state, since: node.since, title: node.name, text: `${node.reason || node.words}${where}`, node });
  }
  return found.sort((a, b) => URGENT.indexOf(a.state) - URGENT.indexOf(b.state) || a.since - b.since);
}

class Item {
  constructor(onOpen) {
    this.mark = h("span", { class: "concern-mark" });
    this.title = h("span", { class: "concern-title" });
    this.since = h("span", { class: "concern-age" });
    this.text = h("span", { class: "concern-text" });
    const button = h("button", { class: "concern", type: "button", on: { click: () => this.node && onOpen(this.node.id) } }, this.mark, this.title, this.since, this.text);
    this.element = h("li", {}, button);
    this.button = button;
  }

  draw(concern) {
    this.node = concern.node;
    if (this.state !== concern.state) {
      this.state = concern.state;
      this.mark.replaceChildren(glyph(concern.state));
      this.button.dataset.state = STATES[concern.state].key;
    }
    setText(this.title, concern.title);
    setText(this.since, concern.since === null ? "" : age(now() - concern.since));
    setText(this.text, concern.text);
  }
}

/** The list of what needs a look. */
export class Attention {
  constructor({ onOpen }) {
    this.onOpen = onOpen;
    this.items = new Map();
    this.count = h("span", { class: "side-note" });
    this.list = h("ol", { class: "concerns" });
    this.quiet = h("p", { class: "quiet" });
    this.more = h("button", { class: "link-button", type: "button", on: { click: () => this.showAll() } });
    this.voice = h("div", { class: "sr-only", role: "status", "aria-live": "polite" });
    this.element = h("section", { class: "attention", "aria-label": "Needs attention" }, h("div", { class: "side-head" }, h("h2", { text: "Needs attention" }), this.count), this.list, this.quiet, this.more, this.voice);
    this.spoken = null;
    this.spokenAt = -Infinity;
  }

  take(change) {
    if (change.second || change.snapshot || change.connection) this.draw();
  }

  showAll() {
    for (const state of URGENT) store.filter.add(STATES[state].key);
    notify({ rows: new Set(), filter: true });
  }

  draw() {
    const all = concerns();
    const wanted = all.slice(0, SHOWN);
    setText(this.count, all.length ? String(all.length) : "");
    setText(this.quiet, frozen() ? "Not known while the connection is down." : "All quiet. Boards that are late, silent, hot or full appear here.");
    this.speak(all);
    for (const concern of wanted) this.items.get(concern.key)?.draw(concern);
    const key = JSON.stringify([all.length, wanted.map((concern) => concern.key)]);
    if (key === this.key || (this.key && aimed(around(this.element)))) return;
    this.key = key;
    this.arrange(wanted, all.length);
  }

  /** Put them in their order; not while somebody aims at one. */
  arrange(wanted, count) {
    setText(this.more, count > SHOWN ? `Show all ${count} in the rack` : "");
    setAttr(this.more, "hidden", count <= SHOWN);
    setAttr(this.quiet, "hidden", count > 0);
    const keys = new Set(wanted.map((concern) => concern.key));
    for (const [key, item] of this.items) if (!keys.has(key)) { item.element.remove(); this.items.delete(key); }
    wanted.forEach((concern, position) => {
      let item = this.items.get(concern.key);
      if (!item) {
        this.items.set(concern.key, (item = new Item(this.onOpen)));
        item.draw(concern);
      }
      if (this.list.children[position] !== item.element) this.list.insertBefore(item.element, this.list.children[position] ?? null);
    });
  }

  /** Tell a screen reader what is newly critical or silent, at most every five seconds. */
  speak(all) {
    const loud = new Map(all.filter(({ state }) => state === CRIT || state === OFFLINE).map((each) => [each.key, each]));
    if (this.spoken === null) { this.spoken = new Set(loud.keys()); return; }
    if (performance.now() - this.spokenAt < 5000) return;
    const fresh = [...loud.values()].filter(({ key }) => !this.spoken.has(key));
    this.spoken = new Set(loud.keys());
    if (!fresh.length) return;
    this.spokenAt = performance.now();
    setText(this.voice, list(fresh.map(({ title, state }) => `${title} ${STATES[state].label.toLowerCase()}`)));
  }
}

/** How broker and master stand. */
export class Services {
  constructor() {
    this.rows = Object.fromEntries(["Broker", "Master", "Verdicts", "Install"].map((name) => [name, this.row(name)]));
    this.element = h("section", { class: "services", "aria-label": "Services" }, h("div", { class: "side-head" }, h("h2", { text: "Services" })), h("dl", {}, Object.values(this.rows).map((row) => row.element)));
  }

  row(name) {
    const value = h("dd");
    return { element: h("div", {}, h("dt", { text: name }), value), value };
  }

  take(change) {
    if (change.connection || change.snapshot || change.second) this.draw();
  }

  draw() {
    const { broker, master, frozen: why, install, install_trouble: trouble } = store.connection;
    const { socket } = store; // without it nothing is known of any of them
    setAttr(this.rows.Install.element, "hidden", !install);
    this.set("Install", socket && broker && !trouble, install);
    this.set("Broker", socket && broker, !socket ? "not known" : broker ? "connected" : "offline");
    this.set("Master", socket && broker && master === "online", !socket || !broker ? "not known" : master || "never heard");
    const live = socket && broker && master === "online" && !why;
    this.set("Verdicts", live, live ? "live" : (socket && why) || "frozen");
  }

  set(name, good, text) {
    const { value } = this.rows[name];
    setText(value, text ?? "");
    setAttr(value, "data-good", good ? "yes" : "no");
  }
}

/** The last events of the rack, or of one board: those the master is asked for, because
 * what came lately from the whole rack says nothing about a quiet board. */
export class Activity {
  constructor({ onOpen, node = "" }) {
    this.onOpen = onOpen;
    this.node = node;
    this.known = [];
    this.list = h("ol", { class: "events" });
    this.quiet = h("p", { class: "quiet", role: "status" });
    const path = `/activity${node ? `?scope=node/${encodeURIComponent(node)}` : ""}`;
    const link = h("a", {
      class: "side-link",
      href: `${window.path_prefix ?? ""}${path}`,
      text: "all of it",
      on: { click: (event) => follow(event, path) },
    });
    const head = h("div", { class: "side-head" }, h(node ? "h3" : "h2", { text: "Activity" }), link);
    const label = node ? "Activity of the board" : "Activity";
    this.element = h("section", { class: "activity", "aria-label": label }, head, this.list, this.quiet);
    this.ask();
    this.draw();
  }

  /** Ask the master for the last lines of this board. */
  ask() {
    this.answered = !this.node;
    this.error = blocked();
    this.number = "";
    this.got = [];
    if (!this.node || this.error) return;
    const target = { scope: `node/${this.node}`, nodes: [] };
    this.waiting = ask(target, { verb: "events" }, [`limit=${NODE_LINES}`]);
  }

  take(change) {
    for (const { reference, id } of change.sent ?? []) if (reference === this.waiting) this.number = id;
    for (const { reference, text } of change.refused ?? []) if (reference === this.waiting) this.error = text;
    for (const receipt of change.receipts ?? []) if (this.number && receipt.id === this.number) this.answer(receipt);
    if (change.snapshot || (change.connection && this.error && !blocked())) this.ask();
    this.due ||= change.snapshot || change.events || change.connection || change.receipts || change.refused;
    if (this.due && !aimed(this.element)) this.draw();
  }

  answer({ events, complete, error }) {
    this.got.push(...events.map(readEvent));
    if (!complete) return;
    this.error = error;
    this.answered = !error;
    this.known = merge(this.known, this.got);
    this.got = [];
  }

  events() {
    if (!this.node) return store.events;
    return merge(this.known, store.events.filter((event) => event.node === this.node));
  }

  draw() {
    this.due = false;
    const stories = fold(this.events()).slice(0, this.node ? NODE_STORIES : STORIES);
    setText(this.quiet, this.words(stories.length));
    setAttr(this.quiet, "hidden", !this.quiet.textContent);
    this.list.replaceChildren(...stories.map((story) => storyItem(story, { onOpen: this.node ? null : this.onOpen })));
  }

  /** Why nothing, or not all, is shown. */
  words(count) {
    if (this.answered) return count ? "" : this.node ? "The history has no line about it." : "The history has no lines yet.";
    if (this.error) return `Its earlier lines are not known. ${this.error}`;
    return "Asking the master…";
  }
}
