// What the page says when a part of it failed.

import { onErrorCaptured } from "vue";
import { fail, store } from "./store.js";

/** Let what fails inside a page be shown by its FailureNotice. */
export function showFailures() {
  store.failure = "";
  onErrorCaptured((error) => {
    fail(error);
    return false;
  });
}

export const FailureNotice = {
  setup: () => ({ store, reload: () => window.location.reload() }),
  template: `
  <div v-if="store.failure" class="empty">
    <h2>Part of this page failed</h2>
    <p>What is shown may be incomplete. Reloading usually helps; if it comes back, please report this line:</p>
    <code>{{ store.failure }}</code>
    <button class="button" type="button" @click="reload">Reload</button>
  </div>`,
};
