// The Activity page: one sentence for what belongs together, live, back to the beginning.

import { publishLine } from "pirack/actions.js";
import { FailureNotice, showFailures } from "pirack/connection.js";
import { askEvents, EventEntry, fold } from "pirack/events.js";
import { aimed, aroundChanges } from "pirack/layout.js";
import { goTo } from "pirack/navigation.js";
import { blocked, boards, listen, merge, store } from "pirack/store.js";
import { CopyButton } from "pirack/widgets.js";
import { byName, stackName } from "pirack/words.js";
import { computed, onUnmounted, ref, shallowReactive, watch } from "vue";

const PAGE = 200;
const MOST = 3000;

/** Whether a line is about what is chosen; the master answers for the past, we for the new.
 * @param {RackEvent} event @param {string} scope @param {string[]} kinds */
export function fits({ kind, node, stack }, scope, kinds) {
  if (kinds.length && !kinds.includes(kind)) return false;
  const [what, name] = scope.split("/");
  return what === "rack" || (what === "stack" ? stack === Number(name) : node === name);
}

/** Entries with the day where another begins. @param {RackEvent[]} events */
function byDay(events) {
  let day = "";
  return fold(events).map((entry) => {
    const date = new Date(/** @type {RackEvent} */ (entry.lines.at(-1)).ts * 1000);
    const before = day;
    day = date.toLocaleDateString("en-GB", { weekday: "long", day: "numeric", month: "long" });
    return { entry, day: day === before ? "" : day };
  });
}

/** Keeps the entry that is read where it is while the list changes.
 * @param {{ value: HTMLElement }} list @param {() => unknown} source */
function keepReading(list, source) {
  const top = (entry) => entry.getBoundingClientRect().top;
  const before = () => {
    const entries = list.value ? [...list.value.querySelectorAll(":scope > li[data-key]")] : [];
    const at = /** @type {HTMLElement | null} */ (list.value?.closest(".log-page"))?.offsetTop ?? 0;
    const read = window.scrollY > 0 && entries.find((each) => each.getBoundingClientRect().bottom > at);
    return read ? { read, at: top(read) } : null;
  };
  aroundChanges(before, (found) => found?.read.isConnected && window.scrollBy(0, top(found.read) - found.at), source);
}

export default {
  components: { CopyButton, EventEntry, FailureNotice },
  setup() {
    showFailures();
    const list = ref();
    const url = new URLSearchParams(window.location.search);
    const known = (url.get("kind") ?? "").split(",").filter((kind) => kind in store.settings.kinds);
    const chosen = shallowReactive({ scope: url.get("scope") ?? "rack", kinds: known });
    const events = /** @type {RackEvent[]} */ ([]);
    const history = shallowReactive({ events, error: "", waiting: false, got: 0 });
    const words = () => {
      const before = history.events[0]?.seq;
      const kinds = chosen.kinds.length ? [`kind=${chosen.kinds.join(",")}`] : [];
      return [`limit=${PAGE}`, ...kinds, ...(before ? [`before=${before}`] : [])];
    };
    const load = () => {
      if (blocked()) return;
      askEvents(history, chosen.scope, words());
    };
    const restart = () => {
      Object.assign(history, { events: [], error: "" });
      const now = new URLSearchParams();
      if (chosen.kinds.length) now.set("kind", chosen.kinds.join(","));
      if (chosen.scope !== "rack") now.set("scope", chosen.scope);
      window.history.replaceState(window.history.state, "", now.size ? `?${now}` : window.location.pathname);
      load();
    };
    const choose = (kind) => {
      const others = chosen.kinds.filter((each) => each !== kind);
      chosen.kinds = !kind ? [] : others.length < chosen.kinds.length ? others : [...others, kind];
    };
    watch(() => [chosen.scope, chosen.kinds], restart);
    let due = false;
    const live = () => {
      due = false;
      const last = history.events.at(-1)?.seq ?? 0;
      const fresh = store.events.filter((each) => each.seq > last && fits(each, chosen.scope, chosen.kinds));
      if (fresh.length) history.events = merge(history.events, fresh).slice(-MOST);
    };
    const take = (change) => {
      if ((change.snapshot && !history.waiting) || (change.connection && history.error && !blocked())) return restart();
      due ||= Boolean(change.events);
      if (due && !aimed(list.value)) live();
    };
    onUnmounted(listen(take));
    if (store.loaded) load();
    const entries = computed(() => byDay(history.events));
    keepReading(list, () => history.events);
    const ended = computed(() => !history.waiting && !history.error && history.got < PAGE);
    const note = computed(() => {
      if (history.error || blocked()) return history.error || blocked();
      if (history.waiting) return "Asking the master…";
      if (!history.events.length) return "Nothing of this kind has happened.";
      return ended.value ? "This is where the history begins." : "";
    });
    const more = computed(() => {
      const { events: all, waiting } = history;
      return !waiting && !ended.value && all.length > 0 && all.length < MOST;
    });
    const scopes = computed(() => ({
      stacks: [...store.stacks.values()].sort((a, b) => a.number - b.number),
      nodes: byName(boards()),
    }));
    const line = () => {
      const target = { scope: chosen.scope, title: "", nodes: [], lock: null };
      return publishLine(target, { verb: "events", args: words(), label: "", placeholders: [], confirm: "" });
    };
    const open = (id) => goTo(`/?node=${encodeURIComponent(id)}`);
    const view = { entries, note, more, scopes };
    return { list, chosen, choose, load, line, open, blocked, stackName, store, ...view };
  },
  template: `
  <div class="log-page">
    <FailureNotice/>
    <div class="bar-row log-bar">
      <div class="chips" role="group" aria-label="Filter by kind">
        <button class="chip" type="button" data-kind="" :aria-pressed="!chosen.kinds.length" @click="choose('')">
          <span>All</span></button>
        <button v-for="({ title }, kind) in store.settings.kinds" :key="kind" class="chip" type="button"
          :data-kind="kind" :aria-pressed="chosen.kinds.includes(kind)" @click="choose(kind)"><span>{{ title }}</span>
        </button>
      </div>
      <div class="tools">
        <label class="about-whom">About <select v-model="chosen.scope" aria-label="About">
          <option value="rack">the whole rack</option>
          <optgroup label="Stacks">
            <option v-for="stack in scopes.stacks" :key="stack.number" :value="'stack/' + stack.number">
              {{ stackName(stack) }}</option></optgroup>
          <optgroup label="Boards">
            <option v-for="node in scopes.nodes" :key="node.id" :value="'node/' + node.id">{{ node.name }}</option>
          </optgroup>
        </select></label>
        <CopyButton :read="line" label="Copy"/>
      </div>
    </div>
    <section class="log-card">
      <ol ref="list" class="log" aria-label="Events, newest first">
        <template v-for="{ entry, day } in entries" :key="entry.key">
          <li v-if="day" class="log-day">{{ day }}</li>
          <EventEntry :entry="entry" full openable @open="open"/>
        </template>
      </ol>
      <div class="log-end">
        <p class="quiet" role="status" :hidden="!note">{{ note }}</p>
        <button class="button" type="button" :hidden="!more" :disabled="blocked() !== ''" @click="load">Older</button>
      </div>
    </section>
  </div>`,
};
