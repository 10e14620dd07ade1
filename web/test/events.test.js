// The reader of server-sent events: WHATWG HTML 9.2.6, whatever the network makes of the text.
import assert from "node:assert/strict";
import { test } from "node:test";

import { EventReader, eventsOf } from "../src/events.js";

const CASES = [
  ["one event", "data: a\n\n", ["a"]],
  ["without the space", "data:a\n\n", ["a"]],
  ["one space is taken away, a second one stays", "data:  a\n\n", [" a"]],
  ["lines are joined", "data: a\ndata: b\n\n", ["a\nb"]],
  ["CRLF", "data: a\r\n\r\ndata: b\r\n\r\n", ["a", "b"]],
  ["CR", "data: a\r\rdata: b\r\r", ["a", "b"]],
  ["mixed ends", "data: a\r\n\ndata: b\n\r\n", ["a", "b"]],
  ["comments and other fields", ": hi\nevent: x\nid: 7\nretry: 1\ndata: a\n\n", ["a"]],
  ["a field without a colon", "data\n\n", [""]],
  ["an event without data", "event: x\n\ndata: a\n\n", ["a"]],
  ["the last block without its empty line", "data: a\n\ndata: b\n", ["a"]],
  ["U+2028 ends no line", "data: a\u2028b\n\n", ["a\u2028b"]],
];

for (const [name, text, expected] of CASES) {
  test(`${name}, at every split`, () => {
    for (let cut = 0; cut <= text.length; cut += 1) {
      assert.deepEqual(read([text.slice(0, cut), text.slice(cut)]), expected, `cut at ${cut}`);
    }
    assert.deepEqual(read([...text]), expected, "character by character");
  });
}

test("a long comment is not remembered once it has ended", () => {
  const reader = new EventReader(20);
  for (let at = 0; at < 10; at += 1) reader.feed(`: ${"x".repeat(15)}\n`);
  assert.deepEqual(reader.feed("data: a\n\n"), ["a"]);
});

test("an event beyond the limit is an error, in one line or in many", () => {
  assert.throws(() => new EventReader(20).feed(`data: ${"x".repeat(20)}`), RangeError);
  const reader = new EventReader(20);
  assert.throws(() => Array.from({ length: 5 }, () => reader.feed("data: xxx\n")), RangeError);
});

test("characters cut by the network are whole", async () => {
  const bytes = new TextEncoder().encode("data: 👩‍👩‍👧 字\n\n");
  const body = new ReadableStream({
    start(controller) {
      for (const byte of bytes) controller.enqueue(Uint8Array.of(byte));
      controller.close();
    },
  });
  const found = [];
  for await (const data of eventsOf(body)) found.push(data);
  assert.deepEqual(found, ["👩‍👩‍👧 字"]);
});

test("leaving early cancels the body", async () => {
  let cancelled = false;
  const body = new ReadableStream({
    start: (controller) => controller.enqueue(new TextEncoder().encode("data: a\n\n")),
    cancel: () => void (cancelled = true),
  });
  for await (const data of eventsOf(body)) {
    assert.equal(data, "a");
    break;
  }
  assert.ok(cancelled);
});

function read(parts) {
  const reader = new EventReader();
  return parts.flatMap((part) => reader.feed(part));
}
