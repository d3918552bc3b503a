// The frame of all pages: navigation, title, connection, theme, user; and the door
// through which the hub's messages come in and the tab's wishes go out.

import { h, setAttr, setText } from "pirack/dom.js";
import { icon } from "pirack/icons.js";
import { goKeys, help, typing } from "pirack/keys.js";
import { Pill } from "pirack/pill.js";
import { Receipts } from "pirack/receipts.js";
import { apply, blocked, listen, notify, store } from "pirack/store.js";

const PAGES = [
  { name: "overview", path: "/", label: "Overview" },
  { name: "install", path: "/install", label: "Install" },
  { name: "activity", path: "/activity", label: "Activity" },
  { name: "about", path: "/about", label: "About" },
];
const THEMES = ["auto", "light", "dark"];
const DROPPED_MS = 700;

function themeKey() {
  return `pirack-theme-${store.settings.user}`;
}

export default {
  template: `<div class="frame"></div>`,
  props: { settings: Object, page: String },
  emits: ["say"],
  watch: {
    page() {
      this.drawPage();
    },
  },
  mounted() {
    store.settings = this.settings;
    store.say = (wish) => window.did_handshake && this.$emit("say", wish);
    this.build();
    this.drawPage();
    this.stop = listen((change) => (change.second || change.connection || change.snapshot) && this.drawConnection());
    this.go = goKeys((path) => this.links.find((link) => link.getAttribute("href") === path)?.click());
    this.onKey = (event) => this.key(event);
    document.addEventListener("keydown", this.onKey);
    window.setTimeout(() => this.watchSocket(), 0);
  },
  unmounted() {
    this.stop?.();
    this.receipts?.remove();
    document.removeEventListener("keydown", this.onKey);
  },
  methods: {
    apply(number, shared, own) {
      apply(number, JSON.parse(shared), JSON.parse(own));
    },
    build() {
      const { user, role, rack } = this.settings;
      this.pill = new Pill();
      this.receipts = new Receipts();
      this.hint = h("span", { class: "rail-hint", hidden: true });
      this.title = h("h1", { class: "page-title" });
      this.links = PAGES.map(({ path, label, name }) => h("a", { class: "rail-link", href: path, "data-page": name }, icon(name, 22), h("span", { text: label }), name === "install" && this.hint));
      this.themeButton = h("button", { class: "icon-button", type: "button", on: { click: () => this.nextTheme() } });
      const helpButton = h("button", { class: "icon-button help-button", type: "button", "aria-label": "Keys and search", title: "Keys and search (?)", on: { click: () => help() } }, icon("help"));
      const rail = h("nav", { class: "rail", "aria-label": "Pages" }, h("span", { class: "logo", "aria-hidden": "true" }, [0, 1, 2, 3].map(() => h("span"))), this.links);
      const slot = h("div", { class: "search-place", id: "search-place" });
      const top = h("header", { class: "top" }, this.title, h("span", { class: "rack-name", title: "Rack", text: rack }), slot, h("div", { class: "top-end" }, this.pill.element, helpButton, this.themeButton, this.userMenu(user, role)));
      const skip = h("a", { class: "skip", href: "#main", text: "Skip to content", on: { click: (event) => { event.preventDefault(); event.stopPropagation(); document.getElementById("main")?.focus(); } } });
      this.$el.append(skip, rail, top, this.pill.banner, this.receipts.element);
      this.drawTheme();
    },
    userMenu(user, role) {
      const menu = h("div", { class: "menu user-menu", popover: "auto", id: "user-menu" }, h("div", { class: "menu-head" }, h("b", { text: user }), h("span", { text: `role ${role}` })), h("form", { method: "post", action: `${window.path_prefix ?? ""}/logout` }, h("button", { class: "action", type: "submit" }, icon("signout"), h("span", { text: "Sign out" }))));
      const button = h("button", { class: "avatar", type: "button", popovertarget: "user-menu", "aria-label": `${user}, ${role}`, text: user.slice(0, 2).toUpperCase() });
      return h("div", { class: "user" }, button, menu);
    },
    /** How live the page is; and in the navigation, how far an install run is. */
    drawConnection() {
      this.pill.draw();
      const { install, install_hint: hint } = store.connection;
      const still = Boolean(blocked());
      setText(this.hint, hint);
      setAttr(this.hint, "hidden", !hint);
      setAttr(this.hint, "data-still", still);
      setAttr(this.hint.parentElement, "title", hint ? `${still ? "Stood at " : ""}${hint === "!" ? "An install run waits for a person to confirm it" : install}` : null);
    },
    drawPage() {
      const page = PAGES.find(({ name }) => name === this.page);
      setText(this.title, page?.label ?? "");
      for (const link of this.links) setAttr(link, "aria-current", link.dataset.page === this.page && "page");
      document.title = `${page?.label ?? "Page"} · ${this.settings.rack} · PiRack`;
    },
    theme() {
      const wish = window.localStorage.getItem(themeKey());
      return THEMES.includes(wish) ? wish : "auto";
    },
    nextTheme() {
      const next = THEMES[(THEMES.indexOf(this.theme()) + 1) % THEMES.length];
      window.localStorage.setItem(themeKey(), next);
      window.localStorage.setItem("pirack-theme", next);
      this.drawTheme();
    },
    drawTheme() {
      const theme = this.theme();
      document.documentElement.dataset.theme = theme;
      this.themeButton.replaceChildren(icon(theme));
      this.themeButton.setAttribute("aria-label", `Theme: ${theme}`);
      this.themeButton.title = `Theme: ${theme}`;
    },
    key(event) {
      if (event.ctrlKey || event.metaKey || event.altKey || typing(event)) return;
      if (event.key === "?") help();
      else if (event.key === "/") {
        const search = document.querySelector("#search-place input");
        if (search) { event.preventDefault(); search.focus(); search.select(); }
      } else this.go(event);
    },
    watchSocket() {
      const { socket } = window;
      if (!socket) return;
      let timer = 0;
      const set = (up) => {
        store.socket = up;
        notify({ rows: new Set(), connection: true });
      };
      socket.on("disconnect", () => { timer = window.setTimeout(() => set(false), DROPPED_MS); });
      socket.on("connect", () => { window.clearTimeout(timer); if (!store.socket) set(true); });
      socket.on("connect_error", () => this.signInAgain());
    },
    /** A refused socket is not told why: where the session has ended, go to the login. */
    async signInAgain() {
      const answer = await fetch(`${window.path_prefix ?? ""}/session`).catch(() => null);
      const { signed_in: known } = (answer?.ok && (await answer.json().catch(() => null))) || {};
      if (known === false) window.location.reload();
    },
  },
};
