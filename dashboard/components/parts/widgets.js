// What components are made of: pictures (icons, states of a board, marks of an install run),
// dialogs, a line to paste, a button that copies.

import { computed, h, onMounted, ref, shallowReactive, useId } from "vue";
import { store } from "./store.js";

/** @type {Map<string, string>} */
const shapes = new Map();

/** What stands inside a picture: the head of the page has components/icons.svg. @param {string} id */
function shape(id) {
  if (!shapes.has(id)) {
    const sheet = /** @type {HTMLTemplateElement} */ (document.getElementById("icons"));
    shapes.set(id, sheet.content.getElementById(id)?.innerHTML ?? "");
  }
  return shapes.get(id) ?? "";
}

/** Attributes of a state's picture; `label` false where the words stand beside it. */
export function glyphAttributes(state, size = 16, label = true) {
  const { key, label: words } = store.settings.states[state];
  const said = label ? { role: "img", "aria-label": words } : { "aria-hidden": "true" };
  return { viewBox: "0 0 16 16", width: size, height: size, class: `glyph g-${key}`, ...said };
}

/** @param {number} state */
export const glyphShape = (state) => shape(`glyph-${store.settings.states[state].key}`);

export const Glyph = ({ state, size = 16, label = true }) =>
  h("svg", { ...glyphAttributes(state, size, label), innerHTML: glyphShape(state) });
Glyph.props = ["state", "size", "label"];

/** A picture beside words that say the same. */
const decoration = (grid, size, kind, innerHTML) =>
  h("svg", {
    viewBox: `0 0 ${grid} ${grid}`,
    width: size,
    height: size,
    class: kind,
    "aria-hidden": "true",
    innerHTML,
  });

export const Icon = ({ name, size = 18 }) =>
  decoration(24, size, `icon i-${name}`, shape(`icon-${name}`) || shape("icon-run"));
Icon.props = ["name", "size"];

export const Mark = ({ name, size = 15 }) => decoration(16, size, `glyph m-${name}`, shape(`mark-${name}`));
Mark.props = ["name", "size"];

/** The dialogs that are open; the frame draws them. @type {{ key: number, is: object, props: object }[]} */
export const dialogs = shallowReactive([]);
let lastKey = 0;

/** Opens a dialog: a component around a Modal. @param {object} is @param {object} props */
export function openDialog(is, props = {}) {
  lastKey += 1;
  dialogs.push({ key: lastKey, is, props });
}

/** @param {number} key */
export function closeDialog(key) {
  const at = dialogs.findIndex((each) => each.key === key);
  if (at >= 0) dialogs.splice(at, 1);
}

/** A modal dialog; the browser traps the focus and Escape closes it. `back` closes it too,
 * and has the focus first where the other button can hurt: `wary`. */
export const Modal = {
  props: { title: String, danger: Boolean, back: { type: String, default: "Cancel" }, wary: Boolean },
  emits: ["close"],
  setup() {
    const dialog = ref();
    const id = useId();
    onMounted(() => dialog.value.showModal());
    return { dialog, id, close: () => dialog.value.close() };
  },
  template: `
  <dialog ref="dialog" :class="['dialog', { danger }]" :aria-labelledby="id" @close="$emit('close')"
      @click.self="close()">
    <h2 :id="id">{{ title }}</h2>
    <slot :close="close"></slot>
    <div class="dialog-buttons">
      <button v-if="back" class="button" type="button" :autofocus="wary" @click="close()">{{ back }}</button>
      <slot name="buttons" :close="close"></slot>
    </div>
  </dialog>`,
};

/** Copies text; also on plain http, where browsers hide the clipboard interface. @param {string} text */
async function copyText(text) {
  if (window.isSecureContext && navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // Permission denied: the old way below still works.
    }
  }
  const area = document.createElement("textarea");
  Object.assign(area, { className: "offscreen", readOnly: true, value: text });
  (document.querySelector("dialog[open]") ?? document.body).append(area);
  const before = document.activeElement;
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  if (before instanceof HTMLElement) before.focus();
  return copied;
}

const SAID_MS = 1600;

/** A button that copies what `read` returns and says so. */
export const CopyButton = {
  components: { Icon },
  props: { read: Function, label: String, small: Boolean, title: { type: String, default: "Copy as mosquitto_pub" } },
  setup(props) {
    const said = ref("");
    const words = computed(() => ({ check: "Copied", close: "Select and copy by hand" })[said.value] ?? props.label);
    const copy = async () => {
      said.value = (await copyText(props.read())) ? "check" : "close";
      window.setTimeout(() => {
        said.value = "";
      }, SAID_MS);
    };
    return { said, words, copy };
  },
  template: `
  <button :class="[small ? 'icon-button' : 'button', 'copy']" type="button" :title="title" @click.stop="copy">
    <span class="copy-icon"><Icon :name="said || 'copy'" :size="16"/></span>
    <span :class="{ 'sr-only': small }">{{ words }}</span>
  </button>`,
};

/** A line to paste into a terminal, with its copy button. */
export const LineBox = {
  components: { CopyButton },
  props: { line: String },
  template: `
  <div class="line-box">
    <span class="line-label">The same in a terminal</span>
    <code class="line-text" tabindex="0">{{ line }}</code>
    <CopyButton :read="() => line" label="Copy"/>
  </div>`,
};
