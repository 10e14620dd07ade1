// Where the focus goes when what had it is gone.

/** Focus the element of that id, once what has changed is drawn. */
export function focusLater(id) {
  setTimeout(() => document.getElementById(id)?.focus({ preventScroll: true }));
}

/** The box to write in. */
export const MESSAGE = "message";
