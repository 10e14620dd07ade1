// Figures, as a person reads them.

export function seconds(value) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0 s";
  if (value < 0.0995) return `${(value * 1000).toFixed(value < 0.00995 ? 1 : 0)} ms`;
  return value < 100
    ? `${value.toFixed(value < 9.995 ? 2 : 1)} s`
    : `${Math.round(value / 60)} min`;
}

export function count(value) {
  return value === null || value === undefined ? "–" : Math.round(value).toLocaleString("en");
}

export function rate(value) {
  if (value === null || value === undefined) return "–";
  return value < 9.95 && !Number.isInteger(value) ? value.toFixed(1) : count(value);
}

/** How long ago, roughly: a verdict of the doctor has no need of seconds. */
export function ago(then, now) {
  const minutes = Math.max(0, (now - then) / 60);
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${Math.floor(minutes)} min ago`;
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h ago`;
  return `${Math.floor(minutes / 1440)} days ago`;
}

/** "HTTP 429 · rate_limit_exceeded": what a failure is, in short. */
export function kind({ status, type, code }) {
  const where = status === 0 ? "no reply" : status === null ? "broke off" : `HTTP ${status}`;
  const what = code ?? type;
  return what ? `${where} · ${what}` : where;
}
