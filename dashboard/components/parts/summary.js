// What the Overview says of the rack as a whole: figures, the filter by state, what needs a
// look, and which commands are under way.

import { computed, onMounted, onUnmounted, ref, shallowRef, watch } from "vue";
import { cancelling, labelOf, rackTarget, send, underWay } from "./actions.js";
import { around, steady } from "./layout.js";
import { sparkline } from "./slot.js";
import {
  blocked,
  boards,
  boardsEachSecond,
  countStates,
  frozen,
  HISTORY,
  level,
  listen,
  NO_SAMPLE,
  now,
  State,
  setFilter,
  statesOf,
  store,
} from "./store.js";
import { Glyph } from "./widgets.js";
import { age, byName, list, plural, stackName } from "./words.js";

/** @param {number[]} values */
export const mean = (values) => (values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null);

/** @param {number[]} values @param {number} share */
export function percentile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

/** @param {number | null} value */
const rounded = (value) => (value === null ? "–" : String(Math.round(value)));

/** Which boards are online, and what the others are. @param {Board[]} nodes */
export function onlineFigure(nodes) {
  const counts = countStates(nodes);
  const online = counts.slice(0, State.BUSY).reduce((sum, count) => sum + count, 0);
  const [busy, unknown] = [counts[State.BUSY], counts[State.FROZEN]];
  const away = nodes.length - online - busy - unknown;
  const rest = [away && `${away} not online`, busy && `${busy} busy`, unknown && `${unknown} not known yet`];
  return { value: String(online), unit: `of ${nodes.length}`, note: rest.filter(Boolean).join(", ") || "all of them" };
}

/** Processor, memory and temperature of the boards that are online, and the outlets.
 * @param {Board[]} nodes @param {Stack[]} stacks */
export function figures(nodes, stacks) {
  const live = nodes.filter((node) => node.cpu >= 0 && node.state < State.BUSY);
  const cpu = live.map((node) => node.cpu);
  const memory = live.map((node) => node.memory).filter((percent) => percent >= 0);
  const full = live.filter((node) => level(node, "memory")).length;
  /** @type {Board | null} */
  let hottest = null;
  for (const node of live) if (node.temperature > (hottest?.temperature ?? -1)) hottest = node;
  const outlets = stacks.filter((stack) => stack.power);
  const off = outlets.filter((stack) => stack.power !== "on").length;
  const powered = off ? `${plural(off, "outlet")} off` : "every outlet reads back on";
  const known = (text) => (live.length ? text : "no heartbeat");
  return {
    cpu: { value: mean(cpu), note: known(`p95 ${percentile(cpu, 0.95)} %`) },
    memory: { value: mean(memory), note: known(`${full || "none"} above ${full > 1 ? "their" : "its"} threshold`) },
    hottest,
    power: outlets.length
      ? { value: String(outlets.length - off), unit: `of ${outlets.length}`, note: powered }
      : { value: "–", unit: "", note: "no outlet configured" },
  };
}

/** One figure: label, value, unit, note; in the slot what else it shows. */
const Figure = {
  props: { label: String, value: String, unit: String, note: String },
  template: `
  <span class="kpi-label">{{ label }}</span>
  <span class="kpi-row"><span class="kpi-value">{{ value }}</span><span class="kpi-unit">{{ unit }}</span></span>
  <slot></slot><span class="kpi-note">{{ note }}</span>`,
};

/** The strip of figures. */
export const Figures = {
  components: { Figure },
  emits: ["open"],
  setup() {
    const nothing = { value: "–", unit: "", note: "" };
    const online = computed(() => (store.loaded ? onlineFigure(boardsEachSecond()) : nothing));
    const rest = computed(() => figures(boardsEachSecond(), [...store.stacks.values()]));
    const shares = computed(() =>
      statesOf(boardsEachSecond(), store.settings.filterOrder).filter(({ count }) => count),
    );
    const line = shallowRef("");
    const history = new Uint8Array(HISTORY).fill(NO_SAMPLE);
    /** Start with what the nodes remember, so that a fresh page is not blank. */
    const recall = () => {
      for (let i = 0; i < HISTORY; i += 1) {
        const known = boards().flatMap((node) => (node.history[i] === NO_SAMPLE ? [] : [node.history[i]]));
        history[i] = mean(known) ?? NO_SAMPLE;
      }
    };
    const draw = () => {
      line.value = sparkline(history, 84, 32);
    };
    const sample = () => {
      history.copyWithin(0, 1);
      history[HISTORY - 1] = rest.value.cpu.value ?? NO_SAMPLE;
    };
    recall();
    draw();
    onUnmounted(
      listen(({ snapshot, sampled }) => {
        if (snapshot) recall();
        if (sampled) sample();
        if (snapshot || sampled) draw();
      }),
    );
    return { online, rest, shares, line, rounded, level };
  },
  template: `
  <section class="kpis" aria-label="The rack in figures">
    <div class="kpi kpi-online"><Figure label="Boards online" v-bind="online">
      <span class="share" aria-hidden="true">
        <span v-for="{ key, count } in shares" :key="key" :class="'share-part g-' + key" :style="{ flexGrow: count }"/>
      </span></Figure></div>
    <div class="kpi"><Figure label="CPU, mean" :value="rounded(rest.cpu.value)" unit="%" :note="rest.cpu.note"/>
      <svg class="spark kpi-spark" viewBox="0 0 84 32" preserveAspectRatio="none" aria-hidden="true">
          <path :d="line"/></svg></div>
    <div class="kpi"><Figure label="Memory, mean" :value="rounded(rest.memory.value)" unit="%"
        :note="rest.memory.note"/></div>
    <button class="kpi" type="button" :data-level="rest.hottest && level(rest.hottest, 'temperature') || null"
        @click="rest.hottest && $emit('open', rest.hottest.id)">
      <Figure label="Hottest board" :value="rounded(rest.hottest?.temperature ?? null)" unit="°C"
        :note="rest.hottest?.name ?? 'no sensor'"/></button>
    <div class="kpi"><Figure label="Stacks powered" v-bind="rest.power"/></div>
  </section>`,
};

/** Chips that filter by state. */
export const StateFilter = {
  components: { Glyph },
  setup() {
    const element = ref();
    const chips = computed(() =>
      statesOf(boards(), store.settings.filterOrder).map((each) => ({ ...each, on: store.filter.has(each.key) })),
    );
    const absent = steady(
      () => chips.value.filter(({ count, on }) => !count && !on).map(({ key }) => key),
      () => element.value,
    );
    const toggle = (key) => {
      const others = [...store.filter].filter((each) => each !== key);
      setFilter(others.length < store.filter.size ? others : [...others, key]);
    };
    return { element, chips, absent, toggle, setFilter, store };
  },
  template: `
  <div ref="element" class="chips" role="group" aria-label="Filter by state">
    <button class="chip" type="button" :aria-pressed="store.filter.size === 0" @click="setFilter([])">
      <span>All</span><span class="chip-count">{{ store.structure >= 0 && store.nodes.size }}</span></button>
    <button v-for="each in chips" :key="each.key" class="chip" type="button" :data-state="each.key"
        :aria-pressed="each.on" :hidden="absent.includes(each.key)" @click="toggle(each.key)">
      <Glyph :state="each.state" :label="false"/><span>{{ each.label }}</span>
      <span class="chip-count">{{ each.count }}</span></button>
  </div>`,
};

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
  const cover = (boards) => boards.forEach((node) => void covered.add(node));
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
  setup(props) {
    const rows = computed(() =>
      props.works.map((work) => {
        const names = [...work.running, ...work.queued].map(({ name }) => name);
        const told = [progress(work), steps(work), work.by && `asked by ${work.by}`].filter(Boolean).join(" · ");
        const whom = names.length === 1 ? names[0] : plural(names.length, "board");
        return { work, told, whom, names: list(names, 6), label: labelOf(work.verb, work.word) };
      }),
    );
    const cancel = (work) => send(rackTarget(), cancelling(work));
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
