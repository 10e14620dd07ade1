// The last minutes of the gateway's figures, a column each, as the plots take them.

export const KEPT = 600; // records: ten minutes
const LONGEST_GAP = 5; // seconds between two records over which a line is drawn

/** Name of a column, and where a record has it. */
export const COLUMNS = {
  open: (record) => record.open_streams,
  rate: (record) => record.deltas_per_second,
  first50: (record) => record.first_delta?.p50,
  first95: (record) => record.first_delta?.p95,
  first99: (record) => record.first_delta?.p99,
  gap50: (record) => record.gap?.p50,
  gap95: (record) => record.gap?.p95,
  gap99: (record) => record.gap?.p99,
};

export class History {
  #columns;

  constructor(columns, kept = KEPT) {
    this.#columns = columns;
    this.kept = kept;
    this.at = [];
    this.values = Object.fromEntries(Object.keys(columns).map((name) => [name, []]));
  }

  /** The gateway's own last minutes in place of what was seen of them, with no gap in it. */
  begin(records) {
    if (records.length === 0) return;
    this.#cut(this.at.findIndex((at) => at >= records[0].at));
    if (records[0].at - this.at.at(-1) > LONGEST_GAP) this.interrupt();
    for (const record of records) this.add(record);
  }

  add(record) {
    // A gateway whose clock was set back begins anew: a plot's time runs one way.
    if (record.at <= this.at.at(-1)) this.#cut(0);
    this.#push(record.at, (column) => column(record) ?? null);
  }

  /** Nobody looked for a while: no line is drawn over what was not seen. */
  interrupt() {
    const last = this.at.at(-1);
    const seen = Object.values(this.values).some((values) => (values.at(-1) ?? null) !== null);
    if (last !== undefined && seen) this.#push(last + 1e-3, () => null);
  }

  #push(at, valueOf) {
    this.at.push(at);
    for (const [name, column] of Object.entries(this.#columns))
      this.values[name].push(valueOf(column));
    if (this.at.length <= this.kept) return;
    for (const values of [this.at, ...Object.values(this.values)]) values.shift();
  }

  #cut(length) {
    if (length < 0) return;
    for (const values of [this.at, ...Object.values(this.values)]) values.length = length;
  }
}
