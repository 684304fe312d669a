/*
The dead letters of one pipeline: why each was put aside, where it came from, its original bytes,
and a button that sends it again. What became of that is told by the questions of every two seconds.
*/

import { bytesView } from './detail.js';
import { visible } from './bytes.js';
import { byId, element } from './element.js';
import { reasonWords } from './reasons.js';
import { askLetters, replayLetters } from './server.js';
import { count, counted, dateTime } from './words.js';

const PAGE = 20;  // letters
const LOOKED = { limit: 500, pages: 20 };  // how far a replay's letters are looked for
const UNDER_WAY = 'A replay is under way. Its end is told here; then ask again.';

let open = null;  // {affiliate, pipeline, parts, behind, answer, replay, latest}

export function startLetters() {
  byId('letters').addEventListener('close', () => {
    const { from } = open ?? {};
    open = null;
    from?.focus();
  });
}

/** Over the page; `from` is the button that has the focus again when it closes. */
export function showLetters({ affiliate, pipeline, from }) {
  open = { affiliate, pipeline, from, parts: parts(pipeline), behind: [0], replay: null };
  byId('letters').replaceChildren(...Object.values(open.parts));
  byId('letters').showModal();
  load(open);
}

export function closeLetters() {
  if (byId('letters').open) byId('letters').close();
}

/** What every round of questions brings: how many letters there are now, and how a replay goes. */
export function followLetters(pipelines) {
  const found = pipelines.find(({ name }) => name === open?.pipeline);
  if (!found) {
    closeLetters();  // the pipeline is gone
    return;
  }
  open.latest = found;
  showCount(open);
  if (open.replay) followReplay(open, found);
}

function parts(pipeline) {
  return {
    head: element(
      'div', { class: 'card-head' },
      element('h2', { id: 'letters-title' }, 'Dead letters of ', element('bdi', {}, pipeline)),
      button('Close', () => byId('letters').close(), { class: 'close' }),
    ),
    all: element(
      'div', { class: 'letters-all' },
      element('p', { class: 'letters-count quiet' }, 'Reading …'),
      button('Look again', () => load(open), { class: 'look-again', hidden: true }),
      button('Replay all', () => replay(open, null), { class: 'replay-all', hidden: true }),
    ),
    said: element('p', { class: 'said', role: 'status', tabindex: '-1' }),
    list: element('ol', { class: 'letters-list' }),
    paging: element('nav', { class: 'buttons', 'aria-label': 'Pages of dead letters' }),
  };
}

function button(label, press, attributes = {}) {
  const made = element('button', { type: 'button', ...attributes }, label);
  made.addEventListener('click', press);
  return made;
}

async function load(shown) {
  try {
    const after = shown.behind.at(-1);
    shown.answer = await askLetters(shown, { after, limit: PAGE });
  } catch (error) {
    say(shown, error.message, 'bad');
    return;
  }
  if (shown === open) show(shown);
}

function show(shown) {
  const hadFocus = byId('letters').contains(document.activeElement);
  const { parts: { list, paging }, answer: { letters } } = shown;
  shown.latest = null;  // older than this answer
  list.replaceChildren(...letters.map((letter) => item(shown, letter)));
  paging.replaceChildren(...pages(shown));
  showCount(shown);
  if (hadFocus && !byId('letters').contains(document.activeElement)) shown.parts.said.focus();
}

function showCount({ parts: { all }, answer, latest }) {
  if (!answer) return;
  const there = latest?.dead_letters ?? answer.count;
  text(all.querySelector('.letters-count'), counts(answer, there));
  all.querySelector('.look-again').hidden = there === answer.count;
  all.querySelector('.replay-all').hidden = there === 0;
}

function counts(answer, there) {
  if (there !== answer.count) return `${counted(there, 'dead letter')} now; the list is older.`;
  if (there === 0) return 'None. What cannot be translated or is refused for good is kept here.';
  return `${counted(there, 'dead letter')}, in the order of being put aside.`;
}

function pages(shown) {
  const { behind, answer: { letters } } = shown;
  const turn = (places) => () => {
    shown.behind = places;
    byId('letters').scrollTo(0, 0);
    load(shown);
  };
  const made = [];
  if (behind.length > 1) made.push(button('Earlier', turn(behind.slice(0, -1))));
  if (letters.length === PAGE) {
    made.push(button('Later', turn([...behind, letters.at(-1).number])));
  }
  return made;
}

function item(shown, letter) {
  const views = element('div', { class: 'letter-bytes', hidden: true });
  const toggle = button('Show the bytes', () => turn(letter, views, toggle), {
    'aria-expanded': 'false', 'aria-label': `Show the bytes of dead letter ${letter.number}`,
  });
  return element(
    'li', { class: 'letter' },
    element(
      'h3', {}, reasonWords('dead', letter.reason), ' ',
      element('code', { class: 'tag warn' }, ...visible(letter.reason)),
    ),
    element('p', { class: 'letter-detail' }, element('bdi', {}, ...visible(letter.detail))),
    facts(letter),
    element(
      'div', { class: 'buttons' },
      toggle,
      button('Replay', () => replay(shown, letter), {
        'aria-label': `Replay dead letter ${letter.number}`,
      }),
    ),
    views,
  );
}

function turn(letter, views, toggle) {
  if (!views.hasChildNodes()) views.append(...bytesView(letter));
  views.hidden = !views.hidden;
  toggle.setAttribute('aria-expanded', String(!views.hidden));
  toggle.textContent = views.hidden ? 'Show the bytes' : 'Hide the bytes';
}

function facts(letter) {
  const rows = [
    ['Origin', place(letter)],
    ['tm-id', letter.id],
    ['tm-key', letter.key],
    ['Received', dateTime(letter.received)],
    ['Put aside', `${dateTime(Date.parse(letter.dead))}, after ${counted(letter.attempts, 'attempt')}`],
  ];
  const present = rows.filter(([, value]) => value !== null && value !== undefined);
  return element('dl', { class: 'facts' }, ...present.flatMap(([title, value]) => [
    element('dt', {}, title),
    element('dd', {}, element('bdi', {}, ...visible(value))),
  ]));
}

const place = ({ stream, partition, offset }) => `${stream}/${partition}@${offset}`;

/** Send one letter again, or all for null. */
async function replay(shown, letter) {
  if (shown.replay) {
    say(shown, UNDER_WAY, 'bad');
    return;
  }
  shown.replay = { id: null };  // asked for, not yet known to the server
  try {
    shown.replay = await begun(shown, letter);
  } catch (error) {
    shown.replay = null;
    say(shown, error.message, 'bad');
    return;
  }
  const asked = shown.replay;
  say(shown, asked ? `${sentAgain(asked)} …` : 'There is nothing left to send again.');
  if (!asked) load(shown);
}

async function begun(shown, letter) {
  const places = letter ? new Set([place(letter)]) : await placesBehind(shown, 0);
  const numbers = letter && [letter.number];
  const { replay: id, letters } = await replayLetters(shown, numbers);
  return letters ? { id, letters, places, after: letter?.number ?? 0 } : null;
}

const sentAgain = ({ letters }) => `${counted(letters, 'dead letter')} sent again`;

function followReplay(shown, { reason, replay: latest }) {
  const asked = shown.replay;
  if (latest?.id !== asked.id) return;  // not begun, or this answer is older than it
  if (latest.ended_ms !== null) {
    shown.replay = { id: null };  // told below, once
    tellEnd(shown, asked);
  } else if (reason === 'Paused') {
    say(shown, `${sentAgain(asked)} when the pipeline goes on: it is paused.`);
  } else {
    say(shown, `${sentAgain(asked)} …: ${count(latest.events)} of them settled.`);
  }
}

async function tellEnd(shown, asked) {
  try {
    const there = await placesBehind(shown, asked.after);
    say(shown, `${sentAgain(asked)}; ${became(asked, there)}`);
  } catch (error) {
    say(shown, `${sentAgain(asked)}, and it ended. What became of it is not known: ${error.message}`, 'bad');
  }
  shown.replay = null;
  shown.behind = [0];
  load(shown);
}

function became({ places, letters }, there) {
  if (!places || !there) return 'those that were refused again are in the list.';
  const again = [...places].filter((one) => there.has(one)).length;
  if (again === 0) return letters === 1 ? 'it is a dead letter no more.' : 'none is a dead letter now.';
  if (letters === 1) return 'it was refused again.';
  return `${count(again)} ${again === 1 ? 'was' : 'were'} refused again.`;
}

/** The origins of the letters behind a number; null where they are too many to look through. */
async function placesBehind(shown, number) {
  const places = new Set();
  let after = number;
  for (let page = 0; page < LOOKED.pages; page += 1) {
    const { letters } = await askLetters(shown, { after, limit: LOOKED.limit });
    letters.forEach((letter) => places.add(place(letter)));
    if (letters.length < LOOKED.limit) return places;
    after = letters.at(-1).number;
  }
  return null;
}

function say({ parts: { said } }, sentence, state = 'good') {
  said.dataset.state = state;
  text(said, sentence);
}

function text(node, sentence) {
  if (node.textContent !== sentence) node.textContent = sentence;
}
