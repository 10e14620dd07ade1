// A tool's arguments, made readable and not changed.
import assert from "node:assert/strict";
import { test } from "node:test";

import { pretty } from "../src/chat/pretty.js";

test("as JSON.stringify sets it", () => {
  const values = [1, "a", null, [], {}, [1], { a: 1 }, [[], {}, [{ b: [1, 2] }]], { 'q"\\': "," }];
  for (const value of values) {
    for (const text of [JSON.stringify(value), JSON.stringify(value, null, 7)])
      assert.equal(pretty(text), JSON.stringify(value, null, 2));
  }
});

test("a number keeps all of its digits, and a string its escapes", () => {
  assert.equal(
    pretty('{"n":12345678901234567890.10,"s":"\\u00e9\\n{"}'),
    '{\n  "n": 12345678901234567890.10,\n  "s": "\\u00e9\\n{"\n}',
  );
});

test("what is too deep stays as it came", () => {
  for (const depth of [101, 5000]) {
    const text = "[".repeat(depth) + "]".repeat(depth);
    assert.equal(pretty(text), text);
  }
});

test("what is no JSON is not touched", () => {
  for (const text of ["", "{", '{"a": }', "{'a': 1}", '{"a": 1} x']) assert.equal(pretty(text), null);
});
