// What can be asked of a board, a stack or the rack, and how a person would type it.

import { store } from "pirack/store.js";
import { quote } from "pirack/words.js";

const KNOWN = {
  ping: { label: "Ping", icon: "ping", note: "Ask the agent, else the network" },
  refresh: { label: "Refresh", icon: "refresh", note: "Send everything again" },
  identify: { label: "Identify", icon: "identify", note: "Blink the activity LED" },
  temperature: { label: "Temperature", icon: "temperature", note: "Read the sensor now" },
  update: { label: "Update", icon: "update" },
  reboot: { label: "Reboot", icon: "reboot" },
  shutdown: { label: "Shut down", icon: "shutdown" },
};
const FIRST = ["ping", "identify", "refresh", "temperature"];
const LAST = ["update", "reboot", "shutdown"];
const DANGER = new Set(["reboot", "shutdown", "update", "power", "install", "forget"]);
const ADMIN = new Set(["power", "update", "install", "forget", "name", "place", "tag"]);
const POWER = [["on", "Power on", "power"], ["cycle", "Power-cycle", "reboot"], ["off", "Power off", "unplugged"]];
const RANK = { viewer: 0, operator: 1, admin: 2 };

/** A command's target: the scope of the topic, what to call it, and every board it hits. */
export function nodeTarget(node) {
  return { scope: `node/${node.id}`, title: node.name, nodes: [node], outlets: false };
}

export function stackTarget(stack, nodes) {
  return { scope: `stack/${stack.number}`, title: stack.name || `Stack ${stack.number}`, nodes, outlets: Boolean(stack.power) };
}

export function rackTarget() {
  const outlets = [...store.stacks.values()].some((stack) => stack.power);
  return { scope: "rack", title: `rack ${store.rack}`, nodes: [...store.nodes.values()], outlets };
}

/** Whether a node has said that it can do this; ping and refresh are the master's. */
export function canDo(node, verb) {
  if (verb === "ping" || verb === "refresh" || verb === "power") return true;
  return (store.abilities[node.abilities] ?? []).some(([name]) => name === verb);
}

/** Actions of a target in the order they are shown, without those the role lacks.
 * `run` is left out: every alias it could run stands here by its own name. */
export function offered(target) {
  const found = new Map([["ping", ["ping", [], ""]], ["refresh", ["refresh", [], ""]]]);
  for (const set of new Set(target.nodes.map((node) => node.abilities)))
    for (const ability of store.abilities[set] ?? []) if (ability[0] !== "run" && !found.has(ability[0])) found.set(ability[0], ability);
  const rank = (verb) => (FIRST.includes(verb) ? FIRST.indexOf(verb) : LAST.includes(verb) ? 1000 + LAST.indexOf(verb) : 100);
  const actions = [...found.values()].map(([verb, placeholders, note]) => make(verb, placeholders, note));
  actions.sort((a, b) => rank(a.verb) - rank(b.verb) || a.verb.localeCompare(b.verb));
  if (target.outlets) for (const [word, label, icon] of POWER) actions.push({ ...make("power", [], ""), label, icon, args: [word], danger: word !== "on" });
  return actions.filter((action) => allowed(action.verb));
}

function make(verb, placeholders, note) {
  const known = KNOWN[verb] ?? { label: verb, icon: "run" };
  return { verb, placeholders, args: [], label: known.label, icon: known.icon, note: note || known.note || "", danger: DANGER.has(verb) };
}

export function allowed(verb) {
  return RANK[store.settings.role] >= (ADMIN.has(verb) ? RANK.admin : RANK.operator);
}

/** The command's confirm field: needed for destructive verbs on more than one. */
export function confirmation(target, action) {
  return DANGER.has(action.verb) && !target.scope.startsWith("node/") ? target.scope : "";
}

/** The line that does the same in a terminal. */
export function publishLine(target, action, args = action.args) {
  const topic = `${store.settings.prefix}/${target.scope}/cmd/${action.verb}`;
  const confirm = confirmation(target, action);
  let payload = "-n";
  if (confirm || args.some((word) => /\s/.test(word))) {
    payload = `-m ${quote(JSON.stringify({ ...(args.length ? { args } : {}), ...(confirm ? { confirm } : {}) }))}`;
  } else if (args.length) payload = `-m ${quote(args.join(" "))}`;
  return `${store.settings.mosquittoPub} -q 1 -t ${quote(topic)} ${payload}`;
}

let lastReference = 0;

/** Send it; returns the reference the answer comes back with. */
export function send(target, action, args = action.args) {
  lastReference += 1;
  const reference = lastReference;
  document.dispatchEvent(new CustomEvent("pirack-asked", { detail: { reference, target, action } }));
  store.say({ kind: "ask", reference, scope: target.scope, verb: action.verb, args, confirm: confirmation(target, action) });
  return reference;
}
