// One board in full: a sheet at the side, on a phone from below.

import { nodeTarget, underWay } from "pirack/actions.js";
import { actionKey, actionList, copyButton } from "pirack/dialogs.js";
import { h, pressed, s, setAttr, setText, steadily, uniqueId } from "pirack/dom.js";
import { glyph, icon, STATES } from "pirack/icons.js";
import { workItem } from "pirack/running.js";
import { Activity } from "pirack/side.js";
import { covered, phrase, sparkarea, sparkline } from "pirack/slot.js";
import { frozen, level, now, store } from "pirack/store.js";
import { age, byName, bytes, list, moment, plural, span, stackName, stamp } from "pirack/words.js";

const LEVELS = ["", "warn", "crit"];
const FLAGS = { "under-voltage": "under-voltage", "frequency-capped": "frequency capped", throttled: "throttled", "soft-temperature-limit": "soft temperature limit" };

function known(value) {
  return value !== null && value !== undefined;
}

class Vital {
  constructor(label, unit, { marks = [], top = 100 } = {}) {
    this.unit = unit;
    this.top = top;
    this.value = h("span", { class: "vital-value", text: "–" });
    this.fill = h("span", { class: "bar-fill" });
    this.bar = h("span", { class: "bar", "aria-hidden": "true" }, this.fill, marks.map((mark) => h("span", { class: "bar-mark", style: `left:${(mark / top) * 100}%` })));
    const limits = marks.length ? `limits ${marks.join(" and ")} ${unit}` : "";
    this.element = h("div", { class: "vital", title: limits }, h("span", { class: "vital-label", text: label }), this.bar, this.value);
  }

  set(value, severity = 0) {
    setText(this.value, known(value) ? `${Math.round(value)} ${this.unit}` : "–");
    this.fill.style.transform = `scaleX(${known(value) ? Math.min(value / this.top, 1) : 0})`;
    setAttr(this.element, "data-level", LEVELS[severity]);
  }
}

function row(term, value, { code = false, copy = false } = {}) {
  if (value === "" || value === null || value === undefined) return null;
  const text = h("span", { class: code ? "code" : "", text: value });
  return h("div", {}, h("dt", { text: term }), h("dd", {}, text, copy && copyButton(() => String(value), `Copy ${term}`, { small: true, title: `Copy ${term}` })));
}

/** Its outlet: read back, wanted, and who else hangs on it. */
function powerWords(node, stack) {
  if (!node.outlet) return "no outlet feeds it that we can switch";
  const wanted = stack?.wanted && stack.wanted !== node.power ? `, but ${stack.wanted} is wanted` : "";
  const others = byName([...store.nodes.values()].filter((each) => each !== node && each.outlet === node.outlet));
  const shared = others.length ? `; shared with ${list(others.map(({ name }) => name), 5)}` : "";
  return `${node.outlet} reads back ${node.power ?? "nothing"}${wanted}${shared}`;
}

/** The sheet. */
export class Panel {
  constructor({ onClose, onOpen }) {
    this.onClose = onClose;
    this.onOpen = onOpen;
    const id = uniqueId("panel");
    this.mark = h("span", { class: "panel-mark" });
    this.title = h("h2", { id, tabindex: "-1" });
    this.sentence = h("p", { class: "panel-sentence" });
    const close = h("button", { class: "icon-button", type: "button", "aria-label": "Close", on: { click: () => onClose() } }, icon("close"));
    this.body = h("div", { class: "panel-body" });
    this.element = h("section", { class: "panel", role: "dialog", "aria-labelledby": id, hidden: true }, h("header", { class: "panel-head" }, this.mark, h("div", {}, this.title, this.sentence), close), this.body);
    this.shade = h("div", { class: "panel-shade", hidden: true, on: { click: () => onClose() } });
  }

  /** Show a node; "" closes. */
  show(id) {
    const opening = id && this.id !== id;
    this.id = id;
    setAttr(this.element, "hidden", !id);
    setAttr(this.shade, "hidden", !id);
    document.body.classList.toggle("panel-open", Boolean(id));
    if (!opening) return;
    this.actions = null;
    this.build();
    this.title.focus({ preventScroll: true });
  }

  build() {
    const limits = store.settings.limits;
    this.frozenNote = h("p", { class: "why", hidden: true });
    this.faults = h("ul", { class: "faults", hidden: true });
    this.works = h("ul", { class: "works", hidden: true });
    this.lock = h("p", { class: "why lock-note", hidden: true });
    this.worksKey = "";
    this.cpu = new Vital("CPU", "%");
    this.memory = new Vital("Memory", "%", { marks: limits.memory });
    this.heat = new Vital("Temperature", "°C", { marks: limits.temperature, top: 100 });
    this.disk = new Vital("Disk", "%", { marks: limits.disk });
    this.swap = new Vital("Swap", "%");
    this.line = s("path");
    this.area = s("path", { class: "area" });
    this.flags = h("ul", { class: "flags" });
    this.numbers = h("dl", { class: "facts" });
    this.actionPlace = h("div");
    this.facts = h("dl", { class: "facts" });
    this.activity = new Activity({ onOpen: this.onOpen, node: this.id });
    this.below = [
      h("section", { "aria-label": "Actions" }, h("div", { class: "side-head" }, h("h3", { text: "Actions" }), h("span", { class: "side-note", text: "the small button copies the mosquitto_pub line" })), this.actionPlace),
      h("section", { "aria-label": "Details" }, h("div", { class: "side-head" }, h("h3", { text: "Details" })), this.facts),
      this.activity.element,
    ];
    const chart = s("svg", { class: "spark chart", viewBox: "0 0 320 56", preserveAspectRatio: "none", "aria-hidden": "true" }, this.area, this.line);
    this.caption = h("figcaption", { text: "CPU" });
    this.heartbeat = h("span", { class: "side-note" });
    this.body.replaceChildren(
      this.frozenNote,
      this.works,
      this.lock,
      this.faults,
      h("section", { "aria-label": "Vitals" }, h("div", { class: "side-head" }, h("h3", { text: "Vitals" }), this.heartbeat), [this.cpu, this.memory, this.heat, this.disk, this.swap].map((vital) => vital.element), h("figure", {}, chart, this.caption), this.numbers, this.flags),
      ...this.below,
    );
    this.factsOf = undefined;
    this.draw();
  }

  take(change) {
    if (!this.id) return;
    this.activity.take(change);
    if (change.node || change.snapshot || change.second || change.connection) steadily(this.body, () => this.draw());
  }

  draw() {
    const node = store.ids.get(this.id);
    setText(this.title, node?.name ?? this.id);
    setAttr(this.body, "hidden", !node); // a board that is gone must not go on looking alive
    if (!node) {
      setText(this.sentence, store.loaded && !frozen() ? `No node of this rack has the id ${this.id}.` : "");
      return;
    }
    if (this.state !== node.state) {
      this.state = node.state;
      this.mark.replaceChildren(glyph(node.state, { size: 22 }));
      this.element.dataset.state = STATES[node.state].key;
    }
    const label = STATES[node.state].label;
    const told = node.reason ? `${label}: ${node.reason}` : node.words ? `${label}: ${phrase(node)}` : label;
    setText(this.sentence, frozen() ? `Last known: ${told}` : told);
    this.drawHeld(node);
    this.drawActions(nodeTarget(node));
    const known = store.node?.id === this.id;
    // What is below the figures would jump away from under the pointer when they come.
    for (const section of this.below) setAttr(section, "hidden", !known);
    if (known) this.drawVitals(node, store.node);
  }

  drawActions(target) {
    const key = actionKey(target);
    if (!this.actions || (this.actionKey !== key && !pressed(this.actionPlace))) {
      this.actionKey = key;
      this.actions = actionList(target);
      this.actionPlace.replaceChildren(this.actions.element);
    }
    this.actions.refresh();
  }

  /** What is under way there, and who has reserved it. */
  drawHeld(node) {
    const key = JSON.stringify([node.running, node.words, frozen()]);
    if (key !== this.worksKey && !pressed(this.works)) {
      this.worksKey = key;
      const works = underWay([node]);
      setAttr(this.works, "hidden", works.length === 0);
      this.works.replaceChildren(...works.map(workItem));
    }
    const { lock } = node, stack = store.stacks.get(node.stack);
    setText(this.lock, lock ? `Reserved${stack && lock.scope.startsWith("stack/") ? ` with ${stackName(stack)}` : ""} by ${lock.by} until ${moment(lock.until)}${lock.reason ? `: ${lock.reason}` : ""}` : "");
    setAttr(this.lock, "hidden", !lock);
  }

  drawVitals(node, { beat, state, heard, details, history }) {
    const why = frozen();
    const old = heard === null ? "" : age(now() - heard);
    setText(this.frozenNote, why ? `Frozen: ${why}. Values are ${old || "some time"} old.` : "");
    setAttr(this.frozenNote, "hidden", !why);
    setText(this.heartbeat, heard === null ? "no heartbeat heard" : `heartbeat ${old} ago`);
    const stale = node.state > 3 || Boolean(why);
    this.body.classList.toggle("stale", stale);
    this.cpu.set(beat?.cpu_percent, level(node, "cpu"));
    this.memory.set(beat?.memory_percent, level(node, "memory"));
    this.heat.set(beat?.temperature_c, level(node, "temperature"));
    this.disk.set(beat?.disk_percent, level(node, "disk"));
    this.swap.set(beat?.swap_percent);
    this.line.setAttribute("d", sparkline(history, 320, 56));
    this.area.setAttribute("d", sparkarea(history, 320, 56));
    setText(this.caption, `CPU over the last ${covered(history)}`);
    this.drawFaults(node, state, beat);
    this.drawNumbers(beat);
    this.drawFlags(node, state, beat);
    const { wanted, power } = store.stacks.get(state?.stack) ?? {};
    const facts = JSON.stringify([details, state?.stack, state?.slot, state?.tags, state?.power, state?.outlet, state?.verdict, state?.last_seen, wanted, power]);
    if (facts !== this.factsOf) {
      this.factsOf = facts;
      this.drawFacts(node, details, state);
    }
  }

  /** What is wrong and the sentence above does not say: it has what decided the state. */
  drawFaults(node, state, beat) {
    const unsaid = (state?.faults ?? []).filter((text) => !node.reason.includes(text));
    const faults = [...unsaid, ...(beat?.disk_read_only ? ["disk is read-only: the card may be failing"] : [])];
    setAttr(this.faults, "hidden", faults.length === 0);
    this.faults.replaceChildren(...faults.map((text) => h("li", {}, glyph(2), h("span", { text }))));
  }

  /** As many rows before the first heartbeat as after: what is below does not move. */
  drawNumbers(beat) {
    const figures = {
      Load: beat?.load?.map((value) => value.toFixed(2)).join("  "),
      Uptime: beat && span(beat.uptime_s),
      Network: known(beat?.rx_bytes) && known(beat?.tx_bytes) ? `${bytes(beat.rx_bytes)} in, ${bytes(beat.tx_bytes)} out` : null,
      "Disk writes": known(beat?.disk_written_bytes) ? `${bytes(beat.disk_written_bytes)} since boot` : null,
    };
    if (!this.numbers.childElementCount) this.numbers.append(...Object.keys(figures).map((term) => row(term, "–")));
    const places = this.numbers.querySelectorAll("dd > span");
    Object.values(figures).forEach((text, index) => setText(places[index], text ?? "–"));
  }

  /** The throttle bits; what is on now and named above is not named again. */
  drawFlags(node, state, beat) {
    const bits = beat?.throttled;
    const text = !beat ? null : !bits ? "The firmware of this machine has no throttle bits." : bits.unknown ? `Throttle bits unknown: ${bits.unknown}` : "";
    if (text === null || text) {
      this.flags.replaceChildren(...(text ? [h("li", { class: "flag-note", text })] : []));
      return;
    }
    const above = [node.reason, ...(state?.faults ?? [])].join(" ").replaceAll("-", " ");
    this.flags.replaceChildren(...Object.entries(FLAGS).map(([flag, label]) => {
      const here = (bits.now ?? []).includes(flag), before = (bits.since_boot ?? []).includes(flag);
      if (here && above.includes(flag.replaceAll("-", " "))) return null;
      return h("li", { "data-level": here ? "crit" : before ? "warn" : null }, glyph(here ? 2 : before ? 1 : 0, { size: 14, label: false }), h("span", { text: `${label}: ${here ? "now" : before ? "since boot" : "never"}` }));
    }).filter(Boolean));
  }

  drawFacts(node, details, state) {
    const stack = store.stacks.get(state?.stack);
    const place = stack ? `${stackName(stack)}, slot ${state.slot}` : "no place in the rack";
    const d = details ?? {};
    this.facts.replaceChildren(...[
      row("Place", place),
      row("Power", powerWords(node, stack)),
      row("Tags", (state?.tags ?? []).join(", ")),
      row("Id", node.id, { code: true, copy: true }),
      row("Hostname", d.hostname, { code: true }),
      row("Address", (d.addresses ?? []).join(", "), { code: true, copy: true }),
      row("MAC", (d.macs ?? []).join(", "), { code: true }),
      row("Serial", d.serial, { code: true }),
      row("Model", d.model),
      row("System", d.os),
      row("Kernel", d.kernel && `${d.kernel} ${d.architecture ?? ""}`),
      row("Hardware", d.cpu_count && `${plural(d.cpu_count, "processor")}, ${bytes(d.memory_bytes ?? 0)} memory, ${bytes(d.disk_bytes ?? 0)} disk`),
      row("Agent", d.agent_version && `${d.agent_version}, every ${d.interval_s} s${d.simulated ? ", simulated" : ""}`),
      row("Not readable", Object.entries(d.unreadable ?? {}).map(([vital, why]) => `${vital}: ${why}`).join("; ")),
      row("Disk errors", d.disk_errors ? `${d.disk_errors} recorded by the file system` : ""),
      row("Clock", d.clock_synced === null || d.clock_synced === undefined ? "" : d.clock_synced ? "set" : "not set"),
      // Of a board that is online it is old: the master says it again with other news.
      row("Last heard", state?.last_seen && state.verdict !== "online" ? stamp(state.last_seen) : ""),
      row("Topic", `${store.settings.prefix}/node/${node.id}/#`, { code: true, copy: true }),
    ].filter(Boolean));
    if (!details) this.facts.append(h("p", { class: "quiet", text: "Waiting for the node to introduce itself." }));
  }
}
