// The rack from the front: stacks where they stand, every board in them.

import { computed, nextTick, onMounted, onUnmounted, ref, toRaw, watch } from "vue";
import { underWay } from "./actions.js";
import { layOut, useWidth } from "./layout.js";
import { boardOf, Cell, METRICS, Slot } from "./slot.js";
import { boards, filtering, listen, State, shown, statesOf, store } from "./store.js";
import { Icon } from "./widgets.js";
import { byName, list, lockWords, plural, stackName } from "./words.js";

const SLOT_CARD_PX = 224;
const CELL_PX = 24;
const FEW = 2;
const BORDERED = ["crit", "offline", "warn"];

/** @typedef {{ key: string, stack: Stack | null, nodes: Board[], places: (Board | string)[], title: string }} Card */

/** The states among nodes with their counts, the worst first. @param {Board[]} nodes */
const bySeverity = (nodes) => statesOf(nodes, store.settings.severity).filter(({ count }) => count);

/** The worst state among nodes, by its key. @param {Board[]} nodes */
export const worst = (nodes) => bySeverity(nodes)[0]?.key ?? "ok";

/** One sentence on what a set of nodes is. @param {Board[]} nodes */
export function describe(nodes) {
  const said = bySeverity(nodes).map(({ label, count }) => `${count} ${label.toLowerCase()}`);
  return `${plural(nodes.length, "board")}: ${list(said, 9)}`;
}

/** The outlet of a stack as read back: a sentence, and two words where something is off.
 * @param {Stack} stack @param {Board[]} nodes */
export function outletWords({ power, wanted, fault }, nodes) {
  if (nodes.some((node) => node.running?.verb === "power")) {
    const text = `Switching now; outlet reads back ${power ?? "nothing"}, wanted ${wanted ?? "not set"}`;
    return { text, short: "", state: "switching" };
  }
  const differs = wanted && power && wanted !== power;
  const short = differs ? `${power}, not ${wanted}` : "outlet fault";
  if (fault) return { text: fault, short, state: "unknown" };
  if (differs) return { text: `Outlet reads back ${power}, but ${wanted} is wanted`, short, state: "unknown" };
  return { text: power ? `Outlet reads back ${power}, as wanted` : "", short: "", state: power };
}

/** What goes on among the boards of a stack, in a few words. @param {Board[]} nodes */
function rollWords(nodes) {
  const [work] = underWay(nodes);
  if (work) {
    const { verb, running, queued, by } = work;
    const doing = `${store.settings.verbs[verb]?.doing || verb} ${running.length} of ${nodes.length}`;
    const title = `${running.length} running, ${queued.length} waiting${by ? `; asked by ${by}` : ""}`;
    return { text: running.length ? doing : `${queued.length} of ${nodes.length} waiting`, title, busy: "" };
  }
  const online = nodes.filter((node) => node.state < State.BUSY).length;
  const off = nodes.every((node) => node.state === State.OFF);
  const some = online === nodes.length ? "" : `${online} of ${nodes.length} online`;
  return { text: !nodes.length ? "empty" : off ? "off" : some, title: null, busy: null };
}

/** What stands at the head of a stack, as it is now. @param {Card} card @param {string} view */
function headOf({ stack: known, nodes, title }, view) {
  const stack = known && store.stacks.get(known.number);
  const state = worst(nodes);
  const { text, short, state: power } = stack ? outletWords(stack, nodes) : { text: "", short: "", state: "" };
  return {
    worst: BORDERED.includes(state) ? state : null,
    dim: filtering() && !nodes.some(shown),
    name: stack && view === "cells" ? String(stack.number) : title,
    power: { text, short, state: power || null, icon: stack?.power === "off" ? "unplugged" : "power" },
    lock: stack?.lock ? lockWords(stack.lock) : "",
    roll: rollWords(nodes),
  };
}

/** Every stack with its boards by slot, then the boards without a place; all of it changes
 * with the structure only. @param {string} home @returns {Card[]} */
function cardsOf(home) {
  const stacks = [...toRaw(store).stacks.values()].sort((a, b) => a.number - b.number);
  const nodes = new Map([null, ...stacks.map(({ number }) => number)].map((key) => [key, /** @type {Board[]} */ ([])]));
  for (const node of store.nodes.values()) (nodes.get(node.stack) ?? nodes.get(null))?.push(node);
  const homeless = byName(nodes.get(null) ?? []);
  const own = homeless.length === 1 && homeless[0].id === home; // it needs no place
  const rest = {
    key: "none",
    stack: null,
    nodes: homeless,
    places: homeless,
    title: own ? "Master" : "Without a place",
  };
  const cards = stacks.map((stack) => {
    const mine = nodes.get(stack.number) ?? [];
    return { key: String(stack.number), stack, nodes: mine, places: placesOf(stack, mine), title: stackName(stack) };
  });
  return homeless.length ? [...cards, rest] : cards;
}

/** What stands in each slot: a board, or words; then boards that no slot has.
 * @param {Stack} stack @param {Board[]} nodes @returns {(Board | string)[]} */
function placesOf({ slots, found }, nodes) {
  const bySlot = new Map(nodes.map((node) => [node.slot, node]));
  const places = Array.from({ length: slots }, (_, at) => {
    const none = found.includes(at + 1) ? `slot ${at + 1}: found, no agent yet` : `slot ${at + 1} is empty`;
    return bySlot.get(at + 1) ?? none;
  });
  return [...places, ...byName(nodes.filter((node) => !places.includes(node)))];
}

/** The boards of a stack, drawn by hand (slot.js). */
const StackBody = {
  props: { places: Array, make: Function },
  setup(props) {
    const body = ref();
    const fill = () => {
      const wanted = props.places.map(props.make);
      const same =
        wanted.length === body.value.children.length && wanted.every((each, at) => each === body.value.children[at]);
      if (!same) body.value.replaceChildren(...wanted);
    };
    onMounted(fill);
    watch(() => [props.places, props.make], fill, { flush: "post" });
    return { body };
  },
  template: `<div ref="body" class="stack-body"></div>`,
};

/** The boards, each in the present view, and how they are kept up to date.
 * @param {{ view: string, metric: keyof typeof METRICS }} props @param {{ value: HTMLElement }} element */
function useBoards(props, element) {
  /** @type {Map<Board, Slot | Cell>} */
  const drawn = new Map();
  const makeIn = (view) => (place) => {
    if (typeof place === "string") {
      const empty = document.createElement("div");
      empty.className = view === "cells" ? "cell empty" : "slot empty";
      empty.textContent = view === "cells" ? "" : place;
      return empty;
    }
    const board = drawn.get(place) ?? (view === "cells" ? new Cell(place, () => props.metric) : new Slot(place));
    drawn.set(place, board);
    return board.element;
  };
  const make = computed(() => makeIn(props.view));
  watch(make, () => drawn.clear(), { flush: "sync" });
  const every = (run) => drawn.forEach(run);
  watch(
    () => props.metric,
    () => every((board) => board.update()),
  );
  const stop = listen(({ rows, match, filter, sampled, second, structure, snapshot }) => {
    for (const node of rows) drawn.get(node)?.update();
    if (match || filter) every((board) => board.drawShown());
    if (sampled) every((board) => board.sampled());
    if (second) every((board) => board.node.words && board.second());
    if (structure || snapshot)
      for (const node of drawn.keys()) if (store.nodes.get(node.index) !== node) drawn.delete(node);
  });
  onUnmounted(stop);
  keepFocus(element, make);
  return make;
}

/** Keeps the focus on its board when boards are drawn again, one board in the order of Tab,
 * and the open one marked. @param {{ value: HTMLElement }} element @param {{ value: unknown }} make */
function keepFocus(element, make) {
  /** @type {string | undefined} */
  let focused;
  const find = (id) =>
    /** @type {HTMLElement | null} */ (element.value?.querySelector(`[data-node="${CSS.escape(id)}"]`));
  const changes = () => [store.structure, make.value];
  const look = () => {
    const active = /** @type {HTMLElement | null} */ (document.activeElement);
    focused = element.value?.contains(active) ? active?.dataset.node : undefined;
  };
  const restore = () => {
    const again = focused && find(focused);
    if (again && again !== document.activeElement) again.focus({ preventScroll: true });
    const first = element.value?.querySelector(".slot:not([inert], .empty), .cell:not([inert], .empty)");
    if (!element.value?.querySelector('[tabindex="0"]')) first?.setAttribute("tabindex", "0");
  };
  const mark = () => {
    element.value?.querySelector("[aria-current]")?.removeAttribute("aria-current");
    if (store.open) find(store.open)?.setAttribute("aria-current", "true");
  };
  const after = (run) => () => nextTick(run); // the bodies of stacks are filled by then
  watch(changes, look, { flush: "pre" });
  watch(changes, after(restore), { flush: "post" });
  watch(() => [store.open, ...changes()], after(mark), { flush: "post" });
  onMounted(after(restore));
}

/** Draws the rack and keeps it up to date. */
export const Rack = {
  components: { Icon, StackBody },
  props: { view: String, metric: String },
  emits: ["menu", "open"],
  setup(props) {
    const element = ref();
    const width = useWidth(element);
    const make = useBoards(props, element);
    const home = computed(() => store.connection.home);
    const cards = computed(() => (store.structure >= 0 ? cardsOf(home.value) : []));
    const layout = computed(() => {
      const stacks = cards.value.flatMap(({ stack }) => stack ?? []);
      const across = Math.max(2, ...stacks.map(({ slots }) => Math.ceil(Math.sqrt(slots || 4))));
      const least = props.view === "cells" ? across * (CELL_PX + 4) + 10 : SLOT_CARD_PX;
      const { style, area } = layOut(stacks, least, width.value);
      return { style: { ...style, "--across": across }, area };
    });
    const rows = computed(() => {
      boards(); // any of them may have changed
      return cards.value.map((card) => {
        const head = headOf(card, props.view);
        const longest = Math.max(...card.nodes.map((node) => node.name.length), 5);
        const style = {
          gridArea: layout.value.area(card.stack),
          "--name": `${Math.min(longest, 14) * 0.56 + 0.2}em`,
        };
        const few = !card.stack && card.nodes.length <= FEW;
        return { card, head, style, few, memo: JSON.stringify([head, style, few]) };
      });
    });
    const rove = (event) => {
      const board = boardOf(event);
      if (!board) return;
      for (const each of element.value.querySelectorAll('[tabindex="0"]')) each.setAttribute("tabindex", "-1");
      board.setAttribute("tabindex", "0");
    };

    return { element, layout, rows, make, rove, boardOf };
  },
  template: `
  <div ref="element" class="rack" role="group" aria-label="Boards in the rack" :data-view="view" :style="layout.style"
      @focusin="rove" @click="boardOf($event) && $emit('open', boardOf($event).dataset.node)">
    <section v-for="{ card, head, style, few, memo } in rows" :key="card.key" v-memo="[card, memo, make]"
        :class="['stack', { homeless: !card.stack, few, 'dim-all': head.dim }]" :aria-label="card.title"
        :data-worst="head.worst" :style="style">
      <header class="stack-head">
        <h2 class="stack-name">{{ head.name }}</h2>
        <span class="stack-power" :data-power="head.power.state" :title="head.power.text">
          <template v-if="head.power.state">
            <Icon :name="head.power.icon" :size="15"/><span class="sr-only">{{ head.power.text }}</span>
            <span v-if="head.power.short" aria-hidden="true">{{ head.power.short }}</span>
          </template></span>
        <span class="stack-lock" :title="head.lock || null">
          <template v-if="head.lock"><Icon name="lock" :size="15"/>
              <span class="sr-only">{{ head.lock }}</span></template></span>
        <span class="stack-roll" :data-busy="head.roll.busy" :title="head.roll.title">{{ head.roll.text }}</span>
        <button v-if="card.stack" class="icon-button stack-menu" type="button" aria-haspopup="dialog"
          :aria-label="'Actions for ' + card.title" @click="$emit('menu', $event, card.stack.number)">
          <Icon name="more"/></button>
      </header>
      <StackBody :places="card.places" :make="make"/>
    </section>
  </div>`,
};

/** The legend of the cells view. */
export const Legend = {
  props: { metric: String },
  emits: ["update:metric"],
  setup: () => ({ METRICS }),
  template: `
  <div class="legend">
    <label>Shade by <select aria-label="Shade by" :value="metric" @change="$emit('update:metric', $event.target.value)">
      <option v-for="({ label }, name) in METRICS" :value="name">{{ label }}</option>
    </select></label>
    <span>{{ METRICS[metric].low }} {{ METRICS[metric].unit }}</span><span class="ramp" aria-hidden="true"></span>
    <span>{{ METRICS[metric].high }} {{ METRICS[metric].unit }}</span>
  </div>`,
};
