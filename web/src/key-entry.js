// Asks for the gateway's key, once it has refused us without one.
import { useEffect, useRef } from "preact/hooks";

import { loadModels } from "./chat/models.js";
import { html } from "./html.js";
import { asking, enter, key } from "./key.js";

export function KeyEntry() {
  const dialog = useRef(null);
  const field = useRef(null);
  // A dialog's event comes some time after it was closed: a refusal in between must not be undone.
  const closedHere = useRef(false);
  useEffect(() => {
    if (!asking.value) {
      closedHere.current = dialog.current.open;
      dialog.current.close();
      return;
    }
    if (!dialog.current.open) dialog.current.showModal();
    field.current.select();
  }, [asking.value]);
  const submit = (event) => {
    event.preventDefault();
    const text = field.current.value.trim();
    if (!text) return;
    enter(text);
    loadModels();
  };
  const closed = () => {
    if (!closedHere.current) asking.value = false;
    closedHere.current = false;
  };
  return html`<dialog class="asking key-entry" ref=${dialog} aria-labelledby="key-title" onClose=${closed}>
    <form onSubmit=${submit}>
      <h2 id="key-title">This gateway wants a key</h2>
      <p>${key.value ? "The key of this tab was refused." : "It was started with keys; one of them opens it."}</p>
      <label for="key">Key</label>
      <input id="key" ref=${field} type="password" autocomplete="off" spellcheck="false" required />
      <p class="faint">It is kept in this tab, until the tab is closed, and sent to this gateway only.</p>
      <div class="row"><span class="gap"></span><button class="main" type="submit">Open</button></div>
    </form>
  </dialog>`;
}
