// How live this page is, in four words at the top and a banner when it is not; how the broker
// and the master stand; and what is said when a part of the page failed.

import { computed, onErrorCaptured, watch } from "vue";
import { fail, now, silence, store } from "./store.js";
import { age, clock, moment } from "./words.js";

const SILENT_S = 12;

/** How the page stands: its kind, a few words, and a sentence where something is wrong. */
export function judge() {
  const { broker, since, master, frozen, slowed, why } = store.connection;
  const said = (kind, short, text = "") => ({ kind, short, text });
  if (!store.socket) {
    const ago = `This page lost the dashboard ${age(silence())} ago and is trying again.`;
    return said("lost", "Reconnecting…", `${ago} What you see is from then.`);
  }
  if (!store.loaded) return said("wait", "Connecting…");
  if (!broker) {
    const out = `The broker has been out of reach for ${age(now() - since)} (${why || "no reason given"}).`;
    const from = `What you see is from ${clock(since, { seconds: true })}: values are frozen, commands disabled.`;
    return said("down", `Broker offline since ${moment(since)}`, `${out} ${from} The dashboard keeps trying.`);
  }
  if (silence() > SILENT_S) return said("slow", `No update for ${age(silence())}`);
  if (master === "offline") {
    const old = "vitals are live, but verdicts are old and no command would be carried out.";
    return said("master", "Master offline", `The master is offline: ${old}`);
  }
  if (master !== "online") {
    const start = "start it with pirack master, or everything with pirack up.";
    return said("master", "No master yet", `No master has ever spoken here: ${start}`);
  }
  if (frozen) return said("slow", "Verdicts frozen", `The master holds its verdicts: ${frozen}.`);
  return slowed ? said("slow", "Updates slowed") : said("live", "Live");
}

/** The same, followed; the body's classes say it to the styles. */
export function useConnection() {
  const view = computed(() => {
    const found = judge();
    return { ...found, title: found.kind === "live" ? `Updated ${age(silence())} ago` : found.text || found.short };
  });
  watch(
    view,
    ({ kind, text }) => {
      document.body.classList.toggle("veiled", kind === "lost" || kind === "down");
      document.body.classList.toggle("bannered", text !== "");
    },
    { immediate: true },
  );
  return view;
}

/** Each service: its name, whether all is well, and the words. */
export function standings() {
  const { socket } = store; // without it nothing is known of any of them
  const { broker, master, frozen, install, install_trouble: trouble } = store.connection;
  const reached = socket && broker;
  const live = reached && master === "online" && !frozen;
  const rows = [
    { name: "Broker", good: reached, text: !socket ? "not known" : broker ? "connected" : "offline" },
    { name: "Master", good: reached && master === "online", text: reached ? master || "never heard" : "not known" },
    { name: "Verdicts", good: live, text: live ? "live" : (socket && frozen) || "frozen" },
  ];
  return install ? [...rows, { name: "Install", good: reached && !trouble, text: install }] : rows;
}

/** The section of the right column. */
export const Services = {
  setup: () => ({ rows: computed(standings) }),
  template: `
  <section class="services" aria-label="Services">
    <div class="side-head"><h2>Services</h2></div>
    <dl><div v-for="{ name, good, text } in rows" :key="name">
      <dt>{{ name }}</dt><dd :data-good="good ? 'yes' : 'no'">{{ text }}</dd></div></dl>
  </section>`,
};

/** Lets what fails inside a page be shown by its FailureNotice. */
export function showFailures() {
  store.failure = "";
  onErrorCaptured((error) => {
    fail(error);
    return false;
  });
}

export const FailureNotice = {
  setup: () => ({ store, reload: () => window.location.reload() }),
  template: `
  <div v-if="store.failure" class="empty">
    <h2>Part of this page failed</h2>
    <p>What is shown may be incomplete. Reloading usually helps; if it comes back, please report this line:</p>
    <code>{{ store.failure }}</code>
    <button class="button" type="button" @click="reload">Reload</button>
  </div>`,
};
