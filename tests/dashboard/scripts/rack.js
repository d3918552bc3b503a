// A rack as the server tells of it: two stacks of two boards.

import { readFileSync } from "node:fs";
import { apply, begin, State, store } from "../../../dashboard/components/parts/store.js";

const settings = JSON.parse(readFileSync(process.env.PAGE_SETTINGS, "utf8"));

const index = (stack, slot) => stack * 10 + slot;

const meta = (stack, slot) => {
  const held = [1, "on", `stack-${stack}`, null, null, null];
  return [index(stack, slot), `pi-${stack}${slot}`, `s0${stack}n${slot}`, stack, slot, [], ...held];
};
const stackRow = (number) => {
  const place = { number, name: `stack ${number}`, x: number - 1, y: 0, slots: 2 };
  return { ...place, power: "on", wanted: "on", lock: null, fault: "", found: [] };
};

/** Start anew with a healthy rack; `more` is added to the first message. */
export function rack(more = {}) {
  begin({
    ...settings,
    user: "ada",
    role: "admin",
    rack: "lab",
    prefix: "pirack/v1/lab",
    mosquittoPub: "mosquitto_pub",
  });
  store.say = () => {};
  store.filter = new Set();
  const places = [1, 2].flatMap((stack) => [1, 2].map((slot) => [stack, slot]));
  const shared = {
    snapshot: true,
    now: 1000,
    rack: "lab",
    connection: { broker: true, master: "online", ready: true, since: 0, why: "", frozen: "", home: "" },
    abilities: {
      1: [
        ["run", ["alias"], ""],
        ["identify", [], ""],
        ["say", ["text"], "Write"],
        ["reboot", [], ""],
        ["shutdown", [], ""],
      ],
    },
    stacks: [stackRow(1), stackRow(2)],
    meta: places.map(([stack, slot]) => meta(stack, slot)),
    rows: places.map(([stack, slot]) => [index(stack, slot), State.OK, 20, 40, 45, 0, 0]),
    notes: places.map(([stack, slot]) => [index(stack, slot), "", 900, ""]),
    ...more,
  };
  apply(0, shared, { match: null });
  return store;
}

export const board = (stack, slot) => store.nodes.get(index(stack, slot));
