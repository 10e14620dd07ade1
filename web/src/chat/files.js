// Conversations as files: Markdown to read, JSON to keep and to read back.
import { FORMAT, VERSION } from "./records.js";

export const MOST_BYTES = 50 * 2 ** 20;

/** All branches of all of them, as this page reads it again. */
export function jsonOf(records) {
  return `${JSON.stringify({ format: FORMAT, version: VERSION, conversations: records }, null, 1)}\n`;
}

/**
 * What is shown of a conversation.
 *
 * @param {string} title @param {string} system the system prompt, or ""
 * @param {import("./tree.js").Step[]} steps
 */
export function markdownOf(title, system, steps) {
  const said = steps.flatMap(({ turn, group }) => (turn.role === "assistant" ? group : [turn]));
  const parts = [
    `# ${title.replace(/\s+/g, " ")}`,
    ...(system ? ["## System", system] : []),
    ...said.flatMap((turn) => SECTIONS[turn.role](turn)),
  ];
  return `${parts.join("\n\n")}\n`;
}

const SECTIONS = {
  user: ({ text }) => ["## Question", text],
  tool: ({ results }) =>
    results.flatMap(({ name, text }) => [`## Result of ${coded(name)}`, fenced(text)]),
  assistant: ({ model, reasoning, text, refusal, calls, error, note }) => [
    `## ${model}`,
    ...(reasoning ? ["### Reasoning", quoted(reasoning)] : []),
    ...(text ? [text] : []),
    ...(refusal ? ["### Refusal", quoted(refusal)] : []),
    ...calls.flatMap((call) => [`### Call of ${coded(call.name)}`, fenced(call.arguments, "json")]),
    ...(error ? [`*Failed: ${error.kind}. ${error.message}*`] : []),
    ...(note ? [`*${note}*`] : []),
  ],
};

function quoted(text) {
  return text.replace(/^/gm, "> ");
}

function coded(text) {
  return `\`${text.replaceAll("`", "'")}\``;
}

/** A fence that is longer than any in it. */
function fenced(text, language = "") {
  const longest = Math.max(2, ...(text.match(/`+/g) ?? []).map((ticks) => ticks.length));
  const fence = "`".repeat(longest + 1);
  return `${fence}${language}\n${text}\n${fence}`;
}

/** Let the browser save a file. */
export function offer(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = Object.assign(document.createElement("a"), { href: url, download: name });
  link.click();
  // The browser reads it after the click; a minute is more than it needs.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** A title as the name of a file, on every system. */
export function fileName(title, ending) {
  const name = title.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "");
  return `${name.slice(0, 60) || "conversation"}.${ending}`;
}
