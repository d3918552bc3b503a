// The search box in the top bar; the grammar itself is dashboard/live/search.py.

import { computed, onUnmounted, ref, useId, watch } from "vue";
import { Icon } from "./icons.js";
import { narrow } from "./steady.js";
import { boards, shown, store } from "./store.js";

const WAIT_MS = 120;

/** `text` is what is searched for; setting it searches. */
export const SearchBox = {
  components: { Icon },
  props: { text: String },
  emits: ["open", "update:text"],
  /** @param {{ text: string }} props */
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
    const key = (/** @type {KeyboardEvent} */ event) => {
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
