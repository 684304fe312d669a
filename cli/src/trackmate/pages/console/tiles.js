/*
The page in one line, for somebody who has ten seconds: how many, how late, how wrong.
*/

import { byId, element, whenChanged } from './element.js';
import { count, delay } from './words.js';

export const showTiles = whenChanged(({ ledger, hour }) => {
  const dead = ledger.pipelines.reduce((sum, one) => sum + one.dead, 0);
  byId('tiles').replaceChildren(
    tile('Accepted', count(ledger.accepted)),
    tile('Last hour', count(hour)),
    tile('Furthest behind', furthestBehind(ledger.pipelines)),
    tile('Dead letters', count(dead), dead ? 'bad' : null),
    tile('The books', ledger.balanced ? 'balance' : 'do not balance', ledger.balanced ? 'good' : 'bad'),
  );
});

function furthestBehind(pipelines) {
  const lags = pipelines.map((one) => one.lag_seconds).filter((lag) => typeof lag === 'number');
  return lags.length ? delay(Math.max(...lags)) : '–';
}

function tile(title, value, state = null) {
  return element(
    'div', { class: 'tile', 'data-state': state },
    element('dt', {}, title),
    element('dd', {}, value),
  );
}
