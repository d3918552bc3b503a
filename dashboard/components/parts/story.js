// The rack's history as a person reads it: what belongs together is one line.

import { h } from "pirack/dom.js";
import { store } from "pirack/store.js";
import { clock, plural, stamp } from "pirack/words.js";

/** The kinds of events: what a filter and what a line calls them. */
export const KINDS = { incident: ["Incidents", "incident"], fault: ["Faults", "fault"], command: ["Commands", "command"], power: ["Power", "power"], verdict: ["Verdicts", "verdict"], registry: ["Boards", "board"], service: ["Services", "service"], heal: ["Self-healing", "self-healing"], install: ["Install", "install"] };

const HEADS = ["incident", "command"];
const BURST_S = 120;

const BURSTS = ["registry", "verdict"];

/** What is said of many boards within two minutes is one line: a rack that starts. */
function burst(event) {
  const name = store.ids.get(event.node)?.name;
  return BURSTS.includes(event.kind) && name && event.text.startsWith(`${name} `) ? event.text.slice(name.length) : "";
}

/** Fold events, oldest first, into stories, newest first: `head` and its `lines`.
 * An incident's headline stands for it, else its newest line; a command's last word. */
export function fold(events) {
  const stories = new Map();
  const bursts = new Map();
  for (const event of events) {
    const single = event.incident || event.correlation;
    const tail = single ? "" : burst(event);
    const before = tail && bursts.get(tail);
    const key = single || (before && event.ts - before.lines[0].ts < BURST_S ? before.key : String(event.seq));
    let story = stories.get(key);
    if (!story) stories.set(key, (story = { key, tail, head: event, lines: [] }));
    story.lines.push(event);
    const rank = HEADS.indexOf(story.head.kind);
    if (rank < 0 || HEADS.indexOf(event.kind) === rank || event.kind === HEADS[0]) story.head = event;
    if (tail) bursts.set(tail, story);
  }
  return [...stories.values()].sort((a, b) => b.lines.at(-1).seq - a.lines.at(-1).seq);
}

/** The sentence of a story. */
export function sentence({ head, lines, tail }) {
  const boards = new Set(lines.map(({ node }) => node)).size;
  return tail && boards > 1 ? `${plural(boards, "board")}${tail.replace(/^ was /, " were ").replace(/^ is /, " are ").replace(/^ has /, " have ")}` : head.text;
}

function line(event, text, onOpen) {
  const words = h("span", { class: "event-text", text });
  return onOpen && store.ids.has(event.node) ? h("button", { class: "event-open", type: "button", on: { click: () => onOpen(event.node) } }, words) : words;
}

/** One story as a list item; `seconds` and every line where there is room for them. */
export function storyItem(story, { onOpen = null, full = false, open = false } = {}) {
  const { head, lines } = story;
  const at = lines.at(-1).ts;
  const many = lines.length > 1;
  const time = h("time", { title: stamp(at), text: clock(at, { seconds: full }) });
  const text = line(head, sentence(story), onOpen);
  if (!full || !many) return h("li", { "data-kind": head.kind, "data-key": story.key }, time, full && kindMark(head.kind), text, many && !full && h("span", { class: "event-more", title: `${lines.length} lines belong together`, text: `+${lines.length - 1}` }));
  const each = h("ol", { class: "story-lines" }, lines.map((event) => h("li", {}, h("time", { title: stamp(event.ts), text: clock(event.ts, { seconds: true }) }), line(event, event.text, onOpen))));
  const details = h("details", { open }, h("summary", {}, plural(lines.length, "line")), each);
  return h("li", { "data-kind": head.kind, "data-key": story.key }, time, kindMark(head.kind), text, details);
}

function kindMark(kind) {
  return h("span", { class: "event-kind", text: KINDS[kind]?.[1] ?? kind });
}
