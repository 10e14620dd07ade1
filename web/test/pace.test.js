// When a growing answer is drawn.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Pace } from "../src/chat/pace.js";

test("however often it grows, it is drawn once in a while, and seldom where drawing takes long", () => {
  const waits = [];
  const actions = [];
  let cost = 0;
  let drawn = 0;
  const draw = () => (drawn += 1);
  const pace = new Pace(
    draw,
    () => cost,
    (action, wait) => (waits.push(wait), actions.push(action)),
  );
  for (const taken of [0, 5, 100, 100_000]) {
    cost = taken;
    pace.grown();
    pace.grown();
    actions.pop()();
  }
  assert.deepEqual(waits, [40, 40, 600, 2000]);
  assert.equal(drawn, 4);
});

test("the end is drawn at once, and the drawing that was due is not", async () => {
  let drawn = 0;
  const pace = new Pace(
    () => (drawn += 1),
    () => 0,
  );
  pace.grown();
  pace.ended();
  assert.equal(drawn, 1);
  await new Promise((resolve) => setTimeout(resolve, 80));
  assert.equal(drawn, 1);
});
