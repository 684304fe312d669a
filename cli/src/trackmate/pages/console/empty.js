/*
What stands where no event is yet: the one thing to do first.
*/

import { codeBlock } from './connect.js';
import { byId, element, whenChanged } from './element.js';
import { counted } from './words.js';

const FIRST = 'Paste this line into a terminal. The event appears here at once.';

export const showEmpty = whenChanged((affiliate) => {
  byId('empty').replaceChildren(...(affiliate ? firstEvent(affiliate) : firstAffiliate()));
});

function firstEvent({ accepted, curl }) {
  return [
    element('h3', {}, accepted ? 'Waiting for the next event' : 'No event yet'),
    element('p', {}, accepted ? since(accepted) : FIRST),
    codeBlock(curl, 'the curl line to try'),
    element(
      'p', { class: 'quiet' },
      'Or click through the ', element('a', { href: '/demo' }, 'demo shop'),
      ' and watch its events arrive here.',
    ),
  ];
}

const since = (accepted) =>
  `${counted(accepted, 'event')} came before this page was opened. This line sends one more:`;

function firstAffiliate() {
  return [
    element('h3', {}, 'No affiliate yet'),
    element('p', {}, 'Put an Affiliate into the folder that trackmate dev watches. This begins one:'),
    codeBlock('trackmate init acme', 'the command'),
  ];
}
