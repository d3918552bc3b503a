// The Install page: what a run would do, what it does, how it ended, and what is next.

import { send } from "pirack/actions.js";
import { h, setAttr, setText } from "pirack/dom.js";
import { Hero } from "pirack/install_hero.js";
import { hindrance, installAction, installTarget } from "pirack/install_controls.js";
import { InstallRack } from "pirack/install_rack.js";
import { About, Log, Problems } from "pirack/install_side.js";
import { openSlots } from "pirack/install_slots.js";
import { kindOf, live } from "pirack/install_words.js";
import { frozen, listen, now, store } from "pirack/store.js";
import { clock } from "pirack/words.js";

const BOARD = ["slot", "name", "address", "mac", "serial", "model", "verdict", "verified", "node"];

function readStack([number, run, phase, boards]) {
  return { number, run, phase, boards: boards.map((row) => Object.fromEntries(BOARD.map((key, at) => [key, row[at]]))) };
}

export default {
  template: `<div class="overview install"></div>`,
  mounted() {
    this.model = { state: null, stacks: new Map(), heard: false, still: false, onSlots: (number) => openSlots(this.model, number) };
    this.build();
    this.stop = listen((change) => this.take(change));
    this.onFailure = (event) => this.fail(event.detail);
    document.addEventListener("pirack-failure", this.onFailure);
    if (store.loaded) store.say({ kind: "install" });
    this.draw();
  },
  unmounted() {
    this.stop();
    this.rack.remove();
    document.removeEventListener("pirack-failure", this.onFailure);
    store.say({ kind: "no-install" });
  },
  methods: {
    build() {
      const again = (number) => send(installTarget(number), installAction("Install", "start"));
      this.hero = new Hero(this.model);
      this.rack = new InstallRack(this.model, { onSlots: this.model.onSlots, onScan: again });
      this.side = [new Problems(this.model), new About(this.model), new Log()];
      this.still = h("p", { class: "in-still", role: "status", hidden: true });
      this.empty = h("div", { class: "empty", hidden: true });
      const ghosts = h("div", { class: "rack", "aria-hidden": "true" }, Array.from({ length: 8 }, () => h("div", { class: "ghost" }, Array.from({ length: 4 }, () => h("span")))));
      this.skeleton = h("div", { role: "status" }, h("span", { class: "sr-only", text: "Loading the install run" }), ghosts);
      const main = h("div", { class: "column" }, this.still, this.empty, this.hero.element, this.skeleton, h("div", { class: "rack-frame" }, this.rack.element), this.rack.note);
      this.$el.append(this.hero.voice, main, h("div", { class: "side" }, this.side.map((part) => part.element)));
    },
    take(change) {
      if (change.snapshot) store.say({ kind: "install" });
      if (change.install) this.learn(change.install);
      if (change.install || change.snapshot || change.structure || change.stacks || change.connection || change.events || change.second) this.draw();
      if (change.snapshot || change.structure) this.rack.place();
    },
    learn({ whole, state, stacks, gone }) {
      const { model } = this;
      if (whole) model.stacks.clear();
      if (state !== undefined) {
        model.state = state;
        model.learnt = now();
      }
      model.heard = true;
      for (const row of stacks ?? []) model.stacks.set(row[0], readStack(row));
      for (const number of gone ?? []) model.stacks.delete(number);
    },
    draw() {
      const { model } = this;
      const { state, heard } = model;
      const why = frozen() || (store.connection.master === "online" ? "" : "the master is offline");
      model.still = Boolean(why);
      this.$el.classList.toggle("still", model.still && live(state));
      const words = model.still && live(state) ? `${why.replace(/^./, (letter) => letter.toUpperCase())}: this is where the run stood ${state.heard ? `at ${clock(state.heard, { seconds: true })}` : "when it was last heard"}. It is on disk, and goes on from there by itself.` : "";
      setText(this.still, words);
      setAttr(this.still, "hidden", !words);
      this.hero.draw();
      this.rack.draw(hindrance());
      for (const part of this.side) part.draw();
      this.drawEmpty(heard ? kindOf(state) : "waiting");
    },
    drawEmpty(kind) {
      const broker = store.connection.broker && store.socket;
      const what = kind === "waiting" && store.loaded && !broker ? "broker" : kind === "none" ? (!broker ? "broker" : store.connection.master === "online" ? "silent" : "master") : "";
      setAttr(this.skeleton, "hidden", kind !== "waiting" || what === "broker");
      setAttr(this.rack.element.parentElement, "hidden", kind === "waiting");
      if (what === this.emptyKind) return;
      this.emptyKind = what;
      setAttr(this.empty, "hidden", !what);
      const [title, text, line] = {
        broker: ["The broker cannot be reached", "Nothing is known of an install run. This page fills by itself as soon as the broker answers. To see why:", "pirack doctor"],
        master: ["Waiting for the master", "Only the master can install, and none has spoken yet. Start it:", "pirack master --config pirack.toml"],
        silent: ["The master says nothing of installing", "It is online, but older than this page, or it could not start its DHCP side: its log says why. To check this machine:", "pirack doctor"],
      }[what] ?? [];
      if (what) this.empty.replaceChildren(h("h2", { text: title }), h("p", {}, text, " ", h("code", { text: line })));
    },
    fail(error) {
      this.emptyKind = "failure";
      this.empty.hidden = false;
      this.empty.replaceChildren(h("h2", { text: "Part of this page failed" }), h("p", { text: "What is shown may be incomplete. Reloading usually helps; if it comes back, please report this line:" }), h("code", { text: String(error) }));
    },
  },
};
