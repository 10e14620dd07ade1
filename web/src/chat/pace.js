// When to draw an answer that grows: soon, yet with most of the time left for everything else,
// however long drawing takes.

const SOONEST = 40; // milliseconds
const LATEST = 2000;
const SHARE = 6; // of the time one drawing takes, before the next one

export class Pace {
  #draw;
  #cost;
  #later;
  #timer = null;

  /**
   * `draw` draws; `cost` says how many milliseconds that took the last time; `later` is the
   * clock's.
   */
  constructor(draw, cost, later = (action, wait) => setTimeout(action, wait)) {
    this.#draw = draw;
    this.#cost = cost;
    this.#later = later;
  }

  grown() {
    if (this.#timer !== null) return;
    const wait = Math.min(LATEST, Math.max(SOONEST, SHARE * this.#cost()));
    this.#timer = this.#later(() => {
      this.#timer = null;
      this.#draw();
    }, wait);
  }

  ended() {
    clearTimeout(this.#timer);
    this.#draw();
  }
}
