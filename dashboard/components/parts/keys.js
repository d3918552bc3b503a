// Everything by keyboard. No single key does anything that could hurt.

import { Modal, openDialog } from "./dialogs.js";

const KEYS = {
  "/": "search",
  "← ↑ → ↓": "go from board to board",
  Enter: "open the board",
  Esc: "close, then clear the search",
  "g then o": "Overview",
  "g then i": "Install",
  "g then a": "Activity",
  "?": "this list",
};
const SEARCH = {
  "s03|s04": "either word in id, name, host, address, MAC, serial or tag",
  "state:offline|stale": "ok, warn, crit, busy, stale, offline, off, unseen, frozen",
  "stack:3 tag:gpu": "both at once; stack:none for boards without a place",
  "temp:>70 cpu:>=80": "vitals: temp, cpu, mem, disk, load, uptime",
  "ip:10.0 mac:dca6": "one field: id, name, host, ip, mac, serial, os, model",
};

const HelpTable = {
  props: { rows: Object },
  template: `
  <dl class="help">
    <div v-for="(text, keys) in rows"><dt><kbd>{{ keys }}</kbd></dt><dd>{{ text }}</dd></div>
  </dl>`,
};

const HelpDialog = {
  components: { HelpTable, Modal },
  emits: ["close"],
  setup: () => ({ KEYS, SEARCH }),
  template: `
  <Modal title="Keys and search" back="" @close="$emit('close')">
    <div class="dialog-body"><HelpTable :rows="KEYS"/><h3>Search</h3><HelpTable :rows="SEARCH"/></div>
    <template #buttons="{ close }">
      <button class="button primary" type="button" @click="close">Close</button>
    </template>
  </Modal>`,
};

/** Show what the keys do. */
export const help = () => openDialog(HelpDialog);

/** @type {Record<string, [number, number]>} */
const DIRECTIONS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Whether a key leads from board to board. @param {string} key */
export const leads = (key) => key in DIRECTIONS || key === "Home" || key === "End";

/** The board in a direction: the nearest by position, so that any layout works.
 * @param {Element} rack @param {Element} from @param {string} key */
export function neighbour(rack, from, key) {
  const found = rack.querySelectorAll(".slot[data-node]:not([inert]), .cell[data-node]:not([inert])");
  const boards = /** @type {HTMLElement[]} */ ([...found]);
  if (key === "Home") return boards[0];
  if (key === "End") return boards.at(-1);
  const at = boards.indexOf(/** @type {HTMLElement} */ (from));
  const boxes = boards.map((board) => board.getBoundingClientRect());
  return boards[nearest(boxes, at < 0 ? from.getBoundingClientRect() : boxes[at], DIRECTIONS[key])];
}

/** The place of the box that lies next in a direction; -1: none does.
 * @param {DOMRect[]} boxes @param {DOMRect} here @param {[number, number]} direction */
export function nearest(boxes, here, [dx, dy]) {
  let best = -1;
  let least = Number.POSITIVE_INFINITY;
  boxes.forEach((there, index) => {
    const x = there.left + there.width / 2 - here.left - here.width / 2;
    const y = there.top + there.height / 2 - here.top - here.height / 2;
    const along = x * dx + y * dy;
    const distance = along + Math.abs(x * dy) * 4 + Math.abs(y * dx) * 4;
    if (along > 1 && distance < least) [best, least] = [index, distance];
  });
  return best;
}

/** Whether a key press belongs to something one types into. @param {KeyboardEvent} event */
export const typing = ({ target }) =>
  target instanceof Element && target.closest("input, textarea, select, dialog[open], [popover]") !== null;

const TOGETHER_MS = 1000;

/** "g o", "g i" and "g a": two keys within a second go to a page.
 * @param {(path: string) => void} go */
export function goKeys(go) {
  let armed = Number.NEGATIVE_INFINITY;
  return (/** @type {KeyboardEvent} */ event) => {
    const path = { o: "/", i: "/install", a: "/activity" }[event.key];
    if (path && performance.now() - armed < TOGETHER_MS) go(path);
    armed = event.key === "g" ? performance.now() : Number.NEGATIVE_INFINITY;
  };
}
