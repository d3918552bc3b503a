// The last events of the rack, or of one board: those the master is asked for, because
// what came lately from the whole rack says nothing about a quiet board.

import { computed, onUnmounted, ref, shallowReactive, watch } from "vue";
import { ask } from "./actions.js";
import { EventEntry, fold } from "./events.js";
import { follow } from "./links.js";
import { steady } from "./steady.js";
import { blocked, listen, merge, store } from "./store.js";

const OF_RACK = 12;
const OF_NODE = 8;
const LINES_ASKED = 40;

/** Ask the master for lines of history; `state` gets `events`, `error` and `waiting`. An
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
  /** @param {{ node: string }} props */
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
    return { element, entries, words, href, go: (/** @type {MouseEvent} */ event) => follow(event, path) };
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
