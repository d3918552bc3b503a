// The Overview: figures, filters, the rack, what needs a look, and one board in full.

import { rackTarget, stackTarget, tagTarget } from "pirack/actions.js";
import { BoardCard, BoardSheet } from "pirack/board_sheet.js";
import { FailureNotice, Services, showFailures } from "pirack/connection.js";
import { RecentEvents } from "pirack/events.js";
import { menu, openMenu } from "pirack/menu.js";
import { leads, neighbour, SearchBox, typing } from "pirack/navigation.js";
import { describe, Legend, Rack } from "pirack/rack.js";
import { boardOf } from "pirack/slot.js";
import { boards, filtering, frozen, setFilter, shown, store } from "pirack/store.js";
import { Attention, Figures, StateFilter, UnderWay } from "pirack/summary.js";
import { Icon } from "pirack/widgets.js";
import { moment } from "pirack/words.js";
import { computed, nextTick, onMounted, onUnmounted, ref, watch } from "vue";

const CELLS_ABOVE = 120;

/** What stands in the place of an empty rack: "" for none. */
function emptiness() {
  const { broker, ready, home } = store.connection;
  const all = boards();
  if (!store.loaded) return "";
  if (!all.length && !store.stacks.size) return !broker ? "broker" : ready ? "new" : "master";
  if (filtering() && !all.some(shown)) return "none";
  return ready && !store.stacks.size && all.length === 1 && store.ids.has(home) ? "alone" : "";
}

/** Why there is no board to see, and what to do. */
const EmptyNotice = {
  props: { kind: String },
  emits: ["clear"],
  setup: () => ({ frozen }),
  template: `
  <div class="empty">
    <template v-if="kind === 'none'">
      <h2>No board matches</h2><p>Nothing in this rack fits the search and the states chosen.</p>
      <button class="button" type="button" @click="$emit('clear')">Show all boards</button>
    </template>
    <template v-else-if="kind === 'broker'">
      <h2>The broker cannot be reached</h2>
      <p>Nothing is known of the rack yet: {{ frozen() }}. This page fills by itself as soon as the broker answers.</p>
      <p>To see why: <code>pirack doctor</code></p>
    </template>
    <template v-else-if="kind === 'master'">
      <h2>Waiting for the master</h2><p>The broker is there, but no master has said what the rack looks like.</p>
      <p>Start it: <code>pirack master --config pirack.toml</code></p>
    </template>
    <template v-else>
      <h2>{{ kind === "alone" ? "Only the master so far" : "No nodes yet" }}</h2>
      <p>A board appears here by itself a few seconds after its agent starts.</p>
      <ul><li>To let a Pi join: <code>pirack node add</code></li>
        <li>By hand, on a board: <code>pirack-agent --config pirack.toml</code></li>
        <li>To try PiRack without one: <code>pirack up --simulate 12x4</code></li></ul>
    </template>
  </div>`,
};

/** What the menu of a stack says first: its boards, its outlet, who has reserved it.
 * @param {number} number @param {Target} target */
function headline(number, { nodes }) {
  const stack = store.stacks.get(number);
  if (!stack) return "";
  const { power, wanted, lock } = stack;
  const differs = power !== wanted && wanted ? `, wanted ${wanted}` : "";
  const held = lock ? ` · reserved by ${lock.by} until ${moment(lock.until)}` : "";
  return `${describe(nodes)}${power ? ` · power ${power}${differs}` : ""}${held}`;
}

/** @param {MouseEvent} event @param {number} number */
function openStackMenu(event, number) {
  const stack = store.stacks.get(number);
  if (stack) openMenu(event, stackTarget(stack), (target) => headline(number, target));
}

/** The menu of the rack, and from there the menus of its tags. @param {MouseEvent} event */
function openRackMenu(event) {
  const tags = [...new Set(boards().flatMap((node) => node.tags))].sort();
  const button = event.currentTarget;
  const words = (/** @type {Target} */ { nodes }) => describe(nodes);
  const open = async (tag) => {
    menu.value = null;
    await nextTick();
    openMenu(/** @type {any} */ ({ currentTarget: button }), tagTarget(tag), words);
  };
  openMenu(event, rackTarget(), words, { tags, open });
}

/** What is searched, chosen and open, as in the address. @param {{ value: string }} search */
function useAddress(search, open) {
  const url = new URLSearchParams(window.location.search);
  setFilter((url.get("state") ?? "").split(",").filter(Boolean));
  const begin = () => {
    if (!window.did_handshake || !store.loaded) return;
    window.clearInterval(timer);
    search.value = url.get("q") ?? "";
    if (url.get("node")) open(url.get("node") ?? "");
  };
  const timer = window.setInterval(begin, 50);
  onUnmounted(() => window.clearInterval(timer));
  const address = computed(() => {
    const now = new URLSearchParams();
    if (search.value) now.set("q", search.value);
    if (store.filter.size) now.set("state", [...store.filter].join(","));
    if (store.open) now.set("node", store.open);
    return now.size ? `?${now}` : window.location.pathname;
  });
  watch(address, (now) => window.history.replaceState(window.history.state, "", now));
}

/** Which board is open; `rack` has the boards. @param {{ value: HTMLElement }} rack */
function useOpenBoard(rack) {
  /** @type {Element | null} */
  let opener = null;
  const open = (id) => {
    if (!store.open) opener = document.activeElement;
    store.open = id;
    store.say({ kind: "open", node: id });
  };
  const close = () => {
    const board = rack.value.querySelector(`[data-node="${CSS.escape(store.open)}"]`);
    store.open = "";
    store.node = null;
    store.say({ kind: "open", node: "" });
    const back = opener?.isConnected ? opener : board;
    if (back instanceof HTMLElement) back.focus();
  };
  const mark = () => document.body.classList.toggle("panel-open", store.open !== "");
  watch(() => store.open, mark);
  onUnmounted(() => {
    store.open = "";
    store.say({ kind: "open", node: "" });
    mark();
  });
  return { open, close };
}

export default {
  components: {
    Attention,
    BoardCard,
    BoardSheet,
    EmptyNotice,
    FailureNotice,
    Figures,
    Icon,
    Legend,
    Rack,
    RecentEvents,
    SearchBox,
    Services,
    StateFilter,
    UnderWay,
  },
  setup() {
    showFailures();
    const frame = ref();
    const search = ref("");
    const chosen = ref("");
    const metric = ref("cpu");
    const { open, close } = useOpenBoard(frame);
    useAddress(search, open);
    watch(search, (text) => store.say({ kind: "search", text }));
    const clear = () => {
      search.value = "";
      setFilter([]);
    };
    const key = (event) => {
      if (event.key === "Escape" && !document.querySelector("dialog[open], :popover-open")) {
        if (store.open) close();
        else if (filtering()) clear();
        return;
      }
      const board = boardOf(event);

      if (!board || !leads(event.key) || typing(event)) return;
      event.preventDefault();
      neighbour(frame.value, board, event.key)?.focus();
    };
    onMounted(() => document.addEventListener("keydown", key));
    onUnmounted(() => {
      document.removeEventListener("keydown", key);
      store.filter = new Set();
      store.say({ kind: "search", text: "" });
    });
    /** "slots" or "cells": as chosen, else by the number of boards. */
    const view = computed(() => chosen.value || (boards().length > CELLS_ABOVE ? "cells" : "slots"));
    const empty = computed(emptiness);
    const known = computed(() => store.structure >= 0 && store.nodes.size + store.stacks.size > 0);
    const waiting = computed(() => {
      const { broker, ready } = store.connection;
      return !store.loaded || (broker && !ready && !known.value);
    });
    const menus = { openStackMenu, openRackMenu };
    return { frame, search, chosen, metric, open, close, clear, view, empty, known, waiting, store, ...menus };
  },
  template: `
  <div class="overview">
    <div class="column">
      <Figures @open="open"/>
      <div class="bar-row">
        <StateFilter/>
        <div class="tools">
          <div class="switches" role="group" aria-label="View">
            <button v-for="each in ['slots', 'cells']" class="switch" type="button" :data-view="each"
              :aria-label="'Show as ' + each" :title="'Show as ' + each" :aria-pressed="view === each"
              @click="chosen = each"><Icon :name="each"/></button>
          </div>
          <button class="button rack-actions" type="button" aria-haspopup="dialog" @click="openRackMenu">
            <Icon name="bolt" :size="16"/>Rack<Icon name="down" :size="14"/></button>
        </div>
      </div>
      <Legend v-model:metric="metric" :hidden="!known || view !== 'cells'"/>
      <FailureNotice/>
      <EmptyNotice v-if="empty && !store.failure" :kind="empty" @clear="clear"/>
      <div ref="frame" class="rack-frame">
        <div role="status" :hidden="!waiting">
          <span class="sr-only">Loading the rack</span>
          <div class="rack skeleton" aria-hidden="true">
            <div v-for="stack in 12" class="ghost"><span v-for="slot in 4"></span></div></div>
        </div>
        <Rack :view="view" :metric="metric" :hidden="!known" @menu="openStackMenu" @open="open"/>
      </div>
      <p class="caption" :hidden="!known || view === 'cells'">Upper bar CPU, lower bar memory; the line is CPU over the
        last minutes, at most 3. Front view, slot 1 on top.</p>
    </div>
    <div class="side">
      <UnderWay/><Attention @open="open"/><Services/><RecentEvents @open="open"/>
    </div>
    <BoardSheet v-if="store.open" :key="store.open" :id="store.open" @close="close"/>
    <BoardCard v-if="frame" :area="frame"/>
    <Teleport defer to="#search-place"><SearchBox v-model:text="search" @open="open"/></Teleport>
  </div>`,
};
