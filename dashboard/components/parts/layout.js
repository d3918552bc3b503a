// Where stacks stand on the page; and what a person points at or reads stays where it is while
// news come in.

import { computed, onMounted, onUnmounted, ref, shallowRef, watch } from "vue";
import { store } from "./store.js";

const AIMING_MS = 4000;
/** @type {EventTarget | null} */
let pointedAt = null;
let pointedWhen = Number.NEGATIVE_INFINITY;
for (const kind of globalThis.window ? ["pointermove", "pointerdown"] : []) {
  const note = (event) => {
    pointedAt = event.target;
    pointedWhen = performance.now();
  };
  window.addEventListener(kind, note, { passive: true, capture: true });
}

/** Whether somebody aims at something inside: what stands there is to stay for a moment.
 * @param {Element | null | undefined} element */
export const aimed = (element) =>
  performance.now() - pointedWhen < AIMING_MS && Boolean(element?.contains(/** @type {Node} */ (pointedAt)));

export const narrow = () => window.matchMedia("(max-width: 760px)").matches;

/** What a section of the right column moves when it grows: the column, or where all
 * stands in one column, the page. @param {Element | null} element */
export function around(element) {
  const stacked = window.matchMedia("(max-width: 1180px)").matches;
  return element?.closest(stacked ? ".overview" : ".side") ?? element;
}

/** A value that follows `source`, but not while somebody aims at what `place` returns.
 * @template T @param {() => T} source @param {() => Element | null | undefined} place */
export function steady(source, place) {
  const fresh = computed(source);
  const kept = shallowRef(fresh.value);
  watch([fresh, () => store.seconds], () => {
    if (!aimed(place())) kept.value = fresh.value;
  });
  return kept;
}

/** Looks before each change is drawn, and again after it.
 * @template T @param {() => T} before @param {(found: T) => void} after */
export function aroundChanges(before, after, source = () => /** @type {unknown} */ (store.revision)) {
  /** @type {T} */
  let found;
  const look = () => {
    found = before();
  };
  watch(source, look, { flush: "pre" });
  watch(source, () => after(found), { flush: "post" });
}

/** Keeps what is under the pointer, or else what is read, where it is in a scrolling element.
 * @param {{ value: HTMLElement | null }} scroller */
export function keepInPlace(scroller) {
  const top = (element) => element.getBoundingClientRect().top;
  const before = () => {
    const place = scroller.value;
    if (!place) return null;
    const read = (each) => each.getBoundingClientRect().bottom > top(place) + 8;
    const kept = place.querySelector(":scope > :hover") ?? (place.scrollTop > 0 && [...place.children].find(read));
    return kept ? { kept, at: top(kept) } : null;
  };
  aroundChanges(before, (found) => {
    if (!found?.kept.isConnected || !found.kept.checkVisibility() || !scroller.value) return;
    scroller.value.scrollTop += top(found.kept) - found.at;
  });
}

const TALL = 16;
const GAP_PX = 12;

/** Puts stacks at their x,y where there is room for all columns, `least` pixels each.
 * @param {Stack[]} stacks @param {number} least @param {number} width */
export function layOut(stacks, least, width) {
  const columns = Math.max(0, ...stacks.map(({ x }) => x)) + 1;
  const rows = Math.max(0, ...stacks.map(({ y }) => y)) + 1;
  const spots = new Set(stacks.map(({ x, y }) => `${x},${y}`));
  const tower = rows > TALL && rows > columns * 4; // counted off in a few columns, not built so
  const fits = !tower && columns * (least + GAP_PX) <= width && spots.size === stacks.length && columns > 1;
  return {
    style: { "--least": `${least}px`, gridTemplateColumns: fits ? `repeat(${columns}, minmax(0, 1fr))` : "" },
    area: (stack) => (fits && stack ? `${stack.y + 1} / ${stack.x + 1}` : ""),
  };
}

/** The width of an element, followed. @param {{ value: HTMLElement | null }} element */
export function useWidth(element) {
  const width = ref(0);
  const look = () => {
    width.value = element.value?.clientWidth ?? 0;
  };
  const observer = new ResizeObserver(look);
  onMounted(() => {
    look();
    observer.observe(/** @type {HTMLElement} */ (element.value));
  });
  onUnmounted(() => observer.disconnect());
  return width;
}
