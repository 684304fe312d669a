/*
The books: what was accepted, and where each pipeline says it went. The server gives the verdict;
this page puts it in words and names what is missing.
*/

import { visible } from './bytes.js';
import { byId, element, whenChanged } from './element.js';
import { count, counted, delay } from './words.js';

const SETTLED = ['delivered', 'duplicates', 'conflicts', 'filtered', 'dead', 'expired'];
const COLUMNS = [...SETTLED, 'in_flight', 'documents', 'lag_seconds'];
const TITLES = { in_flight: 'in flight', lag_seconds: 'behind' };
const ALARMING = new Set(['conflicts', 'dead', 'expired']);

export const showLedger = whenChanged((ledger) => {
  byId('accepted').textContent = `${counted(ledger.accepted, 'event')} accepted`;
  showVerdict(ledger);
  showFaults(ledger);
  byId('ledger').replaceChildren(
    ledger.pipelines.length
      ? table(ledger.pipelines, columnsOf(ledger))
      : element('p', { class: 'quiet' }, 'No pipeline reads these events yet.'),
  );
});

/** What was accepted for a pipeline, which may begin late or read one stream of many. */
const acceptedFor = (pipeline, { accepted }) => pipeline.accepted ?? accepted;

const columnsOf = (ledger) =>
  (ledger.pipelines.some((one) => acceptedFor(one, ledger) !== ledger.accepted)
    ? ['accepted', ...COLUMNS] : COLUMNS);

function showVerdict(ledger) {
  const sentences = ledger.balanced ? [balanced(ledger)] : imbalances(ledger);
  byId('verdict').dataset.balanced = ledger.balanced;
  byId('verdict').textContent = sentences.join(' ');
  announce(ledger.balanced);
}

/** Aloud only when the verdict turns: the figures in it change with every event. */
const announce = whenChanged((isBalanced) => {
  byId('said').textContent = isBalanced ? 'The books balance.' : 'The books do not balance.';
});

function balanced({ accepted }) {
  if (accepted === 0) return 'The books balance: nothing accepted yet, nothing owed.';
  if (accepted === 1) return 'The books balance: the one accepted event is accounted for.';
  return `The books balance: all ${count(accepted)} accepted events are accounted for.`;
}

function imbalances(ledger) {
  const sentences = ledger.pipelines
    .map((pipeline) => imbalance(pipeline, acceptedFor(pipeline, ledger))).filter(Boolean);
  if (!sentences.length) sentences.push('Each row adds up, but the server’s own count does not.');
  return ['The books do not balance.', ...sentences];
}

function showFaults({ faults }) {
  byId('ledger-faults').hidden = faults.length === 0;
  byId('ledger-faults').replaceChildren(...faults.map((fault) =>
    element('li', {}, 'The server says: ', element('bdi', {}, ...visible(fault)))));
}

function imbalance(pipeline, accepted) {
  const accounted = SETTLED.reduce((sum, field) => sum + pipeline[field], pipeline.in_flight);
  const missing = accepted - accounted;
  if (missing === 0) return null;
  const what = missing > 0
    ? `${counted(missing, 'event')} missing`
    : `${counted(-missing, 'event')} too many`;
  return `${pipeline.name}: ${what} (${count(accepted)} accepted, ${count(accounted)} accounted for).`;
}

function table(pipelines, columns) {
  return element(
    'table', { class: 'ledger' },
    element('thead', {}, element(
      'tr', {},
      element('th', { scope: 'col' }, 'pipeline'),
      ...columns.map((field) => element('th', { scope: 'col', class: 'number' }, title(field))),
    )),
    element('tbody', {}, ...pipelines.map((pipeline) => row(pipeline, columns))),
  );
}

function row(pipeline, columns) {
  return element(
    'tr', {},
    element('th', { scope: 'row' }, pipeline.name),
    ...columns.map((field) => cell(field, pipeline[field])),
  );
}

function cell(field, value) {
  const alarming = ALARMING.has(field) && value > 0;
  const shown = field === 'lag_seconds' ? delay(value) : count(value);
  const look = `number${alarming ? ' alarming' : ''}${value === 0 ? ' zero' : ''}`;
  return element('td', { class: look, 'data-title': title(field) }, shown);
}

const title = (field) => TITLES[field] ?? field;
