/*
What the server says of the YAML it watches: faults first and loud, notices quiet.
*/

import { byId, element, whenChanged } from './element.js';
import { counted } from './words.js';

export const showFaults = whenChanged((faults) => {
  byId('faults').hidden = faults.length === 0;
  byId('faults').replaceChildren(
    element('h2', {}, `${counted(faults.length, 'fault')} in the manifests`),
    element('ul', {}, ...faults.map(faultItem)),
  );
});

function faultItem({ file, line, path, message }) {
  return element(
    'li', {},
    element('code', { class: 'place' }, line === null ? file : `${file}:${line}`),
    ' ',
    ...(path ? [element('code', {}, path), ' '] : []),
    element('span', {}, message),
  );
}

export const showNotices = whenChanged((notices) => {
  byId('notices').hidden = notices.length === 0;
  byId('notices').replaceChildren(...notices.map((notice) => element('li', {}, notice)));
});
