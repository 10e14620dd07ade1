// The gateway, as this page asks it: its models, an answer, its figures. Failures are one kind of
// error.
import { partsOf } from "./chat/chunks.js";
import { eventsOf } from "./events.js";
import { authorization, refused } from "./key.js";

const MAX_ERROR_CHARACTERS = 64 * 2 ** 10;

/**
 * What went wrong, in the gateway's own words where it had any. `status` 0: there was no reply;
 * null: in mid-reply.
 */
export class GatewayError extends Error {
  constructor(message, { status = null, type = null, code = null, retryAfter = null } = {}) {
    super(message);
    this.status = status;
    this.type = type;
    this.code = code;
    this.retryAfter = retryAfter;
  }
}

/** @returns {Promise<string[]>} the ids of all models, `site/model` */
export async function models(signal) {
  const reply = await ask("/v1/models", { signal });
  const listed = await reply.json().catch(() => null);
  if (!Array.isArray(listed?.data))
    throw new GatewayError("The list of models is not what it should be.");
  return listed.data.map((model) => model.id).filter((id) => typeof id === "string");
}

/**
 * Yields the parts of an answer as they come; an end that the stream does not name is a failure.
 *
 * @param {object} request the fields of a chat completion @param {AbortSignal} signal
 */
export async function* answer(request, signal) {
  const body = JSON.stringify({
    ...request,
    stream: true,
    stream_options: { include_usage: true },
  });
  const headers = { "Content-Type": "application/json" };
  const reply = await ask("/v1/chat/completions", { method: "POST", headers, body, signal });
  const dropped = reply.headers.get("X-Tailrace-Dropped");
  if (dropped) yield { dropped };
  let done = false;
  // Read on to the connection's end: leaving at the last word would look like a reader who went
  // away.
  for await (const data of events(reply, signal)) {
    done ||= data === "[DONE]";
    if (!done) yield* parts(parsed(data));
  }
  if (!done) throw new GatewayError("The answer broke off: its stream ended without saying so.");
}

/**
 * Yields {past}, the figures of the last seconds, and then a record a second, until the gateway
 * closes the stream.
 */
export async function* figures(seconds, signal) {
  const reply = await ask(`/live?past=${seconds}`, { signal });
  for await (const data of events(reply, signal)) yield parsed(data);
}

async function ask(path, { headers = {}, ...request } = {}) {
  const sent = authorization();
  const reply = await send(path, { ...request, headers: { ...headers, ...sent } });
  if (reply.ok) return reply;
  if (reply.status === 401) refused(sent);
  throw await refusal(reply);
}

/** Any reply, whatever its status; none is a GatewayError. */
export async function send(path, request) {
  try {
    return await fetch(path, {
      ...request,
      credentials: "omit",
      cache: "no-store",
      redirect: "error",
    });
  } catch (error) {
    if (request.signal?.aborted) throw error;
    throw new GatewayError("The gateway cannot be reached. Is `tailrace serve` running?", {
      status: 0,
    });
  }
}

async function refusal(reply) {
  const text = await reply.text().catch(() => "");
  const about = { status: reply.status, retryAfter: reply.headers.get("Retry-After") };
  try {
    return reported(JSON.parse(text).error, about);
  } catch {
    return new GatewayError(
      text.slice(0, MAX_ERROR_CHARACTERS).trim() || reply.statusText || "No reason was given.",
      about,
    );
  }
}

function reported(error, about) {
  const {
    message,
    type = null,
    code = null,
  } = typeof error === "string" ? { message: error } : error;
  return new GatewayError(String(message ?? "No reason was given."), { ...about, type, code });
}

async function* events(reply, signal) {
  try {
    yield* eventsOf(reply.body);
  } catch (error) {
    if (signal?.aborted || error instanceof GatewayError) throw error;
    throw new GatewayError(
      error instanceof RangeError ? error.message : "The connection to the gateway broke off.",
    );
  }
}

function parsed(data) {
  try {
    return JSON.parse(data);
  } catch {
    throw new GatewayError("The gateway sent something that is not JSON.");
  }
}

function parts(record) {
  if (record.error) throw reported(record.error, {});
  return partsOf(record);
}
