// One answer, as its parts come.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Answer, LEFT } from "../src/chat/answer.js";

const answer = () => new Answer({ id: 2, parent: 1, round: 2, model: "shop/default" });
const call = (index, text) => ({ call: { index, id: `${index}`, function: { arguments: text } } });

test("its parts grow, and its times are kept", () => {
  const grown = answer();
  grown.take({ reasoning: "Hm. " }, 1);
  grown.take({ reasoning: "Yes." }, 3);
  grown.take({ text: "It " }, 4);
  grown.take({ text: "is." }, 5);
  grown.take({ refusal: "No." }, 5);
  grown.take(call(0, "{}"), 5);
  assert.deepEqual(
    [grown.reasoning, grown.text, grown.refusal, grown.calls.length],
    ["Hm. Yes.", "It is.", "No.", 1],
  );
  assert.deepEqual([grown.first, grown.thought, grown.deltas], [1, 2, 6]);
});

test("why it ended is said where it is worth a word", () => {
  const notes = ["stop", "tool_calls", "length", "content_filter", "tired"].map((finish) => {
    const ended = answer();
    ended.take({ finish }, 1);
    return ended.note;
  });
  assert.deepEqual(notes, [
    "",
    "",
    "Cut short by the limit of its length.",
    "Cut short by the site's filter.",
    "The site ended it: tired.",
  ]);
});

test("it has limits, whatever it is made of", () => {
  const long = "x".repeat(2 ** 20);
  for (const part of [{ text: long }, { reasoning: long }, { refusal: long }, call(0, long)]) {
    const grown = answer();
    for (let times = 0; times < 7; times += 1) grown.take(part, 1);
    const further = () => [1, 2].forEach(() => grown.take(part, 1));
    assert.throws(further, /longer than 8388608 characters/);
  }
  const many = answer();
  for (let at = 0; at < 1000; at += 1) many.take(call(at, ""), 1);
  assert.throws(() => many.take(call(1000, ""), 1), /more than 1000 calls/);
});

test("a failure is told from a stop", () => {
  const [stopped, left, failed] = [answer(), answer(), answer()];
  stopped.fail(new Error(), AbortSignal.abort());
  left.fail(new Error(), AbortSignal.abort(LEFT));
  failed.fail(new Error("oh"), new AbortController().signal);
  assert.deepEqual([stopped.end, stopped.note], ["stopped", "Stopped by you."]);
  assert.deepEqual([left.end, left.note], ["stopped", LEFT]);
  assert.deepEqual([failed.end, failed.error.kind], ["failed", "broke off · page_failed"]);
});
