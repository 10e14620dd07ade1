// The answer for those who listen: whole sentences, one announcement every few seconds, and how it
// ended.

const EVERY = 4000; // milliseconds: a listener hears one announcement out before the next one comes
const MOST = 600; // characters in one announcement: the rest can be read in the page

/** Speaks through `element`, a polite live region. */
export class Announcer {
  #element;
  #said = 0;
  #next = 0;
  #thinks = false;

  constructor(element) {
    this.#element = element;
  }

  begin(now) {
    this.#said = 0;
    this.#next = now + EVERY;
    this.#thinks = false;
    this.#say("Answering.");
  }

  /** That the model thinks is said once. */
  think() {
    if (!this.#thinks) this.#say("Thinking.");
    this.#thinks = true;
  }

  /** @param {string} text the answer so far @param {number} now milliseconds */
  grow(text, now) {
    if (now < this.#next) return;
    const end = sentenceEnd(text, this.#said);
    if (end <= this.#said) return;
    this.#say(shortened(text.slice(this.#said, end)));
    this.#said = end;
    this.#next = now + EVERY;
  }

  end(text, ending) {
    this.#say(`${shortened(text.slice(this.#said))} ${ending}`);
    this.#said = text.length;
  }

  #say(text) {
    this.#element.textContent = text.trim();
  }
}

/** Where the last whole sentence or line after `from` ends; `from` where none does. */
export function sentenceEnd(text, from) {
  const ends = [...text.slice(from).matchAll(/[.!?…。！？]["”')\]]*\s|\n/g)];
  const last = ends.at(-1);
  return last ? from + last.index + last[0].length : from;
}

function shortened(text) {
  return text.length <= MOST ? text : `${text.slice(0, MOST)} …`;
}
