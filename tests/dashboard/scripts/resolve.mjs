// Lets node load the page's scripts as a browser does: `vue` is what NiceGUI ships.

import { registerHooks } from "node:module";
import { pathToFileURL } from "node:url";

registerHooks({
  resolve(specifier, context, next) {
    const found = specifier === "vue" ? { url: pathToFileURL(process.env.VUE).href } : next(specifier, context);
    return { ...found, format: found.url.startsWith("node:") ? "builtin" : "module", shortCircuit: true };
  },
});
