// Vercel's AI SDK: with the provider for servers like OpenAI's (chat), and OpenAI's own, whose
// default is Responses.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

import { apiKey, baseURL, models, RESULT } from "./gateway.js";

globalThis.AI_SDK_LOG_WARNINGS = false;

const compatible = createOpenAICompatible({
  name: "tailrace",
  baseURL,
  apiKey,
  supportsStructuredOutputs: true,
});
const providers = { "openai-compatible": compatible, openai: createOpenAI({ baseURL, apiKey }) };
const schema = z.object({ gauge: z.string(), metres: z.number() });

for (const [name, provider] of Object.entries(providers)) {
  for (const [api, id] of Object.entries(models)) {
    describe(`ai with ${name}, ${api}`, () => {
      const model = provider(id);
      const asking = (prompt) => ({ model, prompt, maxRetries: 0 });

      test("whole", async () => {
        const { text, finishReason, usage } = await generateText(asking("Hello"));
        assert.match(text, /“Hello”/);
        assert.equal(finishReason, "stop");
        assert.ok(usage.totalTokens > 0);
      });

      test("streamed", async () => {
        const texts = [];
        const errors = [];
        const onError = ({ error }) => errors.push(error);
        const stream = streamText({ ...asking("Hello"), onError });
        for await (const text of stream.textStream) texts.push(text);
        assert.deepEqual(errors, []);
        assert.match(texts.join(""), /“Hello”/);
        assert.ok(texts.length > 3);
      });

      test("tools", async () => {
        const asked = [];
        const level = tool({
          description: "reads a gauge",
          inputSchema: z.object({ at: z.string() }),
          execute: ({ at }) => {
            asked.push(at);
            return RESULT;
          },
        });
        const options = {
          ...asking("How high? [[tool]]"),
          tools: { level },
          stopWhen: stepCountIs(3),
        };
        const { text, steps } = await generateText(options);
        assert.match(text, new RegExp(RESULT));
        assert.equal(steps.length, 2);
        assert.match(await streamText(options).text, new RegExp(RESULT));
        assert.deepEqual(asked, ["at 1", "at 1"]);
      });

      test("structured", async () => {
        const options = { ...asking("How high?"), output: Output.object({ schema }) };
        const { output } = await generateText(options);
        assert.deepEqual(output, { gauge: "gauge 1", metres: 1 });
      });
    });
  }
}
