// Finds out which board is in which slot of its stack: one board after the other blinks, a
// person says where; two boards that are the wrong way round are swapped.

import { computed, nextTick, onMounted, ref, shallowReactive, watch } from "vue";
import { ask, publishLine, stackTarget, switchTo } from "./actions.js";
import { begin } from "./consent.js";
import { hindrance, install, installAction, installTarget, nameOf, occupied } from "./install_run.js";
import { State, store } from "./store.js";
import { Icon, LineBox, Mark, Modal, openDialog } from "./widgets.js";

const IDENTIFY = { verb: "identify", args: [], label: "Blink", confirm: "", danger: false, placeholders: [] };

/** What is asked while a board is looked for. @param {InstallBoard} board @param {Board | undefined} node
 * @param {boolean} awake @param {string} stack */
export function question(board, node, awake, stack) {
  const { name, mac } = board;
  if (!node) return `No agent of ${name} (${mac}) is heard yet, so its LED cannot blink. Start its agent, or skip it.`;
  if (!awake) return `${name} does not answer now, so its LED cannot blink. Skip it, or wait until it is back.`;
  return `${name} blinks its green LED now. In which slot of ${stack} do you see it?`;
}

/** What is said when every board of a stack was seen. @param {boolean} known @param {boolean} swapped */
export function ending(known, swapped) {
  if (!known) return "No board is known in this stack.";
  if (!swapped) return "Every board of this stack is where PiRack thought it was.";
  const moved = "Those that were swapped get their new addresses when they boot next: power-cycle the stack.";
  return `Every board of this stack is where you saw it. ${moved}`;
}

/** The board that is looked for, and what a person does about it. @param {number} first */
function useFinder(first) {
  const state = shallowReactive({ stack: first, mac: "", error: "", swapping: false, shown: -1, pointed: -1 });
  const seen = shallowReactive(/** @type {Set<string>} */ (new Set()));
  const swapped = shallowReactive(/** @type {Set<number>} */ (new Set()));
  /** Those without a slot cannot be told from here. */
  const boards = computed(() => (install.stacks.get(state.stack)?.boards ?? []).filter(({ slot }) => slot !== null));
  const board = computed(() => boards.value.find(({ mac }) => mac && mac === state.mac));
  const node = computed(
    () => (store.rows + store.structure >= 0 && board.value && store.ids.get(board.value.node)) || undefined,
  );
  /** Whether the LED can be asked for: its agent must be there. */
  const awake = computed(() => store.rows >= 0 && node.value !== undefined && node.value.state < State.OFFLINE);
  const blinkTarget = () => {
    const name = node.value?.id ?? (board.value?.name || "?");
    return { scope: `node/${name}`, title: "", nodes: [], lock: null };
  };
  const swapAction = (slot) => {
    const other = boards.value.find((each) => each.slot === slot);
    return installAction("Swap", "swap", board.value?.name ?? "", other?.name ?? "");
  };
  /** Asks without a receipt on the page; `done` where it went well. */
  const quietly = (target, action, done = () => {}) => {
    state.error = "";
    ask(target, action, action.args, ({ refused, receipt }) => {
      if (refused) state.error = refused;
      if (receipt?.complete && receipt.ok) done();
      else if (receipt?.complete) {
        const why = receipt.rows.find(({ error }) => error)?.error;
        state.error = receipt.error || why || "It was refused, without a reason.";
      }
      if (action.verb === "install" && (refused || receipt?.complete)) state.swapping = false;
    });
  };
  const blink = () => {
    if (board.value && awake.value && !hindrance("identify")) quietly(blinkTarget(), IDENTIFY);
  };
  /** The next board that nobody has seen yet; after `skip` the present one comes last. */
  const next = (skip = false) => {
    const open = boards.value.filter(({ mac }) => mac && !seen.has(mac));
    const at = open.findIndex(({ mac }) => mac === state.mac);
    state.mac = (skip ? open[(at + 1) % Math.max(open.length, 1)] : open[0])?.mac ?? "";
    blink();
  };
  const go = (stack) => {
    Object.assign(state, { stack, mac: "", error: "" });
    next();
  };
  /** A person sees the board blink in a slot. */
  const here = (slot) => {
    const { mac } = /** @type {InstallBoard} */ (board.value);
    if (slot === board.value?.slot) {
      state.error = "";
      seen.add(mac);
      return next();
    }
    const from = boards.value.find((other) => other.slot === slot)?.mac ?? "";
    state.swapping = true;
    quietly(installTarget(), swapAction(slot), () => {
      seen.add(mac);
      seen.delete(from);
      swapped.add(state.stack);
      next();
    });
  };
  /** The line to copy: of the answer under the pointer or the focus, else of the blinking. */
  const line = computed(() => {
    if (!board.value) return "";
    const swap = state.shown !== board.value.slot && boards.value.some(({ slot }) => slot === state.shown);
    return swap ? publishLine(installTarget(), swapAction(state.shown)) : publishLine(blinkTarget(), IDENTIFY);
  });
  watch(
    () => [state.mac, board.value?.slot],
    () => {
      state.shown = state.pointed < 0 ? (board.value?.slot ?? -1) : state.pointed;
    },
    { immediate: true },
  );
  return { state, seen, swapped, boards, board, node, awake, blink, next, go, here, line };
}

/** What the dialog draws. @param {ReturnType<typeof useFinder>} finder */
function viewOf({ state, seen, swapped, boards, board, node, awake }) {
  const now = board.value;
  const why = hindrance();
  const held = now ? hindrance("identify") : "";
  const numbers = occupied(install.stacks);
  const name = nameOf(state.stack);
  const asked = now ? question(now, node.value, awake.value, name) : "";
  const known = boards.value.some(({ mac }) => mac !== "");
  return {
    slots: boards.value.map((each) => {
      const current = each.mac !== "" && each.mac === state.mac;
      const found = seen.has(each.mac);
      const words = current ? "blinking" : found ? "seen" : each.mac ? "" : "empty";
      return { slot: each.slot, name: each.mac ? each.name : "no board", mac: each.mac, current, found, words };
    }),
    answers: now ? boards.value.map(({ slot }) => answerOf(slot, now, why, state.swapping)) : [],
    note: held || (now && why ? `Blinking is all you can do here. To swap: ${why}` : ""),
    words: state.swapping ? "Swapping the two…" : now ? asked : ending(known, swapped.has(state.stack)),
    blinkHeld: held !== "" || !awake.value,
    cycle: !now && swapped.has(state.stack) ? name : "",
    following: now ? undefined : numbers[numbers.indexOf(state.stack) + 1],
    why,
    now,
    numbers,
  };
}

/** One answer a person can give. @param {number | null} slot @param {InstallBoard} board @param {string} why
 * @param {boolean} swapping */
function answerOf(slot, board, why, swapping) {
  const same = slot === board.slot;
  return {
    slot,
    same,
    held: swapping || (!same && why !== ""),
    title: same ? "Where PiRack thinks it is" : why || `Swap ${board.name} with the board of slot ${slot}`,
    label: same ? `Slot ${slot}, where PiRack thinks it is` : `Slot ${slot}: swap the two`,
  };
}

const SlotFinder = {
  components: { Icon, LineBox, Mark, Modal },
  props: { first: Number },
  emits: ["close"],
  setup(props) {
    const finder = useFinder(props.first);
    const body = ref();
    const view = computed(() => viewOf(finder));
    const focusAnswer = () => {
      const dialog = body.value?.closest("dialog");
      const next = dialog?.querySelector(".same, [data-next]:not(:disabled)");
      (next ?? dialog?.querySelector(".dialog-buttons button"))?.focus();
    };
    onMounted(() => {
      finder.go(props.first);
      nextTick(focusAnswer);
    });
    /** Who answers by keyboard goes on where the next answer is. */
    const answer = async (slot) => {
      finder.here(slot);
      await nextTick();
      if (!finder.state.swapping) focusAnswer();
    };
    watch(
      () => finder.state.swapping,
      async (swapping) => {
        await nextTick();
        if (!swapping && (document.activeElement === document.body || !document.activeElement)) focusAnswer();
      },
    );
    const cycle = (close) => {
      const stack = store.stacks.get(finder.state.stack);
      close();
      if (stack) begin(stackTarget(stack), switchTo("cycle"));
    };
    const { state, blink, next, go, line } = finder;
    /** The pointer says more of what is meant than the focus. */
    const look = (slot) => {
      if (state.pointed < 0) state.shown = slot;
    };
    return { body, view, state, blink, next, go, line, answer, look, cycle, nameOf };
  },
  template: `
  <Modal class="in-slots" back="Close" title="Which board is in which slot?" @close="$emit('close')">
    <template #default="{ close }"><div ref="body" class="dialog-body">
      <label class="in-which">Stack <select :value="state.stack" @change="go(Number($event.target.value))">
        <option v-for="each in view.numbers" :key="each" :value="each">{{ nameOf(each) }}</option></select></label>
      <div class="in-wizard">
        <ol class="in-front">
          <li v-for="each in view.slots" :key="each.slot" class="in-slot" :data-now="each.current ? '' : null"
              :data-seen="each.found ? '' : null">
            <b>{{ each.slot }}</b><span class="in-name">{{ each.name }}</span><span class="in-mac">{{ each.mac }}</span>
            <span class="in-words"><Icon v-if="each.current" name="identify" :size="15"/>
              <Mark v-else-if="each.found" name="verified" :size="14"/>{{ each.words }}</span>
          </li>
        </ol>
        <div class="in-question">
          <p class="in-ask" role="status">{{ view.words }}</p><p class="why" :hidden="!view.note">{{ view.note }}</p>
          <div class="in-answers" role="group" aria-label="The slot where it blinks">
            <button v-for="each in view.answers" :key="each.slot" :class="['button in-answer', { same: each.same }]"
              type="button" :disabled="each.held" :title="each.title" :aria-label="each.label"
              @click="answer(each.slot)" @focus="look(each.slot)"
                @pointerenter="state.shown = state.pointed = each.slot"
              @pointerleave="state.pointed = -1">
              <b>{{ each.slot }}</b><span>{{ each.same ? "as thought" : "swap" }}</span></button>
          </div>
          <p class="receipt-error" role="alert" :hidden="!state.error">{{ state.error }}</p>
          <div class="in-actions">
            <button class="button" type="button" :hidden="!view.now" :disabled="view.blinkHeld" @click="blink">
              <Icon name="identify" :size="16"/><span>Blink again</span></button>
            <button class="button" type="button" :hidden="!view.now" @click="next(true)">Skip it</button>
            <button v-if="view.cycle" class="button primary" type="button" data-next :disabled="view.why !== ''"
              @click="cycle(close)"><Icon name="reboot" :size="16"/><span>Power-cycle {{ view.cycle }}…</span></button>
            <button v-if="view.following" :class="['button', { primary: !view.cycle }]" type="button" data-next
              @click="go(view.following)"><span>Go on with {{ nameOf(view.following) }}</span></button>
          </div>
        </div>
      </div>
      <LineBox :line="line" :hidden="!view.now"/>
    </div></template>
  </Modal>`,
};

/** Opens it at a stack. @param {number} first */
export const openSlotFinder = (first) => openDialog(SlotFinder, { first });
