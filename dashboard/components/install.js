// The Install page: what a run would do, what it does, how it ended, and what is next.

import { FailureNotice, showFailures } from "pirack/connection.js";
import { InstallProgress } from "pirack/install_progress.js";
import { InstallRack } from "pirack/install_rack.js";
import { InstallReport } from "pirack/install_report.js";
import { install, kindOf, learn, live, stalled } from "pirack/install_run.js";
import { listen, store } from "pirack/store.js";
import { capital, clock } from "pirack/words.js";
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
