// How live this page is, in four words at the top and a banner when it is not.

import { computed, watch } from "vue";
import { now, silence, store } from "./store.js";
import { age, clock, moment } from "./words.js";

const SILENT_S = 12;

/** How the page stands: its kind, a few words, and a sentence where something is wrong. */
export function judge() {
  const { broker, since, master, frozen, slowed, why } = store.connection;
  const said = (/** @type {string} */ kind, /** @type {string} */ short, text = "") => ({ kind, short, text });
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
