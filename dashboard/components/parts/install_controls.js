// What a person can ask of an install run: buttons, why one may not, and the way to type it.

import { allowed, publishLine, rackTarget, send } from "pirack/actions.js";
import { copyButton, lineBox, openDialog } from "pirack/dialogs.js";
import { h, setAttr, setText } from "pirack/dom.js";
import { icon } from "pirack/icons.js";
import { upper } from "pirack/install_words.js";
import { blocked, store } from "pirack/store.js";

/** The rack or one stack, as the target of `install`; it names no boards of its own. */
export function installTarget(stack = null) {
  return stack === null ? { ...rackTarget(), nodes: [] } : { scope: `stack/${stack}`, title: `stack ${stack}`, nodes: [], lock: null };
}

/** One word of `install`. A run waits at its own confirm step, so `confirm` is not set; it
 * says on this page what came of it, so its receipt is brief. */
export function installAction(label, ...args) {
  return { verb: "install", args, label, confirm: "", danger: false, brief: true, placeholders: [] };
}

/** Why nobody, or not this person, can ask now; empty if they can. */
export function hindrance(verb = "install") {
  const { user, role } = store.settings;
  if (!allowed(verb)) return verb === "install" ? `Only an admin may do this; ${user} is ${role}.` : `Only an operator may do this; ${user} is ${role}.`;
  return blocked();
}

/** A button that asks, with its copy button; `read` gives target and action when pressed.
 * `guard` may hold it back; `ask` stands between the button and the command. */
export function control(label, read, { kind = "", glyph = "", ask = null, guard = () => "" } = {}) {
  const run = h("button", { class: `button ${kind}`, type: "button", on: { click: () => (ask ? ask() : send(...read())) } }, glyph && icon(glyph, 16), h("span", { text: label }));
  const copy = copyButton(() => publishLine(...read()), `Copy “${label}” as mosquitto_pub`, { small: true });
  const element = h("div", { class: "in-control" }, run, copy);
  const refresh = () => {
    const why = hindrance() || guard();
    setAttr(run, "disabled", Boolean(why));
    setAttr(run, "title", why || null);
  };
  refresh();
  return { element, refresh, run };
}

const WAYS = [
  ["restore", "Bring the outlets back as they were", "Stacks that ran before come on again, one after the other."],
  ["leave", "Leave the outlets as they are now", "Stacks that are off stay off until somebody switches them on."],
  ["off", "Switch off every stack of this run", "Their boards stay without power until somebody switches them on."],
];

/** Ask how a run is to end early. */
export function askCancel({ waiting }) {
  const way = () => body.querySelector("input:checked")?.value ?? "leave";
  const action = () => installAction("Cancel install", "cancel", ...(waiting ? [] : [way()]));
  const choices = waiting ? [] : WAYS.map(([value, title, text], position) => h("label", { class: "in-way" }, h("input", { type: "radio", name: "in-way", value, checked: position === 0, on: { change: () => line.set(publishLine(installTarget(), action())) } }), h("span", {}, h("b", { text: title }), h("span", { text }))));
  const first = h("p", { text: waiting ? "Nothing was switched yet, and nothing will be." : "Boards that have a place by now keep it. How shall the outlets be left?" });
  const body = h("div", { class: "dialog-body" }, first, choices.length > 0 && h("fieldset", { class: "in-ways" }, h("legend", { class: "sr-only", text: "Outlets" }), choices));
  const line = lineBox(publishLine(installTarget(), action()));
  body.append(line.element);
  const keep = h("button", { class: "button", type: "button", text: "Go on with it", autofocus: true, on: { click: () => dialog.close() } });
  const go = h("button", { class: "button primary danger", type: "button", text: "Cancel the run", on: { click: () => { const word = action(); dialog.close(); send(installTarget(), word); } } });
  const dialog = openDialog("Cancel the install run?", { body, buttons: [keep, go], danger: true });
}

/** Ask before a start that overrides the checks. */
export function askForce(stack, problems) {
  const target = installTarget(stack), action = installAction("Install", "start", "force");
  const body = h("div", { class: "dialog-body" }, h("p", { text: "The checks found what usually makes a run fail or disturbs a network. It still waits for your word before anything is switched." }), h("ul", { class: "in-points" }, problems.map((text) => h("li", { text: upper(text) }))), lineBox(publishLine(target, action)).element);
  const back = h("button", { class: "button", type: "button", text: "Back", autofocus: true, on: { click: () => dialog.close() } });
  const go = h("button", { class: "button primary danger", type: "button", text: "Start all the same", on: { click: () => { dialog.close(); send(target, action); } } });
  const dialog = openDialog("Start over these problems?", { body, buttons: [back, go], danger: true });
}

/** Choose one stack, at first `chosen`: a select and its control, kept while the page
 * redraws around it. */
export function oneStack(label, chosen = null) {
  const select = h("select", { "aria-label": "Stack" });
  const read = () => [installTarget(Number(select.value)), installAction("Install", "start")];
  const start = control(label, read);
  const refresh = () => {
    const numbers = [...store.stacks.keys()].sort((a, b) => a - b);
    if (select.options.length !== numbers.length) {
      const before = select.value || (numbers.includes(chosen) ? chosen : "");
      select.replaceChildren(...numbers.map((number) => h("option", { value: number, text: `Stack ${String(number).padStart(2, "0")}` })));
      if (before) select.value = before;
    }
    setAttr(select, "disabled", !numbers.length);
    start.refresh();
    if (!numbers.length) setAttr(start.run, "disabled", true);
  };
  refresh();
  return { element: h("div", { class: "in-one" }, select, start.element), refresh };
}

/** A paragraph with why nothing can be asked; hidden when it can. */
export function reason() {
  const element = h("p", { class: "why" });
  const refresh = () => {
    const why = hindrance();
    setText(element, why);
    setAttr(element, "hidden", !why);
  };
  refresh();
  return { element, refresh };
}
