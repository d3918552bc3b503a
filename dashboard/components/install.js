// The Install page: what a run would do, what it does, how it ended, and what is next; beside
// it its problems with what to do, what it runs on, and what was heard.

import { send } from "pirack/actions.js";
import { FailureNotice, showFailures } from "pirack/connection.js";
import { InstallProgress } from "pirack/install_progress.js";
import { InstallRack } from "pirack/install_rack.js";
import * as run from "pirack/install_run.js";
import { install, kindOf, learn, live, stalled } from "pirack/install_run.js";
import { listen, store } from "pirack/store.js";
import { Mark } from "pirack/widgets.js";
import { capital, clock, stackName } from "pirack/words.js";
import { computed, onUnmounted } from "vue";

/** What stands in the place of a run nobody has told of: title, text, and a command. */
const EMPTY = {
  broker: [
    "The broker cannot be reached",
    "Nothing is known of an install run. This page fills by itself as soon as the broker answers. To see why:",
    "pirack doctor",
  ],
  master: [
    "Waiting for the master",
    "Only the master can install, and none has spoken yet. Start it:",
    "pirack master --config pirack.toml",
  ],
  silent: [
    "The master says nothing of installing",
    "It is online, but older than this page, or it could not start its DHCP side: its log says why. " +
      "To check this machine:",
    "pirack doctor",
  ],
};

/** Why there is no run to show; null if there is. */
function emptiness() {
  const { broker, master } = store.connection;
  const reached = broker && store.socket;
  if (!install.heard) return store.loaded && !reached ? EMPTY.broker : null;
  if (kindOf(install.state) !== "none") return null;
  return !reached ? EMPTY.broker : master === "online" ? EMPTY.silent : EMPTY.master;
}

/** Where a run stood that nobody can follow now; empty where it can be followed. */
function stillWords() {
  const { state } = install;
  const why = stalled();
  if (!why || !state || !live(state)) return "";
  const when = state.heard ? `at ${clock(state.heard, { seconds: true })}` : "when it was last heard";
  return `${capital(why)}: this is where the run stood ${when}. It is on disk, and goes on from there by itself.`;
}

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
    const scan = (stack) => send(run.installTarget(stack), run.installAction("Install", "start"));
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
const InstallReport = {
  components: { About, Log, Problems },
  template: `<div class="side"><Problems/><About/><Log/></div>`,
};

export default {
  components: { FailureNotice, InstallProgress, InstallRack, InstallReport },
  setup() {
    showFailures();
    Object.assign(install, { state: null, stacks: new Map(), heard: false });
    const follow = () => store.say({ kind: "install" });
    const stop = listen((change) => {
      if (change.snapshot) follow();
      if (change.install) learn(change.install);
    });
    if (store.loaded) follow();
    onUnmounted(() => {
      stop();
      store.say({ kind: "no-install" });
    });
    return { empty: computed(emptiness), still: computed(stillWords), install, store };
  },
  template: `
  <div :class="['overview install', { still }]">
    <div class="column">
      <p class="in-still" role="status" :hidden="!still">{{ still }}</p>
      <FailureNotice/>
      <div v-if="empty && !store.failure" class="empty">
        <h2>{{ empty[0] }}</h2><p>{{ empty[1] }} <code>{{ empty[2] }}</code></p></div>
      <InstallProgress/>
      <div role="status" :hidden="install.heard || empty !== null">
        <span class="sr-only">Loading the install run</span>
        <div class="rack" aria-hidden="true">
          <div v-for="stack in 8" class="ghost"><span v-for="slot in 4"></span></div></div>
      </div>
      <InstallRack v-if="install.heard"/>
    </div>
    <InstallReport/>
  </div>`,
};
