// What a model asks to be called. Nothing is called by this page: who has a result may write it
// down, and the model goes on from it.
import { useRef } from "preact/hooks";

import { html } from "../html.js";
import { icons } from "../icons.js";
import { giveResults } from "./conversation.js";
import { focusLater, MESSAGE } from "./focus.js";
import { pretty } from "./pretty.js";

/** `calls`: the answer's, of which each piece makes a new list. */
export function Calls({ answer, calls, whole, last, follower }) {
  return html`<div class="calls">
    ${calls.map((call, at) => html`<${Call} key=${at} call=${call} whole=${whole} />`)}
    ${whole && last && html`<${Results} answer=${answer} />`}
    ${follower && follower.role !== "tool" && html`<p class="faint">Nobody gave a result, so the site is not told of ${calls.length === 1 ? "this call" : "these calls"} again.</p>`}
  </div>`;
}

function Call({ call, whole }) {
  const set = whole ? pretty(call.arguments) : null;
  return html`<section class="code call" aria-label=${`Call of ${call.name}`}>
    <div class="code-bar">
      <span>${icons.tool}<b>${call.name || "…"}</b>${whole && set === null && html`<span class="wrong">its arguments are not JSON</span>`}</span>
      <button class="quiet" type="button" data-copy="code">Copy</button>
    </div>
    <pre tabindex="0" role="group" aria-label="Arguments"><code>${set ?? call.arguments}</code></pre>
  </section>`;
}

function Results({ answer }) {
  const form = useRef(null);
  const submit = (event) => {
    event.preventDefault();
    const texts = new FormData(form.current).getAll("result");
    giveResults(
      answer,
      answer.calls.map(({ id, name }, at) => ({ id, name, text: texts[at] })),
    );
    focusLater(MESSAGE);
  };
  return html`<form class="results" ref=${form} onSubmit=${submit}>
    ${answer.calls.map(
      ({ name }, at) => html`<label key=${at}>Result of <code>${name}</code>
        <textarea name="result" rows="2" spellcheck="false" placeholder="Nothing is run by this page: write what the call gave"></textarea>
      </label>`,
    )}
    <div class="row"><span class="gap"></span><button class="main" type="submit">${answer.calls.length === 1 ? "Send the result" : "Send the results"}</button></div>
  </form>`;
}
