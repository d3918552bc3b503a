// The rack from the front during an install run: each stack with its phase, each slot with
// the board that was heard in it.

import { computed, ref, shallowRef, watch } from "vue";
import { send } from "./actions.js";
import * as run from "./install_run.js";
import { layOut, useWidth } from "./layout.js";
import { openSlotFinder } from "./slot_finder.js";
import { store } from "./store.js";
import { Icon, Mark } from "./widgets.js";
import { plural, stackName } from "./words.js";

const CARD_PX = 236;
const CELL_CARD_PX = 96;
/** Racks up to this size are drawn with a line per board, larger ones with a mark. */
const LINES_UP_TO = 120;
const NOBODY = { name: "", address: "", mac: "", serial: "", model: "", verdict: "", verified: false, node: "" };

/** Slots nobody has said anything of yet. @param {number} slots @returns {InstallBoard[]} */
const unknown = (slots) => Array.from({ length: slots }, (_, index) => ({ ...NOBODY, slot: index + 1 }));

/** What is drawn of a slot. @param {InstallBoard} board @param {string} phase @param {boolean} now */
export function boardView(board, phase, now) {
  const { mark, words, quiet } = run.boardWords(board, phase, now);
  const { slot, name, address, mac, serial } = board;
  const heard = mark === "heard" && slot === null;
  const model = board.model
    .replace(/^Raspberry Pi /, "Pi ")
    .replace(/ Rev .*$/, "")
    .replace(" Model ", " ");
  const join = (...parts) => parts.filter(Boolean).join(" · ");
  return {
    mark,
    words,
    quiet,
    address,
    name: heard ? mac : name || (slot === null ? "no slot" : `slot ${slot}`),
    who: join(heard ? "" : mac, model),
    title: join(mac, serial && `serial ${serial}`, board.model),
    short: join(name || "no slot yet", words, address, mac),
  };
}

/** Where a stack stands: mark and words. @param {InstallStack | undefined} row @param {string} phase
 * @param {Stack} stack @param {boolean} cut @param {boolean} here */
function phaseWords(row, phase, { slots, power }, cut, here) {
  if (cut)
    return power === "off" ? { mark: "", words: "is off already" } : { mark: "trouble", words: "will lose power" };
  const said = store.settings.install.phases[phase] ?? { mark: "", words: phase };
  const boards = row?.boards ?? [];
  const heard = boards.filter((board) => board.slot === null || board.verdict === "ok").length;
  if (here && phase === "scanning" && heard) return { mark: said.mark, words: `${heard} of ${slots} heard` };
  return phase === "problems" ? { mark: said.mark, words: run.troubleWords(boards) } : said;
}

/** One stack. `row` is what the run says of it; `now`, `cut` and `here`: the run is under
 * way, will cut its power, works on it. */
const InstallCard = {
  components: { Icon, Mark },
  props: ["stack", "row", "lines", "now", "cut", "here", "mine", "hindered", "area"],
  setup(props) {
    const phase = computed(() => (props.mine ? props.row.phase : "untouched"));
    const words = computed(() => phaseWords(props.row, phase.value, props.stack, props.cut, props.here));
    const ended = computed(() => !props.now && (props.row?.boards ?? []).some((each) => each.mac));
    const boards = computed(() => {
      const known = props.row?.boards.length ? props.row.boards : unknown(props.stack.slots);
      return run.arrange(known, phase.value);
    });
    /** Addresses that were drawn before: what is new of a run under way is marked. */
    const before = shallowRef(/** @type {Set<string> | null} */ (null));
    watch(
      () => [props.row?.run, boards.value],
      ([now], [past, drawn]) => {
        before.value = now === past ? new Set(drawn.map((each) => each.mac)) : null;
      },
    );
    const views = computed(() =>
      boards.value.map((board, at) => {
        const fresh = props.now && board.mac !== "" && before.value !== null && !before.value.has(board.mac);
        return { key: `${board.mac} ${board.slot ?? at}`, fresh, ...boardView(board, phase.value, props.now) };
      }),
    );
    const scan = () => send(run.installTarget(props.stack.number), run.installAction("Install", "start"));
    return { phase, words, ended, views, scan, openSlotFinder, name: computed(() => stackName(props.stack)) };
  },
  template: `
  <section class="stack in-stack" :aria-label="name" :data-phase="cut ? 'cut' : phase" :data-here="here ? '' : null"
      :style="{ gridArea: area }">
    <header class="stack-head">
      <h3 class="stack-name">{{ lines ? name : stack.number }}</h3>
      <span class="stack-power" :data-power="stack.power || null"
          :title="stack.power ? 'Outlet reads back ' + stack.power : ''">
        <template v-if="stack.power"><Icon :name="stack.power === 'off' ? 'unplugged' : 'power'" :size="15"/>
          <span class="sr-only">Outlet reads back {{ stack.power }}</span></template></span>
      <span class="in-phase" :data-mark="words.mark || null" :title="words.words || null">
        <Mark v-if="words.mark" :name="words.mark" :size="14"/><span>{{ words.words }}</span></span>
      <button class="icon-button" type="button" :aria-label="'Check the slots of ' + name + ' by their LEDs'"
        title="Check the slots by their LEDs" :hidden="!ended || !lines" @click="openSlotFinder(stack.number)">
        <Icon name="identify" :size="16"/></button>
      <button class="icon-button" type="button" :aria-label="'Scan ' + name + ' again'" title="Scan this stack again"
        :hidden="!ended || !lines" :disabled="hindered" @click="scan"><Icon name="refresh" :size="16"/></button>
    </header>
    <ol v-if="lines" class="in-boards">
      <li v-for="each in views" :key="each.key" :class="['in-board', { fresh: each.fresh }]" :data-mark="each.mark"
          :title="each.title || null">
        <Mark :name="each.mark"/><span class="in-name">{{ each.name }}</span>
        <span class="in-address">{{ each.address }}</span>
        <span v-if="(each.words && !each.quiet) || each.who" class="in-about-board">
          <span v-if="each.words" :class="each.quiet ? 'sr-only' : 'in-words'">{{ each.words }}</span>
          <span v-if="each.who" class="in-mac">{{ each.who }}</span></span>
        <span v-else-if="each.words" class="sr-only">{{ each.words }}</span>
      </li>
    </ol>
    <ol v-else class="in-cells">
      <li v-for="each in views" :key="each.key" :class="['in-cell', { fresh: each.fresh }]" :data-mark="each.mark"
        :title="each.short"><Mark :name="each.mark"/><span class="sr-only">{{ each.short }}</span></li>
    </ol>
  </section>`,
};

/** The stacks as a run sees them. */
export const InstallRack = {
  components: { InstallCard },
  setup() {
    const element = ref();
    const width = useWidth(element);
    const numbers = computed(() =>
      [...new Set([...store.stacks.keys(), ...run.install.stacks.keys()])].sort((a, b) => a - b),
    );
    const stacks = computed(() =>
      numbers.value.map((number) => {
        return store.stacks.get(number) ?? { number, name: "", x: number, y: 0, slots: 0, found: [] };
      }),
    );
    const slots = computed(() => stacks.value.reduce((sum, stack) => sum + stack.slots, 0));
    const lines = computed(() => slots.value <= LINES_UP_TO);
    const now = computed(() => run.live(run.install.state));
    const layout = computed(() => layOut(stacks.value, lines.value ? CARD_PX : CELL_CARD_PX, width.value));
    const cards = computed(() => {
      const { state } = run.install;
      const { area } = layout.value;
      return stacks.value.map((stack) => {
        const row = run.install.stacks.get(stack.number);
        const touched = !state || state.only === null || state.only === stack.number;
        return {
          stack,
          row,
          area: area(stack),
          cut: run.kindOf(state) === "confirm" && touched,
          here: now.value && state?.stack === stack.number,
          mine: Boolean(row && state && row.run === state.run),
        };
      });
    });
    const hindered = computed(() => run.hindrance() !== "");
    const note = computed(
      () =>
        `${plural(cards.value.length, "stack")}, ${plural(slots.value, "slot")}; slot 1 on top. Which board is in ` +
        "which slot of its stack is a guess until somebody has seen its LED.",
    );
    return { element, layout, cards, lines, now, hindered, note };
  },
  template: `
  <div class="rack-frame">
    <div ref="element" class="rack in-rack" role="group" aria-label="Stacks of the rack" :data-live="now ? '' : null"
        :data-view="lines ? 'slots' : 'cells'" :style="layout.style" :hidden="!cards.length">
      <InstallCard v-for="each in cards" :key="each.stack.number" v-bind="each" :lines="lines" :now="now"
        :hindered="hindered"/>
    </div>
  </div>
  <p class="caption">{{ cards.length ? note : "" }}</p>`,
};
