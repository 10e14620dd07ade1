// What a site is told of a conversation.
import assert from "node:assert/strict";
import { test } from "node:test";

import { messagesOf } from "../src/chat/messages.js";

const user = (text) => ({ role: "user", text });
const answer = (parts) => ({ role: "assistant", text: "", refusal: "", calls: [], ...parts });
const CALL = { index: 0, id: "call_1", name: "weather", arguments: '{"city": "Ulm"}' };

test("questions and answers, the system prompt first", () => {
  const turns = [user("a"), answer({ text: "b", reasoning: "hm" }), user("c")];
  assert.deepEqual(messagesOf(turns, "Be brief."), [
    { role: "system", content: "Be brief." },
    { role: "user", content: "a" },
    { role: "assistant", content: "b" },
    { role: "user", content: "c" },
  ]);
});

test("an answer with nothing in it is not told", () => {
  assert.deepEqual(messagesOf([user("a"), answer({}), user("b")], ""), [
    { role: "user", content: "a" },
    { role: "user", content: "b" },
  ]);
});

test("calls go with their results", () => {
  const results = [{ id: "call_1", name: "weather", text: "rain" }];
  const turns = [user("a"), answer({ calls: [CALL] }), { role: "tool", results }];
  assert.deepEqual(messagesOf(turns, "").slice(1), [
    {
      role: "assistant",
      content: null,
      tool_calls: [
        {
          id: "call_1",
          type: "function",
          function: { name: "weather", arguments: '{"city": "Ulm"}' },
        },
      ],
    },
    { role: "tool", tool_call_id: "call_1", content: "rain" },
  ]);
});

test("calls that nobody answered are not told", () => {
  const turns = [user("a"), answer({ text: "Wait.", calls: [CALL] }), user("b")];
  assert.deepEqual(messagesOf(turns, "")[1], { role: "assistant", content: "Wait." });
  assert.equal(messagesOf([user("a"), answer({ calls: [CALL] }), user("b")], "").length, 2);
});

test("a refusal is told as one", () => {
  assert.deepEqual(messagesOf([user("a"), answer({ refusal: "No." })], "")[1], {
    role: "assistant",
    content: null,
    refusal: "No.",
  });
});
