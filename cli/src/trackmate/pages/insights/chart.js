/*
Events and people over time, as lines of uPlot (`vendor/uplot`).
*/

/* global uPlot */

import { byId } from '../console/element.js';
import { count, counted, dateTime, minute } from '../console/words.js';

const HEIGHT = 250;
const FEW = 3;  // parts of the time: their line would hardly be seen

let plot = null;
let drawn = [[], [], []];

/** `counts`: {start, events, people} of each part of the time, by `every` minute, hour or day. */
export function showOverTime({ every, counts }) {
  byId('every').textContent = `by the ${every}`;
  byId('time-words').textContent = described(counts);
  drawn = [
    counts.map(({ start }) => Date.parse(start) / 1000),
    counts.map(({ events }) => events),
    counts.map(({ people }) => people),
  ];
  if (plot) plot.setData(drawn);
  else draw();
}

function described(counts) {
  if (!counts.length) return 'Nothing.';
  const most = counts.reduce((best, one) => (one.events > best.events ? one : best));
  return `At most ${counted(most.events, 'event')}, from ${dateTime(Date.parse(most.start))} on.`;
}

function draw() {
  plot?.destroy();
  plot = new uPlot(options(), drawn, byId('time'));
}

function options() {
  const colour = (name) => getComputedStyle(document.body).getPropertyValue(name).trim();
  const axis = {
    stroke: colour('--quiet'), grid: { stroke: colour('--line'), width: 1 },
    ticks: { stroke: colour('--line'), width: 1 },
  };
  const points = { show: (_, series, first, last) => last - first < FEW };
  const value = (_, shown) => (shown === null || shown === undefined ? '–' : count(shown));
  return {
    width: width(),
    height: HEIGHT,
    scales: { y: { range: (_, least, most) => [0, Math.max(1, most) * 1.05] } },
    axes: [{ ...axis, values: (_, ticks) => ticks.map(moment) }, { ...axis, size: 64, values: (_, ticks) => ticks.map(whole) }],
    series: [
      { value: (_, at) => (at === null ? '–' : dateTime(at * 1000)) },
      { label: 'Events', stroke: colour('--accent'), width: 2, fill: colour('--accent-ground'), points, value },
      { label: 'People', stroke: colour('--warn'), width: 2, points, value },
    ],
    cursor: { drag: { x: false, y: false } },
  };
}

/** Half an event is no mark of an axis. */
const whole = (tick) => (Number.isInteger(tick) ? count(tick) : '');

/** The hour, at midnight the day, and at the turn of a year the year. */
function moment(seconds) {
  const time = new Date(seconds * 1000);
  if (time.getHours() || time.getMinutes()) return minute(time);
  if (time.getMonth() === 0 && time.getDate() === 1) return String(time.getFullYear());
  return time.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' });
}

const width = () => Math.max(200, byId('time').clientWidth);

new ResizeObserver(() => plot?.setSize({ width: width(), height: HEIGHT })).observe(byId('time'));
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => plot && draw());
