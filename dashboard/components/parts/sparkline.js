// A line of samples from 0 to 100, as the path of a picture.

import { HISTORY, NO_SAMPLE, SAMPLE_MS } from "./store.js";
import { age } from "./words.js";

const LEAST_SPAN = 2;
const LEAST_TOP = 25;

/** @param {ArrayLike<number>} history */
function firstKnown(history) {
  const first = Array.from(history).findIndex((value) => value !== NO_SAMPLE);
  return first < 0 ? HISTORY - LEAST_SPAN : Math.min(first, HISTORY - LEAST_SPAN);
}

/** Over how long a line of samples goes. @param {ArrayLike<number>} history */
export const covered = (history) => age(((HISTORY - firstKnown(history)) * SAMPLE_MS) / 1000);

/** The unbroken runs of samples as points, over the time that is known (up to 3 min): a
 * fresh page is not blank, and a flat rack is not blown up.
 * @param {ArrayLike<number>} history @param {number} width @param {number} height */
function runs(history, width, height) {
  let top = LEAST_TOP;
  for (let i = 0; i < HISTORY; i += 1) if (history[i] !== NO_SAMPLE && history[i] > top) top = history[i];
  /** @type {string[][]} */
  const found = [];
  if (!history.length) return found;
  const first = firstKnown(history);
  /** @type {string[] | null} */
  let run = null;
  for (let i = first; i < HISTORY; i += 1) {
    if (history[i] === NO_SAMPLE) {
      if (run?.length === 1) found.pop(); // one sample before a gap shows no course
      run = null;
      continue;
    }
    const x = (((i - first) / (HISTORY - 1 - first)) * width).toFixed(1);
    const y = (height - 1.5 - (history[i] / top) * (height - 3)).toFixed(1);
    if (!run) {
      run = [];
      found.push(run);
    }
    run.push(`${x} ${y}`);
  }
  return found;
}

/** Samples as a line with gaps; the newest, if alone, is a dot.
 * @param {ArrayLike<number>} history @param {number} width @param {number} height */
export const sparkline = (history, width, height) =>
  runs(history, width, height)
    .map((run) => `M${run.join("L")}${run.length === 1 ? "h0" : ""}`)
    .join("");

/** What lies below that line.
 * @param {ArrayLike<number>} history @param {number} width @param {number} height */
export const sparkarea = (history, width, height) =>
  runs(history, width, height)
    .map((run) => `M${run.join("L")}V${height}H${run[0].split(" ")[0]}Z`)
    .join("");
