// What a person can ask of an install run: buttons, why one may not, and the way to type it.

import { computed, ref } from "vue";
import { publishLine, send } from "./actions.js";
import { hindrance, installAction, installTarget, upper } from "./install_run.js";
import { store } from "./store.js";
import { CopyButton, Icon, LineBox, Modal } from "./widgets.js";

/** A button that asks for `words` of `install`, with its copy button. `guard` says why it
 * is held back; with a listener for `ask` that stands between the button and the command. */
export const Control = {
  components: { CopyButton, Icon },
  props: ["label", "says", "words", "stack", "kind", "guard", "onAsk"],
  setup(props) {
    const why = computed(() => hindrance() || props.guard || "");
    const action = () => installAction(props.says ?? "Install", ...props.words);
    const line = () => publishLine(installTarget(props.stack), action());
    const run = () => (props.onAsk ? props.onAsk() : send(installTarget(props.stack), action()));
    return { why, line, run };
  },
  template: `
  <div class="in-control">
    <button :class="['button', kind]" type="button" :disabled="why !== ''" :title="why || null" @click="run">
      <span>{{ label }}</span></button>
    <CopyButton :read="line" :label="'Copy “' + label + '” as mosquitto_pub'" small/>
  </div>`,
};

/** Choose one stack, at first `chosen`, and begin there. */
export const OneStack = {
  components: { Control },
  props: { label: String, chosen: { type: Number, default: null } },
  setup(props) {
    const picked = ref(props.chosen);
    const numbers = computed(() => [...store.stacks.keys()].sort((a, b) => a - b));
    const stack = computed(() => (numbers.value.includes(picked.value ?? -1) ? picked.value : numbers.value[0]));
    const choose = (event) => {
      picked.value = Number(event.target.value);
    };
    return { numbers, stack, choose };
  },
  template: `
  <div class="in-one">
    <select aria-label="Stack" :value="stack" :disabled="!numbers.length" @change="choose">
      <option v-for="each in numbers" :key="each" :value="each">Stack {{ String(each).padStart(2, "0") }}</option>
    </select>
    <Control :label="label" :words="['start']" :stack="stack" :guard="numbers.length ? '' : 'There is no stack.'"/>
  </div>`,
};

/** Why nothing can be asked; hidden when it can. */
export const Hindrance = {
  setup: () => ({ hindrance }),
  template: `<p class="why" :hidden="!hindrance()">{{ hindrance() }}</p>`,
};

const WAYS = [
  ["restore", "Bring the outlets back as they were", "Stacks that ran before come on again, one after the other."],
  ["leave", "Leave the outlets as they are now", "Stacks that are off stay off until somebody switches them on."],
  ["off", "Switch off every stack of this run", "Their boards stay without power until somebody switches them on."],
];

/** The question how a run is to end early; `waiting`: nothing was switched yet. */
export const CancelDialog = {
  components: { LineBox, Modal },
  props: { waiting: Boolean },
  emits: ["close"],
  setup(props) {
    const way = ref(WAYS[0][0]);
    const action = () => installAction("Cancel install", "cancel", ...(props.waiting ? [] : [way.value]));
    const line = computed(() => publishLine(installTarget(), action()));
    return { way, line, go: () => send(installTarget(), action()), WAYS };
  },
  template: `
  <Modal title="Cancel the install run?" danger back="Go on with it" wary @close="$emit('close')">
    <div class="dialog-body">
      <p>{{ waiting ? "Nothing was switched yet, and nothing will be."
        : "Boards that have a place by now keep it. How do you want to leave the outlets?" }}</p>
      <fieldset v-if="!waiting" class="in-ways"><legend class="sr-only">Outlets</legend>
        <label v-for="[value, title, text] in WAYS" :key="value" class="in-way">
          <input v-model="way" type="radio" name="in-way" :value="value">
          <span><b>{{ title }}</b><span>{{ text }}</span></span></label>
      </fieldset>
      <LineBox :line="line"/>
    </div>
    <template #buttons="{ close }">
      <button class="button primary danger" type="button" @click="close(); go()">Cancel the run</button>
    </template>
  </Modal>`,
};

/** The question before a start that overrides the checks. */
export const ForceDialog = {
  components: { LineBox, Modal },
  props: { stack: { type: Number, default: null }, problems: Array },
  emits: ["close"],
  setup(props) {
    const target = installTarget(props.stack);
    const action = installAction("Install", "start", "force");
    return { line: publishLine(target, action), go: () => send(target, action), upper };
  },
  template: `
  <Modal title="Start over these problems?" danger back="Back" wary @close="$emit('close')">
    <div class="dialog-body">
      <p>The checks found what usually makes a run fail or disturbs a network. It still waits for your confirmation
        before anything is switched.</p>
      <ul class="in-points"><li v-for="text in problems">{{ upper(text) }}</li></ul>
      <LineBox :line="line"/>
    </div>
    <template #buttons="{ close }">
      <button class="button primary danger" type="button" @click="close(); go()">Start all the same</button>
    </template>
  </Modal>`,
};
