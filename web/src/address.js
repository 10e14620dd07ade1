// What the page shows, by the fragment of its address: #live, #chat, #chat/ID.
import { signal } from "@preact/signals";

/** @type {import("@preact/signals").Signal<{view: "chat" | "live", id: string | null}>} */
export const place = signal(here());
addEventListener("hashchange", () => (place.value = here()));

export function addressOf(id) {
  return id === null ? "#chat" : `#chat/${id}`;
}

/** Name what is shown already: no step in the browser's history. */
export function rename(id) {
  history.replaceState(null, "", addressOf(id));
  place.value = here();
}

/**
 * A question that a link brings (`?q=`): it is written into the box, and sent by nobody but its
 * reader. Taken out of the address, so that it comes once.
 */
export function questionOfLink() {
  const question = new URLSearchParams(location.search).get("q");
  if (question !== null) history.replaceState(null, "", location.pathname + location.hash);
  return question ?? "";
}

function here() {
  const [view, id] = location.hash.slice(1).split("/", 2);
  return view === "live" ? { view, id: null } : { view: "chat", id: id || null };
}
