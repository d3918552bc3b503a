// Questions before a command leaves, and the menus that offer commands.

import { canDo, offered, publishLine, send } from "pirack/actions.js";
import { copyText, h, setAttr, setText, uniqueId } from "pirack/dom.js";
import { glyph, icon, OFF, OFFLINE, STATES } from "pirack/icons.js";
import { blocked, listen, store } from "pirack/store.js";
import { plural } from "pirack/words.js";

const CONSEQUENCE = {
  reboot: "What runs there stops; a board is away for about a minute.",
  shutdown: "What runs there stops; a board stays off until its power is cycled.",
  update: "The board's update command runs; the agent may restart.",
  cycle: "The outlet is switched off and on again, after a clean shutdown where the boards still answer.",
  off: "The boards are asked to shut down, then the outlet is switched off.",
};

/** Show a modal dialog; the browser traps the focus and Escape closes it. */
export function openDialog(title, { body, buttons, danger = false }) {
  const id = uniqueId("title");
  const dialog = h("dialog", { class: danger ? "dialog danger" : "dialog", "aria-labelledby": id }, h("h2", { id, text: title }), body, h("div", { class: "dialog-buttons" }, buttons));
  document.body.append(dialog);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.showModal();
  return dialog;
}

/** A line to paste into a terminal, with its copy button. */
export function lineBox(line) {
  const code = h("code", { class: "line-text", tabindex: "0", text: line });
  const button = copyButton(() => code.textContent, "Copy");
  return { element: h("div", { class: "line-box" }, h("span", { class: "line-label", text: "The same in a terminal" }), code, button), set: (text) => setText(code, text) };
}

/** A button that copies what `read()` returns and says so. */
export function copyButton(read, label, { small = false, title = "Copy as mosquitto_pub" } = {}) {
  const text = h("span", { class: small ? "sr-only" : "", text: label });
  const place = h("span", { class: "copy-icon" }, icon("copy", 16));
  const button = h("button", { class: small ? "icon-button copy" : "button copy", type: "button", title, on: { click: async (event) => {
    event.stopPropagation();
    const copied = await copyText(read());
    setText(text, copied ? "Copied" : "Select and copy by hand");
    place.replaceChildren(icon(copied ? "check" : "close", 16));
    window.setTimeout(() => { setText(text, label); place.replaceChildren(icon("copy", 16)); }, 1600);
  } } }, place, text);
  return button;
}

/** Ask where it can hurt or needs words; else send at once. */
export function begin(target, action) {
  if (blocked()) return;
  if (action.placeholders.length) askWords(target, action);
  else if (action.danger) askConsent(target, action);
  else send(target, action);
}

function boardList(target, action) {
  const row = (node) => {
    const away = node.state === OFFLINE || node.state === OFF;
    const fate = action.verb === "power" ? "" : !canDo(node, action.verb) ? "does not offer it" : away ? "will not be reached" : "";
    return h("li", { class: fate ? "spared" : "" }, glyph(node.state), h("span", { text: node.name }), h("span", { class: "fate", text: fate || node.words }));
  };
  return h("ul", { class: "hit-list", tabindex: "0", "aria-label": "Boards it is for" }, target.nodes.map(row));
}

function askConsent(target, action) {
  const many = target.nodes.length !== 1 || action.verb === "power";
  const what = many ? plural(target.nodes.length, "board") : target.nodes[0].name;
  const title = action.verb === "power" ? `${action.label}: ${target.title}, ${what}?` : many ? `${action.label} ${what} in ${target.title}?` : `${action.label} ${what}?`;
  const word = target.scope === "rack" ? store.rack : "";
  const line = lineBox(publishLine(target, action));
  const go = h("button", { class: "button primary danger", type: "button", disabled: Boolean(word), text: action.verb !== "power" && many ? `${action.label} ${what}` : action.label, on: { click: () => { dialog.close(); send(target, action); } } });
  const typed = word && h("label", { class: "typed" }, h("span", {}, "Type ", h("b", { text: word }), " to confirm"), h("input", { autocomplete: "off", spellcheck: "false", on: { input: (event) => setAttr(go, "disabled", event.target.value.trim() !== word) } }));
  const cancel = h("button", { class: "button", type: "button", text: "Cancel", autofocus: true, on: { click: () => dialog.close() } });
  const note = CONSEQUENCE[action.args[0] ?? action.verb] ?? "";
  const body = h("div", { class: "dialog-body" }, h("p", { text: note }), boardList(target, action), typed, line.element);
  const dialog = openDialog(title, { body, buttons: [cancel, go], danger: true });
}

function askWords(target, action) {
  const inputs = action.placeholders.map((name) => h("input", { name, autocomplete: "off", spellcheck: "false", maxlength: "200", required: true }));
  const words = () => inputs.map((input) => `${input.name}=${input.value}`);
  const line = lineBox(publishLine(target, action, words()));
  inputs.forEach((input) => input.addEventListener("input", () => line.set(publishLine(target, action, words()))));
  const form = h("form", { class: "dialog-body", method: "dialog", id: uniqueId("form"), on: { submit: () => send(target, action, words()) } }, action.note && h("p", { text: action.note }), inputs.map((input) => h("label", { class: "field" }, h("span", { text: input.name }), input)), boardList(target, action), line.element);
  const cancel = h("button", { class: "button", type: "button", text: "Cancel", on: { click: () => dialog.close() } });
  const go = h("button", { class: action.danger ? "button primary danger" : "button primary", type: "submit", form: form.id, text: action.label });
  const dialog = openDialog(`${action.label} on ${target.title}`, { body: form, buttons: [cancel, go], danger: action.danger });
  inputs[0].focus();
}

/** The actions of a target as rows: do it, or copy it. */
export function actionList(target, done = () => {}) {
  const why = h("p", { class: "why" });
  const actions = offered(target);
  const rows = actions.map((action) => {
    const run = h("button", { class: action.danger ? "action danger" : "action", type: "button", "data-verb": action.verb, title: action.note, on: { click: () => { done(); begin(target, action); } } }, icon(action.icon), h("span", { text: action.danger || action.placeholders.length ? `${action.label}…` : action.label }));
    const copy = copyButton(() => publishLine(target, action, action.args.length ? action.args : action.placeholders.map((name) => `${name}=`)), `Copy ${action.label} as mosquitto_pub`, { small: true });
    return { element: h("li", { class: "action-row" }, run, copy), run };
  });
  const element = h("div", { class: "actions" }, why, h("ul", {}, rows.map((row) => row.element)));
  if (!actions.length) element.append(h("p", { class: "quiet", text: `Your role, ${store.settings.role}, may look but not ask.` }));
  const refresh = () => {
    const reason = actions.length ? blocked() : "";
    setText(why, reason);
    setAttr(why, "hidden", !reason);
    rows.forEach(({ run }) => setAttr(run, "disabled", Boolean(reason)));
  };
  refresh();
  return { element, refresh };
}

/** Open the actions of a stack or the rack beside the button that asked. */
export function openMenu(button, target, note) {
  const menu = h("div", { class: "menu", popover: "auto", role: "dialog", "aria-label": `Actions for ${target.title}` }, h("div", { class: "menu-head" }, h("b", { text: target.title }), h("span", { text: note })));
  const list = actionList(target, () => menu.hidePopover());
  menu.append(list.element);
  document.body.append(menu);
  const stop = listen((change) => change.connection && list.refresh());
  menu.addEventListener("toggle", (event) => { if (event.newState === "closed") { stop(); menu.remove(); } });
  menu.showPopover();
  const from = button.getBoundingClientRect(), size = menu.getBoundingClientRect();
  menu.style.left = `${Math.max(8, Math.min(from.right - size.width, innerWidth - size.width - 8))}px`;
  menu.style.top = `${from.bottom + size.height + 8 < innerHeight ? from.bottom + 4 : Math.max(8, innerHeight - size.height - 8)}px`;
  (menu.querySelector("button:not([disabled])") ?? menu).focus();
  menu.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const all = [...menu.querySelectorAll(".action:not([disabled])")];
    all[(all.indexOf(document.activeElement) + step + all.length) % all.length]?.focus();
  });
}

export { STATES };
