// The frame of all pages: navigation, title, connection, theme, user; through it the hub's
// messages come in and what the tab asks for goes out.

import { useConnection } from "pirack/connection.js";
import { ActionMenu, menu } from "pirack/menu.js";
import { goKeys, help, PAGES, typing } from "pirack/navigation.js";
import { Receipts } from "pirack/receipts.js";
import { apply, begin, blocked, notify, startClock, store } from "pirack/store.js";
import { closeDialog, dialogs, Icon } from "pirack/widgets.js";
import { computed, onMounted, onUnmounted, ref, watch } from "vue";

const THEMES = ["auto", "light", "dark"];
const DROPPED_MS = 700;

/** The theme, kept for each user. */
function useTheme() {
  const key = `pirack-theme-${store.settings.user}`;
  const kept = window.localStorage.getItem(key) ?? "";
  const theme = ref(THEMES.includes(kept) ? kept : "auto");
  const next = () => {
    theme.value = THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length];
    window.localStorage.setItem(key, theme.value);
    window.localStorage.setItem("pirack-theme", theme.value);
  };
  const set = (name) => {
    document.documentElement.dataset.theme = name;
  };
  watch(theme, set, { immediate: true });
  return { theme, next };
}

/** A refused socket is not told why: where the session has ended, go to the login. */
async function signInAgain() {
  const answer = await fetch(`${window.path_prefix ?? ""}/session`).catch(() => null);
  const { signed_in: known } = (answer?.ok && (await answer.json().catch(() => null))) || {};
  if (known === false) window.location.reload();
}

/** Notes when the tab loses the dashboard, and when it is back. */
function watchSocket() {
  const { socket } = window;
  if (!socket) return;
  let timer = 0;
  const set = (up) => {
    store.socket = up;
    notify({ rows: new Set(), connection: true });
  };
  socket.on("disconnect", () => {
    timer = window.setTimeout(() => set(false), DROPPED_MS);
  });
  socket.on("connect", () => {
    window.clearTimeout(timer);
    if (!store.socket) set(true);
  });
  socket.on("connect_error", signInAgain);
}

/** How far an install run is, for the navigation. */
function installHint() {
  const { install, install_hint: text } = store.connection;
  const still = blocked() !== "";
  const title = text === "!" ? "An install run waits for a person to confirm it" : install;
  return { text, still: still ? "" : null, title: text ? `${still ? "Stood at " : ""}${title}` : null };
}

/** @param {KeyboardEvent} event @param {(event: KeyboardEvent) => void} go */
function onKey(event, go) {
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event)) return;
  if (event.key === "?") help();
  else if (event.key !== "/") go(event);
  else {
    const search = /** @type {HTMLInputElement | null} */ (document.querySelector("#search-place input"));
    if (search) event.preventDefault();
    search?.focus();
    search?.select();
  }
}

export default {
  components: { ActionMenu, Icon, Receipts },
  props: { settings: Object, page: String },
  emits: ["say"],
  setup(props, { emit, expose }) {
    const vocabulary = document.getElementById("vocabulary")?.textContent ?? "";
    begin({ ...JSON.parse(vocabulary), ...props.settings });
    store.say = (message) => window.did_handshake && emit("say", message);
    const element = ref();
    const label = computed(() => PAGES.find(({ name }) => name === props.page)?.label ?? "");
    const setTitle = () => {
      document.title = `${label.value || "Page"} · ${props.settings.rack} · PiRack`;
    };
    watch(label, setTitle, { immediate: true });
    const go = goKeys((path) => element.value.querySelector(`.rail-link[href="${path}"]`)?.click());
    const key = (event) => onKey(event, go);
    let stopClock = () => {};
    onMounted(() => {
      stopClock = startClock();
      document.addEventListener("keydown", key);
      window.setTimeout(watchSocket, 0);
    });
    onUnmounted(() => {
      stopClock();
      document.removeEventListener("keydown", key);
    });
    const skip = () => document.getElementById("main")?.focus();
    const prefix = window.path_prefix ?? "";
    const hint = computed(installHint);
    const connection = useConnection();
    expose({
      apply: (number, shared, own) => apply(number, JSON.parse(shared), JSON.parse(own)),
    });
    const parts = { PAGES, closeDialog, connection, dialogs, help, hint, label, menu, prefix, skip };
    return { element, ...useTheme(), ...parts };
  },
  template: `
  <div ref="element" class="frame">
    <a class="skip" href="#main" @click.prevent.stop="skip">Skip to content</a>
    <nav class="rail" aria-label="Pages">
      <span class="logo" aria-hidden="true"><span v-for="each in 4"></span></span>
      <a v-for="each in PAGES" :key="each.name" class="rail-link" :href="each.path" :data-page="each.name"
          :aria-current="each.name === page ? 'page' : null" :title="each.name === 'install' ? hint.title : null">
        <Icon :name="each.name" :size="22"/><span>{{ each.label }}</span>
        <span v-if="each.name === 'install'" class="rail-hint" :hidden="!hint.text" :data-still="hint.still">
          {{ hint.text }}</span>
      </a>
    </nav>
    <header class="top">
      <h1 class="page-title">{{ label }}</h1><span class="rack-name" title="Rack">{{ settings.rack }}</span>
      <div id="search-place" class="search-place"></div>
      <div class="top-end">
        <div class="pill" role="status" :data-kind="connection.kind" :title="connection.title">
          <span class="pill-dot" aria-hidden="true"></span><span class="pill-text">{{ connection.short }}</span></div>
        <button class="icon-button help-button" type="button" aria-label="Keys and search" title="Keys and search (?)"
          @click="help()"><Icon name="help"/></button>
        <button class="icon-button" type="button" :aria-label="'Theme: ' + theme" :title="'Theme: ' + theme"
          @click="next"><Icon :name="theme"/></button>
        <div class="user">
          <button class="avatar" type="button" popovertarget="user-menu"
            :aria-label="settings.user + ', ' + settings.role">{{ settings.user.slice(0, 2).toUpperCase() }}</button>
          <div id="user-menu" class="menu user-menu" popover="auto">
            <div class="menu-head"><b>{{ settings.user }}</b><span>role {{ settings.role }}</span></div>
            <form method="post" :action="prefix + '/logout'">
              <button class="action" type="submit"><Icon name="signout"/><span>Sign out</span></button></form>
          </div>
        </div>
      </div>
    </header>
    <div class="banner" role="alert" :hidden="!connection.text" :data-kind="connection.kind">
      <span>{{ connection.text }}</span></div>
    <Receipts/>
    <ActionMenu v-if="menu" :key="menu.key" v-bind="menu" @close="menu = null"/>
    <component v-for="each in dialogs" :key="each.key" :is="each.is" v-bind="each.props"
      @close="closeDialog(each.key)"/>
  </div>`,
};
