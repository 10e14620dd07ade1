// Figures as they are read.
import assert from "node:assert/strict";
import { test } from "node:test";

import { ago, count, kind, rate, seconds } from "../src/words.js";

test("seconds", () => {
  const cases = [
    [null, "–"],
    [0, "0 s"],
    [0.0012, "1.2 ms"],
    [0.0212, "21 ms"],
    [0.0996, "0.10 s"],
    [1.234, "1.23 s"],
    [12.34, "12.3 s"],
    [150, "3 min"],
  ];
  for (const [value, text] of cases) assert.equal(seconds(value), text);
});

test("counts and rates", () => {
  assert.equal(count(1234567), "1,234,567");
  assert.equal(count(undefined), "–");
  assert.equal(rate(0), "0");
  assert.equal(rate(1.25), "1.3");
  assert.equal(rate(333.3), "333");
});

test("how long ago", () => {
  const cases = [
    [0, "just now"],
    [59, "just now"],
    [60, "1 min ago"],
    [7200, "2 h ago"],
    [3 * 86400, "3 days ago"],
  ];
  for (const [passed, text] of cases) assert.equal(ago(1000, 1000 + passed), text);
});

test("what a failure is", () => {
  assert.equal(
    kind({ status: 429, type: "requests", code: "rate_limit_exceeded" }),
    "HTTP 429 · rate_limit_exceeded",
  );
  assert.equal(kind({ status: 502, type: null, code: null }), "HTTP 502");
  assert.equal(kind({ status: 0, type: null, code: null }), "no reply");
  assert.equal(kind({ status: null, type: "upstream", code: null }), "broke off · upstream");
});
