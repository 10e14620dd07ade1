// OpenAI's package: chat completions and Responses.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import OpenAI from "openai";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

import { apiKey, baseURL, models, RESULT } from "./gateway.js";

const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const Level = z.object({ gauge: z.string(), metres: z.number() });
const LEVEL = { gauge: "gauge 1", metres: 1 };
const parameters = {
  type: "object",
  properties: { at: { type: "string" } },
  required: ["at"],
  additionalProperties: false,
};
const user = (content) => [{ role: "user", content }];

for (const [api, model] of Object.entries(models)) {
  describe(`openai chat, ${api}`, () => {
    test("whole", async () => {
      const whole = await client.chat.completions.create({ model, messages: user("Hello") });
      assert.match(whole.choices[0].message.content, /“Hello”/);
      assert.ok(whole.usage.total_tokens > 0);
    });

    test("streamed", async () => {
      const stream = await client.chat.completions.create({
        model,
        messages: user("Hello"),
        stream: true,
        stream_options: { include_usage: true },
      });
      const texts = [];
      let usage;
      for await (const chunk of stream) {
        texts.push(chunk.choices[0]?.delta.content ?? "");
        usage = chunk.usage ?? usage;
      }
      assert.match(texts.join(""), /“Hello”/);
      assert.ok(texts.length > 3);
      assert.ok(usage.total_tokens > 0);
      const helped = client.chat.completions.stream({ model, messages: user("Hello") });
      assert.equal(await helped.finalContent(), texts.join(""));
    });

    test("tools", async () => {
      const asked = [];
      const tool = {
        type: "function",
        function: {
          name: "level",
          description: "reads a gauge",
          parameters,
          parse: JSON.parse,
          function: ({ at }) => {
            asked.push(at);
            return RESULT;
          },
        },
      };
      for (const stream of [false, true]) {
        const runner = client.chat.completions.runTools({
          model,
          messages: user("How high? [[tool]]"),
          tools: [tool],
          stream,
        });
        assert.match(await runner.finalContent(), new RegExp(RESULT));
      }
      assert.deepEqual(asked, ["at 1", "at 1"]);
    });

    test("structured", async () => {
      const completion = await client.chat.completions.parse({
        model,
        messages: user("How high?"),
        response_format: zodResponseFormat(Level, "level"),
      });
      assert.deepEqual(completion.choices[0].message.parsed, LEVEL);
    });
  });

  describe(`openai responses, ${api}`, () => {
    test("whole", async () => {
      const response = await client.responses.create({ model, input: "Hello" });
      assert.match(response.output_text, /“Hello”/);
      assert.equal(response.status, "completed");
      assert.ok(response.usage.total_tokens > 0);
    });

    test("streamed", async () => {
      const stream = client.responses.stream({ model, input: "Hello" });
      const texts = [];
      stream.on("response.output_text.delta", (event) => texts.push(event.delta));
      const response = await stream.finalResponse();
      assert.equal(texts.join(""), response.output_text);
      assert.match(response.output_text, /“Hello”/);
      assert.ok(texts.length > 3);
    });

    test("tools", async () => {
      const tools = [{ type: "function", name: "level", parameters, strict: true }];
      const input = user("How high? [[tool]]");
      const response = await client.responses.create({ model, input, tools });
      const [call] = response.output.filter((item) => item.type === "function_call");
      assert.deepEqual(JSON.parse(call.arguments), { at: "at 1" });
      const result = { type: "function_call_output", call_id: call.call_id, output: RESULT };
      const after = [...input, ...response.output, result];
      const final = await client.responses.create({ model, input: after, tools });
      assert.match(final.output_text, new RegExp(RESULT));
    });

    test("structured", async () => {
      const response = await client.responses.parse({
        model,
        input: "How high?",
        text: { format: zodTextFormat(Level, "level") },
      });
      assert.deepEqual(response.output_parsed, LEVEL);
    });
  });
}

test("openai, errors", async () => {
  const asked = { model: models.openai, messages: user("[[midfail]]"), stream: true };
  const stream = await client.chat.completions.create(asked);
  await assert.rejects(async () => {
    for await (const chunk of stream) assert.ok(chunk);
  }, /The server met an error/);
  const again = await client.chat.completions.create({ ...asked, messages: user("Hello") });
  let text = "";
  for await (const chunk of again) text += chunk.choices[0]?.delta.content ?? "";
  assert.match(text, /“Hello”/);
  const limited = { model: models.openai, messages: user("[[err429]]") };
  await assert.rejects(client.chat.completions.create(limited), OpenAI.RateLimitError);
  const nowhere = { model: "nowhere/x", messages: user("Hello") };
  await assert.rejects(client.chat.completions.create(nowhere), OpenAI.NotFoundError);
});

test("openai, models, completions and embeddings", async () => {
  const names = [];
  for await (const model of client.models.list()) names.push(model.id);
  for (const model of Object.values(models)) assert.ok(names.includes(model), model);
  const completion = await client.completions.create({ model: models.openai, prompt: "Hello" });
  assert.match(completion.choices[0].text, /Hello/);
  const embedded = await client.embeddings.create({
    model: "openai/text-embedding-3-small",
    input: ["one", "two"],
  });
  assert.deepEqual(embedded.data.map((each) => each.index), [0, 1]);
  assert.ok(embedded.data.every((each) => each.embedding.length === 1536));
});
