// Where stacks stand on the page: as in the rack where there is room, else in order.

import { onMounted, onUnmounted, ref } from "vue";

const TALL = 16;
const GAP_PX = 12;

/** Put stacks at their x,y where there is room for all columns, `least` pixels each.
 * @param {Stack[]} stacks @param {number} least @param {number} width */
export function layOut(stacks, least, width) {
  const columns = Math.max(0, ...stacks.map(({ x }) => x)) + 1;
  const rows = Math.max(0, ...stacks.map(({ y }) => y)) + 1;
  const spots = new Set(stacks.map(({ x, y }) => `${x},${y}`));
  const tower = rows > TALL && rows > columns * 4; // counted off in a few columns, not built so
  const fits = !tower && columns * (least + GAP_PX) <= width && spots.size === stacks.length && columns > 1;
  return {
    style: { "--least": `${least}px`, gridTemplateColumns: fits ? `repeat(${columns}, minmax(0, 1fr))` : "" },
    area: (/** @type {Stack | null | undefined} */ stack) => (fits && stack ? `${stack.y + 1} / ${stack.x + 1}` : ""),
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
