// How broker and master stand.

import { computed } from "vue";
import { store } from "./store.js";

/** Each service: its name, whether all is well, and the words. */
export function standings() {
  const { socket } = store; // without it nothing is known of any of them
  const { broker, master, frozen, install, install_trouble: trouble } = store.connection;
  const reached = socket && broker;
  const live = reached && master === "online" && !frozen;
  const rows = [
    { name: "Broker", good: reached, text: !socket ? "not known" : broker ? "connected" : "offline" },
    { name: "Master", good: reached && master === "online", text: reached ? master || "never heard" : "not known" },
    { name: "Verdicts", good: live, text: live ? "live" : (socket && frozen) || "frozen" },
  ];
  return install ? [...rows, { name: "Install", good: reached && !trouble, text: install }] : rows;
}

export const Services = {
  setup: () => ({ rows: computed(standings) }),
  template: `
  <section class="services" aria-label="Services">
    <div class="side-head"><h2>Services</h2></div>
    <dl><div v-for="{ name, good, text } in rows" :key="name">
      <dt>{{ name }}</dt><dd :data-good="good ? 'yes' : 'no'">{{ text }}</dd></div></dl>
  </section>`,
};
