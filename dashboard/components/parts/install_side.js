// Beside the run: its problems with what to do, what it runs on, and what was heard.

import { send } from "pirack/actions.js";
import { h, setAttr, setText } from "pirack/dom.js";
import { serverWords } from "pirack/install_hero.js";
import { hindrance, installAction, installTarget } from "pirack/install_controls.js";
import { kindOf, live, mark, scopeWords, splitProblem, stackOf } from "pirack/install_words.js";
import { store } from "pirack/store.js";
import { clock, stackName } from "pirack/words.js";

const LINES = 14;

/** The problems of the run, each with what to do and the button that does it. */
export class Problems {
  constructor(model) {
    this.model = model;
    this.count = h("span", { class: "side-note" });
    this.list = h("ol", { class: "concerns in-problems" });
    this.element = h("section", { class: "attention", "aria-label": "Problems" }, h("div", { class: "side-head" }, h("h2", { text: "Problems" }), this.count), this.list);
    this.key = "";
  }

  draw() {
    const { state } = this.model;
    const problems = state?.problems ?? [];
    const over = kindOf(state) === "over" && !state.dry, why = hindrance();
    setAttr(this.element, "hidden", !problems.length || !["running", "over"].includes(kindOf(state)));
    const key = JSON.stringify([problems, over, why]);
    if (key === this.key) return;
    this.key = key;
    setText(this.count, String(problems.length));
    this.list.replaceChildren(...problems.map((text) => this.item(text, { over, why })));
  }

  item(text, { over, why }) {
    const { what, advice } = splitProblem(text), stack = over && stackOf(text);
    const known = stack && store.stacks.get(stack);
    const again = known && h("button", { class: "button small", type: "button", disabled: Boolean(why), title: why || null, text: `Scan ${stackName(known)} again`, on: { click: () => send(installTarget(stack), installAction("Install", "start")) } });
    return h("li", { class: "in-problem" }, mark("trouble"), h("b", { text: what }), advice && h("span", { text: advice }), again);
  }
}

/** What the run is, and what it works with. */
export class About {
  constructor(model) {
    this.model = model;
    this.list = h("dl");
    this.element = h("section", { class: "services in-about", "aria-label": "About this run" }, h("div", { class: "side-head" }, h("h2", { text: "This run" })), this.list);
    this.key = "";
  }

  draw() {
    const { state } = this.model;
    const kind = kindOf(state);
    setAttr(this.element, "hidden", ["none", "off", "idle"].includes(kind));
    if (this.element.hidden) return;
    const rows = [["DHCP", serverWords(state)], ["Scans", scopeWords(state, store.stacks)], ["Kind", state.dry ? "dry run" : ""], ["Asked by", state.by], ["Run", state.run], [live(state) ? "Last change" : "Ended", state.heard ? clock(state.heard, { seconds: true }) : ""]].filter(([, text]) => text);
    const key = JSON.stringify(rows);
    if (key === this.key) return;
    this.key = key;
    setText(this.element.querySelector("h2"), live(state) ? "This run" : "The last run");
    this.list.replaceChildren(...rows.map(([name, text]) => h("div", {}, h("dt", { text: name }), h("dd", { text }))));
  }
}

/** What the run said lately, newest first; every line, not folded. */
export class Log {
  constructor() {
    this.list = h("ol", { class: "events in-log" });
    this.quiet = h("p", { class: "quiet", text: "What is heard and decided appears here, line by line." });
    this.element = h("section", { class: "activity", "aria-label": "Log" }, h("div", { class: "side-head" }, h("h2", { text: "Log" }), h("a", { class: "side-link", href: `${window.path_prefix ?? ""}/activity?kind=install`, text: "all of it" })), this.list, this.quiet);
  }

  draw() {
    const events = store.events.filter(({ kind }) => kind === "install").slice(-LINES).reverse();
    setAttr(this.quiet, "hidden", events.length > 0);
    this.list.replaceChildren(...events.map(({ ts, text }) => h("li", {}, h("time", { text: clock(ts, { seconds: true }) }), h("span", { class: "event-text", text }))));
  }
}
