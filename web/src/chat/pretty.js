// JSON, with a line for each member. Only the space between its tokens changes: a number of many
// digits stays what it is.

const TOKENS = /"(?:[^"\\]+|\\.)*"|[[\]{}:,]|[^\s[\]{}:,"]+/g;
const OPENS = new Set(["[", "{"]);
const CLOSES = new Set(["]", "}"]);
const STEP = "  ";
const DEEPEST = 100; // beyond it there would be more space than text

/** @param {string} text @returns {string | null} as it came where it is deep; null: it is not JSON */
export function pretty(text) {
  if (!isJson(text)) return null;
  let depth = 0;
  let out = "";
  let last = "";
  for (const [token] of text.matchAll(TOKENS)) {
    if (CLOSES.has(token)) depth -= 1;
    // An empty list or object stays in its line.
    if (CLOSES.has(token) ? !OPENS.has(last) : OPENS.has(last) || last === ",") out += line(depth);
    out += token === ":" ? ": " : token;
    if (OPENS.has(token)) depth += 1;
    if (depth > DEEPEST) return text;
    last = token;
  }
  return out;
}

function line(depth) {
  return `\n${STEP.repeat(depth)}`;
}

function isJson(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
