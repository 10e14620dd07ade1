// Anthropic's package, over the gateway's messages.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import Anthropic from "@anthropic-ai/sdk";

import { apiKey, models, RESULT, url } from "./gateway.js";

const client = new Anthropic({ baseURL: url, apiKey, maxRetries: 0 });
const input_schema = {
  type: "object",
  properties: { at: { type: "string" } },
  required: ["at"],
  additionalProperties: false,
};
const tools = [{ name: "level", description: "reads a gauge", input_schema }];
const asking = (model, content) => ({
  model,
  max_tokens: 4096,
  messages: [{ role: "user", content }],
});

for (const [api, model] of Object.entries(models)) {
  describe(`anthropic, ${api}`, () => {
    test("whole", async () => {
      const message = await client.messages.create(asking(model, "Hello"));
      assert.match(message.content[0].text, /“Hello”/);
      assert.equal(message.stop_reason, "end_turn");
    });

    test("streamed", async () => {
      const stream = client.messages.stream(asking(model, "Hello"));
      const texts = [];
      stream.on("text", (text) => texts.push(text));
      assert.equal(await stream.finalText(), texts.join(""));
      assert.match(texts.join(""), /“Hello”/);
      assert.ok(texts.length > 3);
    });

    test("tools", async () => {
      const asked = { ...asking(model, "How high? [[tool]]"), tools };
      const message = await client.messages.create(asked);
      assert.equal(message.stop_reason, "tool_use");
      const [call] = message.content.filter((block) => block.type === "tool_use");
      assert.deepEqual(call.input, { at: "at 1" });
      const result = { type: "tool_result", tool_use_id: call.id, content: RESULT };
      const { role, content } = message;
      asked.messages.push({ role, content }, { role: "user", content: [result] });
      const final = await client.messages.create(asked);
      assert.match(final.content.at(-1).text, new RegExp(RESULT));
    });

    test("structured", async () => {
      const message = await client.messages.create({
        ...asking(model, "How high?"),
        output_config: { format: { type: "json_schema", schema: input_schema } },
      });
      assert.deepEqual(JSON.parse(message.content[0].text), { at: "at 1" });
    });
  });
}
