// What is under way in the rack, whoever asked: phases of every board, and the way to stop it.

import { cancelling, labelOf, rackTarget, send, underWay } from "pirack/actions.js";
import { aimed, around, h, pressed, setAttr } from "pirack/dom.js";
import { blocked, store } from "pirack/store.js";
import { list, plural } from "pirack/words.js";

/** "2 running, 2 waiting". */
export function progress({ running, queued }) {
  return [running.length && `${running.length} running`, queued.length && `${queued.length} waiting`].filter(Boolean).join(", ");
}

/** What the running boards of a command are at, by their own words. */
function steps({ running }) {
  const words = new Map();
  for (const node of running) if (node.words) words.set(node.words, (words.get(node.words) ?? 0) + 1);
  return [...words].map(([word, count]) => (running.length > 1 ? `${count} ${word.toLowerCase()}` : word.toLowerCase())).join(", ");
}

/** One command under way, with its Cancel button. */
export function workItem(work) {
  const nodes = [...work.running, ...work.queued];
  const cancel = store.settings.role !== "viewer" && h("button", { class: "button small", type: "button", disabled: Boolean(blocked()), text: "Cancel", on: { click: () => send(rackTarget(), cancelling(work)) } });
  const names = list(nodes.map(({ name }) => name), 6);
  return h("li", { class: "work" }, h("b", { text: labelOf(work.verb, work.word) }), h("span", { class: "work-of", title: names, text: nodes.length === 1 ? nodes[0].name : plural(nodes.length, "board") }), cancel, h("span", { class: "work-text", text: [progress(work), steps(work), work.by && `asked by ${work.by}`].filter(Boolean).join(" · ") }));
}

/** The section of the side column; hidden when nothing runs. */
export class UnderWay {
  constructor() {
    this.list = h("ul", { class: "works" });
    this.element = h("section", { class: "under-way", "aria-label": "Under way", hidden: true }, h("div", { class: "side-head" }, h("h2", { text: "Under way" })), this.list);
    this.key = "";
  }

  take(change) {
    if (change.snapshot || change.rows.size || change.structure || change.connection || change.second) this.draw();
  }

  draw() {
    const works = underWay(store.nodes.values());
    const key = works.map((work) => `${work.id} ${progress(work)} ${steps(work)} ${blocked()}`).join();
    if (key === this.key || pressed(this.list)) return;
    if (works.length !== this.list.childElementCount && aimed(around(this.element))) return;
    this.key = key;
    setAttr(this.element, "hidden", works.length === 0);
    this.list.replaceChildren(...works.map(workItem));
  }
}
