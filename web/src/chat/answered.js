// An answer, as it is shown: what the model thought, said, refused and called, and how it ended.
import { useLayoutEffect, useRef, useState } from "preact/hooks";

import { html } from "../html.js";
import { icons } from "../icons.js";
import { count, seconds } from "../words.js";
import { Branches } from "./branches.js";
import { Calls } from "./calls.js";
import { retry } from "./conversation.js";
import { copied } from "./copied.js";
import { focusLater, MESSAGE } from "./focus.js";
import { Picture } from "./markdown.js";
import { asked } from "./models.js";

/**
 * `step`: its place in the conversation; `last`: nothing comes after it; `follower`: the turn that
 * does; `beside`: what stands in its head where another answer is beside it.
 */
export function Answered({ answer, step, last, follower, beside }) {
  const drawn = answer.drawn.value;
  const open = answer.end === "open";
  const text = useDrawing(answer, answer.text, drawn);
  return html`<div class="answered" data-end=${answer.end}>
    ${beside ?? html`<h2 class="unseen">${answer.model}</h2>`}
    ${answer.reasoning && html`<${Reasoning} answer=${answer} />`}
    <div class="text answer" ref=${text}></div>
    ${answer.refusal && html`<${Refusal} text=${answer.refusal} />`}
    ${answer.calls.length > 0 && html`<${Calls} answer=${answer} calls=${answer.calls} whole=${answer.end === "done"} last=${last} follower=${follower} />`}
    ${open && html`<div class="waiting" aria-hidden="true"><i></i><i></i><i></i></div>`}
    ${answer.error && html`<${Failure} error=${answer.error} answer=${answer} />`}
    ${!open && html`<${Foot} answer=${answer} step=${step} last=${last} />`}
  </div>`;
}

/** An element of its own that shows `text` as Markdown, anew with each `drawn`. */
function useDrawing(answer, text, drawn) {
  const element = useRef(null);
  const picture = useRef(null);
  useLayoutEffect(() => {
    picture.current ??= new Picture(element.current);
    const began = performance.now();
    picture.current.show(text, answer.end !== "open");
    answer.cost = performance.now() - began;
  }, [drawn]);
  return element;
}

function Reasoning({ answer }) {
  const [shown, show] = useState(false);
  const drawn = answer.drawn.value;
  return html`<details class="reasoning" onToggle=${(event) => show(event.currentTarget.open)}>
    <summary>${summary(answer)}</summary>
    ${shown && html`<${Thoughts} answer=${answer} drawn=${drawn} />`}
  </details>`;
}

function Thoughts({ answer, drawn }) {
  const element = useDrawing(answer, answer.reasoning, drawn);
  return html`<div class="text answer" ref=${element}></div>`;
}

/** Live: how long it takes, and its newest line. Later: how long it took. */
function summary({ end, text, refusal, calls, reasoning, thought, reasoningTokens }) {
  if (end === "open" && !text && !refusal && calls.length === 0)
    return html`<span>Thinking, ${seconds(thought)}</span> <span class="faint">${lastLine(reasoning)}</span>`;
  const tokens = reasoningTokens ? `, ${count(reasoningTokens)} tokens` : "";
  return html`<span>Thought${thought === null ? "" : ` for ${seconds(thought)}`}${tokens}</span>`;
}

function lastLine(text) {
  return text.slice(-400).trimEnd().split("\n").at(-1).replace(/[*_#`]/g, "");
}

function Refusal({ text }) {
  return html`<div class="refusal">
    <p class="badge">The model refused</p>
    <p class="said" dir="auto">${text}</p>
  </div>`;
}

function Failure({ error, answer }) {
  const came = answer.text || answer.reasoning || answer.refusal || answer.calls.length > 0;
  return html`<div class="failure">
    <p class="badge">${error.kind}</p>
    <p>${error.message}</p>
    ${error.retryAfter && html`<p class="faint">Wait ${waiting(error.retryAfter)} before you ask again.</p>`}
    ${came && html`<p class="faint">What had come until then stands above.</p>`}
  </div>`;
}

function waiting(retryAfter) {
  return /^\d+$/.test(retryAfter) ? `${retryAfter} s` : `until ${retryAfter}`;
}

function Foot({ answer, step, last }) {
  const copyable = answer.text || answer.refusal;
  return html`<div class="foot">
    <p class="faint">
      <span>${answer.model}</span>
      ${answer.first !== null && html`<span>first words after ${seconds(answer.first)}</span>`}
      ${answer.deltas > 0 && html`<span>${count(answer.deltas)} ${answer.deltas === 1 ? "delta" : "deltas"} in ${seconds(answer.took)}</span>`}
      ${answer.tokens !== null && html`<span>${answer.estimated && "about "}${count(answer.tokens)} tokens</span>`}
      ${answer.dropped && html`<span class="note">the site was not told ${answer.dropped}</span>`}
      ${answer.note && html`<span class="note">${answer.note}</span>`}
    </p>
    <div class="actions">
      ${
        copyable &&
        html`<button class="quiet" type="button" data-copy="answer" onClick=${(event) => copied(event.currentTarget, copyable)}>
        ${icons.copy}<span>Copy</span>
      </button>`
      }
      ${last && html`<button class="quiet" type="button" onClick=${again}>${icons.retry}<span>Retry</span></button>`}
      ${answer === step.turn && html`<${Branches} step=${step} of="answer" />`}
    </div>
  </div>`;
}

function again() {
  if (asked.value.length === 0) return;
  retry(asked.value);
  focusLater(MESSAGE);
}
