/*
Views of one thing, one at a time: a tab list that arrow keys walk, as screen readers expect it.
*/

import { element } from './element.js';

let made = 0;  // tab lists, so that each panel has an id of its own

/** Nodes for `parts`, each {title, panel: nodes}; the first is shown. */
export function tabs(parts, label) {
  made += 1;
  const ids = parts.map((_, index) => `panel-${made}-${index}`);
  const panels = parts.map((part, index) => panelOf(part, ids[index]));
  const buttons = parts.map(({ title }, index) =>
    element('button', { type: 'button', role: 'tab', 'aria-controls': ids[index] }, title));
  const select = (chosen) => buttons.forEach((button, index) => {
    button.setAttribute('aria-selected', String(index === chosen));
    button.tabIndex = index === chosen ? 0 : -1;
    panels[index].hidden = index !== chosen;
  });
  buttons.forEach((button, index) => {
    button.addEventListener('click', () => select(index));
    button.addEventListener('keydown', ({ key }) => {
      const next = (index + STEPS[key] + buttons.length) % buttons.length;
      if (Number.isNaN(next)) return;  // no arrow key
      select(next);
      buttons[next].focus();
    });
  });
  select(0);
  const list = element('div', { role: 'tablist', class: 'tabs', 'aria-label': label }, ...buttons);
  return [list, ...panels];
}

const STEPS = { ArrowLeft: -1, ArrowRight: 1 };

const panelOf = ({ title, panel }, id) =>
  element('div', { role: 'tabpanel', id, 'aria-label': title }, ...panel);
