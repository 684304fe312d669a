/*
What somebody needs to send a first event: the endpoint, the keys, a snippet for a page and a line
for a terminal, each ready to copy.
*/

import { copyButton } from './copy.js';
import { byId, element, whenChanged } from './element.js';

export const showConnect = whenChanged(({ endpoint, keys, snippet, curl }) => {
  byId('connect').replaceChildren(
    element(
      'div', { class: 'connect-part' },
      titled('Endpoint', oneLine(endpoint, 'the endpoint')),
      titled('Keys', element('ul', { class: 'keys' }, ...keys.map(keyItem))),
    ),
    element(
      'div', { class: 'connect-part' },
      titled('Into a web page', codeBlock(snippet, 'the snippet')),
      titled('From a terminal', codeBlock(curl, 'the curl line')),
    ),
  );
});

const NO_KEY = 'No key works for this. trackmate keys create makes one.';

/** A text to copy; null where the affiliate has no key that would make it work. */
export function codeBlock(text, what) {
  if (text === null) return element('p', { class: 'quiet' }, NO_KEY);
  return element(
    'div', { class: 'code' },
    element('pre', { tabindex: '0', 'aria-label': what }, text),
    copyButton(text, { what }),
  );
}

function titled(title, content) {
  return element('div', { class: 'titled' }, element('h3', {}, title), content);
}

function oneLine(text, what) {
  return element('div', { class: 'one-line' }, element('code', {}, text), copyButton(text, { what }));
}

function keyItem({ name, key, use, expires, origins }) {
  return element(
    'li', {},
    element(
      'div', { class: 'key-name' },
      element('strong', {}, name),
      element('span', { class: 'tag' }, use),
      ...(expires ? [element('span', { class: 'tag warn' }, `until ${day(expires)}`)] : []),
    ),
    oneLineKey({ name, key, isSecret: use === 'Server' }),
    element('p', { class: 'quiet' }, whereFrom(use, origins)),
  );
}

const day = (iso) => new Date(iso).toLocaleString('en-GB', { dateStyle: 'medium', timeStyle: 'short' });

function oneLineKey({ name, key, isSecret }) {
  const shown = isSecret ? `${'•'.repeat(12)}${key.slice(-4)}` : key;
  return element(
    'div', { class: 'one-line' },
    element('code', { title: isSecret ? 'A secret: shown in part, copied whole' : null }, shown),
    copyButton(key, { what: `the key ${name}` }),
  );
}

function whereFrom(use, origins) {
  if (use === 'Server') return 'For servers. A secret: never in a page.';
  return origins.length ? `For pages of ${origins.join(', ')}.` : 'For pages of any origin.';
}
