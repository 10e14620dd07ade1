// LangChain for JavaScript, with OpenAI's chat.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { HumanMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { ChatOpenAI } from "@langchain/openai";
import { z } from "zod";

import { apiKey, baseURL, models, RESULT } from "./gateway.js";

const level = tool(({ at }) => `${RESULT} ${at}`, {
  name: "level",
  description: "reads a gauge",
  schema: z.object({ at: z.string() }),
});

for (const [api, model] of Object.entries(models)) {
  describe(`langchain, ${api}`, () => {
    const chat = new ChatOpenAI({ model, apiKey, maxRetries: 0, configuration: { baseURL } });

    test("whole", async () => {
      const answer = await chat.invoke("Hello");
      assert.match(answer.text, /“Hello”/);
      assert.ok(answer.usage_metadata.total_tokens > 0);
    });

    test("streamed", async () => {
      const texts = [];
      for await (const chunk of await chat.stream("Hello")) texts.push(chunk.text);
      assert.match(texts.join(""), /“Hello”/);
      assert.ok(texts.length > 3);
    });

    test("tools", async () => {
      const bound = chat.bindTools([level]);
      const messages = [new HumanMessage("How high? [[tool]]")];
      const answer = await bound.invoke(messages);
      assert.deepEqual(answer.tool_calls[0].args, { at: "at 1" });
      messages.push(answer, await level.invoke(answer.tool_calls[0]));
      const final = await bound.invoke(messages);
      assert.match(final.text, new RegExp(`${RESULT} at 1`));
    });

    test("structured", async () => {
      const schema = z.object({ gauge: z.string(), metres: z.number() });
      const found = await chat.withStructuredOutput(schema).invoke("How high?");
      assert.deepEqual(found, { gauge: "gauge 1", metres: 1 });
    });
  });
}
