// Chat: the conversation, and below it the box to write in.
import { signal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";

import { copy } from "../clipboard.js";
import { html } from "../html.js";
import { icons } from "../icons.js";
import { wanted } from "../key.js";
import { seconds, count } from "../words.js";
import { Announcer } from "./announcer.js";
import {
  cleared,
  clear,
  coming,
  restore,
  retry,
  send,
  stop,
  turns,
  unkept,
} from "./conversation.js";
import { Picture } from "./markdown.js";
import {
  choose,
  chooseSite,
  failure,
  ids,
  loadModels,
  model,
  modelsOfSite,
  nameOf,
  site,
  sites,
} from "./models.js";

const draft = signal("");
const NEAR = 80; // pixels from the end within which the page goes along with the answer

export function Chat() {
  const scroller = useRef(null);
  const behind = useRef(signal(false)).current;
  useFollowing(scroller, behind);
  return html`
    <main class="chat" id="main">
      <div class="scroll" ref=${scroller} onClick=${copyCode}>
        <div class="column">
          ${turns.value.length ? html`<${Turns} />` : html`<${Welcome} />`}
        </div>
      </div>
      <div class="column dock">
        ${behind.value && html`<button class="jump" type="button" onClick=${() => toEnd(scroller.current)}>${icons.down} Newest</button>`}
        <${Notices} />
        <${Composer} />
      </div>
      <${Spoken} />
    </main>
  `;
}

function Turns() {
  const last = turns.value.at(-1);
  return html`<ol class="turns" aria-label="Conversation">
    ${turns.value.map((turn) =>
      turn.role === "user"
        ? html`<li class="asked" key=${turn.id}><h2 class="unseen">You</h2><div class="text" dir="auto">${turn.text}</div></li>`
        : html`<${Answered} key=${turn.id} answer=${turn} last=${turn === last} />`,
    )}
  </ol>`;
}

function Answered({ answer, last }) {
  const text = useRef(null);
  const picture = useRef(null);
  const drawn = answer.drawn.value;
  useLayoutEffect(() => {
    picture.current ??= new Picture(text.current);
    const began = performance.now();
    picture.current.show(answer.text, answer.end !== "open");
    answer.cost = performance.now() - began;
  }, [drawn]);
  const open = answer.end === "open";
  return html`<li class="answered" data-end=${answer.end}>
    <h2 class="unseen">${answer.model}</h2>
    <div class="text answer" ref=${text}></div>
    ${open && html`<div class="waiting" aria-hidden="true"><i></i><i></i><i></i></div>`}
    ${answer.error && html`<${Failure} error=${answer.error} text=${answer.text} />`}
    ${!open && html`<${Foot} answer=${answer} last=${last} />`}
  </li>`;
}

function Failure({ error, text }) {
  return html`<div class="failure">
    <p class="badge">${error.kind}</p>
    <p>${error.message}</p>
    ${error.retryAfter && html`<p class="faint">Wait ${waiting(error.retryAfter)} before you ask again.</p>`}
    ${text && html`<p class="faint">What had come until then stands above.</p>`}
  </div>`;
}

function waiting(retryAfter) {
  return /^\d+$/.test(retryAfter) ? `${retryAfter} s` : `until ${retryAfter}`;
}

function Foot({ answer, last }) {
  return html`<div class="foot">
    <p class="faint">
      <span>${answer.model}</span>
      ${answer.first !== null && html`<span>first words after ${seconds(answer.first)}</span>`}
      ${answer.deltas > 0 && html`<span>${count(answer.deltas)} ${answer.deltas === 1 ? "delta" : "deltas"} in ${seconds(answer.took)}</span>`}
      ${answer.tokens !== null && html`<span>${answer.estimated && "about "}${count(answer.tokens)} tokens</span>`}
      ${answer.note && html`<span class="note">${answer.note}</span>`}
    </p>
    <div class="actions">
      ${
        answer.text &&
        html`<button class="quiet" type="button" data-copy="answer" onClick=${(event) => copied(event.currentTarget, answer.text)}>
        ${icons.copy}<span>Copy</span>
      </button>`
      }
      ${last && html`<button class="quiet" type="button" onClick=${() => again()}>${icons.retry}<span>Retry</span></button>`}
    </div>
  </div>`;
}

function Welcome() {
  const address = `${location.origin}/v1`;
  return html`<section class="welcome">
    <h2>Ask a site something</h2>
    <p>Pick a site and a model below and write. Any OpenAI client can ask the same, at this base URL:</p>
    <p class="address"><code>${address}</code>
      <button class="quiet" type="button" onClick=${(event) => copied(event.currentTarget, address)}>${icons.copy}<span>Copy</span></button>
    </p>
    <p class="faint">The conversation stays in this browser until you clear it; each question goes to the site you picked, with the turns before it.</p>
  </section>`;
}

function Notices() {
  if (cleared.value?.length) {
    return html`<p class="notice" role="status">The conversation is cleared.
      <button class="quiet" type="button" onClick=${restore}>Undo</button></p>`;
  }
  if (unkept.value)
    return html`<p class="notice" role="status">This browser keeps nothing for this page: the conversation ends with it.</p>`;
  return null;
}

// -- writing --------------------------------------------------------------------------------------

function Composer() {
  const box = useRef(null);
  useLayoutEffect(() => fit(box.current), [draft.value]);
  useEffect(() => {
    // Where there is a keyboard. On a phone it would cover half of the page unasked.
    if (matchMedia("(pointer: fine)").matches) box.current.focus();
    return shortcuts(box);
  }, []);
  return html`<form class="composer" onSubmit=${(event) => (event.preventDefault(), submit())}>
    <label class="unseen" for="message">Message</label>
    <textarea id="message" ref=${box} rows="1" placeholder="Write a message" enterkeyhint="send"
      aria-describedby="keys" value=${draft.value}
      onInput=${(event) => (draft.value = event.currentTarget.value)} onKeyDown=${keyDown}></textarea>
    <div class="row">
      <${Picker} />
      <span class="gap"></span>
      ${
        turns.value.length > 0 &&
        html`<button class="quiet" type="button" onClick=${clear} title="Clear the conversation">
        ${icons.trash}<span class="wide-only">Clear</span><span class="unseen narrow-only">Clear</span></button>`
      }
      ${
        coming.value
          ? html`<button class="main stop round" key="main" type="button" onClick=${stop} title="Stop (Esc)">${icons.stop}<span class="wide-only">Stop</span><span class="unseen narrow-only">Stop</span></button>`
          : html`<button class="main round" key="main" type="submit" disabled=${!ready()} title="Send (Enter)">${icons.send}<span class="wide-only">Send</span><span class="unseen narrow-only">Send</span></button>`
      }
    </div>
  </form>
  <p class="keys faint" id="keys">
    <span><kbd>Enter</kbd> sends</span> <span><kbd>Shift</kbd>+<kbd>Enter</kbd> new line</span>${" "}
    <span><kbd>Esc</kbd> stops</span> <span><kbd>Ctrl</kbd>+<kbd>/</kbd> to the message</span>
  </p>`;
}

function Picker() {
  if (failure.value && wanted.value) {
    return html`<p class="picker-failure">Its models are shown to those who have a key.</p>`;
  }
  if (failure.value) {
    return html`<p class="picker-failure" role="alert">${failure.value.message}
      <button class="quiet" type="button" onClick=${loadModels}>${icons.retry}<span>Try again</span></button></p>`;
  }
  if (ids.value?.length === 0) return html`<p class="faint">The gateway serves no model.</p>`;
  return html`<div class="picker">
    <label><span class="unseen">Site</span>
      <select aria-label="Site" value=${site.value} disabled=${!ids.value} onChange=${(event) => chooseSite(event.currentTarget.value)}>
        ${sites.value.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}
      </select></label>
    <label><span class="unseen">Model</span>
      <select aria-label="Model" value=${model.value} disabled=${!ids.value} onChange=${(event) => choose(event.currentTarget.value)}>
        ${modelsOfSite.value.map((id) => html`<option key=${id} value=${id}>${nameOf(id)}</option>`)}
      </select></label>
  </div>`;
}

function ready() {
  return draft.value.trim() !== "" && model.value !== "" && !coming.value;
}

function submit() {
  if (!ready()) return;
  const text = draft.value.trim();
  draft.value = "";
  again(() => send(text, model.value));
}

function again(ask = () => retry(model.value)) {
  if (coming.value || !model.value) return;
  ask();
  document.getElementById("message")?.focus({ preventScroll: true });
}

function keyDown(event) {
  // While characters are being composed, Enter chooses one of them.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  submit();
}

function shortcuts(box) {
  const pressed = (event) => {
    if (document.querySelector("dialog[open]")) return;
    if (event.key === "Escape" && coming.value) stop();
    if (event.key === "/" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      box.current?.focus();
    }
  };
  addEventListener("keydown", pressed);
  return () => removeEventListener("keydown", pressed);
}

function fit(box) {
  box.style.height = "auto";
  box.style.height = `${box.scrollHeight}px`;
}

// -- copying --------------------------------------------------------------------------------------

function copyCode(event) {
  const button = event.target.closest?.("[data-copy=code]");
  if (button)
    copied(button, button.closest(".code").querySelector("code").textContent.replace(/\n$/, ""));
}

async function copied(button, text) {
  const label = button.querySelector("span") ?? button;
  const before = label.dataset.label ?? label.textContent;
  label.dataset.label = before;
  label.textContent = (await copy(text)) ? "Copied" : "Not copied";
  say(label.textContent);
  setTimeout(() => (label.textContent = before), 1500);
}

// -- following and speaking -----------------------------------------------------------------------

function useFollowing(scroller, behind) {
  const following = useRef(true);
  useEffect(() => {
    const element = scroller.current;
    const scrolled = () => {
      following.current = element.scrollHeight - element.scrollTop - element.clientHeight < NEAR;
      behind.value = !following.current;
    };
    // Answers grow, pictures of code are drawn late, the window is turned: each changes the
    // column's height.
    const grown = new ResizeObserver(() => following.current && toEnd(element));
    grown.observe(element);
    grown.observe(element.firstElementChild);
    element.addEventListener("scroll", scrolled, { passive: true });
    return () => {
      grown.disconnect();
      element.removeEventListener("scroll", scrolled);
    };
  }, []);
  const asked = turns.value.findLast((turn) => turn.role === "user")?.id;
  useLayoutEffect(() => toEnd(scroller.current), [asked]);
}

function toEnd(element) {
  element.scrollTop = element.scrollHeight;
}

let announcer = null;

function Spoken() {
  const region = useRef(null);
  const answer = coming.value;
  useEffect(() => {
    announcer = new Announcer(region.current);
  }, []);
  useEffect(() => {
    if (!answer) return undefined;
    announcer.begin(performance.now());
    const stopListening = answer.drawn.subscribe(() =>
      announcer.grow(answer.text, performance.now()),
    );
    return () => {
      stopListening();
      announcer.end(answer.text, ending(answer));
    };
  }, [answer]);
  return html`<div class="unseen" role="status" aria-live="polite" id="spoken" ref=${region}></div>`;
}

function say(text) {
  const region = document.getElementById("spoken");
  if (region) region.textContent = text;
}

function ending(answer) {
  if (answer.error) return `The answer failed. ${answer.error.kind}. ${answer.error.message}`;
  return answer.end === "done" ? "The answer is complete." : answer.note;
}
