/*
The live list: the newest events first, at most `CAPACITY`, redrawn once a frame however many come.
While it is paused, events wait and are counted.
*/

import { asText, fromBase64, nameOf, visible } from './bytes.js';
import { byId, element } from './element.js';
import { count, counted, millisecond, size } from './words.js';

const CAPACITY = 500;
const NAME_SHOWN = 200;  // characters; a name may be as long as an event

let entries = [];  // newest first: {row, searched, place}
let arrivals = [];  // what the next frame draws, oldest first
let waiting = 0;  // arrivals since the last drawing, those beyond CAPACITY too
let known = new Set();  // places in the list, as a stream opened again may repeat itself
let paused = false;
let frame = null;
let tabStop = null;  // the one row that Tab reaches; arrow keys reach the others
let choose = () => {};

/** Starts the list; `chosen(record, row)` is called for the row somebody opens. */
export function startLive(chosen) {
  choose = chosen;
  byId('pause').addEventListener('click', () => setPaused(!paused));
  byId('filter').addEventListener('input', filter);
  byId('rows').addEventListener('keydown', moveFocus);
}

export function clearLive() {
  entries = [];
  arrivals = [];
  waiting = 0;
  known = new Set();
  byId('rows').replaceChildren();
  setPaused(false);
}

export const addEvent = (record) => arrive({ record });

/** Says in the list itself that events are not in it: an engineer must not read it as complete. */
export const addGap = (sentence) => arrive({ sentence });

function arrive(arrival) {
  arrivals.push(arrival);
  if (arrivals.length > CAPACITY) arrivals.shift();
  if (arrival.record) waiting += 1;
  frame ??= requestAnimationFrame(draw);
}

function setPaused(now) {
  paused = now;
  byId('pause').setAttribute('aria-pressed', String(paused));
  draw();
}

function draw() {
  cancelAnimationFrame(frame);
  frame = null;
  if (!paused) drawArrivals();
  byId('pause').textContent = paused ? `Resume (${count(waiting)} waiting)` : 'Pause';
  showCounts();
}

function drawArrivals() {
  const fresh = arrivals.map(entry).filter(isNew).reverse();
  arrivals = [];
  waiting = 0;
  entries = [...fresh, ...entries];
  entries.splice(CAPACITY).forEach(({ row }) => row.remove());
  known = new Set(entries.map(({ place }) => place));
  fresh.forEach(fit);
  byId('rows').prepend(...fresh.filter((one) => known.has(one.place)).map(({ row }) => row));
  keepTabStop();
}

/** Whether this place was not seen before, which from now on it was. */
function isNew({ place }) {
  const seen = known.has(place);
  known.add(place);
  return !seen;
}

function entry({ record, sentence }) {
  return record ? eventEntry(record) : gapEntry(sentence);
}

function gapEntry(sentence) {
  return { row: element('li', { class: 'gap' }, sentence), searched: null, place: Symbol(sentence) };
}

function eventEntry(record) {
  const text = asText(fromBase64(record.base64));
  return {
    row: eventRow(record, { name: text === null ? null : nameOf(text), isText: text !== null }),
    searched: `${text ?? atob(record.base64)}\n${record.id}`.toLowerCase(),
    place: [record.stream, record.partition, record.offset, record.received, record.id].join('/'),
  };
}

function eventRow(record, { name, isText }) {
  const button = element(
    'button', { type: 'button', class: 'row', tabindex: '-1' },
    element('time', { datetime: new Date(record.received).toISOString() }, millisecond(record.received)),
    nameCell(name ?? record.type, isText),
    element('bdi', { class: 'stream' }, record.stream),
    element('bdi', { class: 'id' }, ...visible(record.id)),
    element('span', { class: 'number' }, size(record.size)),
  );
  button.addEventListener('click', () => choose(record, button));
  return element('li', {}, button);
}

function nameCell(name, isText) {
  if (name) return element('bdi', { class: 'event-name' }, ...visible(name.slice(0, NAME_SHOWN)));
  return element('i', { class: 'event-name' }, isText ? 'no name' : 'not text');
}

function filter() {
  entries.forEach(fit);
  keepTabStop();
  showCounts();
}

function fit({ row, searched }) {
  const wanted = byId('filter').value.toLowerCase();
  row.hidden = searched !== null && !searched.includes(wanted);
}

function showCounts() {
  const events = entries.filter(({ searched }) => searched !== null);
  const shown = events.filter(({ row }) => !row.hidden).length;
  byId('shown').textContent = counts(shown, events.length);
  byId('columns-head').hidden = shown === 0;
  byId('empty').hidden = events.length > 0;
}

function counts(shown, all) {
  if (all === 0) return '';
  if (shown < all) return `${count(shown)} of ${counted(all, 'event')} contain it`;
  return all === CAPACITY ? `the newest ${count(CAPACITY)}` : counted(all, 'event');
}

const visibleRows = () => [...byId('rows').querySelectorAll('li:not([hidden]) > button')];

function keepTabStop() {
  if (tabStop?.isConnected && tabStop === document.activeElement) return;
  setTabStop(byId('rows').querySelector('li:not([hidden]) > button'));
}

function setTabStop(row) {
  if (tabStop) tabStop.tabIndex = -1;
  tabStop = row;
  if (tabStop) tabStop.tabIndex = 0;
}

const STEPS = { ArrowDown: (at) => at + 1, ArrowUp: (at) => at - 1, Home: () => 0, End: () => Infinity };

function moveFocus(event) {
  const step = STEPS[event.key];
  if (!step) return;
  event.preventDefault();
  const rows = visibleRows();
  const next = Math.max(0, Math.min(rows.length - 1, step(rows.indexOf(document.activeElement))));
  setTabStop(rows[next]);
  rows[next]?.focus();
}
