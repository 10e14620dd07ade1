// The box to write in, and whom it asks.
import { signal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";

import { questionOfLink } from "../address.js";
import { html } from "../html.js";
import { icons } from "../icons.js";
import { wanted } from "../key.js";
import { coming, send, steps, stop } from "./conversation.js";
import { focusLater, MESSAGE } from "./focus.js";
import {
  asked,
  choose,
  chooseSecond,
  compare,
  failure,
  ids,
  loadModels,
  model,
  modelsOf,
  nameOf,
  second,
  siteOf,
  sites,
} from "./models.js";

const draft = signal(questionOfLink());

export function Composer() {
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
      <${Pickers} />
      <span class="gap"></span>
      ${
        coming.value.length
          ? html`<button class="main stop round" key="main" type="button" onClick=${stop} title="Stop (Esc)">${icons.stop}<span class="wide-only">Stop</span></button>`
          : html`<button class="main round" key="main" type="submit" disabled=${!ready()} title="Send (Enter)">${icons.send}<span class="wide-only">Send</span></button>`
      }
    </div>
  </form>
  <p class="keys faint" id="keys">
    <span><kbd>Enter</kbd> sends</span> <span><kbd>Shift</kbd>+<kbd>Enter</kbd> new line</span>${" "}
    <span><kbd>↑</kbd> last question</span> <span><kbd>Esc</kbd> stops</span>${" "}
    <span><kbd>Ctrl</kbd>+<kbd>/</kbd> to the message</span>
  </p>`;
}

function Pickers() {
  if (failure.value && wanted.value)
    return html`<p class="picker-failure">Its models are shown to those who have a key.</p>`;
  if (failure.value) {
    return html`<p class="picker-failure" role="alert">${failure.value.message}
      <button class="quiet" type="button" onClick=${loadModels}>${icons.retry}<span>Try again</span></button></p>`;
  }
  if (ids.value?.length === 0) return html`<p class="faint">The gateway serves no model.</p>`;
  const compares = second.value !== "";
  return html`<div class="pickers">
    <${Picker} id=${model.value} which="" choose=${choose} />
    ${compares && html`<${Picker} id=${second.value} which="Second " choose=${chooseSecond} />`}
    <button class="quiet square" type="button" aria-label="Compare two" aria-pressed=${compares}
      disabled=${!ids.value} title="Ask two models the same question"
      onClick=${() => (compares ? chooseSecond(null) : compare())}>${icons.compare}</button>
  </div>`;
}

function Picker({ id, which, choose: pick }) {
  const site = siteOf(id);
  const select = (name, value, options, picked) => html`<select aria-label=${which + name}
    value=${value} disabled=${!ids.value} onChange=${(event) => pick(picked(event.currentTarget.value))}>
    ${options.map(([each, label]) => html`<option key=${each} value=${each}>${label}</option>`)}
  </select>`;
  const models = modelsOf(site).map((each) => [each, nameOf(each)]);
  return html`<div class="picker">
    ${select(
      which ? "site" : "Site",
      site,
      sites.value.map((name) => [name, name]),
      (name) => modelsOf(name)[0],
    )}
    ${select(which ? "model" : "Model", id, models, (picked) => picked)}
  </div>`;
}

function ready() {
  return draft.value.trim() !== "" && asked.value.length > 0 && coming.value.length === 0;
}

function submit() {
  if (!ready()) return;
  const text = draft.value.trim();
  draft.value = "";
  send(text, asked.value);
  focusLater(MESSAGE);
}

function keyDown(event) {
  // While characters are being composed, Enter chooses one of them.
  if (event.isComposing || event.shiftKey) return;
  if (event.key === "Enter") {
    event.preventDefault();
    submit();
  }
  if (event.key === "ArrowUp" && draft.value === "") recall(event);
}

function recall(event) {
  const last = steps.value.findLast(({ turn }) => turn.role === "user");
  if (!last) return;
  event.preventDefault();
  draft.value = last.turn.text;
}

function shortcuts(box) {
  const pressed = (event) => {
    if (document.querySelector("dialog[open]")) return;
    if (event.key === "Escape" && coming.value.length) stop();
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
