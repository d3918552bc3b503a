// Beside the run: its problems with what to do, what it runs on, and what was heard.

import { computed } from "vue";
import { send } from "./actions.js";
import { Mark } from "./icons.js";
import * as run from "./install_run.js";
import { store } from "./store.js";
import { clock, stackName } from "./words.js";

const LINES = 14;

/** The problems of the run, each with what to do and, once it is over, the button that does it. */
const Problems = {
  components: { Mark },
  setup() {
    const kind = computed(() => run.kindOf(run.install.state));
    const over = computed(() => kind.value === "over" && !run.install.state?.dry);
    const rows = computed(() => {
      if (!["running", "over"].includes(kind.value)) return [];
      return (run.install.state?.problems ?? []).map((text) => {
        const stack = store.stacks.get((over.value && run.stackOf(text)) || -1);
        return { text, ...run.splitProblem(text), stack, name: stack && stackName(stack) };
      });
    });
    const scan = (/** @type {number} */ stack) => send(run.installTarget(stack), run.installAction("Install", "start"));
    return { rows, scan, run };
  },
  template: `
  <section class="attention" aria-label="Problems" :hidden="!rows.length">
    <div class="side-head"><h2>Problems</h2><span class="side-note">{{ rows.length }}</span></div>
    <ol class="concerns in-problems">
      <li v-for="row in rows" :key="row.text" class="in-problem">
        <Mark name="trouble"/><b>{{ row.what }}</b><span v-if="row.advice">{{ row.advice }}</span>
        <button v-if="row.stack" class="button small" type="button" :disabled="run.hindrance() !== ''"
          :title="run.hindrance() || null" @click="scan(row.stack.number)">Scan {{ row.name }} again</button>
      </li>
    </ol>
  </section>`,
};

/** What the run is, and what it works with. */
const About = {
  setup() {
    const rows = computed(() => {
      const { state } = run.install;
      if (!state || ["off", "idle"].includes(run.kindOf(state))) return [];
      const found = [
        ["DHCP", run.serverWords(state)],
        ["Scans", run.scopeWords(state)],
        ["Kind", state.dry ? "dry run" : ""],
        ["Asked by", state.by],
        ["Run", state.run],
        [run.live(state) ? "Last change" : "Ended", state.heard ? clock(state.heard, { seconds: true }) : ""],
      ];
      return found.filter(([, text]) => text);
    });
    return { rows, title: computed(() => (run.live(run.install.state) ? "This run" : "The last run")) };
  },
  template: `
  <section class="services in-about" aria-label="About this run" :hidden="!rows.length">
    <div class="side-head"><h2>{{ title }}</h2></div>
    <dl><div v-for="[name, text] in rows" :key="name"><dt>{{ name }}</dt><dd>{{ text }}</dd></div></dl>
  </section>`,
};

/** What the run said lately, newest first; every line, not folded. */
const Log = {
  setup() {
    const events = computed(() =>
      store.events
        .filter(({ kind }) => kind === "install")
        .slice(-LINES)
        .reverse(),
    );
    return { events, clock, href: `${window.path_prefix ?? ""}/activity?kind=install` };
  },
  template: `
  <section class="activity" aria-label="Log">
    <div class="side-head"><h2>Log</h2><a class="side-link" :href="href">all of it</a></div>
    <ol class="events in-log"><li v-for="each in events" :key="each.seq">
      <time>{{ clock(each.ts, { seconds: true }) }}</time><span class="event-text">{{ each.text }}</span></li></ol>
    <p class="quiet" :hidden="events.length > 0">What is heard and decided appears here, line by line.</p>
  </section>`,
};

/** The right column of the Install page. */
export const InstallReport = {
  components: { About, Log, Problems },
  template: `<div class="side"><Problems/><About/><Log/></div>`,
};
