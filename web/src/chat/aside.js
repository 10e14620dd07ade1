// The conversations that this browser keeps: a list beside the one that is open, over it on a
// narrow screen.
import { computed, signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

import { addressOf } from "../address.js";
import { html } from "../html.js";
import { icons } from "../icons.js";
import { load, save } from "../storage.js";
import { ago } from "../words.js";
import { current, removeAll, take } from "./conversation.js";
import { jsonOf, MOST_BYTES, offer } from "./files.js";
import { readExport } from "./records.js";
import { found, heads, read } from "./store.js";

const NAME = "tailrace.aside";
const beside = matchMedia("(width >= 64rem)");

export const aside = signal(beside.matches && (load(NAME) ?? heads.value.length > 0));
/** What came of the last import, in words. */
const imported = signal("");

const words = signal("");
const listed = computed(() => found(words.value));

export function toggleAside() {
  aside.value = !aside.value;
  if (beside.matches) save(NAME, aside.value);
}

export function Aside() {
  const first = useRef(null);
  useEffect(() => {
    if (aside.value && !beside.matches) first.current.focus();
  }, [aside.value]);
  return html`<nav class="aside" id="conversations" aria-label="Conversations" hidden=${!aside.value} onKeyDown=${pressed} onClick=${followed}>
    <div class="row">
      <a class="quiet new" ref=${first} href=${addressOf(null)}>${icons.plus}<span>New conversation</span></a>
      <span class="gap"></span>
      <button class="quiet square over-only" type="button" aria-label="Close the list" onClick=${toggleAside}>${icons.previous}</button>
    </div>
    <input type="search" aria-label="Search the conversations" placeholder="Search" value=${words.value}
      onInput=${(event) => (words.value = event.currentTarget.value)} />
    <${List} />
    <div class="row">
      <label class="quiet file">Import<input type="file" class="unseen" accept="application/json,.json" onChange=${chosen} /></label>
      ${heads.value.length > 0 && html`<button class="quiet" type="button" onClick=${exportAll}>Export all</button>
      <button class="quiet" type="button" onClick=${() => removeAll(heads.value.map(({ id }) => id))}>Delete all</button>`}
    </div>
    <p class="faint" role="status">${imported.value}</p>
  </nav>`;
}

function List() {
  if (heads.value.length === 0) return html`<p class="faint none">None is kept yet. All of them stay in this browser.</p>`;
  if (listed.value.length === 0) return html`<p class="faint none">None holds these words.</p>`;
  const now = Date.now() / 1000;
  return html`<ul class="kept">
    ${listed.value.map(
      ({ id, title, changed }) => html`<li key=${id}>
      <a href=${addressOf(id)} aria-current=${id === current.value.id ? "page" : undefined} dir="auto">
        <span class="name">${title}</span> <span class="faint">${ago(changed / 1000, now)}</span></a>
    </li>`,
    )}
  </ul>`;
}

function pressed(event) {
  if (event.key === "Escape" && !beside.matches) leave();
}

/** On a narrow screen the list goes once one of it is chosen. */
function followed(event) {
  if (event.target.closest?.("a") && !beside.matches) leave();
}

function leave() {
  aside.value = false;
  document.querySelector("[aria-controls=conversations]")?.focus();
}

async function chosen({ currentTarget: field }) {
  const [file] = field.files;
  try {
    imported.value = told(await recordsOf(file));
  } catch (error) {
    imported.value = error.message;
  }
  field.value = ""; // the same file can be chosen again
}

/** What came of an import: nothing is left out in silence. */
function told(records) {
  const read = records.filter(Boolean);
  const fit = take(read);
  const unread = records.length - read.length;
  return [
    `${fit} imported.`,
    unread > 0 && `${unread} could not be read.`,
    fit < read.length && `There is no room for ${read.length - fit}.`,
  ]
    .filter(Boolean)
    .join(" ");
}

async function recordsOf(file) {
  if (file.size > MOST_BYTES) throw new Error(`The file has more than ${MOST_BYTES / 2 ** 20} MiB.`);
  return readExport(await file.text());
}

function exportAll() {
  const records = heads.value.map(({ id }) => read(id)).filter(Boolean);
  const kept = records.map((record) => ({
    ...record,
    turns: record.turns.map((turn) => turn.record?.() ?? turn),
  }));
  offer("conversations.json", "application/json", jsonOf(kept));
}
