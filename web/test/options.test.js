// What an asker writes down beside a question.
import assert from "node:assert/strict";
import { test } from "node:test";

import { fieldsOf } from "../src/chat/options.js";

const NONE = { system: "", temperature: "", tools: "", fields: "" };
const TOOL = { type: "function", function: { name: "weather" } };

test("fields of a request", () => {
  assert.deepEqual(fieldsOf(NONE), {});
  assert.deepEqual(fieldsOf({ ...NONE, temperature: " 0.5 " }), { temperature: 0.5 });
  assert.deepEqual(
    fieldsOf({ ...NONE, tools: JSON.stringify([TOOL]), fields: '{"max_tokens": 5}' }),
    { max_tokens: 5, tools: [TOOL] },
  );
});

test("what is wrong is said", () => {
  const cases = [
    [{ temperature: "warm" }, "The temperature must be a number."],
    [{ tools: "[" }, /^The tools are not JSON: /],
    [{ tools: "{}" }, /^The tools must be a list/],
    [{ tools: "[{}]" }, /^The tools must be a list/],
    [{ fields: "[]" }, /^The further fields must be an object/],
    [{ fields: "x" }, /^The further fields are not JSON: /],
    [{ fields: '{"model": "x"}' }, "The field model is this page's own."],
  ];
  for (const [options, message] of cases)
    assert.throws(() => fieldsOf({ ...NONE, ...options }), { message });
});
