// How much of a conversation is kept.
import assert from "node:assert/strict";
import { test } from "node:test";

import { KEPT_CHARACTERS, KEPT_TURNS, newest } from "../src/chat/newest.js";

const asked = (text) => ({ role: "user", text });
const answered = (text) => ({ role: "assistant", text });

test("what fits is kept whole", () => {
  const all = [asked("a"), answered("b")];
  assert.deepEqual(newest(all), all);
  assert.deepEqual(newest([]), []);
});

test("the oldest turns go, and a question comes first", () => {
  const all = Array.from({ length: 301 }, (_, at) => (at % 2 ? answered(`${at}`) : asked(`${at}`)));
  const kept = newest(all);
  assert.ok(kept.length <= KEPT_TURNS && kept.length > KEPT_TURNS - 2);
  assert.equal(kept[0].role, "user");
  assert.equal(kept.at(-1), all.at(-1));
});

test("long turns count by their length", () => {
  const long = "x".repeat(KEPT_CHARACTERS / 2);
  const all = [asked("first"), answered(long), asked("second"), answered(long)];
  assert.deepEqual(newest(all), all.slice(2));
});

test("an answer beyond all bounds is not kept", () => {
  assert.deepEqual(newest([asked("a"), answered("x".repeat(KEPT_CHARACTERS + 1))]), []);
});
