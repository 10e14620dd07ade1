// What else a request holds: a system prompt, a temperature, tools, any further fields, as their
// user wrote them down.

/** Fields that are this page's own: another value would break it. */
const OURS = ["model", "messages", "stream", "stream_options", "n"];

/**
 * @param {{temperature: string, tools: string, fields: string}} options @returns {object} the
 * fields of a request; throws what is wrong, in words
 */
export function fieldsOf({ temperature, tools, fields }) {
  const found = fields.trim() ? ourselvesApart(parsed(fields, "The further fields")) : {};
  if (temperature.trim()) found.temperature = temperatureOf(temperature);
  if (tools.trim()) found.tools = listOf(parsed(tools, "The tools"));
  return found;
}

function parsed(text, what) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`${what} are not JSON: ${error.message}`);
  }
}

function ourselvesApart(fields) {
  if (typeof fields !== "object" || fields === null || Array.isArray(fields))
    throw new Error('The further fields must be an object, as {"max_tokens": 500} is.');
  const ours = OURS.find((name) => name in fields);
  if (ours) throw new Error(`The field ${ours} is this page's own.`);
  return fields;
}

function temperatureOf(text) {
  const value = Number(text);
  if (!Number.isFinite(value)) throw new Error("The temperature must be a number.");
  return value;
}

function listOf(tools) {
  const isTool = (tool) => typeof tool?.function?.name === "string";
  if (!Array.isArray(tools) || !tools.every(isTool))
    throw new Error(
      'The tools must be a list, each as {"type": "function", "function": {"name": …}} is.',
    );
  return tools;
}
