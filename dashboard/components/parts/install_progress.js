// The head of the Install page: what it does, what will happen, how far it is, how it ended.

import { computed, onMounted, ref, watch } from "vue";
import { CancelDialog, Control, ForceDialog, Hindrance, OneStack } from "./install_controls.js";
import * as run from "./install_run.js";
import { openSlotFinder } from "./slot_finder.js";
import { boards, frozen, now, store } from "./store.js";
import { CopyButton, Icon, Mark, openDialog } from "./widgets.js";
import { capital, list, plural, stackName } from "./words.js";

const TOML = `[install]
backend = "dnsmasq"          # or "observe", beside a DHCP server you have
interface = "eth1"           # the port the rack's switch hangs on
address = "192.168.23.1/24"  # the master's own address there
first = "192.168.23.10"      # slot 1 of stack 1; the others follow
`;
const DEPLOY = "pirack deploy --all";

/** A line of the forecast without most of a long list of names: they stand beside it.
 * @param {string} text */
export function shorter(text) {
  const [head, last] = text.split(/: (?=[^:]*$)/);
  const each = last?.split(", ") ?? [];
  return each.length > 8 ? `${head}: ${list(each, 5)}` : text;
}

const Points = {
  props: { texts: Array },
  setup: () => ({ run }),
  template: `<ul class="in-points"><li v-for="text in texts">{{ run.upper(text) }}</li></ul>`,
};

/** The problems of a run that has not begun, or of provisioning itself. */
const Warnings = {
  components: { Mark, Points },
  props: { texts: Array },
  setup: () => ({ plural }),
  template: `
  <div v-if="texts.length" class="in-warned">
    <h3><Mark name="trouble"/>The checks found {{ plural(texts.length, "problem") }}</h3><Points :texts="texts"/>
  </div>`,
};

const Stages = {
  components: { Icon },
  props: { step: String },
  setup(props) {
    const { stages } = store.settings.install;
    const at = computed(() => stages.findIndex(({ steps }) => steps.includes(props.step)));
    return { stages, at };
  },
  template: `
  <ol v-if="at >= 0" class="in-stages" aria-label="Stages of the run">
    <li v-for="({ name }, index) in stages" :key="name" :aria-current="index === at ? 'step' : null"
        :data-state="index < at ? 'done' : index === at ? 'now' : 'next'">
      <span class="in-number"><Icon v-if="index < at" name="check" :size="13"/>
          <template v-else>{{ index + 1 }}</template></span>{{ name }}
        <span class="sr-only">{{ index < at ? " (done)" : "" }}</span>
    </li>
  </ol>`,
};

const Verdicts = {
  components: { Mark },
  props: { rows: Array },
  template: `
  <span v-for="each in rows" :key="each.verdict" class="in-verdict" :data-mark="each.mark">
    <Mark :name="each.mark"/><b>{{ each.count }}</b>{{ each.words }}</span>`,
};

const Off = {
  components: { CopyButton, Warnings },
  props: { state: Object },
  setup: () => ({ TOML }),
  template: `
  <h2>Provisioning is off</h2>
  <Warnings :texts="state.problems"/>
  <p>The master has no DHCP server to work with, so it cannot find boards. Write this into pirack.toml, with your own
    port and addresses, and restart the master:</p>
  <div class="in-toml"><pre tabindex="0">{{ TOML }}</pre>
    <CopyButton :read="() => TOML" label="Copy" title="Copy these lines"/></div>
  <p>What is still missing then: <code>pirack doctor</code></p>`,
};

/** What a run needs, and whether it is there. @param {InstallState} state */
function needs(state) {
  const stacks = [...store.stacks.values()];
  const slots = stacks.reduce((sum, { slots: count }) => sum + count, 0);
  const bare = stacks.filter(({ power }) => !power);
  const without = bare.length === 1 ? `${stackName(bare[0])} has` : `${bare.length} stacks have`;
  const outlets = bare.length
    ? `${without} no outlet to switch: their boards cannot be told from others`
    : `${plural(stacks.length, "stack")}, each switched by PiRack`;
  const { master } = store.connection;
  return [
    { good: !state.problems.length, name: "DHCP", text: run.serverWords(state) },
    { good: !run.stalled(), name: "Master", text: frozen() ? "not known" : master || "never heard" },
    {
      good: stacks.length > 0 && !bare.length,
      name: "Outlets",
      text: stacks.length ? outlets : "no stack is configured",
    },
    {
      good: slots > 0,
      name: "Boards",
      text: `${plural(slots, "slot")} to fill; each board wired, with its card in, asking by DHCP`,
    },
  ];
}

const Idle = {
  components: { Control, Hindrance, Mark, OneStack, Warnings },
  props: { state: Object },
  setup: (props) => ({ rows: computed(() => needs(props.state)) }),
  template: `
  <div class="in-head"><div><h2>Find, place and address every board</h2>
    <p class="in-lead">PiRack switches the stacks on one by one, hears which boards ask for an address, and gives each
      its place.</p></div></div>
  <Warnings :texts="state.problems"/>
  <div class="in-columns">
    <div><h3>What happens</h3>
      <ol class="in-plan">
        <li><span><b>Check</b><span>The DHCP server, the network, every planned address, every outlet. Nothing is
          switched.</span></span></li>
        <li><span><b>Confirm</b><span>You read what will happen and who loses power, and agree or
            not.</span></span></li>
        <li><span><b>Find</b><span>All stacks go off, then one after the other comes on and stays on: who asks for an
          address for the first time now is one of its boards, and gets a slot, a name and an address. They stay, also
          over the next install.</span></span></li>
        <li><span><b>Verify</b><span>Each board must answer at its address.</span></span></li>
      </ol></div>
    <div><h3>What it needs</h3>
      <dl class="in-needs"><div v-for="{ good, name, text } in rows" :key="name" :data-good="good ? 'yes' : 'no'">
        <dt><Mark :name="good ? 'verified' : 'trouble'"/>{{ name }}</dt><dd>{{ text }}</dd></div></dl>
      <div class="in-begin"><h3>Begin</h3><Hindrance/>
        <div class="in-actions">
          <Control label="Check the rack" says="Check the rack" :words="['start']" kind="primary"/>
          <Control label="Dry run" says="Dry run" :words="['start', 'dry']"/></div>
        <OneStack label="Check one stack"/>
        <p class="quiet">Checking switches nothing: you are shown what will happen, and asked.</p></div></div>
  </div>`,
};

const Confirm = {
  components: { Control, Hindrance, Mark, Points, Stages, Warnings },
  props: { state: Object },
  setup(props) {
    const typed = ref("");
    const word = computed(() => (props.state.only === null ? store.rack : ""));
    const missing = computed(() =>
      word.value && typed.value.trim() !== word.value ? `Type ${word.value} first.` : "",
    );
    const rows = computed(() => run.losers(props.state, store.stacks, boards()));
    const lead = computed(() => {
      const by = props.state.by ? `, asked by ${props.state.by}` : "";
      return `This is a run over ${run.scopeWords(props.state)}${by}.`;
    });
    const fate = (/** @type {any} */ { stack, up, names }) =>
      stack.power === "off" ? "off already" : `${up} running${names ? `: ${names}` : ""}`;
    return { typed, word, missing, rows, lead, fate, run, shorter, stackName };
  },
  template: `
  <Stages step="confirm"/>
  <div class="in-head"><div><h2>Read this, then confirm</h2>
    <p class="in-lead">{{ lead }} Boards that answer are shut down cleanly before the cut. Nothing was switched
        so far.</p>
  </div></div>
  <div class="in-columns">
    <div><h3>What will happen</h3><Points :texts="state.forecast.map(shorter)"/>
        <Warnings :texts="state.problems"/></div>
    <div><h3>Who loses power</h3><p class="in-losers">{{ run.loserWords(rows) }}</p>
      <ul class="hit-list in-hit" tabindex="0" aria-label="Stacks that lose power">
        <li v-for="row in rows" :key="row.stack.number">
          <Mark :name="row.stack.power === 'off' ? 'waiting' : 'trouble'" :size="14"/>
          <span>{{ stackName(row.stack) }}</span><span class="fate">{{ fate(row) }}</span></li></ul></div>
  </div>
  <Hindrance/>
  <div class="in-consent">
    <label v-if="word" class="typed"><span>Type <b>{{ word }}</b> to confirm</span>
      <input v-model="typed" autocomplete="off" spellcheck="false"></label>
    <div class="in-actions">
      <Control label="Confirm: switch off and install" :words="['confirm']" kind="primary danger" :guard="missing"/>
      <Control label="Cancel" says="Cancel install" :words="['cancel']"/></div>
  </div>`,
};

/** A run that checks, or that switches and listens. */
const Running = {
  components: { Control, Hindrance, Stages, Verdicts },
  props: { state: Object },
  setup(props) {
    const checks = computed(() => run.kindOf(props.state) === "preflight");
    const eta = computed(() => {
      const { eta_s, heard } = props.state;
      return run.stalled() || eta_s === null ? "" : run.etaWords(eta_s - (now() - (heard || run.install.learnt)));
    });
    const found = computed(() => run.verdictCounts(props.state).filter(({ verdict }) => verdict !== "ok"));
    const cancel = () => openDialog(CancelDialog, { waiting: checks.value });
    return { checks, eta, found, cancel, plural, run };
  },
  template: `
  <div><Stages :step="state.step"/></div>
  <div class="in-head">
    <div><h2>{{ run.stepWords(state)[0] }}</h2><p class="in-lead">{{ run.stepWords(state)[1] }}</p></div>
    <div class="in-actions"><Control label="Cancel…" says="Cancel install" @ask="cancel"
        :words="checks ? ['cancel'] : ['cancel', 'restore']"/></div>
  </div>
  <div v-if="checks" class="in-bar busy" role="progressbar" aria-label="Checking"><span></span></div>
  <div v-else class="in-progress">
    <div class="in-bar" role="progressbar" aria-valuemin="0" aria-valuemax="100" aria-label="The whole run"
      :aria-valuenow="state.share"><span :style="{ transform: 'scaleX(' + state.share / 100 + ')' }"></span></div>
    <div class="in-count"><b>{{ state.done }}</b>
      <span>of {{ plural(state.total, "board") }} {{ state.step === "verify" ? "verified" : "found" }}</span>
      <div class="in-found"><Verdicts :rows="found"/></div><span class="in-eta">{{ eta }}</span></div>
  </div>
  <Hindrance v-if="!checks && !run.stalled()"/>`,
};

/** What else can be begun after a run, folded away. */
const More = {
  components: { Control },
  props: { note: String },
  template: `
  <details class="in-more"><summary>More</summary>
    <div class="in-actions">
      <Control label="Check the whole rack" says="Check the whole rack" :words="['start']"/>
      <Control label="Dry run" says="Dry run" :words="['start', 'dry']"/><slot></slot></div>
    <p class="quiet">Nothing is switched before you confirm; addresses and names stay. {{ note }}</p>
  </details>`,
};

/** What comes after a dry run. */
const DryEnd = {
  components: { Control, More, OneStack, Points },
  props: { state: Object },
  setup: () => ({ shorter }),
  template: `
  <Points :texts="state.forecast.map(shorter)"/>
  <div class="in-actions">
    <Control label="Do it for real…" :words="['start']" :stack="state.only" kind="primary"/>
    <Control label="Dry run again" says="Dry run" :words="['start', 'dry']" :stack="state.only"/></div>
  <p class="quiet">Doing it for real checks again, then waits for your confirmation before anything is switched.</p>
  <More><OneStack label="Check one stack"/></More>`,
};

/** What comes after a run that ended early. */
const BadEnd = {
  components: { Control, More, OneStack },
  props: { state: Object },
  setup({ state }) {
    const early = state.step === "failed" && state.problems.length > 0 && !state.done;
    const label = state.only === null ? "Try again" : `Try ${run.nameOf(state.only)} again`;
    return { early, label, force: () => openDialog(ForceDialog, { stack: state.only, problems: state.problems }) };
  },
  template: `
  <div class="in-actions"><Control :label="label" :words="['start']" :stack="state.only" kind="primary"/>
    <Control v-if="early" label="Start all the same…" :words="['start', 'force']" :stack="state.only"
        @ask="force"/></div>
  <More><OneStack label="Check one stack"/></More>`,
};

/** What comes after a run that found places for boards. */
const GoodEnd = {
  components: { Control, CopyButton, Icon, More, OneStack },
  props: { state: Object },
  setup({ state }) {
    const silent = computed(() => run.withoutAgent(run.install.stacks));
    const stacks = computed(() => run.occupied(run.install.stacks));
    const find = () => openSlotFinder(stacks.value.includes(state.only ?? -1) ? Number(state.only) : stacks.value[0]);
    return { silent, stacks, find, plural, DEPLOY };
  },
  template: `
  <h3 class="in-next-title">Next</h3>
  <ol class="in-next">
    <li :hidden="!silent"><span class="in-number">1</span><div><h3>Give the boards their agents</h3>
      <p>{{ plural(silent, "board") }} {{ silent === 1 ? "has" : "have" }} an address, but no agent was ever heard
          there. In a terminal of the master:</p>
      <div class="in-actions"><code class="in-line">{{ DEPLOY }}</code>
        <CopyButton :read="() => DEPLOY" label="Copy" title="Copy this line"/></div></div></li>
    <li><span class="in-number">{{ silent ? 2 : 1 }}</span><div><h3>See which board is in which slot</h3>
      <p>DHCP cannot tell the slots of a stack apart. Let each board blink and say where you see it.</p>
      <div class="in-actions"><button class="button primary" type="button" :disabled="!stacks.length" @click="find">
        <Icon name="identify" :size="16"/>Check the slots…</button></div></div></li>
    <li><span class="in-number">{{ silent ? 3 : 2 }}</span><div><h3>Changed a board, a card or a cable?</h3>
      <p>Scan that stack again; all others stay on.</p>
      <div class="in-actions"><OneStack label="Scan it again" :chosen="state.only"/></div></div></li>
  </ol>
  <More note="Undo gives the DHCP server the reservations it had before this run, or before a swap after it. The next
    run serves the places again that are shown here; to take back a swap, swap the two again.">
    <Control label="Undo reservations" says="Undo reservations" :words="['undo']"/></More>`,
};

const Over = {
  components: { BadEnd, DryEnd, GoodEnd, Hindrance, Mark, Verdicts },
  props: { state: Object },
  setup({ state }) {
    const [title, text] = run.endWords(state);
    const bad = state.step === "failed" || (state.step === "cancelled" && !state.done);
    const mark = { done: "verified", cancelled: "waiting" }[state.step] ?? "trouble";
    const dark = computed(() => run.darkWords(state, store.stacks));
    const counts = state.dry ? [] : run.verdictCounts(state);
    return { title, text, mark, dark, counts, next: state.dry ? "DryEnd" : bad ? "BadEnd" : "GoodEnd" };
  },
  template: `
  <div class="in-head"><div class="in-end" :data-mark="mark"><Mark :name="mark" :size="26"/>
    <div><h2>{{ title }}</h2><p class="in-lead">{{ text }}</p></div></div></div>
  <p class="in-dark" :hidden="!dark">{{ dark }}</p>
  <div v-if="counts.length" class="in-found large"><Verdicts :rows="counts"/></div>
  <component :is="next" :state="state"/>
  <Hindrance/>`,
};

/** The head of the page: another view for each kind of state, made anew for another run or end. */
export const InstallProgress = {
  components: { Confirm, Idle, Off, Over, Preflight: Running, Running },
  setup() {
    const element = ref();
    const said = ref("");
    const kind = computed(() => run.kindOf(run.install.state));
    const key = computed(() => {
      const state = run.install.state;
      const { step, dry, done, total, forecast, problems, verdicts } = state ?? {};
      const end = kind.value === "over" ? [step, dry, done, total, forecast, problems, verdicts] : [];
      return JSON.stringify([kind.value, state?.run, state?.only, end]);
    });
    const say = () => {
      said.value = element.value?.querySelector("h2")?.textContent ?? "";
    };
    onMounted(say);
    watch(key, say, { flush: "post" });
    const view = computed(() => capital(kind.value));
    return { element, said, kind, key, run, view };
  },
  template: `
  <div class="sr-only" role="status" aria-live="polite">{{ said }}</div>
  <section v-if="kind !== 'none'" ref="element" class="in-hero" aria-label="Install run" :data-kind="kind">
    <component :is="view" :key="key" :state="run.install.state"/>
  </section>`,
};
