// The questions before a command leaves: who is hit, how, and what it needs to know.

import { computed, reactive, watch } from "vue";
import { bystanders, canDo, hit, publishLine, renewed, send } from "./actions.js";
import { blocked, State, store } from "./store.js";
import { Glyph, LineBox, Modal, openDialog } from "./widgets.js";
import { byName, list, moment, plural, stackName } from "./words.js";

const SPANS = { "30m": "30 minutes", "2h": "2 hours", "8h": "8 hours", "1d": "1 day" };

/** Asks where it can hurt or needs words; else sends at once. `named`: boards that the
 * master said cannot be asked to shut down, and that no node of the page stands for.
 * @param {Target} asked @param {Action} action @param {string[]} named */
export function begin(asked, action, named = []) {
  const target = renewed(asked);
  if (blocked() || !target) return;
  if (action.verb === "lock") askSpan(target, action);
  else if (action.verb === "unlock" && target.lock && target.lock.by !== store.settings.user) askFree(target, action);
  else if (action.placeholders.length) askWords(target, action);
  else if (action.danger) openDialog(ConsentDialog, { asked: target, action, named });
  else send(target, action);
}

/** Why a board is spared, or hit though nobody named it. @param {Board} node @param {Target} target */
function fate(node, target, /** @type {Action} */ { verb }) {
  if (verb === "power") return target.nodes.includes(node) ? "" : "shares the outlet";
  if (!canDo(node, verb)) return "does not offer it";
  return node.state === State.OFFLINE || node.state === State.OFF ? "will not be reached" : "";
}

/** Boards that would lose power unnamed: the master switches their stack or nothing.
 * @param {Target} target @param {Action} action */
const unnamed = (target, action) =>
  action.verb === "power" && !/^(stack\/|rack$)/.test(target.scope) ? byName(bystanders(target)) : [];

/** Whether an action cuts power. @param {Action} action */
const cuts = ({ verb, args }) => verb === "power" && args[0] !== "on";

/** Boards that may run and cannot be asked to shut down, with the reason the master gives:
 * only force cuts them. @param {Target} target @param {Action} action @param {string[]} named */
function unaskable(target, action, named) {
  if (!cuts(action)) return [];
  const all = byName(hit(target, action));
  const known = all.filter(({ unasked }) => unasked !== null).map(({ name, unasked }) => ({ name, why: unasked }));
  const rest = named.filter((name) => !all.some((node) => node.name === name));
  return [...known, ...rest.map((name) => ({ name, why: "" }))];
}

/** Boards that cannot be asked, each reason once: a stack that fell silent has one.
 * @param {{ name: string, why: string | null }[]} unasked */
export function sameReason(unasked) {
  const names = new Map();
  for (const { name, why } of unasked) names.set(why, [...(names.get(why) ?? []), name]);
  return list([...names].map(([why, boards]) => (why ? `${list(boards)} (${why})` : list(boards))));
}

/** What a lock holds, by its name. @param {string} scope */
function place(scope) {
  const [kind, name] = scope.split("/");
  if (kind !== "stack") return store.ids.get(name)?.name ?? name;
  return stackName(store.stacks.get(Number(name)) ?? { number: Number(name) });
}

/** Why the master would say no: shared outlets, who cannot be asked, and what somebody
 * else reserved. @param {Target} target @param {Action} action @param {{ name: string, why: any }[]} unasked */
function objections(target, action, unasked) {
  const found = [];
  if (unasked.length) {
    found.push(`${sameReason(unasked)} cannot be asked to shut down: without force nothing is switched.`);
  }
  const others = unnamed(target, action).map((node) => node.name);
  if (others.length) found.push(`${list(others)} would lose power too: switch the stack instead.`);
  const locks = hit(target, action).flatMap(({ lock }) => (lock && lock.by !== store.settings.user ? [lock] : []));
  for (const lock of new Map(locks.map((each) => [each.scope, each])).values()) {
    const { scope, by, until, reason } = lock;
    const why = reason ? ` (${reason})` : "";
    found.push(`${place(scope)} is reserved by ${by} until ${moment(until)}${why}: the master will refuse its boards.`);
  }
  return found;
}

/** @param {Target} target @param {Action} action */
function question(target, action) {
  const nodes = hit(target, action);
  const count = plural(nodes.length, "board");
  if (action.verb === "power") return [`${action.label}: ${target.title}, ${count}?`, action.label];
  if (nodes.length === 1) return [`${action.label} ${nodes[0].name}?`, action.label];
  return [`${action.label} ${count} in ${target.title}?`, `${action.label} ${count}`];
}

/** The boards an action hits, and what becomes of each. */
const HitList = {
  components: { Glyph },
  props: { target: Object, action: Object },
  setup(props) {
    const rows = computed(() =>
      byName(hit(props.target, props.action)).map((node) => {
        const why = fate(node, props.target, props.action);
        const words = node.words || store.settings.states[node.state].label;
        return { node, why, state: node.state, text: why ? `${words} · ${why}` : words };
      }),
    );
    return { rows };
  },
  template: `
  <ul class="hit-list" :tabindex="rows.length > 6 ? 0 : null" aria-label="Boards hit">
    <li v-for="row in rows" :key="row.node.id">
      <Glyph :state="row.state" :size="14" :label="false"/>
      <span :class="{ spared: row.why && action.verb !== 'power' }">{{ row.node.name }}</span>
      <span class="fate">{{ row.text }}</span>
    </li>
  </ul>`,
};

/** The question before boards are interrupted; it names those that would be hit now. */
const ConsentDialog = {
  components: { HitList, LineBox, Modal },
  props: { asked: Object, action: Object, named: Array },
  emits: ["close"],
  setup(props) {
    const { action } = props;
    const target = computed((before) => renewed(props.asked) ?? before ?? props.asked);
    const usual = store.settings.waves[action.verb];
    const inWaves = usual !== undefined && props.asked.nodes.length > 1;
    const form = reactive({ typed: "", wave: String(usual), fail: "stop", force: false, named: false });
    const sizes = [1, 2, 4, 8, 16].filter((size) => size < props.asked.nodes.length || size === usual);
    const several = sizes.map((size) => [String(size), size === 1 ? "one at a time" : `${size} at a time`]);
    const waves = [...several, ["0", "all at once"]];
    const unasked = computed(() => unaskable(target.value, action, props.named));
    const names = computed(() => unasked.value.map(({ name }) => name).join(", "));
    watch(names, () => {
      form.named = false; // the consent is for the boards that were named when it was given
    });
    const word = props.asked.scope === "rack" ? store.rack : "";
    const view = computed(() => {
      const now = target.value;
      const named = unasked.value.map(({ name }) => `force=${name}`);
      const words = [...action.args, ...(form.force ? ["force"] : form.named ? named : [])];
      const options = inWaves ? { wave: Number(form.wave), on_failure: form.fail } : {};
      const [title, label] = question(now, action);
      return {
        title,
        label: form.force ? `Force ${label.toLowerCase()}` : label,
        target: now,
        against: objections(now, action, form.force || form.named ? [] : unasked.value),
        held: blocked() !== "" || form.typed.trim() !== word || unnamed(now, action).length > 0,
        line: publishLine(now, action, words, options),
        send: () => send(now, action, words, options),
      };
    });
    return { view, form, inWaves, waves, names, word, asksForce: cuts(action) };
  },
  template: `
  <Modal :title="view.title" danger wary @close="$emit('close')">
    <div class="dialog-body">
      <p>{{ action.consequence }}</p>
      <div class="objections" :hidden="!view.against.length">
        <p v-for="text in view.against" class="why">{{ text }}</p>
      </div>
      <div><HitList :target="view.target" :action="action"/></div>
      <div v-if="inWaves" class="choices">
        <label class="field"><span>Waves</span>
          <select v-model="form.wave"><option v-for="[value, text] in waves" :value="value">{{ text }}</option></select>
        </label>
        <label class="field"><span>If a board fails</span>
          <select v-model="form.fail">
            <option value="stop">stop before the next wave</option><option value="continue">go on</option>
          </select>
        </label>
      </div>
      <div v-if="asksForce" class="choices-force">
        <label class="force-choice" :hidden="!names">
          <input v-model="form.named" type="checkbox" class="force-named">
          <span><b>Cut {{ names }} without asking</b>
            <span>What they are writing is lost; all other boards are shut down first.</span></span>
        </label>
        <label class="force-choice">
          <input v-model="form.force" type="checkbox" class="force">
          <span><b>Force: cut even if a board does not shut down</b>
            <span>What it is writing is lost, and its card may be damaged.</span></span>
        </label>
      </div>
      <label v-if="word" class="typed"><span>Type <b>{{ word }}</b> to confirm</span>
        <input v-model="form.typed" autocomplete="off" spellcheck="false"></label>
      <LineBox :line="view.line"/>
    </div>
    <template #buttons="{ close }">
      <button :class="['button primary', { danger: action.red !== false }]" type="button" :disabled="view.held"
        @click="close(); view.send()">{{ view.label }}</button>
    </template>
  </Modal>`,
};

/** A form before a command: fields, the line, one button. */
const FormDialog = {
  components: { HitList, LineBox, Modal },
  props: ["title", "target", "action", "fields", "words", "note", "boards"],
  emits: ["close"],
  setup(props) {
    const values = reactive(Object.fromEntries(props.fields.map(({ name, value = "" }) => [name, value])));
    const line = computed(() => publishLine(props.target, props.action, props.words(values)));
    const go = () => send(props.target, props.action, props.words(values));
    return { values, line, go };
  },
  template: `
  <Modal :title="title" :danger="action.danger" @close="$emit('close')">
    <form class="dialog-body" method="dialog" id="command-form" @submit="go">
      <p v-if="note">{{ note }}</p>
      <label v-for="field in fields" :key="field.name" class="field"><span>{{ field.label ?? field.name }}</span>
        <select v-if="field.options" v-model="values[field.name]">
          <option v-for="(text, value) in field.options" :value="value">{{ text }}</option>
        </select>
        <input v-else v-model="values[field.name]" :name="field.name" autocomplete="off" spellcheck="false"
          maxlength="200" :placeholder="field.placeholder" :required="field.required">
      </label>
      <HitList v-if="boards" :target="target" :action="action"/>
      <LineBox :line="line"/>
    </form>
    <template #buttons>
      <button :class="['button primary', { danger: action.danger }]" type="submit" form="command-form">
        {{ action.label }}</button>
    </template>
  </Modal>`,
};

/** @param {Target} target @param {Action} action */
function askWords(target, action) {
  const { placeholders, label, note } = action;
  const fields = placeholders.map((name) => ({ name, required: true }));
  const words = (values) => placeholders.map((name) => `${name}=${values[name]}`);
  openDialog(FormDialog, { title: `${label} on ${target.title}`, target, action, fields, words, note, boards: true });
}

/** @param {Target} target @param {Action} action */
function askSpan(target, action) {
  const fields = [
    { name: "span", label: "For", options: SPANS, value: "2h" },
    { name: "reason", label: "Why (others see it)", placeholder: "what you are doing there" },
  ];
  const words = (/** @type {any} */ { span, reason }) => [span, reason.trim()].filter(Boolean);
  const note =
    "Until then the master refuses everybody else's reboots, shut-downs, updates and power commands here, " +
    "also through a shared outlet.";
  openDialog(FormDialog, { title: `Reserve ${target.title}`, target, action, fields, words, note });
}

/** @param {Target} target @param {Action} action */
function askFree(target, action) {
  const { by, until, reason } = /** @type {BoardLock} */ (target.lock);
  const note = `${by} reserved it until ${moment(until)}${reason ? `: ${reason}` : ""}. Ask first.`;
  const forced = { ...action, label: `Take it from ${by}`, danger: true };
  const title = `Free ${target.title} all the same?`;
  openDialog(FormDialog, { title, target, action: forced, fields: [], words: () => ["force"], note });
}
