// The conversation: what was asked, what came, how it ended. One answer comes at a time; the
// browser keeps what fits.
import { batch, signal } from "@preact/signals";

import { answer as ask, GatewayError } from "../gateway.js";
import { load, save } from "../storage.js";
import { kind } from "../words.js";
import { newest } from "./newest.js";
import { Pace } from "./pace.js";

const NAME = "tailrace.conversation";

const MOST_CHARACTERS = 8 * 2 ** 20;
const TOO_LONG = `The answer is longer than ${MOST_CHARACTERS} characters: this page took no more of it.`;
const LEFT = "This page was left before the answer was whole.";

/** @typedef {{id: number, role: "user", text: string}} Question */
/** @typedef {"open" | "done" | "stopped" | "failed"} End */

/** One answer. Its text grows; `drawn` says when it is time to look at it again. */
export class Answer {
  role = "assistant";
  text = "";
  deltas = 0;
  first = null; // seconds to the first delta
  took = null; // seconds in all
  tokens = null;
  estimated = false; // the tokens were not counted by the site
  note = "";
  error = null;
  /** @type {End} */
  end = "open";
  drawn = signal(0);
  cost = 0; // milliseconds that drawing it took

  constructor(id, model) {
    this.id = id;
    this.model = model;
  }

  static read(record) {
    const answer = Object.assign(new Answer(record.id, String(record.model)), record);
    if (answer.end === "open") Object.assign(answer, { end: "stopped", note: LEFT });
    return answer;
  }

  record() {
    const { drawn, cost, ...record } = this;
    return record;
  }
}

/** @type {import("@preact/signals").Signal<(Question | Answer)[]>} */
export const turns = signal(kept());
/** The answer that is coming, or null. */
export const coming = signal(null);
/** What was cleared last, until it is too late to have it back. */
export const cleared = signal(null);
/** Whether the browser could not keep the conversation. */
export const unkept = signal(false);

let controller = null;
let lastId = turns.value.at(-1)?.id ?? 0;

export function send(text, model) {
  cleared.value = null;
  return begin([...turns.value, { id: ++lastId, role: "user", text }], model);
}

/** Ask the last question again, in place of the answer that it had. */
export function retry(model) {
  const asked = turns.value.findLastIndex((turn) => turn.role === "user");
  return begin(turns.value.slice(0, asked + 1), model);
}

export function stop() {
  controller?.abort();
}

export function clear() {
  stop();
  batch(() => {
    cleared.value = turns.value;
    turns.value = [];
  });
  keep();
}

export function restore() {
  batch(() => {
    turns.value = cleared.value ?? [];
    cleared.value = null;
  });
  keep();
}

async function begin(asked, model) {
  stop();
  const answer = new Answer(++lastId, model);
  const mine = new AbortController();
  controller = mine;
  batch(() => {
    turns.value = [...asked, answer];
    coming.value = answer;
  });
  keep();
  await run(answer, messages(asked), mine.signal);
  if (coming.value === answer) coming.value = null;
  turns.value = [...turns.value];
  keep();
}

async function run(answer, asked, aborted) {
  const began = performance.now();
  const pace = new Pace(
    () => (answer.drawn.value += 1),
    () => answer.cost,
  );
  try {
    for await (const part of ask(answer.model, asked, aborted)) {
      take(answer, part, began);
      pace.grown();
    }
    answer.end = "done";
  } catch (error) {
    failed(answer, error, aborted);
  }
  answer.took = (performance.now() - began) / 1000;
  pace.ended();
}

function take(answer, part, began) {
  if (part.text !== undefined) {
    answer.first ??= (performance.now() - began) / 1000;
    answer.deltas += 1;
    answer.text += part.text;
    if (answer.text.length > MOST_CHARACTERS) throw new GatewayError(TOO_LONG);
  }
  if (part.tokens !== undefined)
    Object.assign(answer, { tokens: part.tokens, estimated: part.estimated });
  if (part.finish === "length") answer.note = "Cut short by the limit of its length.";
  if (part.finish === "content_filter") answer.note = "Cut short by the site's filter.";
}

function failed(answer, error, aborted) {
  if (aborted.aborted) {
    Object.assign(answer, {
      end: "stopped",
      note: aborted.reason === LEFT ? LEFT : "Stopped by you.",
    });
    return;
  }
  const known =
    error instanceof GatewayError
      ? error
      : new GatewayError(String(error), { code: "page_failed" });
  answer.end = "failed";
  answer.error = { message: known.message, retryAfter: known.retryAfter, kind: kind(known) };
}

/** What the site is told: questions, and the answers that have any text. */
function messages(asked) {
  return asked.filter((turn) => turn.text).map(({ role, text }) => ({ role, content: text }));
}

// -- what the browser keeps -----------------------------------------------------------------------

function keep() {
  const all = newest(turns.value).map((turn) => (turn instanceof Answer ? turn.record() : turn));
  unkept.value = !save(NAME, all.length ? all : null);
}

function kept() {
  const all = load(NAME);
  if (!Array.isArray(all)) return [];
  const ours = all.filter((turn) => Number.isInteger(turn?.id) && typeof turn.text === "string");
  return ours.map((turn) => (turn.role === "user" ? turn : Answer.read(turn)));
}

// What has come so far is kept when the page is left in the middle of an answer.
addEventListener("pagehide", () => {
  controller?.abort(LEFT);
  if (coming.value) keep();
});
