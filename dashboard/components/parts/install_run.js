// The latest install run as dashboard/live/install_feed.py tells it, and what it is in words; pure.

import { shallowReactive } from "vue";
import { allowed, rackTarget } from "./actions.js";
import { blocked, frozen, now, State, store } from "./store.js";
import { capital, list, plural, stackName } from "./words.js";

/** @type {{ state: InstallState | null, stacks: Map<number, InstallStack>, heard: boolean, learnt: number }} */
export const install = shallowReactive({ state: null, stacks: new Map(), heard: false, learnt: 0 });

/** Takes what is new of the run. @param {any} news */
export function learn({ whole, state, stacks, gone }) {
  const known = new Map(whole ? [] : install.stacks);
  for (const stack of stacks ?? []) known.set(stack.number, stack);
  for (const number of gone ?? []) known.delete(number);
  install.stacks = known;
  if (state !== undefined) Object.assign(install, { state, learnt: now() });
  install.heard = true;
}

/** What the page shows: none, off, idle, preflight, confirm, running or over.
 * @param {InstallState | null} state */
export function kindOf(state) {
  if (!state) return "none";
  if (store.settings.install.over.includes(state.step)) return "over";
  if (!state.run || state.step === "idle") return state.backend ? "idle" : "off";
  return ["preflight", "confirm"].includes(state.step) ? state.step : "running";
}

/** Whether a run is under way, also while it waits for a word. @param {InstallState | null} state */
export const live = (state) => ["preflight", "confirm", "running"].includes(kindOf(state));

/** Why what is shown of a run may be old; empty if it is not. */
export const stalled = () => frozen() || (store.connection.master === "online" ? "" : "the master is offline");

/** @param {number} number */
export const nameOf = (number) => stackName(store.stacks.get(number) ?? { number });

/** What the run is about: "the whole rack" or "Stack 05". @param {InstallState} state */
export const scopeWords = ({ only }) => (only === null ? "the whole rack" : nameOf(only));

/** A text of the vocabulary with its blanks filled. @param {string} text @param {InstallState} state */
function filled(text, state) {
  const stack = state.stack === null ? "the stack" : nameOf(state.stack);
  return text
    .replaceAll("{stack}", stack)
    .replaceAll("{Stack}", capital(stack))
    .replaceAll("{scope}", scopeWords(state))
    .replaceAll("{problems}", plural(state.problems.length, "problem"));
}

/** The step in a title and a sentence. @param {InstallState} state */
export const stepWords = (state) =>
  (store.settings.install.steps[state.step] ?? [state.step, ""]).map((text) => filled(text, state));

/** How a run ended, in a title and a sentence. @param {InstallState} state */
export function endWords(state) {
  const refused = state.step === "failed";
  if (state.dry && !refused) return ["Dry run: this is what would happen", "Nothing was switched."];
  if (state.dry) return ["Dry run: it would not begin", "Nothing was switched. These problems have to go first."];
  const [title, text] = store.settings.install.ends[state.step].map((each) => filled(each, state));
  return [title, refused && !state.problems.length ? "The history says why." : text];
}

/** How many stacks of a run that ended early are off now, and who can change that.
 * @param {InstallState} state @param {Map<number, Stack>} stacks */
export function darkWords(state, stacks) {
  if (!["cancelled", "failed"].includes(state.step) || state.dry) return "";
  const meant = [...stacks.values()].filter(({ number }) => state.only === null || number === state.only);
  const off = meant.filter(({ power }) => power === "off");
  if (off.length === 1) {
    return `${stackName(off[0])} is off, and stays off until somebody switches it on in the Overview.`;
  }
  return off.length
    ? `${off.length} stacks are off, and stay off until somebody switches them on in the Overview.`
    : "";
}

/** Seconds to "about 4 min left". @param {number} seconds */
export function etaWords(seconds) {
  if (seconds <= 5) return "any moment now";
  if (seconds < 90) return `about ${Math.ceil(seconds / 5) * 5} s left`;
  return `about ${Math.round(seconds / 60)} min left`;
}

/** A sentence with a capital at its start, unless a name or an address stands there. @param {string} text */
export const upper = (text) => text.replace(/^[a-z](?=[a-z]* )/, (letter) => letter.toUpperCase());

/** A problem's sentence: what is wrong, and what to do about it. @param {string} text */
export function splitProblem(text) {
  const end = text.search(/[;?] /);
  const at = end < 0 ? text.lastIndexOf(": ") : end;
  if (at < 0) return { what: upper(text), advice: "" };
  return { what: upper(text.slice(0, text[at] === "?" ? at + 1 : at)), advice: upper(text.slice(at + 2)) };
}

/** The stack a problem is about, if its words name one: "stack 5" or "s05n2". @param {string} text */
export function stackOf(text) {
  const found = /\bstack (\d+)\b/.exec(text) ?? /\bs(\d+)n\d+\b/.exec(text);
  return found && Number(found[1]);
}

/** Mark and words of what was found out; a word of a newer master is shown as it is said.
 * @param {string} verdict */
export const verdictWords = (verdict) =>
  store.settings.install.verdicts[verdict] ?? { mark: "trouble", words: verdict };

/** The verdicts of a run, counted; only a run to its end verifies. @param {InstallState} state */
export function verdictCounts({ verdicts, step }) {
  const rows = Object.entries(verdicts).filter(([, count]) => count);
  return rows.map(([verdict, count]) => {
    const placed = verdict === "ok" && !step.startsWith("done");
    return { verdict, count, ...(placed ? { mark: "placed", words: "placed" } : verdictWords(verdict)) };
  });
}

/** What is not well in a stack, counted: "1 missing", "2 problems". @param {InstallBoard[]} boards */
export function troubleWords(boards) {
  const bad = boards.filter(({ verdict }) => verdict && verdict !== "ok");
  const missing = bad.filter(({ verdict }) => verdict === "missing").length;
  if (!bad.length) return "needs a look";
  return missing === bad.length ? `${missing} missing` : plural(bad.length, "problem");
}

/** One slot of a stack, or a board without one: its mark, words, and whether the mark and
 * the stack's phase already say them to a person who sees.
 * @param {InstallBoard} board @param {string} phase @param {boolean} now */
export function boardWords({ verdict, verified, mac, slot }, phase, now) {
  const said = (mark, words, quiet = false) => ({ mark, words, quiet });
  if (verified) return said("verified", "verified", true);
  if (verdict === "missing") return said("missing", mac ? "not heard" : "no board heard");
  if (verdict && verdict !== "ok") return said("trouble", verdictWords(verdict).words);
  if (slot === null || (verdict === "ok" && phase === "scanning")) return said("heard", "asked");
  if (verdict === "ok") return said("placed", "placed", true);
  if (phase === "scanning") return said("listening", mac ? "listening for it" : "listening…");
  return mac ? said("known", "known", !now) : said("waiting", "no board known", true);
}

/** Boards in the order they are drawn: while a stack is scanned, who was heard stands in
 * a free slot, which one is not known yet. @param {InstallBoard[]} boards @param {string} phase */
export function arrange(boards, phase) {
  if (phase !== "scanning") return boards;
  const heard = boards.filter((board) => board.slot === null && !board.verdict);
  const rest = boards.filter((board) => !heard.includes(board));
  const filled = rest.map((board) => (board.mac ? board : (heard.shift() ?? board)));
  return [...filled, ...heard];
}

/** Numbers of the stacks in which a board is known. @param {Map<number, InstallStack>} stacks */
export function occupied(stacks) {
  const found = [...stacks.values()].filter(({ boards }) => boards.some(({ mac }) => mac));
  return found.map(({ number }) => number).sort((a, b) => a - b);
}

/** How many boards of known address have no agent that was ever heard. @param {Map<number, InstallStack>} stacks */
export const withoutAgent = (stacks) =>
  [...stacks.values()].flatMap(({ boards }) => boards).filter(({ mac, node }) => mac && !node).length;

/** Who loses power: stacks with their boards that are up now.
 * @param {InstallState} state @param {Map<number, Stack>} stacks @param {Board[]} nodes */
export function losers(state, stacks, nodes) {
  const scanned = [...stacks.values()].filter(({ number }) => state.only === null || number === state.only);
  return scanned
    .sort((a, b) => a.number - b.number)
    .map((stack) => {
      const mine = nodes.filter((node) => node.stack === stack.number).sort((a, b) => (a.slot ?? 0) - (b.slot ?? 0));
      return {
        stack,
        names: list(mine.map(({ name }) => name)),
        up: mine.filter((node) => node.state < State.OFFLINE).length,
      };
    });
}

/** @param {ReturnType<typeof losers>} rows */
export function loserWords(rows) {
  const up = rows.reduce((sum, row) => sum + row.up, 0);
  const stacks = rows.length === 1 ? stackName(rows[0].stack) : plural(rows.length, "stack");
  if (rows.every(({ stack }) => stack.power === "off")) return `${stacks}: all off already, nobody loses power`;
  return `${stacks}, ${up ? `${plural(up, "board")} that ${up === 1 ? "is" : "are"} running now` : "no running board"}`;
}

/** What the DHCP side is, in words. @param {InstallState} state */
export function serverWords({ backend, interface: port }) {
  if (backend === "fake") return "simulated, no real network";
  if (backend === "observe") return `listens beside your own DHCP server on ${port || "?"}`;
  return `${backend} on ${port || "?"}`;
}

/** The rack or one stack, as the target of `install`; it names no boards of its own.
 * @param {number | null} stack @returns {Target} */
export const installTarget = (stack = null) =>
  stack === null
    ? { ...rackTarget(), nodes: [] }
    : { scope: `stack/${stack}`, title: `stack ${stack}`, nodes: [], lock: null };

/** One word of `install`. A run waits at its own confirm step, so `confirm` is not set; it
 * says on this page what came of it, so its receipt is brief.
 * @param {string} label @param {string[]} args @returns {Action} */
export const installAction = (label, ...args) => {
  return { verb: "install", args, label, confirm: "", danger: false, brief: true, placeholders: [] };
};

/** Why nobody, or not this person, can ask now; empty if they can. */
export function hindrance(verb = "install") {
  const { user, role } = store.settings;
  if (allowed(verb)) return blocked();
  return `Only an ${verb === "install" ? "admin" : "operator"} may do this; ${user} is ${role}.`;
}
