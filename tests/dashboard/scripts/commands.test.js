import assert from "node:assert/strict";
import { test } from "node:test";
import * as actions from "../../../dashboard/components/parts/actions.js";
import { sameReason } from "../../../dashboard/components/parts/consent.js";
import { fold, standing, trouble } from "../../../dashboard/components/parts/receipts.js";
import { apply, store } from "../../../dashboard/components/parts/store.js";
import { board, rack } from "./rack.js";

const verbs = (found) => found.map(({ verb, args }) => [verb, ...args].join(" "));

test("what interrupts boards stands last, and a shared outlet is switched as a stack", () => {
  rack();
  const { common, own, last } = actions.offered(actions.nodeTarget(board(1, 1)));
  assert.deepEqual(verbs(common), ["ping", "identify", "refresh", "lock"]);
  assert.deepEqual(verbs(own), ["say"]);
  assert.deepEqual(verbs(last), ["power on", "reboot", "shutdown", "power cycle", "power off"]);
  assert.match(last[0].where, /Stack 01 as a whole/);
  assert.equal(last[0].target.scope, "stack/1");
});

test("a viewer is offered nothing, an operator no admin's verb", () => {
  rack();
  store.settings.role = "viewer";
  assert.deepEqual(actions.offered(actions.rackTarget()), { common: [], own: [], last: [] });
  store.settings.role = "operator";
  assert.equal(actions.allowed("install"), false);
  assert.equal(actions.allowed("reboot"), true);
});

test("power hits every board of an outlet, named or not", () => {
  rack();
  board(2, 1).outlet = "stack-1";
  const target = actions.stackTarget(store.stacks.get(1));
  assert.deepEqual(
    actions.hit(target, { verb: "power" }).map(({ name }) => name),
    ["s01n1", "s01n2", "s02n1"],
  );
  assert.deepEqual(
    actions.bystanders(target).map(({ name }) => name),
    ["s02n1"],
  );
});

test("the line for a terminal confirms where more than one board is hit", () => {
  rack();
  const one = actions.publishLine(actions.nodeTarget(board(1, 1)), { verb: "reboot", args: [] });
  assert.equal(one, "mosquitto_pub -q 1 -t pirack/v1/lab/node/pi-11/cmd/reboot -n");
  const all = actions.publishLine(actions.rackTarget(), { verb: "reboot", args: [] }, [], { wave: 1 });
  assert.match(all, /-m '\{"confirm":"rack","wave":1\}'$/);
  const power = actions.publishLine(actions.nodeTarget(board(1, 1)), { verb: "power", args: ["off"] });
  assert.match(power, /-m '\{"args":\["off"\],"confirm":"node\/pi-11"\}'$/);
});

test("an answer comes to whom it belongs, by the command's id", () => {
  rack();
  const said = [];
  store.say = (message) => said.push(message);
  const got = [];
  actions.ask(actions.rackTarget(), { verb: "ping", args: [] }, [], (answer) => got.push(answer));
  apply(1, {}, { sent: [{ reference: said[0].reference, id: "c-1" }] });
  apply(
    2,
    {},
    {
      receipts: [
        { id: "c-2", complete: true },
        { id: "c-1", complete: false },
      ],
    },
  );
  apply(3, {}, { receipts: [{ id: "c-1", complete: true }] });
  apply(4, {}, { receipts: [{ id: "c-1", complete: true }] });
  assert.deepEqual(
    got.map(({ id, receipt }) => id ?? receipt.complete),
    ["c-1", false, true],
  );
});

test("commands under way are told with who runs and who waits", () => {
  rack();
  const running = (phase) => ({ id: "c-1", verb: "power", by: "ada", phase, word: "cycle" });
  board(1, 1).running = running("running");
  board(1, 2).running = running("accepted");
  board(2, 1).running = running("running");
  const [work] = actions.underWay([...store.nodes.values()]);
  assert.deepEqual(
    [work.running.length, work.queued.length, actions.labelOf(work.verb, work.word)],
    [2, 1, "Power-cycle"],
  );
});

const row = (name, phase, more = {}) => {
  return {
    node: name,
    name,
    phase,
    error: "",
    exit: null,
    output: "",
    duration: 1,
    verified: false,
    code: "",
    ...more,
  };
};

test("boards with the same answer are one line, and the failed come first", () => {
  rack();
  const failed = { error: "no answer" };
  const lines = fold([
    row("s2", "done"),
    row("s10", "failed", failed),
    row("s1", "failed", { error: "s1, no answer" }),
  ]);
  assert.deepEqual(
    lines.map(({ names }) => names),
    [["s1", "s10"], ["s2"]],
  );
});

test("a receipt counts while it runs and says how it ended", () => {
  rack();
  const answer = { phase: "running", complete: false, ok: false, error: "", duration: 2, verified: true };
  const card = { refused: "", rows: [row("a", "done"), row("b", "running")], total: 4, action: {}, answer };
  assert.equal(standing({ ...card, answer: null }), "sending");
  assert.equal(standing(card), "running · 1 of 4");
  card.answer = { ...answer, complete: true, phase: "failed", error: "1 of 2 not done: b" };
  assert.match(standing(card), /^1 of 2 boards done · 2.0/);
  assert.equal(trouble(card), "");
});

test("a reason that boards share is given once", () => {
  const lost = [
    { name: "a", why: "lost" },
    { name: "b", why: "lost" },
    { name: "c", why: "" },
  ];
  assert.equal(sameReason(lost), "a, b (lost), c");
});
