import assert from "node:assert/strict";
import { test } from "node:test";
import {
  age,
  bytes,
  list,
  misleads,
  plainJson,
  quote,
  span,
  stackName,
  took,
} from "../../../dashboard/components/parts/words.js";

const plain = (text) => text.replaceAll("\u00a0", " ");

test("ages and spans are as long as a person needs", () => {
  assert.deepEqual([0, 59.6, 119, 3600, 86400].map(age).map(plain), ["0 s", "1 min", "1 min", "1 h", "1 d"]);
  assert.deepEqual([42, 3600, 90060].map(span).map(plain), ["42 s", "1 h 0 min", "1 d 1 h"]);
  assert.deepEqual([0, 0.0123, 2.44, 75.2].map(took).map(plain), ["< 1 ms", "12 ms", "2.4 s", "1 min 15 s"]);
});

test("bytes have binary units", () => {
  assert.deepEqual([512, 1536, 4 * 2 ** 30].map(bytes).map(plain), ["512 B", "1.5 KiB", "4.0 GiB"]);
});

test("long lists are cut and counted", () => {
  assert.equal(list(["a", "b"]), "a, b");
  assert.equal(list(["a", "b", "c", "d", "e", "f"]), "a, b, c, d and 2 more");
});

test("a stack without a name of its own has its number", () => {
  assert.equal(stackName({ number: 3, name: "stack 3" }), "Stack 03");
  assert.equal(stackName({ number: 3, name: "" }), "Stack 03");
  assert.equal(stackName({ number: 3, name: "attic" }), "attic");
});

test("what a terminal would obey is escaped in JSON, and the shell sees one word", () => {
  assert.equal(misleads("\u202e"), true);
  assert.equal(misleads("it's 5 °C"), false);
  assert.equal(plainJson(["a\u009bb\u202e"]), '["a\\u009bb\\u202e"]');
  assert.deepEqual(JSON.parse(plainJson("\u{e0001}x")), "\u{e0001}x");
  assert.equal(quote("it's"), `'it'"'"'s'`);
  assert.equal(quote("a/b=1"), "a/b=1");
});
