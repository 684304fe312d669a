/*
Whose figures a page shows: the choice in its head, on every page the same.
*/

import { byId, element, whenChanged } from './element.js';

/** `chosen`: the name of one of them, undefined where there is none. */
export const showAffiliates = (affiliates, chosen) =>
  show({ names: affiliates.map(({ name, displayName }) => [name, displayName]), chosen });

const show = whenChanged(({ names, chosen }) => {
  byId('affiliate').replaceChildren(...names.map(([name, displayName]) => element(
    'option', { value: name, selected: name === chosen },
    displayName ? `${displayName} (${name})` : name,
  )));
});
