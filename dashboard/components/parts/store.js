// What this tab knows of the rack: dashboard/live/hub.py feeds it through apply(), every component
// reads it. Fields are reactive; what is inside `nodes` and `ids` is not, because a thousand
// boards change twice a second: the counters `rows` and `structure` stand for them.

import { nextTick, shallowReactive } from "vue";
import { byName } from "./words.js";

export const HISTORY = 36;
export const NO_SAMPLE = 255;
export const SAMPLE_MS = 5000;
const EVENTS_KEPT = 300;

/** @type {PageStore} */
export const store = shallowReactive({
  settings: /** @type {any} */ ({}),
  loaded: false,
  rack: "",
  nodes: new Map(),
  ids: new Map(),
  stacks: new Map(),
  abilities: {},
  events: [],
  connection: /** @type {any} */ ({ broker: false, since: 0, why: "", master: "", frozen: "", home: "" }),
  socket: true,
  match: null,
  query: { text: "", hint: "" },
  filter: new Set(),
  open: "",
  node: null,
  rows: 0,
  structure: 0,
  seconds: 0,
  revision: 0,
  failure: "",
  say: () => {},
});

/** Numbers of a board's states by name, as the server sends them. @type {Record<string, number>} */
export const State = {};

/** Takes what the server tells once. @param {PageSettings} settings */
export function begin(settings) {
  store.settings = settings;
  settings.states.forEach(({ key }, number) => {
    State[key.toUpperCase()] = number;
  });
}

/** @type {Set<(change: Change) => void>} */
const listeners = new Set();
let lastNumber = -1;
let serverNow = Date.now() / 1000;
let heardAt = performance.now();
let heardOnce = false;

/** Calls `run` after each message, for what is no state: an answer, a board to draw again.
 * @param {(change: Change) => void} run */
export function listen(run) {
  listeners.add(run);
  return () => listeners.delete(run);
}

/** Tells everybody what changed; resolves when it is drawn. @param {Change} change */
export function notify(change) {
  store.revision += 1;
  if (change.rows.size) store.rows += 1;
  if (change.structure || change.snapshot) store.structure += 1;
  if (change.second) store.seconds += 1;
  for (const run of [...listeners]) {
    try {
      run(change);
    } catch (error) {
      fail(error);
    }
  }
  return nextTick();
}

/** Shows that a part of the page failed. @param {unknown} error */
export function fail(error) {
  console.error(error);
  store.failure = String(error);
}

/** Seconds since the server last said anything; what reads it is drawn again each second. */
export const silence = () => (store.seconds >= 0 && heardOnce ? (performance.now() - heardAt) / 1000 : 0);

/** Unix seconds by the server's clock, counted up here; likewise. */
export const now = () => (store.seconds >= 0 ? serverNow + (performance.now() - heardAt) / 1000 : 0);

/** Why what is shown is not live; empty if it is. */
export function frozen() {
  if (!store.socket) return "this page lost the dashboard";
  return store.connection.broker ? "" : "the broker is offline";
}

/** Why no command can be sent now; empty if it can. */
export function blocked() {
  const why = frozen();
  if (why) return `Not possible: ${why}.`;
  if (store.connection.master === "online") return "";
  return "Not possible: the master is offline, nobody would carry it out.";
}

/** Every board, to be read again when one of them changes. */
export const boards = () => (store.rows + store.structure >= 0 ? [...store.nodes.values()] : []);

/** Every board, to be read again once a second: for figures over the whole rack. */
export const boardsEachSecond = () => (store.seconds + store.structure >= 0 ? [...store.nodes.values()] : []);

/** How many boards are in each state. @param {Board[]} nodes */
export function countStates(nodes) {
  const counts = store.settings.states.map(() => 0);
  for (const node of nodes) counts[node.state] += 1;
  return counts;
}

/** States in an order of the vocabulary, with how many boards are in each.
 * @param {Board[]} nodes @param {number[]} order */
export function statesOf(nodes, order) {
  const counts = countStates(nodes);
  return order.map((state) => ({ state, ...store.settings.states[state], count: counts[state] }));
}

/** Takes one message of the hub. @param {number} number @param {any} shared @param {any} own */
export function apply(number, shared, own) {
  if (!shared.snapshot && number !== lastNumber + 1) return store.say({ kind: "resync" });
  if (shared.snapshot) reset();
  lastNumber = number;
  if (shared.now) {
    serverNow = shared.now;
    heardAt = performance.now();
    heardOnce = true;
  }
  /** @type {Change} */
  const change = { snapshot: Boolean(shared.snapshot), rows: new Set() };
  if (shared.rack) store.rack = shared.rack;
  takeNodes(shared, change);
  takeStacks(shared, change);
  takeRows(shared, change);
  if (shared.events?.length) {
    store.events = merge(store.events, shared.events).slice(-EVENTS_KEPT);
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

/** Two lists of events as one, by number, each line once.
 * @param {RackEvent[]} known @param {RackEvent[]} more */
export function merge(known, more) {
  const found = new Map([...known, ...more].map((event) => [event.seq, event]));
  return [...found.values()].sort((a, b) => a.seq - b.seq);
}

function reset() {
  store.nodes.clear();
  store.ids.clear();
  store.stacks = new Map();
  store.events = [];
}

const UNKNOWN = { state: 0, cpu: -1, memory: -1, temperature: -1, levels: 0, working: 0, words: "", reason: "" };

/** @param {any} shared @param {Change} change */
function takeNodes(shared, change) {
  if (shared.abilities) store.abilities = shared.abilities;
  for (const row of shared.meta ?? []) {
    const [index, id, name, stack, slot, tags, abilities, power, outlet, running, lock, unasked] = row;
    let node = store.nodes.get(index);
    if (!node) {
      const history = new Uint8Array(HISTORY).fill(NO_SAMPLE);
      node = /** @type {Board} */ ({ ...UNKNOWN, index, state: State.FROZEN, since: 0, history });
      store.nodes.set(index, node);
    }
    if (node.name !== name || node.stack !== stack || node.slot !== slot) change.structure = true;
    const held = { power, outlet, running, lock, unasked };
    Object.assign(node, { id, name, stack, slot, tags, abilities, ...held });
    store.ids.set(id, node);
    change.rows.add(node);
  }
  for (const index of shared.gone ?? []) {
    const node = store.nodes.get(index);
    store.nodes.delete(index);
    if (node && store.ids.get(node.id) === node) store.ids.delete(node.id);
    change.structure = true;
  }
}

/** @param {any} shared @param {Change} change */
function takeStacks(shared, change) {
  if (!shared.stacks?.length && !shared.stacksGone?.length) return;
  const stacks = new Map(store.stacks);
  for (const stack of shared.stacks ?? []) {
    const shape = (each) => JSON.stringify([each.found, each.x, each.y, each.slots, each.name]);
    const before = stacks.get(stack.number);
    if (!before || shape(before) !== shape(stack)) change.structure = true;
    stacks.set(stack.number, stack);
  }
  for (const number of shared.stacksGone ?? []) if (stacks.delete(number)) change.structure = true;
  store.stacks = stacks;
}

/** @param {any} shared @param {Change} change */
function takeRows(shared, change) {
  const set = (index, values) => {
    const node = store.nodes.get(index);
    if (node) change.rows.add(Object.assign(node, values));
  };
  for (const [index, state, cpu, memory, temperature, levels, working] of shared.rows ?? []) {
    set(index, { state, cpu, memory, temperature, levels, working });
  }
  for (const [index, words, since, reason] of shared.notes ?? []) set(index, { words, since, reason });
  for (const [index, ...samples] of shared.history ?? []) store.nodes.get(index)?.history.set(samples);
}

/** @param {any} own @param {Change} change */
function takeOwn(own, change) {
  if ("match" in own) store.match = own.match && new Set(own.match);
  if (own.query) store.query = own.query;
  change.match = "match" in own || Boolean(own.query);
  if (own.node && own.node.id === store.open) {
    const details = own.node.details ?? (store.node?.id === own.node.id ? store.node?.details : null);
    store.node = { ...own.node, details };
  }
  const { install, receipts, sent, refused } = own;
  Object.assign(change, { install, receipts, sent, refused });
}

/** Whether a node is shown bright: it matches the search and the chosen states. @param {Board} node */
export function shown(node) {
  if (store.match && !store.match.has(node.index)) return false;
  return store.filter.size === 0 || store.filter.has(store.settings.states[node.state].key);
}

/** Whether anything is filtered at all. */
export const filtering = () => store.match !== null || store.filter.size > 0;

/** Shows other states from now on. @param {Iterable<string>} keys */
export function setFilter(keys) {
  store.filter = new Set(keys);
  notify({ rows: new Set(), filter: true });
}

const SHIFTS = { cpu: 0, memory: 2, temperature: 4, disk: 6 };

/** How bad one vital is: "", "warn" or "crit".
 * @param {Board} node @param {keyof typeof SHIFTS} vital */
export const level = (node, vital) => ["", "warn", "crit"][(node.levels >> SHIFTS[vital]) & 3];

/** Nodes of a stack by slot; null: those without a place. @param {number | null} number */
export function members(number) {
  const found = boards().filter((node) => (store.stacks.has(node.stack ?? -1) ? node.stack : null) === number);
  return byName(found).sort((a, b) => (a.slot ?? 999) - (b.slot ?? 999));
}

/** Notes each board's use of its processor for the lines of the last minutes. */
export function sample() {
  if (frozen()) return;
  for (const node of store.nodes.values()) {
    node.history.copyWithin(0, 1);
    node.history[HISTORY - 1] = node.cpu >= 0 ? node.cpu : NO_SAMPLE;
  }
  notify({ rows: new Set(), sampled: true });
}

/** Keeps the clock of ages and the samples going; returns how to stop. */
export function startClock() {
  const say = () => store.say({ kind: document.hidden ? "pause" : "resume" });
  const sampler = setInterval(sample, SAMPLE_MS);
  const beat = setInterval(() => !document.hidden && notify({ rows: new Set(), second: true }), 1000);
  document.addEventListener("visibilitychange", say);
  return () => {
    clearInterval(sampler);
    clearInterval(beat);
    document.removeEventListener("visibilitychange", say);
  };
}
