// Above the conversation: its name, what goes with its questions, and what can be done with it.
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

import { html } from "../html.js";
import { icons } from "../icons.js";
import { aside, toggleAside } from "./aside.js";
import { current, nameIt, removeAll, steps } from "./conversation.js";
import { fileName, jsonOf, markdownOf, offer } from "./files.js";
import { focusLater, MESSAGE } from "./focus.js";
import { OptionsButton } from "./options-dialog.js";

const MENU = "more";

export function Strip() {
  const [naming, setNaming] = useState(false);
  const begun = steps.value.length > 0;
  const title = current.value.title.value;
  return html`<div class="strip">
    <button class="quiet" type="button" aria-expanded=${aside.value} aria-controls="conversations" onClick=${toggleAside}>
      ${icons.list}<span class="wide-only">Conversations</span></button>
    ${naming && begun ? html`<${Naming} title=${title} close=${() => setNaming(false)} />` : html`<p class="title" dir="auto">${title}</p>`}
    <${OptionsButton} />
    ${begun && html`<${Menu} rename=${() => setNaming(true)} />`}
  </div>`;
}

function Naming({ title, close }) {
  const field = useRef(null);
  useLayoutEffect(() => field.current.select(), []);
  const leave = () => (close(), focusLater(MENU));
  const submit = (event) => {
    event.preventDefault();
    nameIt(field.current.value);
    leave();
  };
  return html`<form class="naming" onSubmit=${submit}>
    <input ref=${field} aria-label="Name of the conversation" defaultValue=${title} maxlength="200"
      onBlur=${close} onKeyDown=${(event) => event.key === "Escape" && leave()} />
  </form>`;
}

function Menu({ rename }) {
  const menu = useRef(null);
  useEffect(() => closedByOthers(menu.current), []);
  const item = (label, act) =>
    html`<button class="quiet" type="button" onClick=${() => ((menu.current.open = false), act())}>${label}</button>`;
  return html`<details class="menu" ref=${menu}>
    <summary class="quiet square" id=${MENU} aria-label="More">${icons.more}</summary>
    <div class="items">
      ${item("Rename", rename)}
      ${item("Export as Markdown", exportMarkdown)}
      ${item("Export as JSON", exportJson)}
      ${item("Delete", () => (removeAll([current.value.id]), focusLater(MESSAGE)))}
    </div>
  </details>`;
}

/** A menu closes when something else is pressed, or Escape. */
function closedByOthers(menu) {
  const pressed = (event) => {
    if (event.type === "keydown" ? event.key === "Escape" : !menu.contains(event.target)) {
      if (menu.open && menu.contains(document.activeElement)) menu.querySelector("summary").focus();
      menu.open = false;
    }
  };
  addEventListener("pointerdown", pressed);
  addEventListener("keydown", pressed);
  return () => {
    removeEventListener("pointerdown", pressed);
    removeEventListener("keydown", pressed);
  };
}

function exportMarkdown() {
  const { title, options } = current.value;
  const text = markdownOf(title.value, options.value.system, steps.value);
  offer(fileName(title.value, "md"), "text/markdown", text);
}

function exportJson() {
  const { title } = current.value;
  offer(fileName(title.value, "json"), "application/json", jsonOf([current.value.record()]));
}
