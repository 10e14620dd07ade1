// One answer: what came of it until now, and how it ended.
import { signal } from "@preact/signals";

import { GatewayError } from "../gateway.js";
import { kind } from "../words.js";
import { withCall } from "./chunks.js";

const MOST_CHARACTERS = 8 * 2 ** 20;
const TOO_LONG =
  `The answer is longer than ${MOST_CHARACTERS} characters: ` + "this page took no more of it.";
const MOST_CALLS = 1000;
const TOO_MANY = `The answer has more than ${MOST_CALLS} calls: this page took no more of it.`;
export const LEFT = "This page was left before the answer was whole.";
const STOPPED = "Stopped by you.";

/** Why an answer ended, in words; none where it is whole, or shows it. */
const FINISHES = {
  stop: "",
  tool_calls: "",
  length: "Cut short by the limit of its length.",
  content_filter: "Cut short by the site's filter.",
};

/** @typedef {"open" | "done" | "stopped" | "failed"} End */

/** Its parts grow; `drawn` says when it is time to look at it again. */
export class Answer {
  role = "assistant";
  text = "";
  reasoning = "";
  refusal = "";
  calls = [];
  deltas = 0;
  first = null; // seconds to the first delta
  thought = null; // seconds from it to the last of its reasoning
  took = null; // seconds in all
  tokens = null;
  reasoningTokens = null;
  estimated = false; // the tokens were not counted by the site
  dropped = ""; // what of the request the site was not told
  note = "";
  error = null;
  /** @type {End} */
  end = "open";
  drawn = signal(0);
  cost = 0; // milliseconds that drawing it took

  /** `parent`: the turn it answers; `round`: the id of the first answer asked for with it. */
  constructor({ id, parent, round, model }) {
    Object.assign(this, { id, parent, round, model });
  }

  /** @param {object} part as chunks say it @param {number} passed seconds since it was asked for */
  take(part, passed) {
    if (part.finish) this.note = FINISHES[part.finish] ?? `The site ended it: ${part.finish}.`;
    else if (part.tokens !== undefined || part.dropped) Object.assign(this, part);
    else this.#grow(part, passed);
  }

  #grow({ text = "", reasoning = "", refusal = "", call }, passed) {
    this.first ??= passed;
    this.deltas += 1;
    this.text += text;
    this.reasoning += reasoning;
    this.refusal += refusal;
    if (reasoning) this.thought = passed - this.first;
    if (call) this.calls = withCall(this.calls, call);
    if (this.calls.length > MOST_CALLS) throw new GatewayError(TOO_MANY);
    if (this.#length() > MOST_CHARACTERS) throw new GatewayError(TOO_LONG);
  }

  #length() {
    const texts = this.calls.flatMap(({ id, name, arguments: text }) => [id, name, text]);
    texts.push(this.text, this.reasoning, this.refusal);
    return texts.reduce((sum, { length }) => sum + length, 0);
  }

  /** @param {Error} error @param {AbortSignal} aborted who stopped it, if anybody */
  fail(error, aborted) {
    if (aborted.aborted) {
      const note = aborted.reason === LEFT ? LEFT : STOPPED;
      Object.assign(this, { end: "stopped", note });
      return;
    }
    const known =
      error instanceof GatewayError
        ? error
        : new GatewayError(String(error), { code: "page_failed" });
    this.end = "failed";
    this.error = { message: known.message, retryAfter: known.retryAfter, kind: kind(known) };
  }

  record() {
    const { drawn, cost, ...record } = this;
    return record;
  }
}
