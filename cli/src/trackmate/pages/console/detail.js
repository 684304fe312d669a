/*
One event, whole: its exact bytes first, a pretty view that says it is not the bytes, the SHA-256
(reckoned again here, so that the page can be wrong aloud), and what the platform wrote beside it.
*/

import { asText, fromBase64, hexDump, nameOf, sha256, visible } from './bytes.js';
import { copyButton } from './copy.js';
import { byId, element } from './element.js';
import { pretty } from './pretty.js';
import { tabs } from './tabs.js';
import { millisecond, size } from './words.js';

const NOT_THE_BYTES = 'Pretty, not the bytes: spaces and line breaks are the console’s.';
const DRAWN = 200_000;  // characters; copying always takes all

const narrow = matchMedia('(max-width: 60rem)');
let openedFrom = null;

export function startDetail() {
  const dialog = byId('detail');
  dialog.addEventListener('close', () => {
    openedFrom?.removeAttribute('aria-current');
    openedFrom?.focus();
  });
  document.addEventListener('keydown', ({ key }) => {
    if (key === 'Escape' && dialog.open) dialog.close();
  });
}

/** Beside the list where there is room for both, over it on a phone. */
export function showDetail(record, row) {
  const dialog = byId('detail');
  openedFrom?.removeAttribute('aria-current');
  openedFrom = row;
  row.setAttribute('aria-current', 'true');
  dialog.replaceChildren(...content(record));
  if (!dialog.open) dialog[narrow.matches ? 'showModal' : 'show']();
  dialog.querySelector('.close').focus();
}

export function closeDetail() {
  openedFrom = null;
  byId('detail').close();
}

function content(record) {
  const text = asText(fromBase64(record.base64));
  const name = (text === null ? null : nameOf(text)) ?? record.type ?? 'Event';
  return [
    element(
      'div', { class: 'card-head' },
      element('h2', { id: 'detail-title' }, element('bdi', {}, ...visible(name))),
      closeButton(),
    ),
    ...bytesView(record),
    element('h3', {}, 'Record'),
    facts(record),
  ];
}

/** Nodes for the bytes of a record: views of them, copy buttons, and their SHA-256. */
export function bytesView(record) {
  const bytes = fromBase64(record.base64);
  const text = asText(bytes);
  return [
    ...tabs(
      [
        { title: 'Exact bytes', panel: exactPanel(bytes, text) },
        { title: 'Pretty', panel: prettyPanel(text) },
      ],
      'Views of the event',
    ),
    element(
      'div', { class: 'buttons' },
      text === null
        ? copyButton(hexDump(bytes), { what: 'the bytes as hex', label: 'Copy hex' })
        : copyButton(text, { what: 'the text of the event', label: 'Copy text' }),
      copyButton(record.base64, { what: 'the bytes as Base64', label: 'Copy Base64' }),
    ),
    element('h3', {}, 'SHA-256'),
    digest(record, bytes),
  ];
}

function closeButton() {
  const button = element('button', { type: 'button', class: 'close' }, 'Close');
  button.addEventListener('click', () => byId('detail').close());
  return button;
}

function exactPanel(bytes, text) {
  const says = text === null
    ? `${size(bytes.length)}, not UTF-8, so shown as hex.`
    : `${size(bytes.length)}, exactly as sent. Invisible characters are marked.`;
  const nodes = text === null ? [clipped(hexDump(bytes))] : visible(clipped(text));
  return [element('p', { class: 'quiet' }, says), sheet('Exact bytes', nodes)];
}

function prettyPanel(text) {
  const nodes = text === null || text.length > DRAWN ? null : pretty(text);
  if (!nodes) return [element('p', { class: 'quiet' }, 'No pretty view: not JSON, or too long.')];
  return [
    element('p', { class: 'not-the-bytes' }, NOT_THE_BYTES),
    sheet('Pretty view', nodes),
  ];
}

const sheet = (label, nodes) =>
  element('pre', { class: 'sheet', tabindex: '0', 'aria-label': label, dir: 'ltr' }, ...nodes);

function clipped(text) {
  if (text.length <= DRAWN) return text;
  return `${text.slice(0, DRAWN)}\n… ${text.length - DRAWN} more characters; Copy takes all.`;
}

function digest(record, bytes) {
  const state = element('p', { class: 'digest-state', role: 'status' });
  sha256(bytes).then((reckoned) => {
    if (reckoned === null) return;
    const same = reckoned === record.sha256;
    state.dataset.state = same ? 'good' : 'bad';
    state.textContent = same
      ? 'It is that of the bytes shown, reckoned again in this browser.'
      : `It is NOT that of the bytes shown: they have ${reckoned}.`;
  });
  return element(
    'div', {},
    element(
      'div', { class: 'one-line' },
      element('code', {}, record.sha256),
      copyButton(record.sha256, { what: 'the SHA-256' }),
    ),
    state,
  );
}

function facts(record) {
  const rows = [
    ['Stream', record.stream],
    ['Partition', String(record.partition)],
    ['Offset', String(record.offset)],
    ['tm-id', record.id],
    ['tm-received', `${record.received} (${millisecond(record.received)} here)`],
    ['tm-key', record.key],
    ['tm-type', record.type],
  ];
  const present = rows.filter(([, value]) => value !== null && value !== undefined);
  return element('dl', { class: 'facts' }, ...present.flatMap(fact));
}

const fact = ([title, value]) => [element('dt', {}, title), element('dd', {}, ...visible(value))];
