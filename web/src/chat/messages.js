// A conversation as a site is told it: chat messages in OpenAI's form.

/**
 * @param {object[]} turns those that are shown, the question that is asked last
 * @param {string} system the system prompt, or "" @returns {object[]}
 */
export function messagesOf(turns, system) {
  const said = turns.flatMap((turn, at) => WRITTEN[turn.role](turn, turns[at + 1]));
  return system ? [{ role: "system", content: system }, ...said] : said;
}

const WRITTEN = {
  user: ({ text }) => [{ role: "user", content: text }],
  tool: ({ results }) =>
    results.map(({ id, text }) => ({ role: "tool", tool_call_id: id, content: text })),
  assistant: answered,
};

/** Reasoning is the model's own, and calls that nobody answered would be refused. */
function answered({ text, refusal, calls }, next) {
  const message = { role: "assistant", content: text || null };
  if (refusal) message.refusal = refusal;
  if (calls.length && next?.role === "tool") message.tool_calls = calls.map(written);
  return Object.keys(message).length > 2 || text ? [message] : [];
}

function written({ id, name, arguments: text }) {
  return { id, type: "function", function: { name, arguments: text } };
}
