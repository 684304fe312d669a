/*
What is asked: kept in the address, so that a link shows the same figures, and shown in the form.
*/

import { byId, element, whenChanged } from '../console/element.js';

const DEFAULTS = { range: '1d', within: '7d' };
const FIELDS = ['range', 'from', 'to', 'event', 'page', 'stream', 'within'];
const HOUR_MS = 3_600_000;
const LENGTHS_MS = { '1h': HOUR_MS, '1d': 24 * HOUR_MS, '7d': 168 * HOUR_MS, '30d': 720 * HOUR_MS };

let asked = fromAddress();

function fromAddress() {
  const given = new URLSearchParams(location.search);
  const fields = FIELDS.map((name) => [name, given.get(name) ?? DEFAULTS[name] ?? '']);
  return {
    ...Object.fromEntries(fields), affiliate: given.get('affiliate') ?? '', steps: given.getAll('step'),
  };
}

export const now = () => asked;

/** Ask for something else; says so to whom `startAsked` was told of. */
export function change(changes) {
  asked = { ...asked, ...changes };
  const { steps, ...fields } = asked;
  const kept = Object.entries(fields).filter(([name, value]) => value && value !== DEFAULTS[name]);
  const address = new URLSearchParams([...kept, ...steps.map((step) => ['step', step])]);
  history.replaceState(null, '', `${location.pathname}?${address}`);
  show();
  changed();
}

/** The time that is asked for, {from, to} as the server takes them; or {fault: a sentence}. */
export function times() {
  if (asked.range !== 'own') {
    const length = LENGTHS_MS[asked.range] ?? LENGTHS_MS[DEFAULTS.range];
    const to = Date.now() + 1;
    return { from: new Date(to - length).toISOString(), to: new Date(to).toISOString() };
  }
  const [from, to] = [new Date(asked.from), new Date(asked.to)];
  if (Number.isNaN(from.valueOf()) || Number.isNaN(to.valueOf())) {
    return { fault: 'Say from when to when.' };
  }
  if (from >= to) return { fault: '“From” is not before “To”: exchange them.' };
  return { from: from.toISOString(), to: to.toISOString() };
}

let changed = () => {};

export function startAsked(whenAsked) {
  changed = whenAsked;
  for (const name of FIELDS) {
    byId(name).addEventListener('change', ({ target }) => change({ [name]: target.value }));
  }
  byId('affiliate').addEventListener('change', ({ target }) =>
    change({ affiliate: target.value, event: '', page: '', stream: '', steps: [] }));
  byId('asked').addEventListener('submit', (event) => event.preventDefault());
  show();
}

function show() {
  for (const name of ['range', 'from', 'to', 'within']) byId(name).value = asked[name];
  for (const own of document.querySelectorAll('.own')) own.hidden = asked.range !== 'own';
  byId('to-console').href = asked.affiliate ? `/#${encodeURIComponent(asked.affiliate)}` : '/';
}

/** What can be chosen of events, pages and streams; what is asked for is always among it. */
export const showChoices = (choices) => Object.entries(choices).forEach(([name, values]) =>
  shownChoices[name]({ values, chosen: asked[name] }));

const choicesOf = (name) =>
  [name, whenChanged(({ values, chosen }) => fill(byId(name), values, chosen, 'All'))];
const shownChoices = Object.fromEntries(['event', 'page', 'stream'].map(choicesOf));

export function fill(select, values, chosen, none) {
  const listed = chosen && !values.includes(chosen) ? [chosen, ...values] : values;
  select.replaceChildren(
    element('option', { value: '' }, none),
    ...listed.map((value) => element('option', { value, selected: value === chosen }, value)),
  );
}
