// One board: in full on a sheet at the side, and at a glance on a card beside the pointer.

import { computed, nextTick, onMounted, onUnmounted, ref, shallowRef } from "vue";
import { nodeTarget, underWay } from "./actions.js";
import { RecentEvents } from "./events.js";
import { keepInPlace } from "./layout.js";
import { ActionList } from "./menu.js";
import { boardOf, covered, phrase, sparkarea, sparkline } from "./slot.js";
import { boards, frozen, level, now, State, store } from "./store.js";
import { WorkList } from "./summary.js";
import { CopyButton, Glyph, Icon } from "./widgets.js";
import { age, byName, bytes, list, lockWords, plural, span, stackName, stamp } from "./words.js";

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

/** Who has reserved a board, alone or with its stack. @param {Board} node */
function reservation({ lock, stack: number }) {
  const stack = store.stacks.get(number ?? -1);
  return lock ? lockWords(lock, stack && lock.scope.startsWith("stack/") ? ` with ${stackName(stack)}` : "") : "";
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
        lock: reservation(node),
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

/** @param {any} value */
const known = (value) => value !== null && value !== undefined;

/** Its outlet: read back, wanted, and who else hangs on it.
 * @param {Board} node @param {Stack | undefined} stack @param {Board[]} all */
export function powerWords(node, stack, all) {
  if (!node.outlet) return "no outlet feeds it that we can switch";
  const wanted = stack?.wanted && stack.wanted !== node.power ? `, but ${stack.wanted} is wanted` : "";
  const others = byName(all.filter((each) => each !== node && each.outlet === node.outlet));
  const shared = others.length
    ? `; shared with ${list(
        others.map(({ name }) => name),
        5,
      )}`
    : "";
  return `${node.outlet} reads back ${node.power ?? "nothing"}${wanted}${shared}`;
}

/** Where it stands, what it is, how it is reached: term, words, and whether they are code
 * or to be copied. @param {Board} node @param {any} details @param {any} state @param {Board[]} all */
export function facts(node, details, state, all) {
  const stack = store.stacks.get(state?.stack);
  const d = details ?? {};
  const clock = known(d.clock_synced) ? (d.clock_synced ? "set" : "not set") : "";
  const unreadable = Object.entries(d.unreadable ?? {}).map(([vital, why]) => `${vital}: ${why}`);
  // Of a board that is online it is old: the master says it again with other news.
  const heard = state?.last_seen && state.verdict !== "online" ? stamp(state.last_seen) : "";
  const memory = `${bytes(d.memory_bytes ?? 0)} memory, ${bytes(d.disk_bytes ?? 0)} disk`;
  const rows = [
    ["Place", stack ? `${stackName(stack)}, slot ${state.slot}` : "no place in the rack"],
    ["Power", powerWords(node, stack, all)],
    ["Tags", (state?.tags ?? []).join(", ")],
    ["Id", node.id, "code copy"],
    ["Hostname", d.hostname, "code"],
    ["Address", (d.addresses ?? []).join(", "), "code copy"],
    ["MAC", (d.macs ?? []).join(", "), "code"],
    ["Serial", d.serial, "code"],
    ["Model", d.model],
    ["System", d.os],
    ["Kernel", d.kernel && `${d.kernel} ${d.architecture ?? ""}`],
    ["Hardware", d.cpu_count && `${plural(d.cpu_count, "processor")}, ${memory}`],
    ["Agent", d.agent_version && `${d.agent_version}, every ${d.interval_s} s${d.simulated ? ", simulated" : ""}`],
    ["Not readable", unreadable.join("; ")],
    ["Disk errors", d.disk_errors ? `${d.disk_errors} recorded by the file system` : ""],
    ["Clock", clock],
    ["Last heard", heard],
    ["Topic", `${store.settings.prefix}/node/${node.id}/#`, "code copy"],
  ];
  const told = rows.filter(([, text]) => known(text) && text !== "" && text !== 0);
  return told.map(([term, text, kind = ""]) => {
    return { term, text, code: kind.includes("code"), copy: kind.includes("copy") };
  });
}

/** Figures of a heartbeat; as many rows before the first: what is below does not move.
 * @param {any} beat */
export function figures(beat) {
  const network = known(beat?.rx_bytes) && known(beat?.tx_bytes);
  return {
    Load: beat?.load?.map((value) => value.toFixed(2)).join("  ") ?? "–",
    Uptime: beat ? span(beat.uptime_s) : "–",
    Network: network ? `${bytes(beat.rx_bytes)} in, ${bytes(beat.tx_bytes)} out` : "–",
    "Disk writes": known(beat?.disk_written_bytes) ? `${bytes(beat.disk_written_bytes)} since boot` : "–",
  };
}

/** The throttle bits; what is on now and named above is not named again.
 * @param {Board} node @param {any} state @param {any} bits */
export function throttleFlags(node, state, bits) {
  const above = [node.reason, ...(state?.faults ?? [])].join(" ").replaceAll("-", " ");
  return Object.entries(store.settings.throttleFlags).flatMap(([flag, words]) => {
    const now = (bits.now ?? []).includes(flag);
    const before = (bits.since_boot ?? []).includes(flag);
    if (now && above.includes(words)) return [];
    const [level, when] = now ? ["crit", "now"] : before ? ["warn", "since boot"] : [null, "never"];
    return [{ flag, level, glyph: State[(level ?? "ok").toUpperCase()], text: `${words}: ${when}` }];
  });
}

/** Why there are no throttle bits to show; empty if there are. @param {any} bits */
export function noFlags(bits) {
  if (!bits) return "The firmware of this machine has no throttle bits.";
  return bits.unknown ? `Throttle bits unknown: ${bits.unknown}` : "";
}

/** What is wrong and the sentence above does not say: it has what decided the state.
 * @param {Board} node @param {any} state @param {any} beat @returns {string[]} */
export function faults(node, state, beat) {
  const unsaid = (state?.faults ?? []).filter((text) => !node.reason.includes(text));
  return beat?.disk_read_only ? [...unsaid, "disk is read-only: the card may be failing"] : unsaid;
}

const WAIT_MS = 320;

/** The figures of a board that are worth a glance. @param {Board} node */
function glance(node) {
  const { label } = store.settings.states[node.state];
  if (node.state >= State.STALE && node.state !== State.UNSEEN) return { [label]: age(now() - node.since) };
  if (node.cpu < 0) return {};
  return {
    CPU: `${node.cpu} %`,
    ...(node.memory >= 0 && { Memory: `${node.memory} %` }),
    ...(node.temperature >= 0 && { Temperature: `${node.temperature} °C` }),
  };
}

/** Follows pointer and focus inside `area`. */
export const BoardCard = {
  props: { area: Object },
  setup(props, { expose }) {
    const element = ref();
    const shown = shallowRef(/** @type {Board | null} */ (null));
    /** @type {HTMLElement | null} */
    let board = null;
    let timer = 0;
    const hide = () => {
      window.clearTimeout(timer);
      board = null;
      shown.value = null;
    };
    const show = async () => {
      shown.value = (board?.isConnected && store.ids.get(board.dataset.node ?? "")) || null;
      if (!board || !shown.value) return hide();
      await nextTick();
      if (board) place(element.value, board);
    };
    const aim = (event, wait_ms) => {
      const found = boardOf(event);
      if (found === board) return;
      hide();
      board = found;
      if (board) timer = window.setTimeout(show, wait_ms);
    };
    const over = (event) => event.pointerType === "mouse" && aim(event, WAIT_MS);
    const focus = (event) => /** @type {Element} */ (event.target).matches(":focus-visible") && aim(event, 0);
    onMounted(() => {
      props.area.addEventListener("pointerover", over);
      props.area.addEventListener("focusin", focus);
      for (const kind of ["pointerleave", "pointerdown", "focusout"]) props.area.addEventListener(kind, hide);
      window.addEventListener("scroll", hide, { passive: true });
    });
    onUnmounted(() => {
      window.clearTimeout(timer);
      window.removeEventListener("scroll", hide);
    });
    expose({ hide });
    const view = computed(() => {
      const node = store.rows >= 0 ? shown.value : null;
      if (!node) return null;
      const stack = store.stacks.get(node.stack ?? -1);
      const { key, label } = store.settings.states[node.state];
      const where = stack ? `${stackName(stack)} · slot ${node.slot}` : "no place";
      return { key, name: node.name, where, words: node.reason || phrase(node) || label, facts: glance(node) };
    });
    return { element, view };
  },
  template: `
  <div ref="element" class="hover-card" aria-hidden="true" :hidden="!view" :data-state="view?.key">
    <template v-if="view">
      <b>{{ view.name }}</b><span class="hover-where">{{ view.where }}</span>
      <p>{{ view.words }}</p>
      <dl><div v-for="(value, term) in view.facts"><dt>{{ term }}</dt><dd>{{ value }}</dd></div></dl>
    </template>
  </div>`,
};

/** @param {HTMLElement} card @param {HTMLElement} board */
function place(card, board) {
  const from = board.getBoundingClientRect();
  const { width, height } = card.getBoundingClientRect();
  const left = Math.max(8, Math.min(from.left + 12, innerWidth - width - 8));
  const below = from.bottom + height + 12 < innerHeight;
  card.style.transform = `translate(${left}px, ${below ? from.bottom + 6 : from.top - height - 6}px)`;
}
