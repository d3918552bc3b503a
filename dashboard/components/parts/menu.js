// The commands a board, a stack, a tag or the rack is offered, as a list and as a menu.

import { computed, onMounted, ref, shallowRef } from "vue";
import { cancelling, offered, publishLine, rackTarget, renewed, underWay } from "./actions.js";
import { begin } from "./consent.js";
import { aroundChanges } from "./layout.js";
import { blocked, store } from "./store.js";
import { CopyButton, Icon } from "./widgets.js";
import { plural } from "./words.js";

/** One command: do it, or copy it. */
const ActionRow = {
  components: { CopyButton, Icon },
  props: { of: Object, action: Object },
  emits: ["done"],
  setup(props, { emit }) {
    const target = () => props.action.target ?? props.of;
    const label = computed(() => {
      const { verb, danger, placeholders } = props.action;
      const theirs = verb === "unlock" && target().lock?.by !== store.settings.user;
      return danger || placeholders.length || verb === "lock" || theirs ? `${props.action.label}…` : props.action.label;
    });
    const run = () => {
      emit("done");
      begin(target(), props.action);
    };
    const line = () => {
      const { args, placeholders } = props.action;
      return publishLine(target(), props.action, args.length ? args : placeholders.map((name) => `${name}=`));
    };
    return { label, run, line, blocked };
  },
  template: `
  <li class="action-row">
    <button :class="['action', { danger: action.red }]" type="button" :data-verb="action.verb"
        :data-word="action.args[0]" :title="action.note" :disabled="blocked() !== ''" @click="run">
      <Icon :name="action.icon"/><span>{{ label }}</span>
    </button>
    <CopyButton :read="line" :label="'Copy ' + action.label + ' as mosquitto_pub'" small/>
  </li>`,
};

const ActionGroup = {
  components: { ActionRow },
  props: { of: Object, label: String, actions: Array },
  emits: ["done"],
  template: `
  <ul v-if="actions.length" :aria-label="label">
    <ActionRow v-for="each in actions" :key="each.verb + each.args" :of="of" :action="each" @done="$emit('done')"/>
  </ul>`,
};

/** The actions of a target: the common first, the red after them. What comes and goes, to
 * cancel what is under way, is last: nothing moves for it. */
export const ActionList = {
  components: { ActionGroup },
  props: { target: Object },
  emits: ["done"],
  setup(props) {
    const groups = computed(() => {
      const { common, own, last } = offered(props.target);
      const stops = store.settings.role === "viewer" ? [] : underWay(props.target.nodes).map(cancelling);
      const [alone, shared] = [last.filter(({ where }) => !where), last.filter(({ where }) => where)];
      const where = shared[0]?.where;
      return { common, own, alone, shared, where, stops, none: !common.length && !own.length && !last.length };
    });
    return { groups, blocked, plural, rackTarget, store };
  },
  template: `
  <div class="actions">
    <p class="why" :hidden="groups.none || !blocked()">{{ blocked() }}</p>
    <ActionGroup :of="target" label="Common" :actions="groups.common" @done="$emit('done')"/>
    <details v-if="groups.own.length" class="more-actions">
      <summary>More <span class="quiet">{{ plural(groups.own.length, "command") }} of the board's own</span></summary>
      <ActionGroup :of="target" label="The board's own commands" :actions="groups.own" @done="$emit('done')"/>
    </details>
    <ActionGroup :of="target" label="Interrupting" :actions="groups.alone" @done="$emit('done')"/>
    <p v-if="groups.where" class="quiet actions-of">{{ groups.where }}</p>
    <ActionGroup :of="target" :label="groups.where" :actions="groups.shared" @done="$emit('done')"/>
    <ActionGroup :of="rackTarget()" label="Under way" :actions="groups.stops" @done="$emit('done')"/>
    <p v-if="groups.none" class="quiet">Your role, {{ store.settings.role }}, may look but not ask.</p>
  </div>`,
};

/** The menu that is open; the frame draws it. @type {{ value: any }} */
export const menu = shallowRef(null);
let lastKey = 0;

/** Opens the actions of a target beside the button that asked. `note(target)` says what it
 * is; `tags` offers the menus of tags as well.
 * @param {Event} event @param {Target} target @param {(target: Target) => string} note
 * @param {{ tags: string[], open: (tag: string) => void } | null} more */
export function openMenu(event, target, note, more = null) {
  lastKey += 1;
  menu.value = { key: lastKey, button: event.currentTarget, asked: target, note, more };
}

/** The open menu; it follows its target. */
export const ActionMenu = {
  components: { ActionList },
  props: { button: Object, asked: Object, note: Function, more: Object },
  emits: ["close"],
  setup(props) {
    const element = ref();
    const target = computed((before) => {
      const now = renewed(props.asked);
      if (!now) element.value?.hidePopover();
      return now ?? before ?? props.asked;
    });
    const done = () => element.value.hidePopover();
    const rowsTop = () => element.value?.querySelector("ul")?.getBoundingClientRect().top ?? 0;
    const move = (before) => {
      if (!element.value?.matches(":popover-open")) return;
      const moved = rowsTop() - before; // its head says more now, or less
      if (moved) element.value.style.top = `${Math.max(8, element.value.offsetTop - moved)}px`;
      element.value.style.maxHeight = `${innerHeight - element.value.offsetTop - 8}px`;
    };
    aroundChanges(rowsTop, move);
    onMounted(() => {
      element.value.showPopover();
      place(element.value, props.button);
      (element.value.querySelector("button:not([disabled])") ?? element.value).focus();
    });
    const key = (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const all = [...element.value.querySelectorAll(".action:not([disabled])")];
      const at = all.indexOf(/** @type {Element} */ (document.activeElement));
      all[(at + step + all.length) % all.length]?.focus();
    };
    return { element, target, done, key };
  },
  template: `
  <div ref="element" class="menu" popover="auto" role="dialog" :aria-label="'Actions for ' + asked.title"
      @toggle="$event.newState === 'closed' && $emit('close')" @keydown="key">
    <div class="menu-head"><b>{{ asked.title }}</b><span>{{ note(target) }}</span></div>
    <div><ActionList :target="target" @done="done"/></div>
    <div v-if="more" class="menu-tags" :hidden="!more.tags.length">
      <span class="quiet">Only boards with the tag</span>
      <button v-for="tag in more.tags" :key="tag" class="chip" type="button" @click="more.open(tag)">{{ tag }}</button>
    </div>
  </div>`,
};

/** Puts a menu below its button, or where there is room. @param {HTMLElement} menu @param {HTMLElement} button */
function place(menu, button) {
  const from = button.getBoundingClientRect();
  const { width, height } = menu.getBoundingClientRect();
  const below = from.bottom + height + 8 < innerHeight;
  menu.style.left = `${Math.max(8, Math.min(from.right - width, innerWidth - width - 8))}px`;
  menu.style.top = `${below ? from.bottom + 4 : Math.max(8, innerHeight - height - 8)}px`;
}
