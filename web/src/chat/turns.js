// The conversation: questions, answers, and what stands beside them.
import { useLayoutEffect, useRef, useState } from "preact/hooks";

import { html } from "../html.js";
import { icons } from "../icons.js";
import { Answered } from "./answered.js";
import { Branches } from "./branches.js";
import { coming, current, edit, prefer, steps } from "./conversation.js";
import { focusLater, MESSAGE } from "./focus.js";
import { asked } from "./models.js";

export function Turns() {
  const { system } = current.value.options.value;
  const all = steps.value;
  return html`<ol class="turns" aria-label="Conversation">
    ${system && html`<li class="system"><details><summary>System prompt</summary><p class="said" dir="auto">${system}</p></details></li>`}
    ${all.map((step, at) => html`<${Step} key=${keyOf(step)} step=${step} follower=${all[at + 1]?.turn} />`)}
  </ol>`;
}

function keyOf({ group, turn }) {
  return group.length > 1 ? `pair-${turn.round}` : turn.id;
}

function Step({ step, follower }) {
  const { turn, group } = step;
  if (turn.role === "user") return html`<${Question} step=${step} />`;
  if (turn.role === "tool") return html`<${ToolResults} turn=${turn} />`;
  const last = follower === undefined;
  if (group.length === 1)
    return html`<li><${Answered} answer=${turn} step=${step} last=${last} follower=${follower} /></li>`;
  return html`<li class="pair">
    ${group.map((answer) => html`<${Answered} key=${answer.id} answer=${answer} step=${step}
      last=${last && answer === turn} follower=${answer === turn ? follower : undefined}
      beside=${html`<${Beside} answer=${answer} preferred=${answer === turn} />`} />`)}
  </li>`;
}

/** The head of an answer that has another one beside it. */
function Beside({ answer, preferred }) {
  return html`<div class="beside">
    <h2>${answer.model}</h2>
    <button class="quiet" type="button" aria-pressed=${preferred} disabled=${coming.value.length > 0}
      title="What you ask next goes on from the answer that is marked" onClick=${() => prefer(answer)}>
      ${preferred && icons.check}<span>Go on with this</span></button>
  </div>`;
}

function Question({ step }) {
  const [editing, setEditing] = useState(false);
  const { turn } = step;
  if (editing) return html`<${Editor} turn=${turn} close=${() => setEditing(false)} />`;
  return html`<li class="asked">
    <h2 class="unseen">You</h2>
    <div class="text" dir="auto">${turn.text}</div>
    <div class="actions">
      <${Branches} step=${step} of="question" />
      <button class="quiet" type="button" disabled=${coming.value.length > 0} onClick=${() => setEditing(true)}>${icons.pencil}<span>Edit</span></button>
    </div>
  </li>`;
}

function Editor({ turn, close }) {
  const box = useRef(null);
  useLayoutEffect(() => {
    box.current.value = turn.text;
    box.current.focus();
  }, []);
  const submit = (event) => {
    event.preventDefault();
    const text = box.current.value.trim();
    if (!text || coming.value.length || asked.value.length === 0) return;
    close();
    edit(turn, text, asked.value);
    focusLater(MESSAGE);
  };
  const pressed = (event) => {
    if (event.key === "Escape") close();
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) submit(event);
  };
  return html`<li class="asked"><form class="editor" onSubmit=${submit}>
    <label class="unseen" for="edited">Question</label>
    <textarea id="edited" ref=${box} rows="3" onKeyDown=${pressed}></textarea>
    <div class="row">
      <p class="faint">The answers until now are kept beside the new one.</p><span class="gap"></span>
      <button class="quiet" type="button" onClick=${close}>Cancel</button>
      <button class="main" type="submit">Ask</button>
    </div>
  </form></li>`;
}

function ToolResults({ turn }) {
  return html`<li class="asked given">
    ${turn.results.map(
      ({ name, text }, at) => html`<section key=${at}><h2>Result of <code>${name}</code></h2>
      <div class="text" dir="auto">${text}</div></section>`,
    )}
  </li>`;
}
