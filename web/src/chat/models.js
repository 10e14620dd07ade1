// Which sites and models there are, and which of them is asked.
import { computed, signal } from "@preact/signals";

import { models as fetchModels } from "../gateway.js";
import { load, save } from "../storage.js";

const NAME = "tailrace.model";
const SECOND = "tailrace.second-model";

/** Ids of all models, in the gateway's order; null until they are known. */
export const ids = signal(null);
/** Why they are not known. */
export const failure = signal(null);

const chosen = signal(load(NAME));

/** The id that is asked: the one chosen last if it is still there, else the first. */
export const model = computed(() =>
  ids.value?.includes(chosen.value) ? chosen.value : (ids.value?.[0] ?? ""),
);
export const sites = computed(() => [...new Set((ids.value ?? []).map(siteOf))]);

const chosenSecond = signal(load(SECOND));
/** The id that is asked beside it; "" where one model alone is asked. */
export const second = computed(() =>
  ids.value?.includes(chosenSecond.value) ? chosenSecond.value : "",
);
/** All that are asked. */
export const asked = computed(() => [model.value, second.value].filter(Boolean));

let asks = 0;

export async function loadModels() {
  const ask = ++asks; // an earlier one that ends later, as with a key that was replaced, is void
  failure.value = null;
  try {
    const found = await fetchModels();
    if (ask === asks) ids.value = found;
  } catch (error) {
    if (ask === asks) failure.value = error;
  }
}

/** Servers tell the gateway of new models, and it is told when a page asks. */
export async function lookAgain() {
  if (document.hidden) return;
  if (!ids.value) return loadModels();
  // The list that is known serves where there is no new one; the next question says what is wrong.
  ids.value = await fetchModels().catch(() => ids.value);
}

export function choose(id) {
  chosen.value = id;
  save(NAME, id);
}

/** @param {string | null} id of the model to ask beside the first, or null for none */
export function chooseSecond(id) {
  chosenSecond.value = id;
  save(SECOND, id);
}

/** Ask two models: the second is one of another site, where there is one. */
export function compare() {
  const others = ids.value.filter((id) => id !== model.value);
  const elsewhere = others.find((id) => siteOf(id) !== siteOf(model.value));
  chooseSecond(elsewhere ?? others[0] ?? model.value);
}

export function modelsOf(site) {
  return ids.value?.filter((id) => siteOf(id) === site) ?? [];
}

/** A site's name holds no slash; what follows the first one is its model's name, which may. */
export function siteOf(id) {
  return id.split("/", 1)[0];
}

export function nameOf(id) {
  return id.slice(siteOf(id).length + 1) || id;
}
