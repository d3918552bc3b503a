// The rack's history as a person reads it: what belongs together is one entry; and the last
// events of the rack, or of one board.

import { computed, onUnmounted, ref, shallowReactive, watch } from "vue";
import { ask } from "./actions.js";
import { steady } from "./layout.js";
import { follow } from "./navigation.js";
import { blocked, listen, merge, store } from "./store.js";
import { clock, plural, stamp } from "./words.js";

const HEADS = ["incident", "command"];
const BURST_S = 120;
const BURSTS = ["registry", "verdict"];

/** @typedef {{ key: string, tail: string, head: RackEvent, lines: RackEvent[] }} Entry */

/** @param {Entry} entry */
const newest = ({ lines }) => lines[lines.length - 1];

/** What is said of many boards within two minutes is one entry: a rack that starts.
 * @param {RackEvent} event */
function burst(event) {
  const name = store.ids.get(event.node)?.name;
  return BURSTS.includes(event.kind) && name && event.text.startsWith(`${name} `) ? event.text.slice(name.length) : "";
}

/** Fold events, oldest first, into entries, newest first. An incident's headline stands for
 * it, else its newest line; a command's last word. @param {RackEvent[]} events */
export function fold(events) {
  /** @type {Map<string, Entry>} */
  const entries = new Map();
  /** @type {Map<string, Entry>} */
  const bursts = new Map();
  for (const event of events) {
    const single = event.incident || event.correlation;
    const tail = single ? "" : burst(event);
    const before = tail ? bursts.get(tail) : undefined;
    const key = single || (before && event.ts - before.lines[0].ts < BURST_S ? before.key : String(event.seq));
    const entry = entries.get(key) ?? { key, tail, head: event, lines: [] };
    entries.set(key, entry);
    entry.lines.push(event);
    const rank = HEADS.indexOf(entry.head.kind);
    if (rank < 0 || HEADS.indexOf(event.kind) === rank || event.kind === HEADS[0]) entry.head = event;
    if (tail) bursts.set(tail, entry);
  }
  return [...entries.values()].sort((a, b) => newest(b).seq - newest(a).seq);
}

/** The sentence of an entry. @param {Entry} entry */
export function sentence({ head, lines, tail }) {
  const boards = new Set(lines.map(({ node }) => node)).size;
  if (!tail || boards < 2) return head.text;
  const many = tail
    .replace(/^ was /, " were ")
    .replace(/^ is /, " are ")
    .replace(/^ has /, " have ");
  return `${plural(boards, "board")}${many}`;
}

/** What a line is about, as a button where its board can be opened. */
const EventText = {
  props: { event: Object, text: String, openable: Boolean },
  emits: ["open"],
  setup: () => ({ store }),
  template: `
  <button v-if="openable && store.ids.has(event.node)" class="event-open" type="button"
    @click="$emit('open', event.node)"><span class="event-text">{{ text }}</span></button>
  <span v-else class="event-text">{{ text }}</span>`,
};

/** One entry as a list item; `full`: with seconds and every line. */
export const EventEntry = {
  components: { EventText },
  props: { entry: Object, full: Boolean, openable: Boolean },
  emits: ["open"],
  setup: () => ({ clock, newest, plural, sentence, stamp, store }),
  template: `
  <li :data-kind="entry.head.kind" :data-key="entry.key">
    <time :title="stamp(newest(entry).ts)">{{ clock(newest(entry).ts, { seconds: full }) }}</time>
    <span v-if="full" class="event-kind">{{ store.settings.kinds[entry.head.kind]?.label ?? entry.head.kind }}</span>
    <EventText :event="entry.head" :text="sentence(entry)" :openable="openable" @open="$emit('open', $event)"/>
    <template v-if="entry.lines.length > 1">
      <details v-if="full">
        <summary>{{ plural(entry.lines.length, "line") }}</summary>
        <ol class="story-lines">
          <li v-for="event in entry.lines" :key="event.seq">
            <time :title="stamp(event.ts)">{{ clock(event.ts, { seconds: true }) }}</time>
            <EventText :event="event" :text="event.text" :openable="openable" @open="$emit('open', $event)"/>
          </li>
        </ol>
      </details>
      <span v-else class="event-more" :title="entry.lines.length + ' lines belong together'">
        +{{ entry.lines.length - 1 }}</span>
    </template>
  </li>`,
};

const OF_RACK = 12;
const OF_NODE = 8;
const LINES_ASKED = 40;

/** Asks the master for lines of history; `state` gets `events`, `error` and `waiting`. An
 * answer to an older question is dropped.
 * @param {{ events: RackEvent[], error: string, waiting: boolean, got: number }} state
 * @param {string} scope @param {string[]} args */
export function askEvents(state, scope, args) {
  const target = { scope, title: "", nodes: [], lock: null };
  const action = { verb: "events", args, label: "", placeholders: [], confirm: "" };
  const question = Symbol(scope);
  Object.assign(state, { question, error: "", waiting: true, got: 0 });
  ask(target, action, args, ({ refused, receipt }) => {
    if (/** @type {any} */ (state).question !== question) return;
    if (refused) Object.assign(state, { error: refused, waiting: false });
    if (!receipt) return;
    state.got += receipt.events.length;
    state.events = merge(state.events, receipt.events);
    if (receipt.complete) Object.assign(state, { error: receipt.error, waiting: false });
  });
}

/** The section of the right column, or of a board's sheet. */
export const RecentEvents = {
  components: { EventEntry },
  props: { node: { type: String, default: "" } },
  emits: ["open"],
  setup(props) {
    const element = ref();
    const { node } = props;
    const history = shallowReactive({ events: /** @type {RackEvent[]} */ ([]), error: "", waiting: false, got: 0 });
    const load = () => {
      history.error = blocked();
      if (node && !history.error) askEvents(history, `node/${node}`, [`limit=${LINES_ASKED}`]);
    };
    load();
    watch(blocked, (why) => !why && history.error && load());
    onUnmounted(listen(({ snapshot }) => snapshot && load()));
    const entries = steady(
      () => {
        const own = store.events.filter((event) => event.node === node);
        return fold(node ? merge(history.events, own) : store.events).slice(0, node ? OF_NODE : OF_RACK);
      },
      () => element.value,
    );
    const words = computed(() => {
      if (node && history.waiting) return "Asking the master…";
      if (node && history.error) return `Its earlier lines are not known. ${history.error}`;
      return entries.value.length ? "" : `The history has no line${node ? " about it" : "s yet"}.`;
    });
    const path = `/activity${node ? `?scope=node/${encodeURIComponent(node)}` : ""}`;
    const href = `${window.path_prefix ?? ""}${path}`;
    return { element, entries, words, href, go: (event) => follow(event, path) };
  },
  template: `
  <section ref="element" class="activity" :aria-label="node ? 'Activity of the board' : 'Activity'">
    <div class="side-head">
      <component :is="node ? 'h3' : 'h2'">Activity</component>
        <a class="side-link" :href="href" @click="go">all of it</a></div>
    <ol class="events">
      <EventEntry v-for="each in entries" :key="each.key" :entry="each" :openable="!node"
          @open="$emit('open', $event)"/>
    </ol>
    <p class="quiet" role="status" :hidden="!words">{{ words }}</p>
  </section>`,
};
