import assert from "node:assert/strict";
import { test } from "node:test";
import { shorter } from "../../../dashboard/components/parts/install_progress.js";
import { boardView } from "../../../dashboard/components/parts/install_rack.js";
import * as run from "../../../dashboard/components/parts/install_run.js";
import { store } from "../../../dashboard/components/parts/store.js";
import { rack } from "./rack.js";

const state = (step, more = {}) => {
  const base = {
    run: "r-1",
    step,
    backend: "dnsmasq",
    interface: "eth1",
    only: null,
    stack: null,
    by: "ada",
    dry: false,
  };
  return { ...base, done: 0, total: 4, problems: [], forecast: [], verdicts: {}, eta_s: null, ...more };
};
const slot = (number, more = {}) => {
  return {
    slot: number,
    name: "",
    address: "",
    mac: "",
    serial: "",
    model: "",
    verdict: "",
    verified: 0,
    node: "",
    ...more,
  };
};

test("every step of the vocabulary has its kind of page", () => {
  rack();
  const kinds = ["preflight", "confirm", "scan", "done", "cancelled"].map((step) => run.kindOf(state(step)));
  assert.deepEqual(kinds, ["preflight", "confirm", "running", "over", "over"]);
  assert.equal(run.kindOf(state("idle", { run: "" })), "idle");
  assert.equal(run.kindOf(state("idle", { run: "", backend: "" })), "off");
  assert.equal(run.kindOf(null), "none");
  assert.equal(run.live(state("a step of a newer master")), true);
});

test("steps and ends name the stack and the scope; an unknown step is said as it is", () => {
  rack();
  assert.equal(run.stepWords(state("scan", { stack: 1 }))[0], "Stack 01 is on, its boards are booting");
  assert.equal(run.stepWords(state("newer"))[0], "newer");
  assert.match(run.endWords(state("done", { only: 2 }))[1], /over Stack 02 is complete/);
  assert.match(run.endWords(state("done-with-problems", { problems: ["a"] }))[0], /1 problem left/);
  assert.equal(run.endWords(state("failed"))[1], "The history says why.");
  assert.match(run.endWords(state("failed", { dry: true }))[0], /would not begin/);
});

test("a problem is split into what is wrong and what to do", () => {
  const found = run.splitProblem("s02n3: no board was heard; scan stack 2 again");
  assert.deepEqual(found, { what: "s02n3: no board was heard", advice: "Scan stack 2 again" });
  assert.equal(run.stackOf("s02n3: no board"), 2);
  assert.equal(run.stackOf("b8:27:eb talks"), null);
});

test("only a run to its end verifies", () => {
  rack();
  const verdicts = { ok: 17, missing: 0, newer: 1 };
  const words = (step) => run.verdictCounts(state(step, { verdicts })).map((each) => `${each.count} ${each.words}`);
  assert.deepEqual(words("scan"), ["17 placed", "1 newer"]);
  assert.deepEqual(words("done"), ["17 verified", "1 newer"]);
});

test("who was heard stands in a free slot while its stack is scanned", () => {
  const heard = slot(null, { mac: "b" });
  const boards = [slot(1, { mac: "a" }), slot(2), heard];
  assert.deepEqual(run.arrange(boards, "scanning"), [boards[0], heard]);
  assert.deepEqual(run.arrange(boards, "placed"), boards);
  assert.equal(boardView(heard, "scanning", true).name, "b");
});

test("who loses power is counted by the boards that run", () => {
  rack();
  const rows = run.losers(state("confirm"), store.stacks, [...store.nodes.values()]);
  assert.equal(run.loserWords(rows), "2 stacks, 4 boards that are running now");
  for (const row of rows) row.stack = { ...row.stack, power: "off" };
  assert.equal(run.loserWords(rows), "2 stacks: all off already, nobody loses power");
});

test("a long list of names in the forecast is cut", () => {
  const names = Array.from({ length: 9 }, (_, at) => `s${at}`).join(", ");
  assert.equal(shorter(`they lose power: ${names}`), "they lose power: s0, s1, s2, s3, s4 and 4 more");
  assert.equal(shorter("a: b, c"), "a: b, c");
});

test("a person without the right is told who may", () => {
  rack();
  assert.equal(run.hindrance(), "");
  store.settings.role = "operator";
  assert.equal(run.hindrance(), "Only an admin may do this; ada is operator.");
  assert.equal(run.hindrance("identify"), "");
});
