// Long code in pieces: nothing is lost, and no piece is long.
import assert from "node:assert/strict";
import { test } from "node:test";

import { MOST_CHARACTERS, pieces } from "../src/chat/pieces.js";

const WIDE = "x".repeat(MOST_CHARACTERS - 1);

test("short code is one piece", () => {
  assert.deepEqual(pieces(""), []);
  assert.deepEqual(pieces("a\n\nb"), ["a\n\nb"]);
});

test("long code is cut at a blank line, else at a line, else anywhere", () => {
  const block = "line\n".repeat(500);
  assert.deepEqual(pieces(`${block}\n${block}`), [`${block}\n`, block]);
  assert.deepEqual(pieces(`a\n${WIDE}`), ["a\n", WIDE]);
  assert.deepEqual(pieces(`${WIDE}xyz`), [`${WIDE}x`, "yz"]);
});

test("no character is cut", () => {
  assert.deepEqual(pieces(`${WIDE}👩x`), [WIDE, "👩x"]);
});

test("all of it is there", () => {
  const texts = ["\n".repeat(9999), "a b\n\nc".repeat(3000), "👩".repeat(4000), `${WIDE}\n${WIDE}`];
  for (const text of texts) {
    const found = pieces(text);
    assert.equal(found.join(""), text);
    assert.ok(found.every(({ length }) => length > 0 && length <= MOST_CHARACTERS));
  }
});
