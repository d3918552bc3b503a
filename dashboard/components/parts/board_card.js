// The card that answers "what is this?" when the mouse rests on a board or it has focus.

import { computed, nextTick, onMounted, onUnmounted, ref, shallowRef } from "vue";
import { boardOf, phrase } from "./slot.js";
import { now, State, store } from "./store.js";
import { age, stackName } from "./words.js";

const WAIT_MS = 320;

/** The figures of a board that are worth a glance. @param {Board} node */
export function facts(node) {
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
  /** @param {{ area: HTMLElement }} props */
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
    const aim = (/** @type {Event} */ event, /** @type {number} */ wait_ms) => {
      const found = boardOf(event);
      if (found === board) return;
      hide();
      board = found;
      if (board) timer = window.setTimeout(show, wait_ms);
    };
    const over = (/** @type {PointerEvent} */ event) => event.pointerType === "mouse" && aim(event, WAIT_MS);
    const focus = (/** @type {FocusEvent} */ event) =>
      /** @type {Element} */ (event.target).matches(":focus-visible") && aim(event, 0);
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
      return { key, name: node.name, where, words: node.reason || phrase(node) || label, facts: facts(node) };
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
