// A conversation's branches: what is shown, and what stands beside it.
import assert from "node:assert/strict";
import { test } from "node:test";

import { stepsOf } from "../src/chat/tree.js";

const turn = (id, parent, round) => ({ id, parent, round });
const shown = (steps) => steps.map(({ turn: { id } }) => id);

test("no turns are no steps", () => assert.deepEqual(stepsOf([], {}), []));

test("the newest branch is shown where none was chosen", () => {
  const turns = [turn(1, 0), turn(2, 1, 2), turn(3, 1, 3), turn(4, 0), turn(5, 4, 5)];
  assert.deepEqual(shown(stepsOf(turns, {})), [4, 5]);
  assert.deepEqual(shown(stepsOf(turns, { 0: 1 })), [1, 3]);
  assert.deepEqual(shown(stepsOf(turns, { 0: 1, 1: 2 })), [1, 2]);
});

test("what stands beside a step", () => {
  const turns = [turn(1, 0), turn(2, 1, 2), turn(3, 1, 3), turn(4, 0)];
  const [question, answer] = stepsOf(turns, { 0: 1, 1: 2 });
  assert.deepEqual([question.at, question.groups.length], [0, 2]);
  assert.deepEqual([answer.at, answer.groups.length], [0, 2]);
});

test("two answers of one round stand side by side, and one of them goes on", () => {
  const turns = [turn(1, 0), turn(2, 1, 2), turn(3, 1, 2), turn(4, 3), turn(5, 2)];
  const steps = stepsOf(turns, { 1: 3 });
  assert.deepEqual(shown(steps), [1, 3, 4]);
  assert.deepEqual(
    steps[1].group.map(({ id }) => id),
    [2, 3],
  );
  assert.deepEqual(shown(stepsOf(turns, {})), [1, 2, 5]);
});

test("a choice that is no longer there is none", () => {
  assert.deepEqual(shown(stepsOf([turn(1, 0), turn(2, 1)], { 0: 9, 1: 9 })), [1, 2]);
});
