// How live this page is, in four words at the top and a banner when it is not.

import { h, setAttr, setText } from "pirack/dom.js";
import { now, silence, store } from "pirack/store.js";
import { age, clock, moment } from "pirack/words.js";

const SILENT_S = 12;

function judge() {
  const { broker, since, master, frozen: held, slowed, why } = store.connection;
  if (!store.socket) return { kind: "lost", short: "Reconnecting…", text: `This page lost the dashboard ${age(silence())} ago and is trying again. What you see is from then.` };
  if (!store.loaded) return { kind: "wait", short: "Connecting…", text: "" };
  if (!broker) return { kind: "down", short: `Broker offline since ${moment(since)}`, text: `The broker has been out of reach for ${age(now() - since)} (${why || "no reason given"}). What you see is from ${clock(since, { seconds: true })}: values are frozen, commands disabled. The dashboard keeps trying.` };
  if (silence() > SILENT_S) return { kind: "slow", short: `No update for ${age(silence())}`, text: "" };
  if (master !== "online") return { kind: "master", short: master ? "Master offline" : "No master yet", text: master ? "The master is offline: vitals are live, but verdicts are old and no command would be carried out." : "No master has ever spoken here: start it with pirack master, or everything with pirack up." };
  if (held) return { kind: "slow", short: "Verdicts frozen", text: `The master holds its verdicts: ${held}.` };
  if (slowed) return { kind: "slow", short: "Updates slowed", text: "" };
  return { kind: "live", short: "Live", text: "" };
}

/** The pill and its banner. */
export class Pill {
  constructor() {
    this.text = h("span", { class: "pill-text", text: "Connecting…" });
    this.element = h("div", { class: "pill", role: "status" }, h("span", { class: "pill-dot", "aria-hidden": "true" }), this.text);
    this.bannerText = h("span");
    this.banner = h("div", { class: "banner", role: "alert", hidden: true }, this.bannerText);
  }

  draw() {
    const { kind, short, text } = judge();
    setAttr(this.element, "data-kind", kind);
    setText(this.text, short);
    setAttr(this.element, "title", kind === "live" ? `Updated ${age(silence())} ago` : text || short);
    setAttr(this.banner, "hidden", !text);
    setAttr(this.banner, "data-kind", kind);
    setText(this.bannerText, text);
    document.body.classList.toggle("veiled", kind === "lost" || kind === "down");
    document.body.classList.toggle("bannered", Boolean(text));
  }
}
