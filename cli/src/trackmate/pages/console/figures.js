/*
The figures of an affiliate: events per minute as a chart, and which events came most.
*/

import { byId, drawing, element, whenChanged } from './element.js';
import { visible } from './bytes.js';
import { count, counted, minute } from './words.js';

const BAR = 10;  // units of the drawing, which stretches to its box
const HEIGHT = 100;
const BASE = 2;  // what a minute with one event shows at least

export const showFigures = whenChanged(({ minutes, top }) => {
  byId('minutes-total').textContent = `${counted(eventsOf({ minutes }), 'event')} in the last hour`;
  byId('minutes').replaceChildren(...chart(minutes));
  byId('frequent').replaceChildren(
    top.length ? frequent(top) : element('p', { class: 'quiet' }, 'Nothing yet.'),
  );
});

export const eventsOf = ({ minutes }) => minutes.reduce((sum, one) => sum + one.events, 0);

function chart(minutes) {
  if (!minutes.length) return [element('p', { class: 'quiet' }, 'Nothing yet.')];
  const peak = minutes.reduce((most, one) => (one.events > most.events ? one : most));
  return [
    element('p', { class: 'quiet' }, highest(peak)),
    drawing(
      'svg',
      {
        class: 'chart', role: 'img', preserveAspectRatio: 'none',
        viewBox: `0 0 ${minutes.length * BAR} ${HEIGHT}`,
        'aria-label': `Events per minute. ${described(minutes, peak)}`,
      },
      ...minutes.map((one, index) => bar(one, { index, peak: peak.events })),
    ),
    element(
      'div', { class: 'chart-times quiet', 'aria-hidden': 'true' },
      element('span', {}, minute(minutes[0].minute_ms)),
      element('span', {}, minute(minutes[Math.floor(minutes.length / 2)].minute_ms)),
      element('span', {}, 'now'),
    ),
  ];
}

const highest = ({ minute_ms: at, events }) =>
  (events ? `Most: ${count(events)} at ${minute(at)}` : 'None in this hour');

function described(minutes, peak) {
  const now = minutes[minutes.length - 1].events;
  if (!peak.events) return 'None in the last hour.';
  return `This minute ${count(now)}, at most ${count(peak.events)} at ${minute(peak.minute_ms)}.`;
}

function bar({ minute_ms: at, events }, { index, peak }) {
  const height = events ? Math.max(BASE, (events / peak) * HEIGHT) : 0;
  return drawing(
    'g', {},
    drawing('title', {}, `${minute(at)}: ${counted(events, 'event')}`),
    drawing('rect', { class: 'hit', x: index * BAR, y: 0, width: BAR, height: HEIGHT }),
    drawing('rect', { class: 'bar', x: index * BAR + 1.5, y: HEIGHT - height, width: BAR - 3, height }),
  );
}

function frequent(top) {
  const most = Math.max(...top.map((one) => one.events));
  return element('ol', { class: 'frequent' }, ...top.map((one) => frequentItem(one, most)));
}

function frequentItem({ name, events }, most) {
  const item = element(
    'li', {},
    element('bdi', { class: 'frequent-name' }, ...visible(name)),
    element('span', { class: 'number' }, count(events)),
  );
  item.style.setProperty('--share', `${(events / most) * 100}%`);
  return item;
}
