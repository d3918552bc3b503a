// What can be asked of a board, a stack, a tag or the rack, and how a person would type it.

import { members, store } from "pirack/store.js";
import { misleads, plainJson, quote, stackName } from "pirack/words.js";

const KNOWN = {
  ping: { label: "Ping", icon: "ping", note: "Ask the agent, else the network" },
  refresh: { label: "Refresh", icon: "refresh", note: "Send everything again" },
  identify: { label: "Identify", icon: "identify", note: "Blink the activity LED" },
  temperature: { label: "Temperature", icon: "temperature", note: "Read the sensor now" },
  "restart-agent": { label: "Restart agent", icon: "reboot" },
  update: { label: "Update", icon: "update" },
  reboot: { label: "Reboot", icon: "reboot" },
  shutdown: { label: "Shut down", icon: "shutdown" },
  lock: { label: "Reserve", icon: "lock", note: "Refuse the destructive commands of others until a time" },
  unlock: { label: "Free", icon: "unlock", note: "End the reservation" },
  cancel: { label: "Cancel", icon: "close", note: "What has not begun never does" },
};
const COMMON = ["ping", "identify", "refresh", "temperature"];
const LAST = ["update", "reboot", "shutdown"];
const DANGER = new Set(["reboot", "shutdown", "update", "power", "install", "forget"]);
const POWER = [["on", "Power on", "power"], ["cycle", "Power-cycle", "reboot"], ["off", "Power off", "unplugged"]];
const RANK = { viewer: 0, operator: 1, admin: 2 };
/** Boards at a time where nobody says otherwise, as the master has it; 0: all at once. */
export const WAVES = { reboot: 4, update: 4, shutdown: 0 };

/** A command's target: the scope of the topic, what to call it, and the boards it means. */
export function nodeTarget(node) {
  return { scope: `node/${node.id}`, title: node.name, nodes: [node], lock: node.lock };
}

export function stackTarget(stack) {
  return { scope: `stack/${stack.number}`, title: stackName(stack), nodes: members(stack.number), lock: stack.lock };
}

export function tagTarget(tag) {
  return { scope: `tag/${tag}`, title: `tag ${tag}`, nodes: [...store.nodes.values()].filter((node) => node.tags.includes(tag)), lock: null };
}

export function rackTarget() {
  return { scope: "rack", title: `rack ${store.rack}`, nodes: [...store.nodes.values()], lock: null };
}

/** The same target as it is now; null once it is gone. */
export function renewed(target) {
  const [kind, name] = target.scope.split("/");
  if (kind === "node") return store.ids.has(name) ? nodeTarget(store.ids.get(name)) : null;
  if (kind === "stack") return store.stacks.has(Number(name)) ? stackTarget(store.stacks.get(Number(name))) : null;
  return kind === "tag" ? tagTarget(name) : rackTarget();
}

/** Every board that loses power with a target: outlets are shared. */
export function fed(target) {
  const outlets = new Set(target.nodes.map((node) => node.outlet).filter(Boolean));
  return [...store.nodes.values()].filter((node) => outlets.has(node.outlet));
}

/** Boards that would lose power though nobody named them. */
export function bystanders(target) {
  return fed(target).filter((node) => !target.nodes.includes(node));
}

/** Every board an action hits. */
export function hit(target, action) {
  return action.verb === "power" ? fed(target) : target.nodes;
}

/** Whether a node has said that it can do this; the rest is the master's. */
export function canDo(node, verb) {
  if (["ping", "refresh", "power", "lock", "unlock"].includes(verb)) return true;
  return (store.abilities[node.abilities] ?? []).some(([name]) => name === verb);
}

function make(verb, placeholders = [], note = "") {
  const own = { label: verb.replaceAll(/[-_]/g, " ").replace(/^./, (letter) => letter.toUpperCase()), icon: "run" };
  const known = KNOWN[verb] ?? own;
  return { verb, placeholders, args: [], label: known.label, icon: known.icon, note: note || known.note || (KNOWN[verb] ? "" : `Runs ${verb} of the board's command file`), danger: DANGER.has(verb) };
}

/** Power where an outlet feeds it. A board that shares its outlet is switched with its
 * stack: alone, the master would refuse. */
function switching(target) {
  if (!target.nodes.some((node) => node.outlet)) return [];
  const stack = target.scope.startsWith("node/") && bystanders(target).length ? store.stacks.get(target.nodes[0].stack) : null;
  const whole = stack && { target: stackTarget(stack), where: `${stackName(stack)} as a whole: its boards share one outlet` };
  return POWER.map(([word, label, icon]) => ({ ...make("power"), args: [word], label, icon, red: word !== "on", ...whole }));
}

/** Reserve or free: boards and stacks only. */
function reserving(target) {
  if (!/^(node|stack)\//.test(target.scope)) return [];
  return [make(target.lock && target.lock.scope === target.scope ? "unlock" : "lock")];
}

/** Actions in the order they are shown, without those the role lacks: `common` first,
 * the board's `own` aliases behind "More", what interrupts boards last.
 * `run` is left out: every alias it could run stands here by its own name. */
export function offered(target) {
  const found = new Map([["ping", []], ["refresh", []]].map(([verb]) => [verb, make(verb)]));
  for (const set of new Set(target.nodes.map((node) => node.abilities)))
    for (const [verb, placeholders, note] of store.abilities[set] ?? []) if (verb !== "run" && !found.has(verb)) found.set(verb, make(verb, placeholders, note));
  const pick = (verbs) => verbs.map((verb) => found.get(verb)).filter(Boolean);
  const own = [...found.values()].filter(({ verb }) => !COMMON.includes(verb) && !LAST.includes(verb)).sort((a, b) => a.label.localeCompare(b.label));
  const [on, ...cuts] = switching(target);
  const last = [on, ...pick(LAST), ...cuts].filter(Boolean).map((action) => ({ ...action, red: action.red ?? action.danger }));
  const may = (actions) => actions.filter(({ verb }) => allowed(verb));
  return { common: may([...pick(COMMON), ...reserving(target)]), own: may(own), last: may(last) };
}

export function allowed(verb) {
  return RANK[store.settings.role] >= (store.settings.adminVerbs.includes(verb) ? RANK.admin : RANK.operator);
}

/** The commands under way on some boards: verb, by, and how many run or wait. */
export function underWay(nodes) {
  const found = new Map();
  for (const node of nodes) {
    if (!node.running) continue;
    const { id, verb, by, phase, word } = node.running;
    const entry = found.get(id) ?? { id, verb, by, word, running: [], queued: [] };
    found.set(id, entry);
    (phase === "accepted" ? entry.queued : entry.running).push(node);
  }
  return [...found.values()];
}

/** How to stop one of them, wherever it was addressed. */
export function cancelling({ id, verb, word = "" }) {
  return { ...make("cancel"), args: [id], label: `Cancel ${labelOf(verb, word).toLowerCase()}` };
}

/** What a command under way is called; `word` says which way a power goes. */
export function labelOf(verb, word = "") {
  const way = verb === "power" && POWER.find(([each]) => each === word);
  return way ? way[1] : make(verb).label;
}

/** The command's confirm field: needed for destructive verbs on more than one. */
export function confirmation(target, action) {
  if (action.confirm !== undefined) return action.confirm;
  return DANGER.has(action.verb) && (!target.scope.startsWith("node/") || hit(target, action).length > 1) ? target.scope : "";
}

/** What the payload says besides the words: wave, on_failure, and who reserves. */
function fields(target, action, options) {
  const confirm = confirmation(target, action);
  const by = action.verb === "lock" || action.verb === "unlock" ? store.settings.user : "";
  return { ...(confirm && { confirm }), ...(options.wave !== undefined && { wave: options.wave }), ...(options.on_failure && { on_failure: options.on_failure }), ...(by && { by }) };
}

/** The line that does the same in a terminal. */
export function publishLine(target, action, args = action.args, options = {}) {
  const topic = `${store.settings.prefix}/${target.scope}/cmd/${action.verb}`;
  const more = fields(target, action, options);
  let payload = "-n";
  if (Object.keys(more).length || args.some((word) => /\s/.test(word) || misleads(word))) {
    payload = `-m ${quote(plainJson({ ...(args.length ? { args } : {}), ...more }))}`;
  } else if (args.length) payload = `-m ${quote(args.join(" "))}`;
  return `${store.settings.mosquittoPub} -q 1 -t ${quote(topic)} ${payload}`;
}

let lastReference = 0;

/** Ask without a receipt on the page; returns the reference the answer comes back with. */
export function ask(target, action, args = action.args, options = {}) {
  lastReference += 1;
  store.say({ kind: "ask", reference: lastReference, scope: target.scope, verb: action.verb, args, confirm: confirmation(target, action), ...options });
  return lastReference;
}

/** Send it, and show its receipt. */
export function send(target, action, args = action.args, options = {}) {
  const reference = lastReference + 1;
  document.dispatchEvent(new CustomEvent("pirack-asked", { detail: { reference, target, action: { ...action, args }, total: hit(target, action).length } }));
  return ask(target, action, args, options);
}
