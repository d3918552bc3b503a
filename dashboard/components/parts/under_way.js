// What is under way in the rack, whoever asked: phases of every board, and the way to stop it.

import { computed, ref } from "vue";
import { cancelling, labelOf, rackTarget, send, underWay } from "./actions.js";
import { around, steady } from "./steady.js";
import { blocked, boards, store } from "./store.js";
import { list, plural } from "./words.js";

/** "2 running, 2 waiting". @param {{ running: Board[], queued: Board[] }} work */
const progress = ({ running, queued }) =>
  [running.length && `${running.length} running`, queued.length && `${queued.length} waiting`]
    .filter(Boolean)
    .join(", ");

/** What the running boards of a command are at, by their own words. @param {{ running: Board[] }} work */
export function steps({ running }) {
  const words = new Map();
  for (const node of running) if (node.words) words.set(node.words, (words.get(node.words) ?? 0) + 1);
  const said = ([word, count]) => (running.length > 1 ? `${count} ${word.toLowerCase()}` : word.toLowerCase());
  return [...words].map(said).join(", ");
}

/** The commands under way on some boards, each with its Cancel button. */
export const WorkList = {
  props: { works: Array },
  /** @param {{ works: any[] }} props */
  setup(props) {
    const rows = computed(() =>
      props.works.map((work) => {
        const names = [...work.running, ...work.queued].map(({ name }) => name);
        const told = [progress(work), steps(work), work.by && `asked by ${work.by}`].filter(Boolean).join(" · ");
        const whom = names.length === 1 ? names[0] : plural(names.length, "board");
        return { work, told, whom, names: list(names, 6), label: labelOf(work.verb, work.word) };
      }),
    );
    const cancel = (/** @type {any} */ work) => send(rackTarget(), cancelling(work));
    return { rows, cancel, blocked, store };
  },
  template: `
  <ul class="works" :hidden="!rows.length">
    <li v-for="row in rows" :key="row.work.id" class="work">
      <b>{{ row.label }}</b>
      <span class="work-of" :title="row.names">{{ row.whom }}</span>
      <button v-if="store.settings.role !== 'viewer'" class="button small" type="button" :disabled="blocked() !== ''"
        @click="cancel(row.work)">Cancel</button>
      <span class="work-text">{{ row.told }}</span>
    </li>
  </ul>`,
};

/** The section of the right column; hidden when nothing runs. */
export const UnderWay = {
  components: { WorkList },
  setup() {
    const element = ref();
    const works = computed(() => underWay(boards()));
    const shown = steady(
      () => works.value.map(({ id }) => id).join(),
      () => around(element.value),
    );
    const listed = computed(() => works.value.filter(({ id }) => shown.value.split(",").includes(id)));
    return { element, listed };
  },
  template: `
  <section ref="element" class="under-way" aria-label="Under way" :hidden="!listed.length">
    <div class="side-head"><h2>Under way</h2></div>
    <WorkList :works="listed"/>
  </section>`,
};
