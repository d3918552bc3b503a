// What needs a look, the worst first.

import { computed, onMounted, ref, watch } from "vue";
import { Glyph } from "./icons.js";
import { around, steady } from "./steady.js";
import { boardsEachSecond, frozen, now, State, setFilter, store } from "./store.js";
import { age, byName, list, plural, stackName } from "./words.js";

const SHOWN = 5;
const SPOKEN_APART_MS = 5000;
const UNDER_VOLTAGE = "under-voltage";
const urgent = () => [State.CRIT, State.OFFLINE, State.WARN, State.STALE];

/** What needs a look, and the board to open for it.
 * @typedef {{ key: string, state: number, since: number | null, title: string, text: string, node?: Board }} Concern */

/** What is wrong with a stack as a whole, and the boards that this covers.
 * @param {Stack} stack @param {Board[]} nodes @param {Set<Board>} covered @returns {Concern[]} */
function ofStack(stack, nodes, covered) {
  const found = [];
  const name = stackName(stack);
  const cover = (/** @type {Board[]} */ boards) => boards.forEach((node) => void covered.add(node));
  const weak = nodes.filter((node) => node.state === State.CRIT && node.words === UNDER_VOLTAGE);
  if (weak.length > 1) {
    cover(weak);
    const names = list(byName(weak).map((node) => node.name));
    const share = "check what they share, the supply and its cable.";
    const text = `${weak.length} of ${plural(nodes.length, "board")} (${names}): ${share}`;
    const since = Math.min(...weak.map((node) => node.since));
    const title = `${name}: under-voltage`;
    found.push({ key: `voltage-${stack.number}`, state: State.CRIT, since, title, text, node: weak[0] });
  }
  if (stack.fault) {
    const title = `${name}: its outlet`;
    found.push({
      key: `outlet-${stack.number}`,
      state: State.WARN,
      since: null,
      title,
      text: stack.fault,
      node: nodes[0],
    });
  }
  if (nodes.length > 1 && nodes.every((node) => node.state === State.OFFLINE)) {
    cover(nodes);
    const since = Math.max(...nodes.map((node) => node.since));
    const power = stack.power ? `its outlet is ${stack.power}` : "it has no outlet we can read";
    const text = `${plural(nodes.length, "board")} silent; ${power}.`;
    const title = `${name}: no board answers`;
    found.push({ key: `stack-${stack.number}`, state: State.OFFLINE, since, title, text, node: nodes[0] });
  }
  return found;
}

/** What needs a look, the worst first; a stack that fell silent whole is one line.
 * @param {Board[]} nodes @param {Map<number, Stack>} stacks @returns {Concern[]} */
export function concerns(nodes, stacks) {
  const covered = new Set();
  const ranks = urgent();
  const inStack = new Map([...stacks.keys()].map((number) => [number, /** @type {Board[]} */ ([])]));
  for (const node of nodes) inStack.get(node.stack ?? -1)?.push(node);
  const found = [...stacks.values()].flatMap((stack) => ofStack(stack, inStack.get(stack.number) ?? [], covered));
  for (const node of nodes) {
    if (!ranks.includes(node.state) || covered.has(node)) continue;
    const stack = stacks.get(node.stack ?? -1);
    const where = stack ? ` · ${stackName(stack)}, slot ${node.slot ?? "?"}` : "";
    const text = `${node.reason || node.words}${where}`;
    found.push({ key: node.id, state: node.state, since: node.since, title: node.name, text, node });
  }
  return found.sort((a, b) => ranks.indexOf(a.state) - ranks.indexOf(b.state) || (a.since ?? 0) - (b.since ?? 0));
}

/** The section of the right column. */
export const Attention = {
  components: { Glyph },
  emits: ["open"],
  setup() {
    const element = ref();
    const all = computed(() => concerns(boardsEachSecond(), store.stacks));
    const kept = steady(
      () => all.value.slice(0, SHOWN),
      () => around(element.value),
    );
    const items = computed(() => {
      const latest = new Map(all.value.map((each) => [each.key, each]));
      const fresh = kept.value.map((each) => latest.get(each.key) ?? each);
      return fresh.map((each) => ({ ...each, age: each.since === null ? "" : age(now() - each.since) }));
    });
    const showAll = () => setFilter([...store.filter, ...urgent().map((state) => store.settings.states[state].key)]);
    return { element, all, items, showAll, spoken: spoken(all), frozen, store, SHOWN };
  },
  template: `
  <section ref="element" class="attention" aria-label="Needs attention">
    <div class="side-head"><h2>Needs attention</h2><span class="side-note">{{ all.length || "" }}</span></div>
    <ol class="concerns">
      <li v-for="each in items" :key="each.key">
        <button class="concern" type="button" :data-state="store.settings.states[each.state].key"
            @click="each.node && $emit('open', each.node.id)">
          <span class="concern-mark"><Glyph :state="each.state"/></span>
          <span class="concern-title">{{ each.title }}</span><span class="concern-age">{{ each.age }}</span>
          <span class="concern-text">{{ each.text }}</span>
        </button>
      </li>
    </ol>
    <p class="quiet" :hidden="items.length > 0">{{ frozen() ? "Not known while the connection is down."
      : "All quiet. Boards that are late, silent, hot or full appear here." }}</p>
    <button class="link-button" type="button" :hidden="all.length <= SHOWN" @click="showAll">
      Show all {{ all.length }} in the rack</button>
    <div class="sr-only" role="status" aria-live="polite">{{ spoken }}</div>
  </section>`,
};

/** What a screen reader is told: what is newly critical or silent, at most every five seconds.
 * @param {{ value: Concern[] }} all */
function spoken(all) {
  const text = ref("");
  /** @type {Set<string> | null} */
  let known = null;
  let saidAt = Number.NEGATIVE_INFINITY;
  const speak = () => {
    const loud = all.value.filter(({ state }) => state === State.CRIT || state === State.OFFLINE);
    if (known && performance.now() - saidAt < SPOKEN_APART_MS) return;
    const before = known;
    known = new Set(loud.map(({ key }) => key));
    const fresh = before ? loud.filter(({ key }) => !before.has(key)) : [];
    if (!fresh.length) return;
    saidAt = performance.now();
    const { states } = store.settings;
    text.value = list(fresh.map(({ title, state }) => `${title} ${states[state].label.toLowerCase()}`));
  };
  onMounted(() => store.loaded && speak());
  watch([all, () => store.seconds], () => store.loaded && speak());
  return text;
}
