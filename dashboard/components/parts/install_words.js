// The install run in words and shapes: pure, from what dashboard/install.py sends.

import { s } from "pirack/dom.js";
import { list, plural, stackName } from "pirack/words.js";

const OVER = new Set(["done", "done-with-problems", "failed", "cancelled"]);
const AFTER_SCAN = new Set(["all-on", "verify"]);

/** The four stages a person follows, and the steps of the run in each. */
export const STAGES = [
  { name: "Check", steps: ["preflight"] },
  { name: "Confirm", steps: ["confirm"] },
  { name: "Find", steps: ["all-off", "baseline", "scan", "check", "commit", "all-on"] }, // check, all-on: older masters
  { name: "Verify", steps: ["verify"] },
];

/** What the page shows: none, off, idle, preflight, confirm, running or over. */
export function kindOf(state) {
  if (!state) return "none";
  if (OVER.has(state.step)) return "over";
  if (!state.run || state.step === "idle") return state.backend ? "idle" : "off";
  return ["preflight", "confirm"].includes(state.step) ? state.step : "running";
}

/** Whether a run is under way, also while it waits for a word. */
export function live(state) {
  return ["preflight", "confirm", "running"].includes(kindOf(state));
}

/** What the run is about: "the whole rack" or "Stack 05". */
export function scopeWords(state, stacks) {
  return state.only === null ? "the whole rack" : nameOf(state.only, stacks);
}

export function nameOf(number, stacks) {
  return stackName(stacks.get(number) ?? { number });
}

/** The step in a title and a sentence. */
export function stepWords(state, stacks) {
  const here = state.stack === null ? "the stack" : nameOf(state.stack, stacks);
  const first = here.replace(/^./, (letter) => letter.toUpperCase());
  const words = {
    preflight: ["Checking before anything is switched", "The DHCP server, the network, every planned address and every outlet. This takes a few seconds."],
    confirm: ["Waiting for your word", ""],
    "all-off": ["Switching off", "Boards that answer are asked to shut down, and seen to be down, before their outlet is cut."],
    baseline: ["Listening to the silence", "All stacks to be scanned are off: whoever talks now is no board of theirs."],
    scan: [`${first} is on, its boards are booting`, "Each board appears below as soon as it asks for an address."],
    check: [`${first} is off again, to be sure`, "Whoever still answers now is no board of this stack."],
    commit: [`Giving the boards of ${here} their places`, "The DHCP server is told; each board moves to its address when it asks for its lease again."],
    "all-on": ["Switching the stacks on", "One after the other, so that the supply bears it."],
    verify: ["Waiting for every board at its address", "Boards move there when they ask for their lease again, within about a minute. A board counts as verified when it answers there, and nobody else does."],
    restore: ["Ending early", "The outlets are brought where they are to be left."],
  };
  return words[state.step] ?? [state.step, ""];
}

/** How a run ended, in a title and a sentence. */
export function endWords(state, stacks) {
  const where = scopeWords(state, stacks);
  const found = plural(state.problems.length, "problem");
  if (state.dry) return state.step === "failed" ? ["Dry run: it would not begin", "Nothing was switched. These problems have to go first."] : ["Dry run: this is what would happen", "Nothing was switched."];
  return {
    done: ["Every board is in its place", `The run over ${where} is complete: each board answers at its own address.`],
    "done-with-problems": [`Done, with ${found} left`, `The run over ${where} is complete. Boards without a problem work; each problem says what to do.`],
    failed: ["The run ended early", state.problems.length ? "What was found before keeps its place. The reason stands with the problems." : "The history says why."],
    cancelled: ["The run was cancelled", "Boards that had a place by then keep it. A new run begins from the start."],
  }[state.step];
}

/** How many stacks of a run that ended early are off now, and who can change that. */
export function darkWords(state, stacks) {
  if (!["cancelled", "failed"].includes(state.step) || state.dry) return "";
  const off = [...stacks.values()].filter(({ number, power }) => power === "off" && (state.only === null || number === state.only));
  if (!off.length) return "";
  return off.length === 1 ? `${stackName(off[0])} is off, and stays off until somebody switches it on in the Overview.` : `${off.length} stacks are off, and stay off until somebody switches them on in the Overview.`;
}

/** Seconds to "about 4 min". */
export function etaWords(seconds) {
  if (seconds === null) return "";
  if (seconds <= 5) return "any moment now";
  if (seconds < 90) return `about ${Math.ceil(seconds / 5) * 5} s left`;
  return `about ${Math.round(seconds / 60)} min left`;
}

/** A sentence with a capital at its start, unless a name or an address stands there. */
export function upper(words) {
  return words.replace(/^[a-z](?=[a-z]* )/, (letter) => letter.toUpperCase());
}

/** A problem's sentence: what is wrong, and what to do about it. */
export function splitProblem(text) {
  const end = text.search(/[;?] /), at = end < 0 ? text.lastIndexOf(": ") : end;
  const [what, advice] = at < 0 ? [text, ""] : [text.slice(0, text[at] === "?" ? at + 1 : at), text.slice(at + 2)];
  return { what: upper(what), advice: upper(advice) };
}

/** The stack a problem is about, if its words name one: "stack 5" or "s05n2". */
export function stackOf(text) {
  const found = /\bstack (\d+)\b/.exec(text) ?? /\bs(\d+)n\d+\b/.exec(text);
  return found && Number(found[1]);
}

/** A verdict's mark and words, as counted in the summary; only a run to its end verifies. */
export const VERDICTS = {
  ok: ["verified", "verified"],
  placed: ["placed", "placed"],
  missing: ["missing", "missing"],
  conflict: ["trouble", "address in use"],
  "in-two-stacks": ["trouble", "heard in two stacks"],
  overfull: ["trouble", "without a slot"],
  foreign: ["trouble", "not of the rack"],
};

export const PHASES = {
  waiting: ["waiting", "waits its turn"],
  scanning: ["scanning", "being scanned"],
  placed: ["placed", "placed"],
  verified: ["verified", "all verified"],
  problems: ["trouble", "needs a look"],
  untouched: ["", ""],
};

/** What is not well in a stack, counted: "1 missing", "2 problems". */
export function troubleWords(boards) {
  const bad = boards.filter(({ verdict }) => verdict && verdict !== "ok");
  const missing = bad.filter(({ verdict }) => verdict === "missing").length;
  if (!bad.length) return "needs a look";
  return missing === bad.length ? `${missing} missing` : plural(bad.length, "problem");
}

/** One slot of a stack, or a board without one: its mark, words, and whether the mark
 * and the stack's phase already say them to whoever sees. */
export function boardWords(board, { phase, now }) {
  const { verdict, verified, mac, slot } = board;
  if (verified) return ["verified", "verified", true];
  if (verdict === "missing") return ["missing", mac ? "not heard" : "no board heard"];
  if (verdict && verdict !== "ok") return ["trouble", VERDICTS[verdict]?.[1] ?? verdict];
  if (slot === null || (verdict === "ok" && phase === "scanning")) return ["heard", "asked"];
  if (verdict === "ok") return ["placed", "placed", true];
  if (phase === "scanning") return ["listening", mac ? "listening for it" : "listening…"];
  return mac ? ["known", "known", !now] : ["waiting", "no board known", true];
}

/** Boards in the order they are drawn: while a stack is scanned, who was heard stands in
 * a free slot, which one is not known yet. */
export function arrange(boards, phase) {
  if (phase !== "scanning") return boards;
  const heard = boards.filter((board) => board.slot === null && !board.verdict);
  const rest = boards.filter((board) => !heard.includes(board));
  const filled = rest.map((board) => (board.mac || !heard.length ? board : heard.shift()));
  return [...filled, ...heard];
}

/** Numbers of the stacks in which a board is known. */
export function occupied(stacks) {
  const found = [...stacks.values()].filter(({ boards }) => boards.some(({ mac }) => mac));
  return found.map(({ number }) => number).sort((a, b) => a - b);
}

/** How many boards of known address have no agent that was ever heard. */
export function withoutAgent(stacks) {
  return [...stacks.values()].flatMap(({ boards }) => boards).filter(({ mac, node }) => mac && !node).length;
}

/** Who loses power: stacks with their boards that are up now. */
export function losers(state, stacks, nodes) {
  const scanned = [...stacks.values()].filter(({ number }) => state.only === null || number === state.only);
  return scanned.sort((a, b) => a.number - b.number).map((stack) => {
    const boards = [...nodes.values()].filter((node) => node.stack === stack.number).sort((a, b) => (a.slot ?? 0) - (b.slot ?? 0));
    return { stack, boards, up: boards.filter((node) => node.state < 5).length };
  });
}

export function loserWords(rows) {
  const up = rows.reduce((sum, row) => sum + row.up, 0);
  const off = rows.filter(({ stack }) => stack.power === "off").length;
  const stacks = rows.length === 1 ? stackName(rows[0].stack) : plural(rows.length, "stack");
  if (off === rows.length) return `${stacks}: all off already, nobody loses power`;
  return `${stacks}, ${up ? `${plural(up, "board")} that ${up === 1 ? "is" : "are"} running now` : "no running board"}`;
}

// Marks differ in shape as well as in colour.
const SHAPES = {
  verified: [["circle", { cx: 8, cy: 8, r: 7, class: "fill" }], ["path", { d: "M4.9 8.3l2.2 2.2 4-4.6", class: "ink" }]],
  placed: [["circle", { cx: 8, cy: 8, r: 5.8, class: "line" }], ["circle", { cx: 8, cy: 8, r: 2.2, class: "fill" }]],
  known: [["circle", { cx: 8, cy: 8, r: 5.8, class: "line" }]],
  heard: [["circle", { cx: 8, cy: 8, r: 2.2, class: "fill" }], ["path", { d: "M4.2 4.2a5.4 5.4 0 0 0 0 7.6 M11.8 4.2a5.4 5.4 0 0 1 0 7.6", class: "line" }]],
  listening: [["path", { d: "M5.4 5.4a3.7 3.7 0 0 0 0 5.2 M10.6 5.4a3.7 3.7 0 0 1 0 5.2", class: "line" }]],
  scanning: [["path", { d: "M13.4 8A5.4 5.4 0 1 1 11 3.5", class: "line" }], ["path", { d: "M8.6 3.4h3v-3", class: "line" }]],
  missing: [["circle", { cx: 8, cy: 8, r: 5.8, class: "line" }], ["path", { d: "M4 12L12 4", class: "line" }]],
  trouble: [["path", { d: "M8 1.8l6.6 11.9H1.4z", class: "fill" }], ["path", { d: "M8 6v3.6 M8 11.6v.2", class: "ink" }]],
  waiting: [["circle", { cx: 8, cy: 8, r: 5.8, class: "line", "stroke-dasharray": "2.6 1.95" }]],
};

/** Return a mark; decoration, for the words stand beside it. */
export function mark(name, size = 15) {
  return s("svg", { viewBox: "0 0 16 16", width: size, height: size, class: `glyph m-${name}`, "aria-hidden": "true" }, ...(SHAPES[name] ?? []).map(([tag, shape]) => s(tag, shape)));
}

/** "s01n1, s01n2 and 3 more" */
export function names(boards, most = 4) {
  return list(boards.map(({ name }) => name), most);
}
