// Dialogs, copy buttons, and the menus that offer commands.

import { cancelling, offered, publishLine, rackTarget, renewed, underWay } from "pirack/actions.js";
import { begin } from "pirack/consent.js";
import { copyText, h, pressed, setAttr, setText, uniqueId } from "pirack/dom.js";
import { icon } from "pirack/icons.js";
import { blocked, listen, store } from "pirack/store.js";
import { plural } from "pirack/words.js";

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

function actionRow(given, action, done) {
  const target = action.target ?? given;
  const theirs = action.verb === "unlock" && target.lock?.by !== store.settings.user;
  const opens = action.danger || action.placeholders.length || action.verb === "lock" || theirs;
  const run = h("button", { class: action.red ? "action danger" : "action", type: "button", "data-verb": action.verb, "data-word": action.args[0], title: action.note, on: { click: () => { done(); begin(target, action); } } }, icon(action.icon), h("span", { text: opens ? `${action.label}…` : action.label }));
  const copy = copyButton(() => publishLine(target, action, action.args.length ? action.args : action.placeholders.map((name) => `${name}=`)), `Copy ${action.label} as mosquitto_pub`, { small: true });
  return { element: h("li", { class: "action-row" }, run, copy), run };
}

/** The actions of a target as rows: do it, or copy it; the common first, the red after
 * them. What comes and goes, to cancel what is under way, is last: nothing moves for it. */
export function actionList(target, done = () => {}) {
  const why = h("p", { class: "why" });
  const { common, own, last } = offered(target);
  const rows = (actions) => actions.map((action) => actionRow(target, action, done));
  const stops = underWay(target.nodes).map((work) => actionRow(rackTarget(), cancelling(work), done));
  const [first, more] = [rows(common), rows(own)];
  const [end, shared] = [rows(last.filter(({ where }) => !where)), rows(last.filter(({ where }) => where))];
  const { where } = last.find((action) => action.where) ?? {};
  const group = (found, name) => found.length > 0 && h("ul", { "aria-label": name }, found.map((row) => row.element));
  const folded = more.length > 0 && h("details", { class: "more-actions" }, h("summary", {}, "More ", h("span", { class: "quiet", text: `${plural(more.length, "command")} of the board's own` })), group(more, "The board's own commands"));
  const element = h("div", { class: "actions" }, why, group(first, "Common"), folded, group(end, "Interrupting"), where && h("p", { class: "quiet actions-of", text: where }), group(shared, where), store.settings.role !== "viewer" && group(stops, "Under way"));
  const all = [...first, ...more, ...end, ...shared, ...stops];
  const none = all.length === stops.length;
  if (none) element.append(h("p", { class: "quiet", text: `Your role, ${store.settings.role}, may look but not ask.` }));
  const refresh = () => {
    const reason = none ? "" : blocked();
    setText(why, reason);
    setAttr(why, "hidden", !reason);
    all.forEach(({ run }) => setAttr(run, "disabled", Boolean(reason)));
  };
  refresh();
  return { element, refresh };
}

/** What the actions of a target depend on: drawn again only when one of it changes. */
export function actionKey({ scope, nodes, lock }) {
  return JSON.stringify([scope, lock, ...nodes.map(({ id, abilities, outlet, running, lock: own }) => [id, abilities, store.abilities[abilities]?.length, outlet, running?.id, running?.phase, own?.scope, own?.until])]);
}

/** Open the actions of a stack or the rack beside the button that asked.
 * `note(target)` says what it is; an open menu follows its target. */
export function openMenu(button, asked, note, extra = null) {
  const words = h("span");
  const menu = h("div", { class: "menu", popover: "auto", role: "dialog", "aria-label": `Actions for ${asked.title}` }, h("div", { class: "menu-head" }, h("b", { text: asked.title }), words));
  const place = h("div");
  let key = "", list = null;
  const draw = (target) => {
    setText(words, note(target));
    if (key !== actionKey(target) && !pressed(place)) drawList(target);
  };
  const drawList = (target) => {
    key = actionKey(target);
    const all = () => [...place.querySelectorAll("button")];
    const at = all().indexOf(document.activeElement), open = place.querySelector("details")?.open;
    list = actionList(target, () => menu.hidePopover());
    place.replaceChildren(list.element);
    const more = place.querySelector("details");
    if (more && open) more.open = true;
    if (at >= 0) (all()[at] ?? all().at(-1))?.focus();
  };
  const rowsTop = () => place.querySelector("ul")?.getBoundingClientRect().top ?? 0;
  draw(asked);
  menu.append(place, ...(extra ? [extra(() => menu.hidePopover())] : []));
  document.body.append(menu);
  const stop = listen((change) => {
    const target = renewed(asked);
    if (!target) return menu.hidePopover();
    const before = rowsTop();
    if (change.rows.size || change.structure || change.stacks || change.snapshot) draw(target);
    if (change.connection) list.refresh();
    const moved = rowsTop() - before; // its head says more now, or less
    if (moved) menu.style.top = `${Math.max(8, menu.offsetTop - moved)}px`;
    menu.style.maxHeight = `${innerHeight - menu.offsetTop - 8}px`;
  });
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
