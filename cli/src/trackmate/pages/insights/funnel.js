/*
The funnel: its steps are chosen here, and each shows how many people came so far.
*/

import { byId, element } from '../console/element.js';
import { count, delay } from '../console/words.js';
import { change, fill, now } from './asked.js';

const MOST_STEPS = 8;
const LEAST_STEPS = 2;

let names = [];
let lines = [];
let shownFor = '';

export function startFunnel() {
  byId('add-step').addEventListener('click', () => change({ steps: [...chosen(), ''] }));
}

/** The steps that are chosen, empty ones too. */
const chosen = () => {
  const { steps } = now();
  return [...steps, ...Array(Math.max(0, LEAST_STEPS - steps.length)).fill('')];
};

/** The steps to ask the server for; null where there are too few. */
export function askedSteps() {
  const steps = chosen().filter(Boolean);
  return steps.length >= LEAST_STEPS ? steps : null;
}

/** `found`: what the server answered to `askedSteps`, null where nothing was asked. */
export function showFunnel(known, found) {
  names = known;
  showLines();
  const answers = found ? [...found.steps] : [];
  chosen().forEach((step, index) => showFigures(lines[index], step ? answers.shift() : undefined));
  byId('funnel-words').textContent = found ? inWords(found.steps) : 'Choose two events or more.';
}

function showLines() {
  const steps = chosen();
  const showing = JSON.stringify([steps, names]);
  byId('add-step').disabled = steps.length >= MOST_STEPS;
  if (showing === shownFor) return;
  shownFor = showing;
  const had = lines.findIndex((one) => one.contains(document.activeElement));
  lines = steps.map((step, index) => stepLine(step, index, steps));
  byId('steps').replaceChildren(...lines);
  if (had >= 0) lines[Math.min(had, lines.length - 1)].querySelector('select').focus();
}

function stepLine(step, index, steps) {
  const select = element('select', { 'aria-label': `Step ${index + 1}` });
  fill(select, names, step, 'Choose an event');
  select.addEventListener('change', () => change({ steps: chosen().with(index, select.value) }));
  const remove = element('button', {
    type: 'button', class: 'remove', 'aria-label': `Remove step ${index + 1}`,
    disabled: steps.length <= LEAST_STEPS && !step,
  }, '×');
  remove.addEventListener('click', () => change({ steps: chosen().filter((_, at) => at !== index) }));
  return element(
    'li', { class: 'step' },
    element('span', { class: 'place' }, String(index + 1)),
    select,
    element('span', { class: 'bar', 'aria-hidden': 'true' }),
    element('span', { class: 'figures' }),
    remove,
  );
}

function showFigures(line, found) {
  const share = found?.conversion ?? 0;
  line.querySelector('.bar').style.setProperty('--share', `${share * 100}%`);
  line.querySelector('.figures').replaceChildren(...(found ? figures(found, share) : []));
}

const figures = ({ people, median_s: median }, share) => [
  element('strong', {}, `${people === 1 ? '1 person' : `${count(people)} people`} · ${percent(share)}`),
  element('span', { class: 'quiet' }, median === null ? '' : `half of them after ${delay(median)}`),
];

const percent = (share) => `${(share * 100).toFixed(share < 0.1 && share > 0 ? 1 : 0)} %`;

function inWords(steps) {
  const last = steps.at(-1);
  return `${percent(last.conversion ?? 0)} of those who begin come to the end.`;
}
