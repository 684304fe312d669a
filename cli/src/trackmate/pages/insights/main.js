/*
The insights page: which figures are asked for, and when they are asked again: as events arrive, and
as time goes by. The parts draw what they are given.
*/

import { showAffiliates } from '../console/affiliates.js';
import { awaiting, heard, unheard } from '../console/connection.js';
import { byId, element, whenChanged } from '../console/element.js';
import { askAffiliates, askInsight, follow } from '../console/server.js';
import { count } from '../console/words.js';
import { change, now, showChoices, startAsked, times } from './asked.js';
import { showOverTime } from './chart.js';
import { askedSteps, showFunnel, startFunnel } from './funnel.js';
import { showRanking } from './ranking.js';

const SOONEST_MS = 250;  // after an event
const LATEST_MS = 10_000;  // without one: time itself moves on
const REST = 1;  // times as long as an answer took: a server that is slow is asked less often
const SHOWN = 10;  // of a ranking
const KNOWN = 100;  // of what can be chosen
const NO_AFFILIATE = 'No affiliate yet. Put one into the folder that trackmate dev follows.';

let followed = null;  // {name, end}
let timer = null;
let dueAt = Infinity;
let restUntil = 0;
let asking = false;
let round = 0;

async function refresh() {
  const began = performance.now();
  const mine = (round += 1);
  asking = true;
  try {
    const whose = await askWhose();
    if (mine === round) showWhose(whose);
    const answer = await askAll(whose);
    heard('figures');
    if (mine === round) show(answer);
  } catch (fault) {
    if (fault.told) heard('figures');
    else unheard('figures');
    if (fault.told && mine === round) showUnanswered(fault.message);
  } finally {
    if (mine === round) {  // else another asks already
      asking = false;
      restUntil = performance.now() + REST * (performance.now() - began);
      due(LATEST_MS);
    }
  }
}

/** Ask again in so many ms, or sooner where that was asked for already. */
function due(inMs) {
  dueAt = Math.min(dueAt, performance.now() + inMs);
  clearTimeout(timer);
  if (asking || document.visibilityState !== 'visible') return;
  timer = setTimeout(() => {
    dueAt = Infinity;
    refresh();
  }, Math.max(dueAt, restUntil) - performance.now());
}

function atOnce() {
  restUntil = 0;
  round += 1;  // what is being answered is no longer asked for
  asking = false;
  due(0);
}

async function askWhose() {
  const { affiliates } = await askAffiliates();
  const affiliate = affiliates.find(({ name }) => name === now().affiliate) ?? affiliates[0];
  return { affiliates, affiliate };
}

async function askAll({ affiliate }) {
  const time = times();
  if (!affiliate || time.fault) return { affiliate, time };
  const { stream, event, page } = now();
  const within = (asked) => given({ ...time, stream, ...asked });
  const ask = (question, asked) => askInsight(affiliate.name, question, within(asked));
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const steps = askedSteps();
  const known = ask('top', { of: 'events', most: KNOWN });
  const answers = await Promise.all([
    ask('totals', { event, page }),
    ask('over-time', { event, page, zone }),
    page ? ask('top', { of: 'events', most: SHOWN, page }) : known,
    ask('top', { of: 'pages', most: KNOWN }),
    known,
    steps && ask('funnel', { step: steps, within: now().within }),
  ]);
  const [totals, overTime, events, pages, all, funnel] = answers;
  return { affiliate, time, totals, overTime, events, pages, known: all, funnel };
}

const given = (asked) => Object.fromEntries(Object.entries(asked).filter(([, value]) => value));

function showWhose({ affiliates, affiliate }) {
  showAffiliates(affiliates, affiliate?.name);
  showTitle(affiliate?.name);
  followOnly(affiliate?.name);
}

function show({ affiliate, time, ...answer }) {
  byId('main').classList.toggle('without-affiliate', !affiliate);
  showUnanswered(affiliate ? time.fault ?? '' : NO_AFFILIATE);
  if (!affiliate || time.fault) return;
  const known = namesOf(answer.known);
  showChoices({ event: known, page: namesOf(answer.pages), stream: affiliate.streams });
  showTotals(answer.totals);
  showOverTime(answer.overTime);
  const { event, page } = now();
  showRanking(
    byId('events'), { top: answer.events.top.slice(0, SHOWN), chosen: event, noun: 'event' },
    (name) => change({ event: name }),
  );
  showRanking(
    byId('pages'), { top: answer.pages.top.slice(0, SHOWN), chosen: page, noun: 'view' },
    (name) => change({ page: name }),
  );
  showFunnel(known, answer.funnel);
}

const namesOf = ({ top }) => top.map(({ name }) => name).sort();

function showUnanswered(words) {
  byId('unanswered').hidden = !words;
  if (byId('unanswered').textContent !== words) byId('unanswered').textContent = words;
}

const showTitle = whenChanged((chosen) => {
  document.title = chosen ? `Insights · ${chosen} · Trackmate` : 'Insights · Trackmate';
});

const showTotals = whenChanged(({ events, people, views }) => {
  const tile = (title, value) => element(
    'div', { class: 'tile' }, element('dt', {}, title), element('dd', {}, count(value)),
  );
  byId('totals').replaceChildren(
    tile('Events', events), tile('People', people), tile('Page views', views),
  );
});

function followOnly(name) {
  if (followed?.name === name) return;
  followed?.end();
  awaiting('live');
  const soon = () => due(SOONEST_MS);
  const listener = {
    arrived: soon, skipped: soon, lost: () => unheard('live'), opened: () => heard('live'),
  };
  followed = name ? { name, end: follow(name, listener) } : null;
}

document.addEventListener('visibilitychange', () => due(0));
startAsked(atOnce);
startFunnel();
due(0);
