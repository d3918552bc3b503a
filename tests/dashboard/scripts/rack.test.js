import assert from "node:assert/strict";
import { test } from "node:test";
import { fold, sentence } from "../../../dashboard/components/parts/events.js";
import { layOut } from "../../../dashboard/components/parts/layout.js";
import { nearest } from "../../../dashboard/components/parts/navigation.js";
import { describe, outletWords, worst } from "../../../dashboard/components/parts/rack.js";
import { sparkline } from "../../../dashboard/components/parts/slot.js";
import { HISTORY, NO_SAMPLE, State, store } from "../../../dashboard/components/parts/store.js";
import { concerns, figures, onlineFigure } from "../../../dashboard/components/parts/summary.js";
import { board, rack } from "./rack.js";

const all = () => [...store.nodes.values()];

test("the worst comes first, and a stack that fell silent whole is one line", () => {
  rack();
  for (const slot of [1, 2])
    Object.assign(board(1, slot), { state: State.OFFLINE, words: "no answer", since: 900 + slot });
  Object.assign(board(2, 1), { state: State.WARN, words: "72 °C", since: 100 });
  Object.assign(board(2, 2), { state: State.CRIT, words: "83 °C", since: 200 });
  const titles = concerns(all(), store.stacks).map(({ title }) => title);
  assert.deepEqual(titles, ["s02n2", "Stack 01: no board answers", "s02n1"]);
});

test("boards that share a weak supply are one line", () => {
  rack();
  for (const slot of [1, 2]) Object.assign(board(1, slot), { state: State.CRIT, words: "under-voltage", since: 900 });
  const [only, ...rest] = concerns(all(), store.stacks);
  assert.equal(only.title, "Stack 01: under-voltage");
  assert.deepEqual(rest, []);
});

test("a set of boards is described by its worst state first", () => {
  rack();
  board(1, 1).state = State.CRIT;
  assert.equal(worst(all()), "crit");
  assert.equal(describe(all()), "4 boards: 1 critical, 3 ok");
});

test("an outlet says what it reads back and what is wanted", () => {
  assert.deepEqual(outletWords({ power: "off", wanted: "on" }, []).short, "off, not on");
  assert.deepEqual(outletWords({ power: "on", wanted: "on" }, []).state, "on");
  assert.equal(outletWords({ power: "on", wanted: "on", fault: "relay" }, []).short, "outlet fault");
});

test("a board that boots is not online, and the hottest is named", () => {
  rack();
  board(1, 1).state = State.BUSY;
  board(1, 2).temperature = 60;
  assert.deepEqual(onlineFigure(all()), { value: "3", unit: "of 4", note: "1 busy" });
  const found = figures(all(), [...store.stacks.values()]);
  assert.equal(found.hottest.name, "s01n2");
  assert.deepEqual([found.cpu.value, found.power.value, found.power.unit], [20, "2", "of 2"]);
});

test("stacks stand at their place where there is room, else in order", () => {
  const stacks = [
    { x: 0, y: 0 },
    { x: 1, y: 0 },
  ];
  assert.equal(layOut(stacks, 200, 500).area(stacks[1]), "1 / 2");
  assert.equal(layOut(stacks, 200, 400).area(stacks[1]), "");
  const same = [...stacks, { x: 1, y: 0 }]; // two in one place: none can be trusted
  assert.equal(layOut(same, 200, 900).area(stacks[1]), "");
});

test("an arrow leads to the nearest board in its direction", () => {
  const box = (left, top) => ({ left, top, width: 10, height: 10 });
  const boxes = [box(0, 0), box(20, 0), box(0, 20), box(100, 1)];
  assert.equal(nearest(boxes, boxes[0], [1, 0]), 1);
  assert.equal(nearest(boxes, boxes[0], [0, 1]), 2);
  assert.equal(nearest(boxes, boxes[0], [-1, 0]), -1);
});

test("a line of samples has gaps, and no dot before one", () => {
  const line = (...samples) => sparkline([...Array(HISTORY - samples.length).fill(NO_SAMPLE), ...samples], 56, 20);
  assert.equal(line(10, NO_SAMPLE, 10, 10).split("M").length, 2);
  assert.match(line(10, 10, NO_SAMPLE, 10), /h0/);
  assert.equal(sparkline([], 56, 20), "");
});

const event = (seq, text, more = {}) => ({
  seq,
  ts: seq,
  kind: "verdict",
  text,
  node: "",
  incident: "",
  correlation: "",
  ...more,
});

test("lines of an incident are one entry under its headline", () => {
  rack();
  const parts = [event(1, "s01n1 fell silent", { incident: "i" }), event(2, "s01n2 fell silent", { incident: "i" })];
  const head = event(3, "supply of stack 1", { incident: "i", kind: "incident" });
  const [entry, ...rest] = fold([...parts, head, event(4, "later", { incident: "i" })]);
  assert.deepEqual([sentence(entry), entry.lines.length, rest], ["supply of stack 1", 4, []]);
});

test("what is said of many boards within two minutes is one entry", () => {
  rack();
  const online = (seq, id) => event(seq, `${store.ids.get(id).name} is online`, { node: id });
  const [late, burst] = fold([online(1, "pi-11"), online(2, "pi-12"), online(300, "pi-21")]);
  assert.equal(sentence(burst), "2 boards are online");
  assert.equal(sentence(late), "s02n1 is online");
});
