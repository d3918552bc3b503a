// The commands of this tab: sent, running, and answered, with a row for every board.

import { computed, onMounted, onUnmounted, ref, watch } from "vue";
import { cancelling, dismiss, rackTarget, receipts, send } from "./actions.js";
import { begin } from "./consent.js";
import { aimed } from "./layout.js";
import { State, store } from "./store.js";
import { Glyph, Icon } from "./widgets.js";
import { byName, list, plural, took } from "./words.js";

/** A command that interrupts shows every board from the start, up to this many. */
const OPEN_UP_TO = 16;
const ROWS_SEEN = 8;
const GOOD_STAYS_MS = 9000;

/** @param {string} phase */
const underWay = (phase) => store.settings.phasesUnderWay.includes(phase);
/** @param {string} phase */
const phaseWords = (phase) => store.settings.phases[phase] ?? phase;

/** What a board answered, without its own name. @param {ReceiptRow} row */
function answerOf({ name, error, exit, verified }) {
  const said = error.startsWith(`${name}, `) ? error.slice(name.length + 2) : error;
  return said || (exit ? `exit code ${exit}` : verified ? "effect seen" : "");
}

/** Rows to lines: the failed first; boards with the same answer and no output are one.
 * @param {ReceiptRow[]} rows */
export function fold(rows) {
  const lines = new Map();
  for (const row of byName(rows)) {
    const { name, phase, output } = row;
    const answer = answerOf(row);
    const key = phase === "done" || output || !answer ? name : `${phase} ${answer}`;
    const line = lines.get(key) ?? { key, phase, answer, output, duration: 0, names: [] };
    lines.set(key, line);
    line.names.push(name);
    line.duration = Math.max(line.duration, row.duration ?? 0);
  }
  return [...lines.values()].sort((a, b) => Number(a.phase === "done") - Number(b.phase === "done"));
}

/** How a command stands, in words. @param {ReceiptCard} card */
export function standing({ answer, refused, rows, total, action }) {
  if (refused) return "not sent";
  if (!answer) return "sending";
  const { phase, complete, ok, duration, verified } = answer;
  const ended = rows.filter((row) => !underWay(row.phase)).length;
  if (!complete) {
    return rows.length > 1 ? `${phaseWords(phase)} · ${ended} of ${Math.max(total, rows.length)}` : phaseWords(phase);
  }
  if (ok && action.brief) return "accepted"; // the page says what comes of it
  const good = rows.filter((row) => row.phase === "done").length;
  const failed = rows.length > 1 ? `${good} of ${plural(rows.length, "board")} done` : phaseWords(phase);
  return `${ok ? "done" : failed} · ${took(duration)}${ok && verified ? " · effect seen" : ""}`;
}

/** Why it failed, where head and rows do not say it. @param {ReceiptCard} card */
export function trouble({ answer, refused, rows }) {
  if (!answer) return refused;
  const counted = answer.complete && rows.length > 1 && /^\d+ of \d+ not done/.test(answer.error);
  return counted ? "" : answer.error || (rows.length === 1 ? rows[0].error : "");
}

const ReceiptCardView = {
  components: { Glyph, Icon },
  props: { card: Object },
  setup(props) {
    const { card } = props;
    const { action, total } = card;
    const element = ref();
    let timer = 0;
    const keep = () => window.clearTimeout(timer);
    /** Goes after a time, and not while somebody aims at a receipt beside it. */
    const leave = (wait_ms) => {
      const due = () => (aimed(element.value?.parentElement) ? leave(1000) : dismiss(card));
      timer = window.setTimeout(due, wait_ms);
    };
    onUnmounted(keep);
    const live = Boolean(action.danger) && total > 1 && total <= OPEN_UP_TO;
    const open = ref(live);
    const talks = computed(() => card.rows.some((row) => row.output));
    const complete = computed(() => Boolean(card.answer?.complete));
    watch(complete, () => {
      const { ok } = /** @type {Receipt} */ (card.answer);
      const many = card.rows.length > 1;
      if ((!ok && many) || (talks.value && card.rows.length === 1 && !action.brief)) open.value = true;
      if (ok && (!talks.value || action.brief)) leave(GOOD_STAYS_MS);
    });
    const view = computed(() => {
      const { rows, answer, refused } = card;
      const ended = rows.filter((row) => !underWay(row.phase)).length;
      const unasked = complete.value ? rows.filter(({ code }) => code === "cannot-be-asked") : [];
      return {
        phase: refused || (complete.value && !answer?.ok) ? "bad" : complete.value ? "good" : "running",
        share: `${Math.round((100 * ended) / Math.max(total, rows.length, 1))}%`,
        standing: standing(card),
        trouble: trouble(card),
        unasked: unasked.map(({ name }) => name),
        lines: fold(rows).map((line) => ({
          ...line,
          took: underWay(line.phase) || !line.duration ? "" : took(line.duration),
        })),
        folded: Boolean(action.brief) || (!live && rows.length < 2 && !talks.value),
        stoppable: Boolean(action.danger) && card.id !== "" && !complete.value,
      };
    });
    const label = action.args.includes("force") ? `Force ${action.label.toLowerCase()}` : action.label;
    const cancel = () => send(rackTarget(), cancelling({ id: card.id, verb: action.verb, word: action.args[0] }));
    /** The way to cut boards that cannot be asked: the same question, with these named. */
    const again = () => {
      const args = action.verb === "power" ? action.args.slice(0, 1) : action.args;
      begin(card.target, { ...action, args }, view.value.unasked);
    };
    const size = live ? { "--rows": Math.min(total, ROWS_SEEN) } : {};
    const words = { dismiss, list, phaseWords, plural };
    return { element, keep, open, view, label, cancel, again, size, State, store, ...words };
  },
  template: `
  <article ref="element" class="receipt" :data-phase="view.phase" @pointerenter="keep" @focusin="keep">
    <header>
      <span class="receipt-mark">
        <Icon v-if="view.phase === 'good'" name="check" :size="16"/>
        <Glyph v-if="view.phase === 'bad'" :state="State.CRIT" :label="false"/>
      </span>
      <b>{{ label }}</b><span class="receipt-target">{{ card.target.title }}</span>
      <span class="receipt-phase">{{ view.standing }}</span>
      <button v-if="card.action.danger" class="button small" type="button" :hidden="!view.stoppable"
        :title="store.settings.verbs.cancel.note" @click="cancel">Cancel</button>
      <button class="icon-button" type="button" aria-label="Dismiss" @click="dismiss(card)">
        <Icon name="close" :size="16"/></button>
    </header>
    <span class="receipt-share" aria-hidden="true" :style="{ '--share': view.share }"></span>
    <p class="receipt-error" :hidden="!view.trouble">{{ view.trouble }}</p>
    <p class="receipt-again" :hidden="!view.unasked.length">
      <button class="button small" type="button" @click="again">Cut {{ list(view.unasked) }} without asking…</button>
    </p>
    <details :hidden="view.folded" :open="open" :style="size" @toggle="open = $event.target.open">
      <summary>Each board</summary>
      <div class="receipt-scroll" tabindex="0"><table>
        <thead class="sr-only"><tr><th v-for="head in ['Board', 'Phase', 'Answer', 'Time']">{{ head }}</th></tr></thead>
        <tbody>
          <template v-for="line in view.lines" :key="line.key">
            <tr :data-phase="line.phase">
              <th scope="row">{{ line.names.length === 1 ? line.names[0] : plural(line.names.length, "board") }}</th>
              <td>{{ phaseWords(line.phase) }}</td>
              <td :title="line.names.join(', ')">
                {{ line.names.length === 1 ? line.answer : list(line.names, 6) + ": " + line.answer }}</td>
              <td class="number">{{ line.took }}</td>
            </tr>
            <tr v-if="line.output" class="output"><td colspan="4"><pre>{{ line.output.trim() }}</pre></td></tr>
          </template>
        </tbody>
      </table></div>
    </details>
  </article>`,
};

/** The receipts at the edge of the page. */
export const Receipts = {
  components: { ReceiptCardView },
  setup() {
    const element = ref();
    const root = document.documentElement;
    const sized = () => root.style.setProperty("--dock", `${element.value.offsetHeight}px`);
    const observer = new ResizeObserver(sized);
    onMounted(() => observer.observe(element.value));
    onUnmounted(() => observer.disconnect());
    return { element, receipts };
  },
  template: `
  <div ref="element" class="receipts" role="log" aria-label="Commands" aria-live="polite">
    <ReceiptCardView v-for="card in receipts" :key="card.key" :card="card"/>
  </div>`,
};
