// Conversations as they are kept and exported: what went in comes back, and nothing else.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Answer } from "../src/chat/answer.js";
import { fileName, jsonOf, markdownOf } from "../src/chat/files.js";
import { readConversation, readExport, titleOf } from "../src/chat/records.js";
import { stepsOf } from "../src/chat/tree.js";

const CALL = {
  index: 0,
  id: "call_1",
  function: { name: "weather", arguments: '{"city": "`Ulm`"}' },
};

function conversation() {
  const answer = new Answer({ id: 2, parent: 1, round: 2, model: "shop/default" });
  answer.take({ reasoning: "Hm.\nYes." }, 1);
  answer.take({ text: "It **will**." }, 2);
  answer.take({ dropped: "temperature" }, 2);
  answer.take({ call: CALL }, 3);
  answer.take({ tokens: 9, reasoningTokens: 4, estimated: true }, 3);
  Object.assign(answer, { end: "done", took: 3 });
  const failed = new Answer({ id: 4, parent: 3, round: 4, model: "shop/default" });
  failed.error = { message: "Wait.", kind: "HTTP 429", retryAfter: "7" };
  failed.end = "failed";
  return {
    title: "Rain",
    created: 1,
    changed: 2,
    model: "shop/default",
    options: { system: "Be brief.", temperature: "0.2", tools: "", fields: "" },
    chosen: { 0: 1 },
    turns: [
      { role: "user", id: 1, parent: 0, text: "Will it rain?" },
      answer,
      {
        role: "tool",
        id: 3,
        parent: 2,
        results: [{ id: "call_1", name: "weather", text: "```\nrain" }],
      },
      failed,
    ],
  };
}

const written = (whole) => ({ ...whole, turns: whole.turns.map((turn) => turn.record?.() ?? turn) });
const read = (record) => written(readConversation(JSON.parse(JSON.stringify(record))));

test("what is kept is read as it was", () => {
  const record = written(conversation());
  assert.deepEqual(read(record), record);
});

test("an exported file is read as it was", () => {
  const record = written(conversation());
  const [back, ...others] = readExport(jsonOf([record, { turns: [] }]));
  assert.deepEqual(written(back), record);
  assert.deepEqual(others, [null]);
});

test("another file is refused in words", () => {
  for (const body of ["", "7", "null", '{"conversations": []}', '{"format": "other"}'])
    assert.throws(() => readExport(body), /holds no conversations that this page/);
  const later = jsonOf([]).replace('"version": 1', '"version": 2');
  assert.throws(() => readExport(later), /version 2; this page reads version 1/);
});

test("what is not of its shape is left out", () => {
  const turns = [
    null,
    7,
    { role: "user", id: 1, parent: 0, text: "kept" },
    { role: "user", id: 1, parent: 0, text: "twice" },
    { role: "user", id: 2, parent: 9, text: "an orphan" },
    { role: "user", id: 3, parent: 3, text: "a circle" },
    { role: "user", id: 4, parent: 0, text: ["not a text"] },
    { role: "other", id: 5, parent: 0 },
    { role: "tool", id: 6, parent: 1, results: "none" },
    { role: "assistant", id: 7, parent: 1, text: 7, calls: [null], error: "x", end: "x", took: "x" },
  ];
  const { turns: found } = readConversation({ turns, chosen: [1], options: { system: 7 } });
  assert.deepEqual(
    found.map(({ id }) => id),
    [1, 7],
  );
  const [, answer] = found;
  assert.deepEqual([answer.text, answer.error, answer.end, answer.took], ["", null, "done", null]);
  assert.deepEqual(answer.calls, [{ index: 0, id: "", name: "", arguments: "" }]);
  for (const record of [null, 7, {}, { turns: [] }, { turns: [null] }])
    assert.equal(readConversation(record), null);
});

test("an answer that was still coming is one that was left", () => {
  const { turns } = readConversation({
    turns: [{ role: "assistant", id: 1, parent: 0, text: "half", end: "open" }],
  });
  assert.equal(turns[0].end, "stopped");
  assert.match(turns[0].note, /page was left/);
});

test("a conversation is called by its first question's first line", () => {
  assert.equal(titleOf([{ role: "user", text: "\n Why? \nSay." }]), "Why?");
  assert.equal(titleOf([{ role: "user", text: "x".repeat(99) }]), `${"x".repeat(60)} …`);
  assert.equal(titleOf([]), "");
});

test("Markdown holds all that is shown", () => {
  const { title, options, turns, chosen } = conversation();
  assert.equal(
    markdownOf(title, options.system, stepsOf(turns, chosen)),
    `# Rain

## System

Be brief.

## Question

Will it rain?

## shop/default

### Reasoning

> Hm.
> Yes.

It **will**.

### Call of \`weather\`

\`\`\`json
{"city": "\`Ulm\`"}
\`\`\`

## Result of \`weather\`

\`\`\`\`
\`\`\`
rain
\`\`\`\`

## shop/default

*Failed: HTTP 429. Wait.*
`,
  );
});

test("a title is a file's name everywhere", () => {
  assert.equal(fileName('What: "a/b"?', "md"), "What-a-b.md");
  assert.equal(fileName("Größe", "json"), "Größe.json");
  assert.equal(fileName("???", "md"), "conversation.md");
  assert.equal(fileName("x".repeat(99), "md").length, 63);
});
