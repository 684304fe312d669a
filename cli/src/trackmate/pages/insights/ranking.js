/*
What came most: a line each, which asks for that alone when it is pressed, and for all again.
*/

import { visible } from '../console/bytes.js';
import { element } from '../console/element.js';
import { count, counted } from '../console/words.js';

/** `top`: {name, events, people}; `pressed(name)` is called with "" to ask for all again. */
export function showRanking(place, { top, chosen, noun }, pressed) {
  if (!top.length) {
    place.replaceChildren(element('p', { class: 'quiet' }, 'Nothing in this time.'));
    return;
  }
  const had = place.querySelector(':focus')?.dataset.name;
  const most = Math.max(...top.map(({ events }) => events));
  const lines = top.map((one) => line(one, { most, noun, isChosen: one.name === chosen, pressed }));
  place.replaceChildren(element('ol', { class: 'ranking' }, ...lines));
  lines.map((one) => one.firstChild).find(({ dataset }) => dataset.name === had)?.focus();
}

function line({ name, events, people }, { most, noun, isChosen, pressed }) {
  const button = element(
    'button',
    {
      type: 'button', 'aria-pressed': String(isChosen), 'data-name': name,
      title: `${counted(events, noun)} of ${people === 1 ? '1 person' : `${count(people)} people`}`,
    },
    element('bdi', { class: 'name' }, ...visible(name)),
    element('span', { class: 'number' }, count(events)),
    element('span', { class: 'number people' }, count(people)),
  );
  button.style.setProperty('--share', `${(events / most) * 100}%`);
  button.addEventListener('click', () => pressed(isChosen ? '' : name));
  return element('li', {}, button);
}
