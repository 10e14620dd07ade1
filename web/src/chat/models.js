// Which sites and models there are, and which of them is asked.
import { computed, signal } from "@preact/signals";

import { models as fetchModels } from "../gateway.js";
import { load, save } from "../storage.js";

const NAME = "tailrace.model";

/** Ids of all models, in the gateway's order; null until they are known. */
export const ids = signal(null);
/** Why they are not known. */
export const failure = signal(null);

const chosen = signal(load(NAME));

/** The id that is asked: the one chosen last if it is still there, else the first. */
export const model = computed(() =>
  ids.value?.includes(chosen.value) ? chosen.value : (ids.value?.[0] ?? ""),
);
export const site = computed(() => siteOf(model.value));
export const sites = computed(() => [...new Set((ids.value ?? []).map(siteOf))]);
export const modelsOfSite = computed(() =>
  (ids.value ?? []).filter((id) => siteOf(id) === site.value),
);

export async function loadModels() {
  failure.value = null;
  try {
    ids.value = await fetchModels();
  } catch (error) {
    failure.value = error;
  }
}

export function choose(id) {
  chosen.value = id;
  save(NAME, id);
}

export function chooseSite(name) {
  choose(ids.value.find((id) => siteOf(id) === name));
}

/** A site's name holds no slash; what follows the first one is its model's name, which may. */
export function siteOf(id) {
  return id.split("/", 1)[0];
}

export function nameOf(id) {
  return id.slice(siteOf(id).length + 1) || id;
}
