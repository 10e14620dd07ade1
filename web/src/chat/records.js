// A conversation as it is kept and exported, read back. It may have been changed by anybody: what
// is not of its shape is left out.
import { Answer, LEFT } from "./answer.js";

export const FORMAT = "tailrace conversations";
export const VERSION = 1;
const TITLE_CHARACTERS = 60;

export const NO_OPTIONS = { system: "", temperature: "", tools: "", fields: "" };

const ENDS = ["open", "done", "stopped", "failed"];

/** @returns {object | null} a conversation's record, with its answers as such; null for none */
export function readConversation(record) {
  if (!isObject(record) || !Array.isArray(record.turns)) return null;
  const turns = readTurns(record.turns);
  if (turns.length === 0) return null;
  return {
    title: text(record.title) || titleOf(turns),
    created: number(record.created) ?? 0,
    changed: number(record.changed) ?? 0,
    model: text(record.model),
    options: textsOf(record.options, Object.keys(NO_OPTIONS)),
    turns,
    chosen: readChosen(record.chosen),
  };
}

/** What a conversation is called until somebody names it: its first question's first line. */
export function titleOf(turns) {
  const line = turns.find((turn) => turn.role === "user")?.text.trim().split("\n", 1)[0].trim() ?? "";
  return line.length > TITLE_CHARACTERS ? `${line.slice(0, TITLE_CHARACTERS).trim()} …` : line;
}

/** @returns {(object | null)[]} an exported file's conversations, as `readConversation` has them */
export function readExport(body) {
  const { format, version, conversations } = parsed(body) ?? {};
  if (format !== FORMAT || !Array.isArray(conversations))
    throw new Error("This file holds no conversations that this page has exported.");
  if (version !== VERSION)
    throw new Error(`This file is of version ${version}; this page reads version ${VERSION}.`);
  return conversations.map(readConversation);
}

function parsed(body) {
  try {
    return JSON.parse(body);
  } catch {
    return null;
  }
}

function readTurns(records) {
  const turns = [];
  const ids = new Set([0]);
  for (const record of records) {
    const turn = isObject(record) && ids.has(record.parent) ? READ[record.role]?.(record) : null;
    if (!turn || !Number.isInteger(turn.id) || turn.id <= turn.parent || ids.has(turn.id)) continue;
    ids.add(turn.id);
    turns.push(turn);
  }
  return turns;
}

const READ = {
  user: ({ id, parent, text: asked }) =>
    text(asked) && { role: "user", id, parent, text: text(asked) },
  tool: ({ id, parent, results }) =>
    Array.isArray(results) && {
      role: "tool",
      id,
      parent,
      results: results.map((result) => textsOf(result, ["id", "name", "text"])),
    },
  assistant: readAnswer,
};

function readAnswer(record) {
  const { id, parent } = record;
  const round = number(record.round) ?? id;
  const answer = new Answer({ id, parent, round, model: text(record.model) });
  Object.assign(answer, textsOf(record, ["text", "reasoning", "refusal", "dropped", "note"]));
  for (const name of ["first", "thought", "took", "tokens", "reasoningTokens"])
    answer[name] = number(record[name]);
  answer.deltas = number(record.deltas) ?? 0;
  answer.estimated = record.estimated === true;
  answer.calls = Array.isArray(record.calls) ? record.calls.map(readCall) : [];
  answer.error = isObject(record.error) ? readError(record.error) : null;
  answer.end = ENDS.includes(record.end) ? record.end : "done";
  if (answer.end === "open") Object.assign(answer, { end: "stopped", note: LEFT });
  return answer;
}

function readCall(record, at) {
  return { index: at, ...textsOf(record, ["id", "name", "arguments"]) };
}

function readError(record) {
  const { message, kind, retryAfter } = textsOf(record, ["message", "kind", "retryAfter"]);
  return { message, kind, retryAfter: retryAfter || null };
}

function readChosen(record) {
  if (!isObject(record)) return {};
  return Object.fromEntries(Object.entries(record).filter(([, id]) => Number.isInteger(id)));
}

function textsOf(record, names) {
  return Object.fromEntries(names.map((name) => [name, text(record?.[name])]));
}

function text(value) {
  return typeof value === "string" ? value : "";
}

function number(value) {
  return Number.isFinite(value) ? value : null;
}

function isObject(value) {
  return typeof value === "object" && value !== null;
}
