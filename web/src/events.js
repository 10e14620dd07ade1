// Text of a server-sent event stream in, the data of its events out. Where the text was cut never
// changes the data.

export const MAX_EVENT_CHARACTERS = 8 * 2 ** 20;

/**
 * Reads by WHATWG HTML 9.2.6, of which a chat needs the data alone. More than `limit` characters in
 * one event throw.
 */
export class EventReader {
  #limit;
  #line = "";
  #afterReturn = false;
  #data = [];
  #size = 0;

  constructor(limit = MAX_EVENT_CHARACTERS) {
    this.#limit = limit;
  }

  /** @param {string} text @returns {string[]} the data of each event that is now complete */
  feed(text) {
    // The feed of a CRLF may have come in the next read: the return alone has ended the line
    // already.
    const rest = this.#afterReturn && text.startsWith("\n") ? text.slice(1) : text;
    if (text) this.#afterReturn = text.endsWith("\r");
    const [first, ...others] = rest.split(/\r\n|\r|\n/);
    this.#grow(first);
    const complete = [];
    for (const begun of others) {
      this.#end(complete);
      this.#grow(begun);
    }
    return complete;
  }

  #grow(text) {
    this.#size += text.length;
    if (this.#size > this.#limit)
      throw new RangeError(`an event of more than ${this.#limit} characters`);
    this.#line += text;
  }

  #end(complete) {
    const line = this.#line;
    this.#line = "";
    if (line !== "") return this.#field(line);
    if (this.#data.length) complete.push(this.#data.join("\n"));
    this.#data = [];
    this.#size = 0;
  }

  #field(line) {
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    if (name !== "data") {
      this.#size -= line.length;
      return;
    }
    const value = colon < 0 ? "" : line.slice(colon + 1);
    this.#data.push(value.startsWith(" ") ? value.slice(1) : value);
  }
}

/**
 * @param {ReadableStream<Uint8Array>} body @returns {AsyncGenerator<string>} the data of one event
 * after the other
 */
export async function* eventsOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  const events = new EventReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield* events.feed(value);
    }
  } finally {
    // Leaving early closes the connection; after the end, or after a break, there is nothing left
    // to cancel.
    await reader.cancel().catch(() => {});
  }
}
