// A chat chunk in, the parts of an answer that it says out.

/**
 * @typedef {{text: string} | {reasoning: string} | {refusal: string} | {call: object} |
 *   {finish: string} | {tokens: number, reasoningTokens: number | null, estimated: boolean}} Part
 */

/** @param {object} record an event of OpenAI's chat completions @returns {Generator<Part>} */
export function* partsOf({ choices, usage, usage_estimated: estimated }) {
  const { delta, finish_reason: finish } = choices?.[0] ?? {};
  const reasoning = delta?.reasoning_content ?? delta?.reasoning;
  if (reasoning) yield { reasoning };
  if (delta?.content) yield { text: delta.content };
  if (delta?.refusal) yield { refusal: delta.refusal };
  for (const call of delta?.tool_calls ?? []) yield { call };
  if (finish) yield { finish };
  if (usage)
    yield {
      tokens: usage.completion_tokens,
      reasoningTokens: usage.completion_tokens_details?.reasoning_tokens ?? null,
      estimated: Boolean(estimated),
    };
}

/**
 * A piece of a call, added to the calls that there are.
 *
 * @param {{index: number, id: string, name: string, arguments: string}[]} calls
 * @param {object} piece of a chunk @returns {object[]} all calls
 */
export function withCall(calls, piece) {
  const at = placeOf(calls, piece);
  const before = calls[at] ?? { index: piece.index ?? at, id: "", name: "", arguments: "" };
  const grown = {
    index: before.index,
    id: piece.id || before.id,
    name: piece.function?.name || before.name,
    arguments: before.arguments + (piece.function?.arguments ?? ""),
  };
  return calls.toSpliced(at, 1, grown);
}

/** By its index; without one a new id begins a call, and what has none belongs to the last. */
function placeOf(calls, { index, id }) {
  const found = calls.findIndex((call) =>
    Number.isInteger(index) ? call.index === index : call.id === id,
  );
  if (found >= 0) return found;
  return Number.isInteger(index) || id ? calls.length : Math.max(0, calls.length - 1);
}
