// What this tab knows of the rack: fed by dashboard/hub.py through apply(), read by every
// component. One per page; components subscribe while they are mounted.

import { FROZEN, STATES } from "pirack/icons.js";

export const HISTORY = 36;
export const NO_SAMPLE = 255;
export const SAMPLE_MS = 5000;
const EVENTS_KEPT = 300;

export const store = {
  settings: {},
  loaded: false,
  rack: "",
  nodes: new Map(),
  ids: new Map(),
  stacks: new Map(),
  abilities: {},
  events: [],
  connection: { broker: false, since: 0, why: "", master: "", frozen: "", slowed: false, ready: false, install: "", install_hint: "", home: "" },
  socket: true,
  match: null,
  query: { text: "", hint: "" },
  filter: new Set(),
  open: "",
  node: null,
  say: () => {},
};

const listeners = new Set();
let lastNumber = -1;
let serverNow = Date.now() / 1000;
let heardAt = performance.now();
let heardOnce = false;

/** Call `run(change)` after each message; returns how to stop. */
export function listen(run) {
  listeners.add(run);
  return () => listeners.delete(run);
}

/** Tell every component that something changed. */
export function notify(change) {
  for (const run of [...listeners]) {
    try {
      run(change);
    } catch (error) {
      console.error(error);
      store.failure = error;
      document.dispatchEvent(new CustomEvent("pirack-failure", { detail: error }));
    }
  }
}

/** Unix seconds by the server's clock, counted up here. */
export function now() {
  return serverNow + (performance.now() - heardAt) / 1000;
}

/** Seconds since the server last said anything. */
export function silence() {
  return heardOnce ? (performance.now() - heardAt) / 1000 : 0;
}

/** Whether what is shown is live; if not, why. */
export function frozen() {
  if (!store.socket) return "this page lost the dashboard";
  if (!store.connection.broker) return "the broker is offline";
  return "";
}

/** Why no command can be sent now; empty if it can. */
export function blocked() {
  const why = frozen();
  if (why) return `Not possible: ${why}.`;
  if (store.connection.master !== "online") return "Not possible: the master is offline, nobody would carry it out.";
  return "";
}

/** Take one message of the hub. */
export function apply(number, shared, own) {
  if (shared.snapshot) reset();
  else if (number !== lastNumber + 1) {
    store.say({ kind: "resync" });
    return;
  }
  lastNumber = number;
  if (shared.now) {
    serverNow = shared.now;
    heardAt = performance.now();
    heardOnce = true;
  }
  const change = { snapshot: Boolean(shared.snapshot), structure: false, rows: new Set() };
  if (shared.rack) store.rack = shared.rack;
  takeStructure(shared, change);
  takeRows(shared, change);
  if (shared.events?.length) {
    store.events = merge(store.events, shared.events.map(readEvent)).slice(-EVENTS_KEPT);
    change.events = true;
  }
  if (shared.connection) {
    store.connection = shared.connection;
    change.connection = true;
  }
  takeOwn(own, change);
  store.loaded = true;
  notify(change);
}

/** One line of history, as rows.event_row wrote it. */
export function readEvent([seq, ts, kind, text, node, stack, by, verb, incident, correlation]) {
  return { seq, ts, kind, text, node, stack, by, verb, incident, correlation };
}

/** Two lists of events as one, by number, each line once. */
export function merge(known, more) {
  const found = new Map([...known, ...more].map((event) => [event.seq, event]));
  return [...found.values()].sort((a, b) => a.seq - b.seq);
}

function reset() {
  lastNumber = -1;
  store.nodes.clear();
  store.ids.clear();
  store.stacks.clear();
  store.events = [];
}

function takeStructure(shared, change) {
  if (shared.abilities) store.abilities = shared.abilities;
  for (const [index, id, name, stack, slot, tags, abilities, power, outlet, running, lock, unasked] of shared.meta ?? []) {
    let node = store.nodes.get(index);
    if (!node) {
      node = { index, state: FROZEN, cpu: -1, memory: -1, temperature: -1, levels: 0, working: 0, words: "", since: 0, reason: "", history: new Uint8Array(HISTORY).fill(NO_SAMPLE) };
      store.nodes.set(index, node);
    }
    if (node.name !== name || node.stack !== stack || node.slot !== slot) change.structure = true;
    Object.assign(node, { id, name, stack, slot, tags, abilities, power, outlet, running: readRunning(running), lock: readLock(lock), unasked: unasked ?? null });
    store.ids.set(id, node);
    change.rows.add(node);
  }
  for (const index of shared.gone ?? []) {
    const node = store.nodes.get(index);
    store.nodes.delete(index);
    if (node && store.ids.get(node.id) === node) store.ids.delete(node.id);
    change.structure = true;
  }
  for (const [number, name, x, y, slots, power, wanted, lock, fault, found] of shared.stacks ?? []) {
    const before = store.stacks.get(number);
    const stack = { number, name, x, y, slots, power, wanted, lock: readLock(lock), fault, found: found ?? [] };
    store.stacks.set(number, stack);
    if (!before || String(before.found) !== String(stack.found) || before.x !== x || before.y !== y || before.slots !== slots || before.name !== name) change.structure = true;
    change.stacks = true;
  }
  for (const number of shared.stacksGone ?? []) if (store.stacks.delete(number)) change.structure = true;
}

function readRunning(row) {
  return row && { id: row[0], verb: row[1], phase: row[2], by: row[3], word: row[4] };
}

function readLock(row) {
  return row && { scope: row[0], by: row[1], until: row[2], reason: row[3] };
}

function takeRows(shared, change) {
  for (const [index, state, cpu, memory, temperature, levels, working] of shared.rows ?? []) {
    const node = store.nodes.get(index);
    if (!node) continue;
    Object.assign(node, { state, cpu, memory, temperature, levels, working });
    change.rows.add(node);
  }
  for (const [index, words, since, reason] of shared.notes ?? []) {
    const node = store.nodes.get(index);
    if (!node) continue;
    Object.assign(node, { words, since, reason });
    change.rows.add(node);
  }
  for (const [index, ...samples] of shared.history ?? []) store.nodes.get(index)?.history.set(samples);
}

function takeOwn(own, change) {
  if ("match" in own) {
    store.match = own.match && new Set(own.match);
    change.match = true;
  }
  if (own.query) {
    store.query = own.query;
    change.match = true;
  }
  if (own.node && own.node.id === store.open) {
    store.node = { ...own.node, details: own.node.details ?? (store.node?.id === own.node.id ? store.node.details : null) };
    change.node = true;
  }
  change.install = own.install;
  change.receipts = own.receipts;
  change.sent = own.sent;
  change.refused = own.refused;
}

/** Whether a node is shown bright: it matches the search and the state chips. */
export function shown(node) {
  if (store.match && !store.match.has(node.index)) return false;
  return store.filter.size === 0 || store.filter.has(STATES[node.state].key);
}

/** Whether anything is filtered at all. */
export function filtering() {
  return store.match !== null || store.filter.size > 0;
}

/** Level of one vital: 0 ok, 1 warn, 2 critical. */
export function level(node, vital) {
  return (node.levels >> { cpu: 0, memory: 2, temperature: 4, disk: 6 }[vital]) & 3;
}

/** Nodes of a stack by slot; null: those without a place. */
export function members(number) {
  const found = [...store.nodes.values()].filter((node) => (store.stacks.has(node.stack) ? node.stack : null) === number);
  return found.sort((a, b) => (a.slot ?? 999) - (b.slot ?? 999) || a.name.localeCompare(b.name, "en", { numeric: true }));
}

setInterval(() => {
  if (frozen()) return;
  for (const node of store.nodes.values()) {
    node.history.copyWithin(0, 1);
    node.history[HISTORY - 1] = node.cpu >= 0 ? node.cpu : NO_SAMPLE;
  }
  notify({ rows: new Set(), sampled: true });
}, SAMPLE_MS);

// A once-a-second beat for ages and for figures over the whole rack.
setInterval(() => {
  if (!document.hidden) notify({ rows: new Set(), second: true });
}, 1000);

document.addEventListener("visibilitychange", () => store.say({ kind: document.hidden ? "pause" : "resume" }));
