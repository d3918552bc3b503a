// What can be asked of a board, a stack, a tag or the rack, and how a person would type it.

import { shallowReactive } from "vue";
import { boards, listen, members, store } from "./store.js";
import { capital, misleads, plainJson, quote, stackName } from "./words.js";

/** @param {Board} node @returns {Target} */
export const nodeTarget = (node) => ({ scope: `node/${node.id}`, title: node.name, nodes: [node], lock: node.lock });

/** @param {Stack} stack @returns {Target} */
export function stackTarget(stack) {
  const { number, lock = null } = stack;
  return { scope: `stack/${number}`, title: stackName(stack), nodes: members(number), lock };
}

/** @param {string} tag @returns {Target} */
export function tagTarget(tag) {
  const nodes = boards().filter((node) => node.tags.includes(tag));
  return { scope: `tag/${tag}`, title: `tag ${tag}`, nodes, lock: null };
}

/** @returns {Target} */
export const rackTarget = () => ({ scope: "rack", title: `rack ${store.rack}`, nodes: boards(), lock: null });

/** The same target as it is now; null once it is gone. @param {Target} target */
export function renewed({ scope }) {
  const [kind, name] = scope.split("/");
  const node = store.rows + store.structure >= 0 && kind === "node" && store.ids.get(name);
  const stack = kind === "stack" && store.stacks.get(Number(name));
  if (kind === "node") return node ? nodeTarget(node) : null;
  if (kind === "stack") return stack ? stackTarget(stack) : null;
  return kind === "tag" ? tagTarget(name) : rackTarget();
}

/** Every board an action hits: outlets are shared, so that power hits more than were named.
 * @param {Target} target @param {Action} action */
export function hit(target, action) {
  if (action.verb !== "power") return target.nodes;
  const outlets = new Set(target.nodes.map((node) => node.outlet).filter(Boolean));
  return boards().filter((node) => outlets.has(node.outlet));
}

/** Boards that would lose power though nobody named them. @param {Target} target */
export const bystanders = (target) =>
  hit(target, /** @type {Action} */ ({ verb: "power" })).filter((node) => !target.nodes.includes(node));

/** Whether a node has said that it can do this; the rest is the master's.
 * @param {Board} node @param {string} verb */
export const canDo = (node, verb) =>
  store.settings.masterVerbs.includes(verb) || (store.abilities[node.abilities] ?? []).some(([name]) => name === verb);

/** @param {string} verb @param {string[]} placeholders @returns {Action} */
function make(verb, placeholders = [], note = "") {
  const alias = { label: capital(verb.replaceAll(/[-_]/g, " ")), icon: "run" };
  const words = store.settings.verbs[verb] ?? { ...alias, note: `Runs ${verb} of the board's command file` };
  const danger = store.settings.destructive.includes(verb);
  return { verb, placeholders, args: [], ...words, note: note || words.note, danger };
}

/** The verb power with one of its words: on, cycle or off. @param {string} word @returns {Action} */
export const switchTo = (word) => ({
  ...make("power"),
  ...store.settings.power[word],
  args: [word],
  red: word !== "on",
});

/** Power where an outlet feeds it. A board that shares its outlet is switched with its
 * stack: alone, the master would refuse. @param {Target} target @returns {Action[]} */
function switching(target) {
  if (!target.nodes.some((node) => node.outlet)) return [];
  const shares = target.scope.startsWith("node/") && bystanders(target).length > 0;
  const stack = shares ? store.stacks.get(target.nodes[0].stack ?? -1) : undefined;
  const where = stack && `${stackName(stack)} as a whole: its boards share one outlet`;
  const whole = stack && { target: stackTarget(stack), where };
  return Object.keys(store.settings.power).map((word) => ({ ...switchTo(word), ...whole }));
}

/** Actions in the order they are shown, without those the role lacks: `common` first,
 * the board's `own` aliases behind "More", what interrupts boards last. `run` is left
 * out: every alias it could run stands here by its own name. @param {Target} target */
export function offered(target) {
  const found = new Map(["ping", "refresh"].map((verb) => [verb, make(verb)]));
  for (const set of new Set(target.nodes.map((node) => node.abilities))) {
    for (const [verb, placeholders, note] of store.abilities[set] ?? []) {
      if (verb !== "run" && !found.has(verb)) found.set(verb, make(verb, placeholders, note));
    }
  }
  const pick = (verbs) => verbs.flatMap((verb) => found.get(verb) ?? []);
  const { commonVerbs, lastVerbs } = store.settings;
  const own = [...found.values()].filter(({ verb }) => ![...commonVerbs, ...lastVerbs].includes(verb));
  const [on, ...cuts] = switching(target);
  const held = target.lock && target.lock.scope === target.scope;
  const reserving = /^(node|stack)\//.test(target.scope) ? [make(held ? "unlock" : "lock")] : [];
  const last = [on, ...pick(lastVerbs), ...cuts].filter(Boolean);
  const may = (actions) => actions.filter(({ verb }) => allowed(verb));
  return {
    common: may([...pick(commonVerbs), ...reserving]),
    own: may(own.sort((a, b) => a.label.localeCompare(b.label))),
    last: may(last.map((action) => ({ ...action, red: action.red ?? action.danger }))),
  };
}

/** Whether this person may send a verb. @param {string} verb */
export function allowed(verb) {
  const { role, roles, adminVerbs } = store.settings;
  return roles.indexOf(role) >= roles.indexOf(adminVerbs.includes(verb) ? "admin" : "operator");
}

/** The commands under way on some boards: verb, by, and which run or wait.
 * @param {Board[]} nodes */
export function underWay(nodes) {
  const found = new Map();
  for (const node of nodes) {
    if (!node.running) continue;
    const { id, verb, by, phase, word } = node.running;
    if (!found.has(id)) found.set(id, { id, verb, by, word, running: [], queued: [] });
    found.get(id)[phase === "accepted" ? "queued" : "running"].push(node);
  }
  return [...found.values()];
}

/** How to stop one of them, wherever it was addressed.
 * @param {{ id: string, verb: string, word?: string }} work */
export const cancelling = ({ id, verb, word = "" }) => ({
  ...make("cancel"),
  args: [id],
  label: `Cancel ${labelOf(verb, word).toLowerCase()}`,
});

/** What a command under way is called; `word` says which way a power goes.
 * @param {string} verb */
export const labelOf = (verb, word = "") => ((verb === "power" && store.settings.power[word]) || make(verb)).label;

/** The command's confirm field: needed for destructive verbs on more than one.
 * @param {Target} target @param {Action} action */
function confirmation(target, action) {
  if (action.confirm !== undefined) return action.confirm;
  if (!store.settings.destructive.includes(action.verb)) return "";
  return !target.scope.startsWith("node/") || hit(target, action).length > 1 ? target.scope : "";
}

/** The line that does the same in a terminal.
 * @param {Target} target @param {Action} action @param {{ wave?: number, on_failure?: string }} options */
export function publishLine(target, action, args = action.args, options = {}) {
  const topic = `${store.settings.prefix}/${target.scope}/cmd/${action.verb}`;
  const confirm = confirmation(target, action);
  const reserves = action.verb === "lock" || action.verb === "unlock";
  const fields = { ...(confirm && { confirm }), ...options, ...(reserves && { by: store.settings.user }) };
  let payload = args.length ? `-m ${quote(args.join(" "))}` : "-n";
  if (Object.keys(fields).length || args.some((word) => /\s/.test(word) || misleads(word))) {
    payload = `-m ${quote(plainJson({ ...(args.length ? { args } : {}), ...fields }))}`;
  }
  return `${store.settings.mosquittoPub} -q 1 -t ${quote(topic)} ${payload}`;
}

let lastReference = 0;
/** Who waits for an answer: by the tab's own number first, then by the command's id.
 * @type {Map<number | string, (answer: Answer) => void>} */
const waiting = new Map();

/** Asks; `take` gets the command's id, then its receipts, or why it was not sent.
 * @param {Target} target @param {Action} action @param {string[]} args
 * @param {(answer: Answer) => void} take @param {object} options */
export function ask(target, action, args, take, options = {}) {
  lastReference += 1;
  waiting.set(lastReference, take);
  const confirm = confirmation(target, action);
  const { verb } = action;
  store.say({ kind: "ask", reference: lastReference, scope: target.scope, verb, args, confirm, ...options });
}

listen(({ sent, refused, receipts }) => {
  for (const { reference, id } of sent ?? []) {
    const take = waiting.get(reference);
    waiting.delete(reference);
    if (take) waiting.set(id, take);
    take?.({ id });
  }
  for (const { reference, text } of refused ?? []) {
    waiting.get(reference)?.({ refused: text });
    waiting.delete(reference);
  }
  for (const receipt of receipts ?? []) {
    waiting.get(receipt.id)?.({ receipt });
    if (receipt.complete) waiting.delete(receipt.id);
  }
});

const RECEIPTS_KEPT = 5;
/** The commands of this tab that are shown. @type {ReceiptCard[]} */
export const receipts = shallowReactive([]);

/** Sends it, and shows its receipt.
 * @param {Target} target @param {Action} action @param {string[]} args @param {object} options */
export function send(target, action, args = action.args, options = {}) {
  const card = shallowReactive({
    key: lastReference + 1,
    target,
    action: { ...action, args },
    total: hit(target, action).length,
    id: "",
    refused: "",
    rows: /** @type {ReceiptRow[]} */ ([]),
    answer: /** @type {Receipt | null} */ (null),
  });
  receipts.push(card);
  const done = receipts.filter(({ answer, refused }) => answer?.complete || refused);
  while (receipts.length > RECEIPTS_KEPT && done.length) dismiss(/** @type {any} */ (done.shift()));
  const take = (/** @type {Answer} */ { id, refused, receipt }) => {
    if (id) card.id = id;
    if (refused) card.refused = refused;
    if (receipt) Object.assign(card, { answer: receipt, rows: mergeRows(card.rows, receipt.rows) });
  };
  ask(target, action, args, take, options);
}

/** Shows a receipt no more. @param {ReceiptCard} card */
export function dismiss(card) {
  const at = receipts.indexOf(card);
  if (at >= 0) receipts.splice(at, 1);
}

/** The rows of a receipt, each board's newest. @param {ReceiptRow[]} known @param {ReceiptRow[]} more */
export const mergeRows = (known, more) => [...new Map([...known, ...more].map((row) => [row.node, row])).values()];
