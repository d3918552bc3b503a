// Ways from page to page that keep the tab's connection.

/** Go to another of our pages, `path` with its query: NiceGUI's own links change the
 * address only after the page was built, too late for a page that reads it. @param {string} path */
export function goTo(path) {
  window.history.pushState({ page: path }, "", `${window.path_prefix ?? ""}${path}`);
  window.dispatchEvent(new Event("pushstate")); // NiceGUI shows what the address says
}

/** Let a click on a link do that; a click for a new tab is left alone.
 * @param {MouseEvent} event @param {string} path */
export function follow(event, path) {
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  event.stopPropagation();
  goTo(path);
}
