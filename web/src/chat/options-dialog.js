// Asks what goes with each question of a conversation: a system prompt, a temperature, tools.
import { useEffect, useRef, useState } from "preact/hooks";

import { html } from "../html.js";
import { icons } from "../icons.js";
import { current, setOptions } from "./conversation.js";
import { fieldsOf } from "./options.js";

export function OptionsButton() {
  const [asking, ask] = useState(false);
  const set = Object.values(current.value.options.value).some(Boolean);
  return html`<button class="quiet" type="button" aria-label=${set ? "Options, set" : "Options"} onClick=${() => ask(true)}>
      ${icons.options}<span class="wide-only">Options</span>
      ${set && html`<span class="mark-set"></span>`}</button>
    ${asking && html`<${OptionsDialog} close=${() => ask(false)} />`}`;
}

function OptionsDialog({ close }) {
  const dialog = useRef(null);
  const form = useRef(null);
  const [wrong, setWrong] = useState("");
  const before = current.value.options.value;
  useEffect(() => dialog.current.showModal(), []);
  const submit = (event) => {
    event.preventDefault();
    const options = Object.fromEntries(new FormData(form.current));
    try {
      fieldsOf(options);
    } catch (error) {
      return setWrong(error.message);
    }
    setOptions(options);
    dialog.current.close(); // which gives the focus back
  };
  const area = (name, label, rows, hint) => html`<label for=${`option-${name}`}>${label}</label>
    <textarea id=${`option-${name}`} name=${name} rows=${rows} placeholder=${hint} spellcheck=${name === "system"} defaultValue=${before[name]}></textarea>`;
  return html`<dialog class="asking options" ref=${dialog} aria-labelledby="options-title" onClose=${close}>
    <form ref=${form} onSubmit=${submit}>
      <h2 id="options-title">Options of this conversation</h2>
      <p class="faint">They go with each of its questions. What a site does not know, it may leave out or refuse.</p>
      ${area("system", "System prompt", 4, "You are …")}
      <label for="option-temperature">Temperature</label>
      <input id="option-temperature" name="temperature" inputmode="decimal" autocomplete="off" placeholder="the site's own" defaultValue=${before.temperature} />
      ${area("tools", "Tools, as JSON", 4, '[{"type": "function", "function": {"name": "weather", "parameters": {…}}}]')}
      ${area("fields", "Further fields of the request, as JSON", 2, '{"max_tokens": 500, "reasoning_effort": "low"}')}
      ${wrong && html`<p class="wrong" role="alert">${wrong}</p>`}
      <div class="row"><span class="gap"></span>
        <button class="quiet" type="button" onClick=${() => dialog.current.close()}>Cancel</button>
        <button class="main" type="submit">Set</button></div>
    </form>
  </dialog>`;
}
