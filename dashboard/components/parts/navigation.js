// Getting around: by keyboard, by searching, from page to page. No single key does anything
// that could hurt.

import { computed, onUnmounted, ref, useId, watch } from "vue";
import { narrow } from "./layout.js";
import { boards, shown, store } from "./store.js";
import { Icon, Modal, openDialog } from "./widgets.js";

/** Every page, as pages/routes.py names it; `key` after a "g" goes there. */
export const PAGES = [
  { name: "overview", path: "/", label: "Overview", key: "o" },
  { name: "install", path: "/install", label: "Install", key: "i" },
  { name: "activity", path: "/activity", label: "Activity", key: "a" },
  { name: "about", path: "/about", label: "About", key: "" },
];

const WITH_KEY = PAGES.filter(({ key }) => key);

const KEYS = {
  "/": "search",
  "← ↑ → ↓": "go from board to board",
  Enter: "open the board",
  Esc: "close, then clear the search",
  ...Object.fromEntries(WITH_KEY.map(({ key, label }) => [`g then ${key}`, label])),
  "?": "this list",
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
  setup: () => ({ KEYS, store }),
  template: `
  <Modal title="Keys and search" back="" @close="$emit('close')">
    <div class="dialog-body"><HelpTable :rows="KEYS"/><h3>Search</h3><HelpTable :rows="store.settings.search"/></div>
    <template #buttons="{ close }">
      <button class="button primary" type="button" @click="close">Close</button>
    </template>
  </Modal>`,
};

/** Shows what the keys do. */
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

/** "g" and the key of a page within a second go there.
 * @param {(path: string) => void} go */
export function goKeys(go) {
  let armed = Number.NEGATIVE_INFINITY;
  return (event) => {
    const path = WITH_KEY.find(({ key }) => key === event.key)?.path;
    if (path && performance.now() - armed < TOGETHER_MS) go(path);
    armed = event.key === "g" ? performance.now() : Number.NEGATIVE_INFINITY;
  };
}

const WAIT_MS = 120;

/** `text` is what is searched for; setting it searches. */
export const SearchBox = {
  components: { Icon },
  props: { text: String },
  emits: ["open", "update:text"],
  setup(props, { emit }) {
    const input = ref();
    let timer = 0;
    const typed = ref(props.text);
    const stop = () => window.clearTimeout(timer);
    const search = () => emit("update:text", typed.value.trim());
    watch(typed, () => {
      stop();
      timer = window.setTimeout(search, WAIT_MS);
    });
    watch(
      () => props.text,
      (text) => {
        if (text !== typed.value.trim()) typed.value = text;
      },
    );
    onUnmounted(stop);
    const key = (event) => {
      if (event.key === "Escape") {
        event.stopPropagation();
        if (typed.value) typed.value = "";
        else input.value.blur();
      }
      if (event.key !== "Enter") return;
      const hits = boards().filter(shown);
      if (hits.length === 1) emit("open", hits[0].id);
      else focusFirst();
    };
    const count = computed(() => (store.match ? `${store.match.size} of ${boards().length}` : ""));
    const hint = computed(() => (store.query.text === props.text ? store.query.hint : ""));
    const placeholder = narrow() ? "Search boards" : "Search: name, IP, MAC, state:offline, temp:>70";
    return { input, typed, key, count, hint, placeholder, id: useId() };
  },
  template: `
  <div class="search" role="search">
    <Icon name="search"/>
    <input ref="input" type="search" class="search-input" :placeholder="placeholder" v-model="typed"
      aria-label="Search boards" :aria-describedby="id" autocomplete="off" spellcheck="false" maxlength="200"
      enterkeyhint="search" :aria-invalid="hint ? 'true' : null" @keydown="key">
    <span class="search-count">{{ count }}</span>
    <button class="icon-button search-clear" type="button" aria-label="Clear the search" :hidden="!typed"
      @click="typed = ''; input.focus()"><Icon name="close" :size="16"/></button>
    <kbd class="search-key" aria-hidden="true" :hidden="typed !== ''">/</kbd>
    <p :id="id" class="search-hint" role="status" :hidden="!hint">{{ hint }}</p>
  </div>`,
};

function focusFirst() {
  const first = document.querySelector(".slot[data-node]:not([inert]), .cell[data-node]:not([inert])");
  if (first instanceof HTMLElement) first.focus();
}

/** Goes to another of our pages, `path` with its query: NiceGUI's own links change the
 * address only after the page was built, too late for a page that reads it. @param {string} path */
export function goTo(path) {
  window.history.pushState({ page: path }, "", `${window.path_prefix ?? ""}${path}`);
  window.dispatchEvent(new Event("pushstate")); // NiceGUI shows what the address says
}

/** Lets a click on a link do that; a click for a new tab is left alone.
 * @param {MouseEvent} event @param {string} path */
export function follow(event, path) {
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  event.stopPropagation();
  goTo(path);
}
