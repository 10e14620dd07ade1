// One plot of the last minutes, redrawn with each record, in the colours of the theme.
import { useEffect, useRef } from "preact/hooks";
import "./locale.js";
import uPlot from "uplot";

import { html } from "../html.js";
import { shown } from "../theme.js";
import { drawn, history } from "./feed.js";

const WINDOW = 300; // seconds
const LEAST = 60; // seconds: what is shown of a time that has only begun
const HEIGHT = 150; // pixels

/**
 * `lines`: [{name, label}], name being a column of the history; `words` makes a figure readable.
 */
export function Plot({ title, lines, words }) {
  const frame = useRef(null);
  const plot = useRef(null);
  const theme = shown.value;
  const version = drawn.value;
  useEffect(() => {
    plot.current = begin(frame.current, lines, words);
    return () => plot.current.end();
  }, [theme]);
  useEffect(() => plot.current.show(), [version]);
  const latest = lines.map(({ name, label }) => ({
    label,
    value: words(history.values[name].at(-1)),
  }));
  return html`<figure class="plot">
    <figcaption>
      <h2>${title}</h2>
      <ul class="legend">
        ${latest.map(({ label, value }, at) => html`<li key=${label}><i class=${`line line-${at}`}></i>${label} <b>${value}</b></li>`)}
      </ul>
    </figcaption>
    <div class="canvas" ref=${frame} role="img"
      aria-label=${`${title}: ${latest.map(({ label, value }) => `${label} ${value}`).join(", ")}`}></div>
  </figure>`;
}

function begin(frame, lines, words) {
  const plot = new uPlot(options(frame, lines, words), data(lines), frame);
  const resized = new ResizeObserver(() =>
    plot.setSize({ width: frame.clientWidth, height: HEIGHT }),
  );
  resized.observe(frame);
  return {
    show: () => plot.setData(data(lines)),
    end: () => (resized.disconnect(), plot.destroy()),
  };
}

function data(lines) {
  return [history.at, ...lines.map(({ name }) => history.values[name])];
}

function options(frame, lines, words) {
  const style = getComputedStyle(frame);
  const colour = (name) => style.getPropertyValue(name).trim();
  const axis = {
    stroke: colour("--faint"),
    font: `11px ${style.fontFamily}`,
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { show: false },
  };
  return {
    width: frame.clientWidth || 300,
    height: HEIGHT,
    legend: { show: false },
    cursor: { show: false },
    padding: [8, 4, 0, 0],
    scales: { x: { range: lastMinutes }, y: { range: fromZero } },
    axes: [
      {
        ...axis,
        grid: { show: false },
        size: 24,
        space: 70,
        values: (_plot, splits) => splits.map(clock),
      },
      {
        ...axis,
        size: room,
        space: 36,
        values: (_plot, splits) => splits.map((value) => words(value)),
      },
    ],
    series: [{}, ...lines.map((_, at) => series(colour, at))],
  };
}

/** 13:45 on the minute, and :15 within it. */
function clock(at) {
  const time = new Date(at * 1000);
  const two = (number) => String(number).padStart(2, "0");
  return time.getSeconds()
    ? `:${two(time.getSeconds())}`
    : `${two(time.getHours())}:${two(time.getMinutes())}`;
}

/** As wide as the widest of its figures, and no wider. */
function room(_plot, values) {
  return 14 + 6.5 * Math.max(0, ...(values ?? []).map((value) => value.length));
}

function series(colour, at) {
  const first = at === 0;
  return {
    stroke: colour(`--line-${at}`),
    width: first ? 2 : 1.5,
    fill: first ? colour("--fill") : undefined,
    points: { show: false },
    spanGaps: false,
  };
}

function lastMinutes() {
  const end = history.at.at(-1) ?? Date.now() / 1000;
  const begin = history.at[0] ?? end;
  return [Math.max(end - WINDOW, Math.min(begin, end - LEAST)), end];
}

/**
 * A plot that has seen nothing yet, or only zeros, still has a scale; none of them pretends that
 * zero is not there.
 */
function fromZero(_plot, _least, most) {
  return [0, most > 0 ? most * 1.15 : 1];
}
