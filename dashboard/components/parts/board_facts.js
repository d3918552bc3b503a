// What the sheet of a board says, in rows of words; pure.

import { State, store } from "./store.js";
import { byName, bytes, list, plural, span, stackName, stamp } from "./words.js";

/** @param {any} value */
const known = (value) => value !== null && value !== undefined;

/** Its outlet: read back, wanted, and who else hangs on it.
 * @param {Board} node @param {Stack | undefined} stack @param {Board[]} all */
export function powerWords(node, stack, all) {
  if (!node.outlet) return "no outlet feeds it that we can switch";
  const wanted = stack?.wanted && stack.wanted !== node.power ? `, but ${stack.wanted} is wanted` : "";
  const others = byName(all.filter((each) => each !== node && each.outlet === node.outlet));
  const shared = others.length
    ? `; shared with ${list(
        others.map(({ name }) => name),
        5,
      )}`
    : "";
  return `${node.outlet} reads back ${node.power ?? "nothing"}${wanted}${shared}`;
}

/** Where it stands, what it is, how it is reached: term, words, and whether they are code
 * or to be copied. @param {Board} node @param {any} details @param {any} state @param {Board[]} all */
export function facts(node, details, state, all) {
  const stack = store.stacks.get(state?.stack);
  const d = details ?? {};
  const clock = known(d.clock_synced) ? (d.clock_synced ? "set" : "not set") : "";
  const unreadable = Object.entries(d.unreadable ?? {}).map(([vital, why]) => `${vital}: ${why}`);
  // Of a board that is online it is old: the master says it again with other news.
  const heard = state?.last_seen && state.verdict !== "online" ? stamp(state.last_seen) : "";
  const memory = `${bytes(d.memory_bytes ?? 0)} memory, ${bytes(d.disk_bytes ?? 0)} disk`;
  const rows = [
    ["Place", stack ? `${stackName(stack)}, slot ${state.slot}` : "no place in the rack"],
    ["Power", powerWords(node, stack, all)],
    ["Tags", (state?.tags ?? []).join(", ")],
    ["Id", node.id, "code copy"],
    ["Hostname", d.hostname, "code"],
    ["Address", (d.addresses ?? []).join(", "), "code copy"],
    ["MAC", (d.macs ?? []).join(", "), "code"],
    ["Serial", d.serial, "code"],
    ["Model", d.model],
    ["System", d.os],
    ["Kernel", d.kernel && `${d.kernel} ${d.architecture ?? ""}`],
    ["Hardware", d.cpu_count && `${plural(d.cpu_count, "processor")}, ${memory}`],
    ["Agent", d.agent_version && `${d.agent_version}, every ${d.interval_s} s${d.simulated ? ", simulated" : ""}`],
    ["Not readable", unreadable.join("; ")],
    ["Disk errors", d.disk_errors ? `${d.disk_errors} recorded by the file system` : ""],
    ["Clock", clock],
    ["Last heard", heard],
    ["Topic", `${store.settings.prefix}/node/${node.id}/#`, "code copy"],
  ];
  const told = rows.filter(([, text]) => known(text) && text !== "" && text !== 0);
  return told.map(([term, text, kind = ""]) => {
    return { term, text, code: kind.includes("code"), copy: kind.includes("copy") };
  });
}

/** Figures of a heartbeat; as many rows before the first: what is below does not move.
 * @param {any} beat */
export function figures(beat) {
  const network = known(beat?.rx_bytes) && known(beat?.tx_bytes);
  return {
    Load: beat?.load?.map((/** @type {number} */ value) => value.toFixed(2)).join("  ") ?? "–",
    Uptime: beat ? span(beat.uptime_s) : "–",
    Network: network ? `${bytes(beat.rx_bytes)} in, ${bytes(beat.tx_bytes)} out` : "–",
    "Disk writes": known(beat?.disk_written_bytes) ? `${bytes(beat.disk_written_bytes)} since boot` : "–",
  };
}

/** The throttle bits; what is on now and named above is not named again.
 * @param {Board} node @param {any} state @param {any} bits */
export function throttleFlags(node, state, bits) {
  const above = [node.reason, ...(state?.faults ?? [])].join(" ").replaceAll("-", " ");
  return Object.entries(store.settings.throttleFlags).flatMap(([flag, words]) => {
    const now = (bits.now ?? []).includes(flag);
    const before = (bits.since_boot ?? []).includes(flag);
    if (now && above.includes(words)) return [];
    const [level, when] = now ? ["crit", "now"] : before ? ["warn", "since boot"] : [null, "never"];
    return [{ flag, level, glyph: State[(level ?? "ok").toUpperCase()], text: `${words}: ${when}` }];
  });
}

/** Why there are no throttle bits to show; empty if there are. @param {any} bits */
export function noFlags(bits) {
  if (!bits) return "The firmware of this machine has no throttle bits.";
  return bits.unknown ? `Throttle bits unknown: ${bits.unknown}` : "";
}

/** What is wrong and the sentence above does not say: it has what decided the state.
 * @param {Board} node @param {any} state @param {any} beat @returns {string[]} */
export function faults(node, state, beat) {
  const unsaid = (state?.faults ?? []).filter((/** @type {string} */ text) => !node.reason.includes(text));
  return beat?.disk_read_only ? [...unsaid, "disk is read-only: the card may be failing"] : unsaid;
}
