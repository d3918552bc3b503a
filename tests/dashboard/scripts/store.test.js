import assert from "node:assert/strict";
import { test } from "node:test";
import { judge, standings } from "../../../dashboard/components/parts/connection.js";
import {
  apply,
  blocked,
  listen,
  merge,
  State,
  sample,
  setFilter,
  shown,
} from "../../../dashboard/components/parts/store.js";
import { board, rack } from "./rack.js";

test("a message changes the rows it names and tells which", () => {
  rack();
  const changes = [];
  const stop = listen((change) => changes.push(change));
  apply(1, { rows: [[11, State.CRIT, 99, 40, 83, 32, 0]], notes: [[11, "hot", 950, "83 °C"]] }, {});
  stop();
  assert.equal(board(1, 1).state, State.CRIT);
  assert.deepEqual([...changes[0].rows], [board(1, 1)]);
  assert.equal(board(1, 2).state, State.OK);
});

test("a message that does not follow the last one asks for everything", () => {
  const store = rack();
  const said = [];
  store.say = (message) => said.push(message.kind);
  apply(7, { rows: [[11, State.OFF, -1, -1, -1, 0, 0]] }, {});
  assert.deepEqual(said, ["resync"]);
  assert.equal(board(1, 1).state, State.OK);
});

test("a snapshot forgets what is not in it", () => {
  const store = rack();
  rack({ meta: [], rows: [], notes: [] });
  assert.equal(store.nodes.size, 0);
  assert.equal(store.ids.size, 0);
});

test("a board that is gone is found no more, and its stack keeps the others", () => {
  const store = rack();
  apply(1, { gone: [11] }, {});
  assert.equal(store.ids.has("pi-11"), false);
  assert.equal(store.ids.has("pi-12"), true);
});

test("why nothing can be sent says what is away", () => {
  const store = rack();
  assert.equal(blocked(), "");
  store.connection = { ...store.connection, master: "offline" };
  assert.match(blocked(), /the master is offline/);
  store.connection = { ...store.connection, broker: false };
  assert.match(blocked(), /the broker is offline/);
});

test("the page says how live it is, and knows nothing of services it cannot reach", () => {
  const store = rack();
  assert.equal(judge().kind, "live");
  assert.deepEqual(
    standings().map(({ text }) => text),
    ["connected", "online", "live"],
  );
  store.connection = { ...store.connection, frozen: "the broker was away", install: "done", install_trouble: true };
  assert.equal(judge().short, "Verdicts frozen");
  assert.deepEqual(
    standings().map(({ good }) => good),
    [true, true, false, false],
  );
  store.connection = { ...store.connection, broker: false };
  assert.equal(judge().kind, "down");
  store.socket = false;
  assert.equal(judge().kind, "lost");
  assert.equal(standings()[0].text, "not known");
  store.socket = true;
});

test("boards are dimmed by the search and by the states chosen", () => {
  const store = rack();
  store.match = new Set([11]);
  assert.deepEqual([shown(board(1, 1)), shown(board(1, 2))], [true, false]);
  setFilter(["crit"]);
  assert.equal(shown(board(1, 1)), false);
});

test("events are one list by number, each once", () => {
  const found = merge([{ seq: 1 }, { seq: 3 }], [{ seq: 2 }, { seq: 3 }]);
  assert.deepEqual(
    found.map(({ seq }) => seq),
    [1, 2, 3],
  );
});

test("samples move by one, and stop while the page is frozen", () => {
  const store = rack();
  board(1, 1).history.set([1, 2, 3]);
  sample();
  assert.deepEqual([...board(1, 1).history].slice(0, 2), [2, 3]);
  assert.equal(board(1, 1).history.at(-1), 20);
  store.socket = false;
  board(1, 1).cpu = 50;
  sample();
  assert.equal(board(1, 1).history.at(-1), 20);
  store.socket = true;
});
