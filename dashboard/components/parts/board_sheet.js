// One board in full: a sheet at the side, on a phone from below.

import { computed, onMounted, ref } from "vue";
import { nodeTarget, underWay } from "./actions.js";
import { facts, faults, figures, noFlags, throttleFlags } from "./board_facts.js";
import { CopyButton } from "./dialogs.js";
import { Glyph, Icon } from "./icons.js";
import { ActionList } from "./menu.js";
import { RecentEvents } from "./recent_events.js";
import { phrase } from "./slot.js";
import { covered, sparkarea, sparkline } from "./sparkline.js";
import { keepInPlace } from "./steady.js";
import { boards, frozen, level, now, State, store } from "./store.js";
import { WorkList } from "./under_way.js";
import { age, moment, stackName } from "./words.js";

const WIDTH = 320;
const HEIGHT = 56;
/** Label, field of the heartbeat, unit, vital of the levels, key of the limits. */
const VITALS = [
  ["CPU", "cpu_percent", "%", "cpu", ""],
  ["Memory", "memory_percent", "%", "memory", "memory"],
  ["Temperature", "temperature_c", "°C", "temperature", "temperature"],
  ["Disk", "disk_percent", "%", "disk", "disk"],
  ["Swap", "swap_percent", "%", "", ""],
];

/** @param {Board} node @param {any} beat */
function vitals(node, beat) {
  const limits = /** @type {Record<string, number[]>} */ (store.settings.limits);
  return VITALS.map(([label, field, unit, vital, key]) => {
    const marks = limits[key] ?? [];
    const value = beat?.[field] ?? null;
    return {
      label,
      marks,
      title: marks.length ? `limits ${marks.join(" and ")} ${unit}` : "",
      text: value === null ? "–" : `${Math.round(value)} ${unit}`,
      share: Math.min((value ?? 0) / 100, 1),
      level: (beat && vital && level(node, /** @type {"cpu"} */ (vital))) || null,
    };
  });
}

/** The vitals of a board: bars with their limits, the line of its processor, figures. */
const Vitals = {
  components: { Glyph },
  props: { vitals: Array, heartbeat: String, history: Array, figures: Object, flags: Array, note: String },
  /** @param {{ history: number[] }} props */
  setup(props) {
    const line = computed(() => sparkline(props.history, WIDTH, HEIGHT));
    const area = computed(() => sparkarea(props.history, WIDTH, HEIGHT));
    const caption = computed(() => (props.history.length ? `CPU over the last ${covered(props.history)}` : "CPU"));
    return { line, area, caption };
  },
  template: `
  <section aria-label="Vitals">
    <div class="side-head"><h3>Vitals</h3><span class="side-note">{{ heartbeat }}</span></div>
    <div v-for="each in vitals" :key="each.label" class="vital" :title="each.title" :data-level="each.level">
      <span class="vital-label">{{ each.label }}</span>
      <span class="bar" aria-hidden="true">
        <span class="bar-fill" :style="{ transform: 'scaleX(' + each.share + ')' }"></span>
        <span v-for="mark in each.marks" class="bar-mark" :style="{ left: mark + '%' }"></span></span>
      <span class="vital-value">{{ each.text }}</span>
    </div>
    <figure>
      <svg class="spark chart" viewBox="0 0 320 56" preserveAspectRatio="none" aria-hidden="true">
        <path class="area" :d="area"/><path :d="line"/></svg>
      <figcaption>{{ caption }}</figcaption>
    </figure>
    <dl class="facts"><div v-for="(text, term) in figures">
        <dt>{{ term }}</dt><dd><span>{{ text }}</span></dd></div></dl>
    <ul class="flags">
      <li v-if="note" class="flag-note">{{ note }}</li>
      <li v-for="each in flags" :key="each.flag" :data-level="each.level">
        <Glyph :state="each.glyph" :size="14" :label="false"/><span>{{ each.text }}</span></li>
    </ul>
  </section>`,
};

/** Where it stands, what it is and how it is reached. */
const Facts = {
  components: { CopyButton },
  props: { rows: Array, introduced: Boolean },
  template: `
  <section aria-label="Details">
    <div class="side-head"><h3>Details</h3></div>
    <dl class="facts">
      <div v-for="{ term, text, code, copy } in rows" :key="term"><dt>{{ term }}</dt>
        <dd><span :class="{ code }">{{ text }}</span>
          <CopyButton v-if="copy" :read="() => String(text)" :label="'Copy ' + term" :title="'Copy ' + term" small/>
        </dd></div>
      <p v-if="!introduced" class="quiet">Waiting for the node to introduce itself.</p>
    </dl>
  </section>`,
};

/** A board's lock in words. @param {Board} node */
function lockWords({ lock, stack: number }) {
  if (!lock) return "";
  const stack = store.stacks.get(number ?? -1);
  const whole = stack && lock.scope.startsWith("stack/") ? ` with ${stackName(stack)}` : "";
  return `Reserved${whole} by ${lock.by} until ${moment(lock.until)}${lock.reason ? `: ${lock.reason}` : ""}`;
}

/** How it is, in a sentence. @param {Board} node */
function sentence(node) {
  const { label } = store.settings.states[node.state];
  const words = node.reason || phrase(node);
  const told = words ? `${label}: ${words}` : label;
  return frozen() ? `Last known: ${told}` : told;
}

/** What the sheet shows of a board. @param {Board} node @param {any} vital */
function bodyOf(node, { beat, state, heard, details, history }) {
  const why = frozen();
  const old = heard === null ? "" : age(now() - heard);
  const note = beat ? noFlags(beat.throttled) : "";
  return {
    frozen: why && `Frozen: ${why}. Values are ${old || "some time"} old.`,
    stale: node.state > State.BUSY || why !== "",
    faults: faults(node, state, beat),
    facts: facts(node, details, state, boards()),
    introduced: Boolean(details),
    vitals: {
      vitals: vitals(node, beat),
      heartbeat: heard === null ? "no heartbeat heard" : `heartbeat ${old} ago`,
      history,
      figures: figures(beat),
      note,
      flags: beat && !note ? throttleFlags(node, state, beat.throttled) : [],
    },
  };
}

/** The same before the server has told of it: what is below the figures would jump away
 * from under the pointer when they come. @param {Board} node */
const bodyBefore = (node) => ({
  frozen: "",
  faults: [],
  facts: [],
  introduced: true,
  vitals: { vitals: vitals(node, null), heartbeat: "", history: [], figures: {}, note: "", flags: [] },
});

/** The sheet of the board `id`. */
export const BoardSheet = {
  components: { ActionList, Facts, Glyph, Icon, RecentEvents, Vitals, WorkList },
  props: { id: String },
  emits: ["close"],
  /** @param {{ id: string }} props */
  setup(props) {
    const title = ref();
    const body = ref();
    keepInPlace(body);
    onMounted(() => title.value.focus({ preventScroll: true }));
    const heard = computed(() => store.node?.id === props.id && !store.node.unknown);
    const view = computed(() => {
      const node = store.rows + store.structure >= 0 && store.ids.get(props.id);
      const gone = store.loaded && !frozen() ? `No node of this rack has the id ${props.id}.` : "";
      if (!node) return { name: props.id, sentence: gone };
      return {
        name: node.name,
        sentence: sentence(node),
        state: node.state,
        key: store.settings.states[node.state].key,
        target: nodeTarget(node),
        works: underWay([node]),
        lock: lockWords(node),
        ...(heard.value ? bodyOf(node, store.node) : bodyBefore(node)),
      };
    });
    return { title, body, heard, view };
  },
  template: `
  <div class="panel-shade" @click="$emit('close')"></div>
  <section class="panel" role="dialog" aria-labelledby="board-title" :data-state="view.key">
    <header class="panel-head">
      <span class="panel-mark"><Glyph v-if="view.key" :state="view.state" :size="22"/></span>
      <div><h2 id="board-title" ref="title" tabindex="-1">{{ view.name }}</h2>
        <p class="panel-sentence">{{ view.sentence }}</p></div>
      <button class="icon-button" type="button" aria-label="Close" @click="$emit('close')"><Icon name="close"/></button>
    </header>
    <div ref="body" :class="['panel-body', { stale: view.stale }]" :hidden="!view.key">
      <template v-if="view.key">
        <p class="why" :hidden="!view.frozen">{{ view.frozen }}</p>
        <WorkList :works="view.works"/>
        <p class="why lock-note" :hidden="!view.lock">{{ view.lock }}</p>
        <ul class="faults" :hidden="!view.faults.length">
          <li v-for="text in view.faults"><Glyph :state="2"/><span>{{ text }}</span></li></ul>
        <Vitals v-bind="view.vitals"/>
        <section aria-label="Actions" :hidden="!heard">
          <div class="side-head"><h3>Actions</h3>
            <span class="side-note">the small button copies the mosquitto_pub line</span></div>
          <div><ActionList :target="view.target"/></div>
        </section>
        <Facts :rows="view.facts" :introduced="view.introduced" :hidden="!heard"/>
        <RecentEvents :node="id" :hidden="!heard"/>
      </template>
    </div>
  </section>`,
};
