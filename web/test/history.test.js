// The columns that the plots draw.
import assert from "node:assert/strict";
import { test } from "node:test";

import { History } from "../src/live/history.js";

const columns = { open: (record) => record.open };

test("the oldest records give way", () => {
  const history = new History(columns, 3);
  for (let at = 1; at <= 5; at += 1) history.add({ at, open: 10 * at });
  assert.deepEqual(history.at, [3, 4, 5]);
  assert.deepEqual(history.values.open, [30, 40, 50]);
});

test("nothing is drawn over a time nobody looked at", () => {
  const history = new History(columns);
  history.interrupt();
  history.add({ at: 1, open: 1 });
  history.interrupt();
  history.interrupt();
  history.add({ at: 9, open: 2 });
  assert.deepEqual(history.at, [1, 1.001, 9]);
  assert.deepEqual(history.values.open, [1, null, 2]);
});

test("a clock that was set back begins anew", () => {
  const history = new History(columns);
  history.add({ at: 5, open: 1 });
  history.add({ at: 4, open: 2 });
  assert.deepEqual(history.at, [4]);
});

test("a figure that is not there is a gap", () => {
  const history = new History(columns);
  history.add({ at: 1 });
  assert.deepEqual(history.values.open, [null]);
});

test("the gateway's own last minutes take the place of what was seen of them", () => {
  const history = new History(columns);
  history.begin([]);
  for (const at of [1, 2, 3]) history.add({ at, open: at });
  history.interrupt();
  history.begin([2, 3, 4, 5].map((at) => ({ at, open: 10 * at })));
  assert.deepEqual(history.at, [1, 2, 3, 4, 5]);
  assert.deepEqual(history.values.open, [1, 20, 30, 40, 50]);
});

test("what was seen of another gateway stays, and no line leads to it", () => {
  const history = new History(columns);
  history.add({ at: 1, open: 1 });
  history.begin([{ at: 60, open: 2 }]);
  assert.deepEqual(history.at, [1, 1.001, 60]);
  assert.deepEqual(history.values.open, [1, null, 2]);
});
