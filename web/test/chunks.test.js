// The parts of an answer, as chat chunks bring them.
import assert from "node:assert/strict";
import { test } from "node:test";

import { partsOf, withCall } from "../src/chat/chunks.js";

const chunk = (delta, finish = null) => ({
  choices: [{ index: 0, delta, finish_reason: finish }],
});
const parts = (record) => [...partsOf(record)];

test("every kind of delta", () => {
  assert.deepEqual(parts(chunk({ role: "assistant", content: "" })), []);
  assert.deepEqual(parts(chunk({ content: "a" })), [{ text: "a" }]);
  assert.deepEqual(parts(chunk({ reasoning_content: "hm", content: "a" })), [
    { reasoning: "hm" },
    { text: "a" },
  ]);
  assert.deepEqual(parts(chunk({ reasoning: "hm" })), [{ reasoning: "hm" }]);
  assert.deepEqual(parts(chunk({ refusal: "No." })), [{ refusal: "No." }]);
  assert.deepEqual(parts(chunk({}, "length")), [{ finish: "length" }]);
});

test("the counts", () => {
  const usage = { completion_tokens: 9, completion_tokens_details: { reasoning_tokens: 4 } };
  assert.deepEqual(parts({ choices: [], usage }), [
    { tokens: 9, reasoningTokens: 4, estimated: false },
  ]);
  assert.deepEqual(parts({ choices: [], usage: { completion_tokens: 9 }, usage_estimated: true }), [
    { tokens: 9, reasoningTokens: null, estimated: true },
  ]);
});

test("calls grow, each by its index", () => {
  const pieces = [
    { index: 0, id: "a", type: "function", function: { name: "one", arguments: "" } },
    { index: 0, function: { arguments: '{"x"' } },
    { index: 2, id: "b", function: { name: "two", arguments: "{" } },
    { index: 0, function: { arguments: ": 1}" } },
    { index: 2, function: { arguments: "}" } },
  ];
  assert.deepEqual(
    pieces.flatMap((piece) => parts(chunk({ tool_calls: [piece] }))).reduce(grown, []),
    [
      { index: 0, id: "a", name: "one", arguments: '{"x": 1}' },
      { index: 2, id: "b", name: "two", arguments: "{}" },
    ],
  );
});

test("calls without an index are told apart by their ids", () => {
  const pieces = [
    { id: "a", function: { name: "one", arguments: "{}" } },
    { id: "b", function: { name: "two", arguments: "{" } },
    { function: { arguments: "}" } },
  ];
  assert.deepEqual(
    pieces.map((call) => ({ call })).reduce(grown, []),
    [
      { index: 0, id: "a", name: "one", arguments: "{}" },
      { index: 1, id: "b", name: "two", arguments: "{}" },
    ],
  );
});

function grown(calls, { call }) {
  return withCall(calls, call);
}
