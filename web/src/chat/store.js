// The conversations that the browser keeps, each under a name of its own: a small head for the
// list, and all of it. Other tabs keep theirs beside them.
import { signal } from "@preact/signals";

import { load, namesAfter, save } from "../storage.js";
import { readConversation } from "./records.js";

const HEAD = "tailrace.head.";
const WHOLE = "tailrace.conversation.";
const ID = /^[0-9a-f]{16}$/;

/** @typedef {{id: string, title: string, changed: number, version: string}} Head */

/** Of all conversations, the one that changed last first. */
export const heads = signal(readHeads());

export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @returns {string | null} changes with each write of it, by this tab or another */
export function versionOf(id) {
  return load(HEAD + id)?.version ?? null;
}

/** @returns {object | null} the record of a conversation, read and checked */
export function read(id) {
  return ID.test(id) ? readConversation(load(WHOLE + id)) : null;
}

/** @returns {null | "full" | "closed"} why it could not be kept */
export function write(id, version, record) {
  const { title, changed } = record;
  const failed = save(WHOLE + id, record) ?? save(HEAD + id, { title, changed, version });
  // Without a head nobody would find it, to make room.
  if (failed && versionOf(id) === null) save(WHOLE + id, null);
  heads.value = readHeads();
  return failed;
}

export function remove(id) {
  save(WHOLE + id, null);
  save(HEAD + id, null);
  heads.value = readHeads();
}

/** @returns {Head[]} those whose title, questions or answers hold the words */
export function found(words) {
  const wanted = words.trim().toLowerCase();
  if (!wanted) return heads.value;
  const holds = (text) => text?.toLowerCase().includes(wanted);
  return heads.value.filter(
    ({ id, title }) => holds(title) || read(id)?.turns.some((turn) => holds(turn.text)),
  );
}

/** `changed` is called with the id of a conversation that another tab has changed or removed. */
export function onChangesElsewhere(changed) {
  addEventListener("storage", ({ key }) => {
    if (key !== null && !key.startsWith(HEAD)) return;
    heads.value = readHeads();
    if (key !== null) changed(key.slice(HEAD.length));
  });
}

function readHeads() {
  const ids = namesAfter(HEAD).filter((id) => ID.test(id));
  return ids.flatMap(readHead).sort((a, b) => b.changed - a.changed);
}

function readHead(id) {
  const head = load(HEAD + id);
  if (typeof head?.title !== "string" || !Number.isFinite(head.changed)) return [];
  return [{ id, title: head.title, changed: head.changed, version: head.version }];
}
