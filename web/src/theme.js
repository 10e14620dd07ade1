// Light, dark, or as the system says; a class of the root, so that the style sheet decides the
// rest.
import { signal } from "@preact/signals";

import { load, save } from "./storage.js";

const NAME = "tailrace.theme";
const THEMES = ["system", "light", "dark"];
const system = matchMedia("(prefers-color-scheme: dark)");

const kept = load(NAME);
export const theme = signal(THEMES.includes(kept) ? kept : "system");
/** "light" or "dark": what is shown just now. */
export const shown = signal("light");

export function nextTheme() {
  choose(THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length]);
}

function choose(name) {
  theme.value = name;
  save(NAME, name === "system" ? null : name);
  apply();
}

function apply() {
  const dark = theme.value === "dark" || (theme.value === "system" && system.matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  shown.value = dark ? "dark" : "light";
}

system.addEventListener("change", apply);
apply();
