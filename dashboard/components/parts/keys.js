// Everything by keyboard. No single key does anything that could hurt.

import { openDialog } from "pirack/dialogs.js";
import { h } from "pirack/dom.js";

const HELP = [
  ["/", "search"],
  ["← ↑ → ↓", "go from board to board"],
  ["Enter", "open the board"],
  ["Esc", "close, then clear the search"],
  ["g then o", "Overview"],
  ["g then i", "Install"],
  ["g then a", "Activity"],
  ["?", "this list"],
];
const SEARCH = [
  ["s03|s04", "either word in id, name, host, address, MAC, serial or tag"],
  ["state:offline|stale", "ok, warn, crit, busy, stale, offline, off, unseen, frozen"],
  ["stack:3 tag:gpu", "both at once; stack:none for boards without a place"],
  ["temp:>70 cpu:>=80", "vitals: temp, cpu, mem, disk, load, uptime"],
  ["ip:10.0 mac:dca6", "one field: id, name, host, ip, mac, serial, os, model"],
];

function table(rows) {
  return h("dl", { class: "help" }, rows.map(([keys, text]) => h("div", {}, h("dt", {}, h("kbd", { text: keys })), h("dd", { text }))));
}

/** Show what the keys do. */
export function help() {
  const close = h("button", { class: "button primary", type: "button", text: "Close", on: { click: () => dialog.close() } });
  const dialog = openDialog("Keys and search", { body: h("div", { class: "dialog-body" }, table(HELP), h("h3", { text: "Search" }), table(SEARCH)), buttons: [close] });
}

/** The board in a direction: the nearest by position, so that any layout works. */
export function neighbour(rack, from, key) {
  const boards = [...rack.querySelectorAll(".slot[data-node]:not([inert]), .cell[data-node]:not([inert])")];
  if (key === "Home") return boards[0];
  if (key === "End") return boards.at(-1);
  const here = from.getBoundingClientRect();
  const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
  let best = null, least = Infinity;
  for (const board of boards) {
    if (board === from) continue;
    const there = board.getBoundingClientRect();
    const x = there.left + there.width / 2 - here.left - here.width / 2;
    const y = there.top + there.height / 2 - here.top - here.height / 2;
    const along = x * dx + y * dy, aside = Math.abs(x * dy) + Math.abs(y * dx);
    if (along <= 1) continue;
    const distance = along + aside * 4;
    if (distance < least) { least = distance; best = board; }
  }
  return best;
}

/** Whether a key press belongs to something one types into. */
export function typing(event) {
  return event.target.closest?.("input, textarea, select, dialog[open], [popover]") !== null;
}

/** "g o", "g i" and "g a": two keys within a second go to a page. */
export function goKeys(go) {
  let armed = 0;
  return (event) => {
    if (event.key === "g") armed = performance.now();
    else if (performance.now() - armed < 1000) {
      armed = 0;
      const path = { o: "/", i: "/install", a: "/activity" }[event.key];
      if (path) go(path);
    }
  };
}
