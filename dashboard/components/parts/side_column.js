// What needs a look, the worst first.

import { computed, onMounted, ref, watch } from "vue";
import { cancelling, labelOf, rackTarget, send, underWay } from "./actions.js";
import { Glyph } from "./icons.js";
import { around, steady } from "./layout.js";
import { blocked, boards, boardsEachSecond, frozen, now, State, setFilter, store } from "./store.js";
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

/** "2 running, 2 waiting". @param {{ running: Board[], queued: Board[] }} work */
const progress = ({ running, queued }) =>
  [running.length && `${running.length} running`, queued.length && `${queued.length} waiting`]
    .filter(Boolean)
    .join(", ");

/** What the running boards of a command are at, by their own words. @param {{ running: Board[] }} work */
export function steps({ running }) {
  const words = new Map();
  for (const node of running) if (node.words) words.set(node.words, (words.get(node.words) ?? 0) + 1);
  const said = ([word, count]) => (running.length > 1 ? `${count} ${word.toLowerCase()}` : word.toLowerCase());
  return [...words].map(said).join(", ");
}

/** The commands under way on some boards, each with its Cancel button. */
export const WorkList = {
  props: { works: Array },
  /** @param {{ works: any[] }} props */
  setup(props) {
    const rows = computed(() =>
      props.works.map((work) => {
        const names = [...work.running, ...work.queued].map(({ name }) => name);
        const told = [progress(work), steps(work), work.by && `asked by ${work.by}`].filter(Boolean).join(" · ");
        const whom = names.length === 1 ? names[0] : plural(names.length, "board");
        return { work, told, whom, names: list(names, 6), label: labelOf(work.verb, work.word) };
      }),
    );
    const cancel = (/** @type {any} */ work) => send(rackTarget(), cancelling(work));
    return { rows, cancel, blocked, store };
  },
  template: `
  <ul class="works" :hidden="!rows.length">
    <li v-for="row in rows" :key="row.work.id" class="work">
      <b>{{ row.label }}</b>
      <span class="work-of" :title="row.names">{{ row.whom }}</span>
      <button v-if="store.settings.role !== 'viewer'" class="button small" type="button" :disabled="blocked() !== ''"
        @click="cancel(row.work)">Cancel</button>
      <span class="work-text">{{ row.told }}</span>
    </li>
  </ul>`,
};

/** The section of the right column; hidden when nothing runs. */
export const UnderWay = {
  components: { WorkList },
  setup() {
    const element = ref();
    const works = computed(() => underWay(boards()));
    const shown = steady(
      () => works.value.map(({ id }) => id).join(),
      () => around(element.value),
    );
    const listed = computed(() => works.value.filter(({ id }) => shown.value.split(",").includes(id)));
    return { element, listed };
  },
  template: `
  <section ref="element" class="under-way" aria-label="Under way" :hidden="!listed.length">
    <div class="side-head"><h2>Under way</h2></div>
    <WorkList :works="listed"/>
  </section>`,
};
