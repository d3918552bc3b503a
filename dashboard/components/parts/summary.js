// The strip of figures over the whole rack, and the chips that filter by state.

import { computed, onUnmounted, ref, shallowRef } from "vue";
import { Glyph } from "./icons.js";
import { steady } from "./layout.js";
import { sparkline } from "./slot.js";
import {
  boards,
  boardsEachSecond,
  countStates,
  HISTORY,
  level,
  listen,
  NO_SAMPLE,
  State,
  setFilter,
  store,
} from "./store.js";
import { plural } from "./words.js";

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
  const known = (/** @type {string} */ text) => (live.length ? text : "no heartbeat");
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
    const shares = computed(() => {
      const counts = countStates(boardsEachSecond());
      const all = store.settings.filterOrder.map((key) => ({ key, count: counts[State[key.toUpperCase()]] }));
      return all.filter(({ count }) => count);
    });
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
    const chips = computed(() => {
      const counts = countStates(boards());
      return store.settings.filterOrder.map((key) => {
        const state = State[key.toUpperCase()];
        return {
          key,
          state,
          label: store.settings.states[state].label,
          count: counts[state],
          on: store.filter.has(key),
        };
      });
    });
    const absent = steady(
      () => chips.value.filter(({ count, on }) => !count && !on).map(({ key }) => key),
      () => element.value,
    );
    const toggle = (/** @type {string} */ key) => {
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
