// The head of the Install page: what it does, what will happen, how far it is, how it ended.

import { send } from "pirack/actions.js";
import { copyButton } from "pirack/dialogs.js";
import { h, setAttr, setText } from "pirack/dom.js";
import { icon } from "pirack/icons.js";
import { askCancel, askForce, control, installAction, installTarget, oneStack, reason } from "pirack/install_controls.js";
import { darkWords, endWords, etaWords, kindOf, loserWords, losers, mark, nameOf, names, occupied, scopeWords, STAGES, stepWords, upper, VERDICTS, withoutAgent } from "pirack/install_words.js";
import { frozen, now, store } from "pirack/store.js";
import { list, plural, stackName } from "pirack/words.js";

const TOML = `[install]
backend = "dnsmasq"          # or "observe", beside a DHCP server you have
interface = "eth1"           # the port the rack's switch hangs on
address = "192.168.23.1/24"  # the master's own address there
first = "192.168.23.10"      # slot 1 of stack 1; the others follow
`;
const DEPLOY = "pirack deploy --all";
const PLAN = [
  ["Check", "The DHCP server, the network, every planned address, every outlet. Nothing is switched."],
  ["Confirm", "You read what will happen and who loses power, and agree or not."],
  ["Find", "All stacks go off, then one after the other comes on and stays on: who asks for an address for the first time now is one of its boards, and gets a slot, a name and an address. They stay, also over the next install."],
  ["Verify", "Each board must answer at its address."],
];

const say = (tag, text, className) => h(tag, { class: className, text });
const start = (label, words = [], more = {}) => control(label, () => [installTarget(), installAction(label, "start", ...words)], more);
const points = (texts) => h("ul", { class: "in-points" }, texts.map((text) => say("li", upper(text))));

/** A line of the forecast without most of a long list of names: they stand beside it. */
function shorter(text) {
  const [head, last] = text.split(/: (?=[^:]*$)/), each = last?.split(", ") ?? [];
  return each.length > 8 ? `${head}: ${list(each, 5)}` : text;
}

/** The problems of a run that has not begun, or of provisioning itself. */
function warned({ problems }) {
  return problems.length > 0 && h("div", { class: "in-warned" }, h("h3", {}, mark("trouble"), `The checks found ${plural(problems.length, "problem")}`), points(problems));
}

/** What the DHCP side is, in words. */
export function serverWords({ backend, interface: port }) {
  if (backend === "fake") return "simulated, no real network";
  if (backend === "observe") return `listens beside your own DHCP server on ${port || "?"}`;
  return `${backend} on ${port || "?"}`;
}

function needs(state) {
  const stacks = [...store.stacks.values()], slots = stacks.reduce((sum, { slots: count }) => sum + count, 0);
  const bare = stacks.filter(({ power }) => !power);
  return [
    [!state.problems.length, "DHCP", serverWords(state)],
    [store.connection.master === "online" && !frozen(), "Master", frozen() ? "not known" : store.connection.master || "never heard"],
    [stacks.length > 0 && !bare.length, "Outlets", !stacks.length ? "no stack is configured" : !bare.length ? `${plural(stacks.length, "stack")}, each switched by PiRack` : `${bare.length === 1 ? `${stackName(bare[0])} has` : `${bare.length} stacks have`} no outlet to switch: their boards cannot be told from others`],
    [slots > 0, "Boards", `${plural(slots, "slot")} to fill; each board wired, with its card in, asking by DHCP`],
  ];
}

function off({ state }) {
  const why = h("p", { text: "The master has no DHCP server to work with, so it cannot find boards. Write this into pirack.toml, with your own port and addresses, and restart the master:" });
  const box = h("div", { class: "in-toml" }, h("pre", { tabindex: "0", text: TOML }), copyButton(() => TOML, "Copy", { title: "Copy these lines" }));
  const rest = h("p", {}, "What is still missing then: ", h("code", { text: "pirack doctor" }));
  return { nodes: [say("h2", "Provisioning is off"), warned(state), why, box, rest], refresh() {} };
}

function idle(model) {
  const { state } = model;
  const needed = h("dl", { class: "in-needs" });
  const go = start("Check the rack", [], { kind: "primary" }), dry = start("Dry run", ["dry"]);
  const one = oneStack("Check one stack"), why = reason();
  const steps = h("ol", { class: "in-plan" }, PLAN.map(([name, text]) => h("li", {}, h("span", {}, h("b", { text: name }), say("span", text)))));
  const left = h("div", {}, say("h3", "What happens"), steps);
  const calm = say("p", "Checking switches nothing: you are shown what will happen, and asked.", "quiet");
  const doing = h("div", { class: "in-begin" }, say("h3", "Begin"), why.element, h("div", { class: "in-actions" }, go.element, dry.element), one.element, calm);
  const right = h("div", {}, say("h3", "What it needs"), needed, doing);
  let key = "";
  const refresh = () => {
    for (const each of [go, dry, one, why]) each.refresh();
    const rows = needs(model.state), fresh = JSON.stringify(rows);
    if (fresh === key) return;
    key = fresh;
    needed.replaceChildren(...rows.map(([good, name, text]) => h("div", { "data-good": good ? "yes" : "no" }, h("dt", {}, mark(good ? "verified" : "trouble"), name), h("dd", { text }))));
  };
  return { nodes: [head("Find, place and address every board", "PiRack switches the stacks on one by one, hears which boards ask for an address, and gives each its place."), warned(state), h("div", { class: "in-columns" }, left, right)], refresh };
}

function preflight(model) {
  const [title, text] = stepWords(model.state, store.stacks);
  const cancel = control("Cancel…", () => [installTarget(), installAction("Cancel install", "cancel")], { ask: () => askCancel({ waiting: true }) });
  const bar = h("div", { class: "in-bar busy", role: "progressbar", "aria-label": "Checking" }, h("span"));
  return { nodes: [stages("preflight"), head(title, text, cancel), bar], refresh: () => cancel.refresh() };
}

function head(title, text, ...controls) {
  return h("div", { class: "in-head" }, h("div", {}, say("h2", title), say("p", text, "in-lead")), controls.length > 0 && h("div", { class: "in-actions" }, controls.map(({ element }) => element)));
}

function stages(step) {
  const at = STAGES.findIndex(({ steps }) => steps.includes(step));
  if (at < 0) return "";
  const word = (index) => (index < at ? "done" : index === at ? "now" : "next");
  return h("ol", { class: "in-stages", "aria-label": "Stages of the run" }, STAGES.map(({ name }, index) => h("li", { "data-state": word(index), "aria-current": index === at ? "step" : null }, h("span", { class: "in-number" }, index < at ? icon("check", 13) : String(index + 1)), name, h("span", { class: "sr-only", text: word(index) === "done" ? " (done)" : "" }))));
}

function confirm(model) {
  const { state } = model;
  const whole = state.only === null, word = whole ? store.rack : "";
  const input = h("input", { autocomplete: "off", spellcheck: "false", on: { input: () => refresh() } });
  const typed = word && h("label", { class: "typed" }, h("span", {}, "Type ", h("b", { text: word }), " to confirm"), input);
  const missing = () => (word && input.value.trim() !== word ? `Type ${word} first.` : "");
  const go = control("Confirm: switch off and install", () => [installTarget(), installAction("Install", "confirm")], { kind: "primary danger", guard: missing });
  const no = control("Cancel", () => [installTarget(), installAction("Cancel install", "cancel")], { ask: () => send(installTarget(), installAction("Cancel install", "cancel")) });
  const why = reason();
  const summary = h("p", { class: "in-losers" }), who = h("ul", { class: "hit-list in-hit", tabindex: "0", "aria-label": "Stacks that lose power" });
  const left = h("div", {}, say("h3", "What will happen"), points(state.forecast.map(shorter)), warned(state));
  const right = h("div", {}, say("h3", "Who loses power"), summary, who);
  let key = "";
  function refresh() {
    for (const each of [go, no, why]) each.refresh();
    const rows = losers(model.state, store.stacks, store.nodes);
    const fresh = rows.map(({ stack, boards, up }) => `${stack.number} ${stack.power} ${up} ${names(boards, 9)}`).join();
    if (fresh === key) return;
    key = fresh;
    setText(summary, loserWords(rows));
    who.replaceChildren(...rows.map(({ stack, boards, up }) => h("li", {}, mark(stack.power === "off" ? "waiting" : "trouble", 14), h("span", { text: stackName(stack) }), h("span", { class: "fate", text: stack.power === "off" ? "off already" : `${up} running${boards.length ? `: ${names(boards, 4)}` : ""}` }))));
  }
  const lead = `This is a run over ${scopeWords(state, store.stacks)}${state.by ? `, asked by ${state.by}` : ""}. Boards that answer are shut down cleanly before the cut. Nothing was switched so far.`;
  return { nodes: [stages("confirm"), head("Read this, then confirm", lead), h("div", { class: "in-columns" }, left, right), why.element, h("div", { class: "in-consent" }, typed, h("div", { class: "in-actions" }, go.element, no.element))], refresh };
}

function running(model) {
  const title = h("h2"), text = h("p", { class: "in-lead" });
  const cancel = control("Cancel…", () => [installTarget(), installAction("Cancel install", "cancel", "restore")], { ask: () => askCancel({ waiting: false }) });
  const fill = h("span"), bar = h("div", { class: "in-bar", role: "progressbar", "aria-valuemin": "0", "aria-valuemax": "100", "aria-label": "The whole run" }, fill);
  const count = h("b"), of = h("span"), left = h("span", { class: "in-eta" });
  const found = h("div", { class: "in-found" }), place = h("div"), why = reason();
  let key = "";
  const refresh = () => {
    const { state } = model;
    const [first, second] = stepWords(state, store.stacks);
    setText(title, first);
    setText(text, second);
    for (const each of [cancel, why]) each.refresh();
    if (model.still) setAttr(why.element, "hidden", true);
    fill.style.transform = `scaleX(${state.share / 100})`;
    setAttr(bar, "aria-valuenow", state.share);
    setText(count, String(state.done));
    setText(of, `of ${plural(state.total, "board")} ${state.step === "verify" ? "verified" : "found"}`);
    setText(left, model.still || state.eta_s === null ? "" : etaWords(state.eta_s - (now() - (state.heard || model.learnt))));
    const fresh = `${state.step} ${JSON.stringify(state.verdicts)}`;
    if (fresh === key) return;
    key = fresh;
    place.replaceChildren(stages(state.step));
    found.replaceChildren(...verdicts(state, { ok: false }));
  };
  const figures = h("div", { class: "in-progress" }, bar, h("div", { class: "in-count" }, count, of, found, left));
  return { nodes: [place, h("div", { class: "in-head" }, h("div", {}, title, text), h("div", { class: "in-actions" }, cancel.element)), figures, why.element], refresh };
}

/** The verdicts, counted: mark, number, word. */
function verdicts(state, { ok = true } = {}) {
  const found = Object.entries(state.verdicts).filter(([verdict, count]) => count && (ok || verdict !== "ok"));
  const rows = found.map(([verdict, count]) => [verdict === "ok" && !state.step.startsWith("done") ? "placed" : verdict, count]);
  return rows.map(([verdict, count]) => h("span", { class: "in-verdict", "data-mark": VERDICTS[verdict]?.[0] ?? "trouble" }, mark(VERDICTS[verdict]?.[0] ?? "trouble"), h("b", { text: count }), VERDICTS[verdict]?.[1] ?? verdict));
}

function over(model) {
  const { state } = model;
  const [title, text] = endWords(state, store.stacks);
  const why = reason();
  const bad = state.step === "failed" || (state.step === "cancelled" && !state.done);
  const end = state.step === "done" ? "verified" : state.step === "cancelled" ? "waiting" : "trouble";
  const top = h("div", { class: "in-head" }, h("div", { class: "in-end", "data-mark": end }, mark(end, 26), h("div", {}, say("h2", title), say("p", text, "in-lead"))));
  const counts = verdicts(state);
  const figures = !state.dry && counts.length > 0 && h("div", { class: "in-found large" }, counts);
  const parts = state.dry ? dryEnd(model) : bad ? badEnd(model) : goodEnd(model);
  const dark = h("p", { class: "in-dark", hidden: true });
  const light = { refresh: () => {
    const words = darkWords(state, store.stacks);
    setText(dark, words);
    setAttr(dark, "hidden", !words);
  } };
  return { nodes: [top, dark, figures, ...parts.nodes, why.element], refresh: () => [why, light, ...parts.controls].forEach((each) => each.refresh()) };
}

function dryEnd({ state }) {
  const target = installTarget(state.only);
  const go = control("Do it for real…", () => [target, installAction("Install", "start")], { kind: "primary" });
  const dry = control("Dry run again", () => [target, installAction("Dry run", "start", "dry")]);
  const calm = say("p", "Doing it for real checks again, then waits for your word before anything is switched.", "quiet");
  const rest = more(oneStack("Check one stack"));
  return { nodes: [points(state.forecast.map(shorter)), h("div", { class: "in-actions" }, go.element, dry.element), calm, rest.element], controls: [go, dry, rest] };
}

function badEnd({ state }) {
  const target = installTarget(state.only);
  const again = control(state.only === null ? "Try again" : `Try ${nameOf(state.only, store.stacks)} again`, () => [target, installAction("Install", "start")], { kind: "primary" });
  const early = state.step === "failed" && state.problems.length > 0 && !state.done;
  const force = early && control("Start all the same…", () => [target, installAction("Install", "start", "force")], { ask: () => askForce(state.only, state.problems) });
  const found = [again, force].filter(Boolean), rest = more(oneStack("Check one stack"));
  return { nodes: [h("div", { class: "in-actions" }, found.map(({ element }) => element)), rest.element], controls: [...found, rest] };
}

/** What else can be begun after a run, folded away. */
function more(own, note = "") {
  const whole = start("Check the whole rack"), dry = start("Dry run", ["dry"]);
  const text = `Nothing is switched before you confirm; addresses and names stay. ${note}`;
  const element = h("details", { class: "in-more" }, h("summary", { text: "More" }), h("div", { class: "in-actions" }, whole.element, dry.element, own.element), say("p", text, "quiet"));
  return { element, refresh: () => [whole, dry, own].forEach((each) => each.refresh()) };
}

function goodEnd(model) {
  const slots = h("button", { class: "button primary", type: "button", on: { click: () => model.onSlots(occupied(model.stacks).find((number) => number === model.state.only) ?? occupied(model.stacks)[0]) } }, icon("identify", 16), "Check the slots…");
  const ready = { refresh: () => setAttr(slots, "disabled", !occupied(model.stacks).length) };
  const one = oneStack("Scan it again", model.state.only);
  const undo = control("Undo reservations", () => [installTarget(), installAction("Undo reservations", "undo")]);
  const step = (title, text, ...doing) => h("li", {}, h("span", { class: "in-number" }), h("div", {}, say("h3", title), text, h("div", { class: "in-actions" }, doing)));
  const silent = h("p"), code = h("code", { class: "in-line", text: DEPLOY });
  const agents = step("Give the boards their agents", silent, code, copyButton(() => DEPLOY, "Copy", { title: "Copy this line" }));
  const steps = h("ol", { class: "in-next" }, agents,
    step("See which board is in which slot", say("p", "DHCP cannot tell the slots of a stack apart. Let each board blink and say where you see it."), slots),
    step("Changed a board, a card or a cable?", say("p", "Scan that stack again; all others stay on."), one.element));
  const needed = { refresh: () => {
    const count = withoutAgent(model.stacks);
    setText(silent, `${plural(count, "board")} ${count === 1 ? "has" : "have"} an address, but no agent was ever heard there. In a terminal of the master:`);
    setAttr(agents, "hidden", !count);
    [...steps.children].filter((each) => !each.hidden).forEach((each, at) => setText(each.firstChild, String(at + 1)));
  } };
  needed.refresh();
  const rest = more(undo, "Undo gives the DHCP server the reservations it had before this run, or before a swap after it. The next run serves the places again that are shown here; to take back a swap, swap the two again.");
  return { nodes: [say("h3", "Next", "in-next-title"), steps, rest.element], controls: [one, ready, needed, rest] };
}

const BUILD = { off, idle, preflight, confirm, running, over };

/** Draws the head into an element; rebuilt only where its kind or its words change. */
export class Hero {
  constructor(model) {
    this.model = model;
    this.element = h("section", { class: "in-hero", "aria-label": "Install run" });
    this.voice = h("div", { class: "sr-only", role: "status", "aria-live": "polite" });
    this.key = "";
  }

  draw() {
    const { state } = this.model;
    const kind = kindOf(state);
    setAttr(this.element, "hidden", kind === "none");
    if (kind === "none") return;
    const key = this.keyOf(kind, state);
    if (key !== this.key) {
      this.key = key;
      this.element.dataset.kind = kind;
      this.built = BUILD[kind](this.model);
      this.element.replaceChildren(...this.built.nodes.filter(Boolean));
      setText(this.voice, this.element.querySelector("h2").textContent);
    }
    this.built.refresh();
  }

  keyOf(kind, state) {
    const { run, forecast, problems, only, verdicts, step, dry, done, total } = state;
    const parts = { off: [problems], idle: [problems], preflight: [run], confirm: [run, forecast, problems, only], running: [run], over: [run, step, dry, done, total, forecast, problems, verdicts] };
    return JSON.stringify([kind, ...parts[kind]]);
  }
}

