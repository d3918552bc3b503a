// The questions before a command leaves: who is hit, how, and what it needs to know.

import { bystanders, canDo, hit, publishLine, renewed, send, WAVES } from "pirack/actions.js";
import { lineBox, openDialog } from "pirack/dialogs.js";
import { h, setAttr, setText, uniqueId } from "pirack/dom.js";
import { glyph, OFF, OFFLINE, STATES } from "pirack/icons.js";
import { blocked, listen, store } from "pirack/store.js";
import { byName, list, moment, plural, stackName } from "pirack/words.js";

const CONSEQUENCE = {
  reboot: "What runs there stops; a board is away for about a minute.",
  shutdown: "What runs there stops; a board stays off until its power is cycled.",
  update: "The board's update command runs; the agent may restart.",
  on: "The outlet is switched on; boards that were shut down start.",
  cycle: "Every board is asked to shut down and seen to be down, then the outlet goes off and on again.",
  off: "Every board is asked to shut down and seen to be down, then the outlet is switched off.",
};
const SPANS = [["30m", "30 minutes"], ["2h", "2 hours"], ["8h", "8 hours"], ["1d", "1 day"]];

/** Ask where it can hurt or needs words; else send at once. `named`: boards that the
 * master said cannot be asked to shut down, and that no node of the page stands for. */
export function begin(asked, action, named = []) {
  const target = renewed(asked);
  if (blocked() || !target) return;
  if (action.verb === "lock") askSpan(target, action);
  else if (action.verb === "unlock") askFree(target, action);
  else if (action.placeholders.length) askWords(target, action);
  else if (action.danger) askConsent(target, action, named);
  else send(target, action);
}

function fate(node, target, action) {
  if (action.verb === "power") return target.nodes.includes(node) ? "" : "shares the outlet";
  if (!canDo(node, action.verb)) return "does not offer it";
  return node.state === OFFLINE || node.state === OFF ? "will not be reached" : "";
}

function boardList(target, action) {
  const row = (node) => {
    const why = fate(node, target, action);
    const state = node.words || STATES[node.state].label;
    return h("li", {}, glyph(node.state, { size: 14, label: false }), h("span", { class: why && action.verb !== "power" ? "spared" : "", text: node.name }), h("span", { class: "fate", text: why ? `${state} · ${why}` : state }));
  };
  const nodes = byName(hit(target, action));
  return h("ul", { class: "hit-list", tabindex: nodes.length > 6 ? "0" : null, "aria-label": "Boards hit" }, nodes.map(row));
}

/** Boards that would lose power unnamed: the master switches their stack or nothing. */
function unnamed(target, action) {
  return action.verb === "power" && !/^(stack\/|rack$)/.test(target.scope) ? byName(bystanders(target)) : [];
}

function place(scope) {
  const [kind, name] = scope.split("/");
  return kind === "stack" ? stackName(store.stacks.get(Number(name)) ?? { number: name }) : (store.ids.get(name)?.name ?? name);
}

/** Boards that may run and cannot be asked to shut down, with the reason the master gives:
 * only force cuts them. */
function mute(target, action, named = []) {
  if (action.verb !== "power" || action.args[0] === "on") return [];
  const nodes = byName(hit(target, action)).filter(({ unasked }) => unasked !== null);
  const known = new Set(hit(target, action).map(({ name }) => name));
  return [...nodes.map(({ name, unasked }) => ({ name, why: unasked })), ...named.filter((name) => !known.has(name)).map((name) => ({ name, why: "" }))];
}

/** Boards that cannot be asked, each reason once: a stack that fell silent has one. */
function sameReason(unasked) {
  const names = new Map();
  for (const { name, why } of unasked) names.set(why, [...(names.get(why) ?? []), name]);
  return list([...names].map(([why, boards]) => (why ? `${list(boards)} (${why})` : list(boards))));
}

/** Why the master would say no: shared outlets, who cannot be asked, and what somebody
 * else reserved. */
function objections(target, action, unasked) {
  const found = [];
  if (unasked.length) found.push(`${sameReason(unasked)} cannot be asked to shut down: without force nothing is switched.`);
  const others = unnamed(target, action);
  if (others.length) found.push(`${list(others.map((node) => node.name))} would lose power too: switch the stack instead.`);
  const locks = new Map(hit(target, action).filter(({ lock }) => lock && lock.by !== store.settings.user).map(({ lock }) => [lock.scope, lock]));
  for (const lock of locks.values()) found.push(`${place(lock.scope)} is reserved by ${lock.by} until ${moment(lock.until)}${lock.reason ? ` (${lock.reason})` : ""}: the master will refuse its boards.`);
  return found;
}

function choice(label, options, chosen) {
  const select = h("select", {}, options.map(([value, text]) => h("option", { value, text, selected: value === chosen })));
  return { element: h("label", { class: "field" }, h("span", { text: label }), select), select };
}

/** How many at a time, and what then; only for more than one board. */
function waves(target, action) {
  const usual = WAVES[action.verb];
  if (usual === undefined || target.nodes.length < 2) return null;
  const sizes = [1, 2, 4, 8, 16].filter((size) => size < target.nodes.length || size === usual);
  const size = choice("Waves", [...sizes.map((count) => [String(count), count === 1 ? "one at a time" : `${count} at a time`]), ["0", "all at once"]], String(usual));
  const fail = choice("If a board fails", [["stop", "stop before the next wave"], ["continue", "go on"]], "stop");
  return { element: h("div", { class: "choices" }, size.element, fail.element), selects: [size.select, fail.select], read: () => ({ wave: Number(size.select.value), on_failure: fail.select.value }) };
}

function forcing(action) {
  if (action.verb !== "power" || action.args[0] === "on") return null;
  const box = h("input", { type: "checkbox", class: "force" });
  const one = h("input", { type: "checkbox", class: "force-named" });
  const label = h("b");
  const given = h("label", { class: "force-choice", hidden: true }, one, h("span", {}, label, h("span", { text: "What they are writing is lost; all other boards are shut down first." })));
  const all = h("label", { class: "force-choice" }, box, h("span", {}, h("b", { text: "Force: cut even if a board does not shut down" }), h("span", { text: "What it is writing is lost, and its card may be damaged." })));
  let names = "";
  /** The consent is for the boards that were named when it was given. */
  const name = (unasked) => {
    const now = unasked.map((each) => each.name).join(", ");
    if (now !== names) one.checked = false;
    names = now;
    setText(label, `Cut ${names} without asking`);
    setAttr(given, "hidden", !unasked.length);
  };
  return { element: h("div", { class: "choices-force" }, given, all), box, one, name };
}

function question(target, action) {
  const nodes = hit(target, action);
  const count = plural(nodes.length, "board");
  if (action.verb === "power") return { title: `${action.label}: ${target.title}, ${count}?`, label: action.label };
  if (nodes.length === 1) return { title: `${action.label} ${nodes[0].name}?`, label: action.label };
  return { title: `${action.label} ${count} in ${target.title}?`, label: `${action.label} ${count}` };
}

/** The boards an open dialog names are those that would be hit now. */
function askConsent(asked, action, named) {
  let target = asked, key = "";
  const word = asked.scope === "rack" ? store.rack : "";
  const groups = waves(asked, action), force = forcing(action);
  const unasked = () => (force ? mute(target, action, named) : []);
  const words = () => {
    if (force?.box.checked) return [...action.args, "force"];
    return force?.one.checked ? [...action.args, ...unasked().map(({ name }) => `force=${name}`)] : action.args;
  };
  const options = () => groups?.read() ?? {};
  const reasons = h("div", { class: "objections" }), boards = h("div"), line = lineBox("");
  const input = h("input", { autocomplete: "off", spellcheck: "false", on: { input: () => draw() } });
  const typed = word && h("label", { class: "typed" }, h("span", {}, "Type ", h("b", { text: word }), " to confirm"), input);
  const cancel = h("button", { class: "button", type: "button", text: "Cancel", autofocus: true, on: { click: () => dialog.close() } });
  const go = h("button", { class: action.red === false ? "button primary" : "button primary danger", type: "button", on: { click: () => { dialog.close(); send(target, action, words(), options()); } } });
  const body = h("div", { class: "dialog-body" }, h("p", { text: CONSEQUENCE[action.args[0] ?? action.verb] ?? "" }), reasons, boards, groups?.element, force?.element, typed, line.element);
  const draw = () => {
    const { title, label } = question(target, action);
    force?.name(unasked());
    setText(dialog.querySelector("h2"), title);
    setText(go, force?.box.checked ? `Force ${label.toLowerCase()}` : label);
    setAttr(go, "disabled", Boolean(blocked()) || input.value.trim() !== word || unnamed(target, action).length > 0);
    line.set(publishLine(target, action, words(), options()));
    const against = objections(target, action, force?.box.checked || force?.one.checked ? [] : unasked());
    const now = JSON.stringify([against, hit(target, action).map(({ id, state }) => [id, state])]);
    if (now === key) return;
    key = now;
    reasons.replaceChildren(...against.map((text) => h("p", { class: "why", text })));
    setAttr(reasons, "hidden", !against.length);
    boards.replaceChildren(boardList(target, action));
  };
  const dialog = openDialog("", { body, buttons: [cancel, go], danger: true });
  draw();
  for (const control of [force?.box, force?.one, ...(groups?.selects ?? [])]) control?.addEventListener("change", draw);
  const stop = listen(() => { target = renewed(asked) ?? target; draw(); });
  dialog.addEventListener("close", stop);
}

/** A form dialog: fields, the line, one button. */
function askForm(title, target, action, { fields, words, note = "", extra = null }) {
  const line = lineBox(publishLine(target, action, words()));
  const form = h("form", { class: "dialog-body", method: "dialog", id: uniqueId("form"), on: { submit: () => send(target, action, words()), input: () => line.set(publishLine(target, action, words())) } }, note && h("p", { text: note }), fields, extra, line.element);
  const cancel = h("button", { class: "button", type: "button", text: "Cancel", on: { click: () => dialog.close() } });
  const go = h("button", { class: action.danger ? "button primary danger" : "button primary", type: "submit", form: form.id, text: action.label });
  const dialog = openDialog(title, { body: form, buttons: [cancel, go], danger: action.danger });
  form.querySelector("input, select")?.focus();
}

function askWords(target, action) {
  const inputs = action.placeholders.map((name) => h("input", { name, autocomplete: "off", spellcheck: "false", maxlength: "200", required: true }));
  const fields = inputs.map((input) => h("label", { class: "field" }, h("span", { text: input.name }), input));
  askForm(`${action.label} on ${target.title}`, target, action, { fields, words: () => inputs.map((input) => `${input.name}=${input.value}`), note: action.note, extra: boardList(target, action) });
}

function askSpan(target, action) {
  const span = choice("For", SPANS, "2h");
  const reason = h("input", { autocomplete: "off", maxlength: "200", placeholder: "what you are doing there" });
  const words = () => [span.select.value, ...(reason.value.trim() ? [reason.value.trim()] : [])];
  const note = "Until then the master refuses everybody else's reboots, shut-downs, updates and power commands here, also through a shared outlet.";
  askForm(`Reserve ${target.title}`, target, action, { fields: [span.element, h("label", { class: "field" }, h("span", { text: "Why (others see it)" }), reason)], words, note });
}

function askFree(target, action) {
  const { lock } = target;
  if (!lock || lock.by === store.settings.user) return send(target, action);
  const forced = { ...action, label: `Take it from ${lock.by}`, danger: true };
  const note = `${lock.by} reserved it until ${moment(lock.until)}${lock.reason ? `: ${lock.reason}` : ""}. Ask first.`;
  askForm(`Free ${target.title} all the same?`, target, forced, { fields: [], words: () => ["force"], note });
}
