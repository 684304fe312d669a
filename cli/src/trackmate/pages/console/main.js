/*
The console page: which affiliate is shown, and when each part is asked to show it. The parts
(`live`, `ledger`, `figures`, `connect`, …) draw what they are given and know nothing of each other.
*/

import { showAffiliates } from './affiliates.js';
import { awaiting, heard, silentSince, unheard } from './connection.js';
import { showConnect } from './connect.js';
import { closeDetail, showDetail, startDetail } from './detail.js';
import { byId, whenChanged } from './element.js';
import { showEmpty } from './empty.js';
import { eventsOf, showFigures } from './figures.js';
import { showLedger } from './ledger.js';
import { closeLetters, followLetters, startLetters } from './letters.js';
import { addEvent, addGap, clearLive, startLive } from './live.js';
import { showFaults, showNotices } from './manifests.js';
import { showPipelines } from './pipelines.js';
import { askAffiliates, askFigures, follow } from './server.js';
import { showTiles } from './tiles.js';
import { counted, second } from './words.js';

const REFRESH_MS = 2000;

let followed = null;  // {name, end}
let timer = null;

/** The affiliate of the address where there is one of that name, else the first. */
const chosenOf = (affiliates) =>
  affiliates.find(({ name }) => name === location.hash.slice(1)) ?? affiliates[0];

async function refresh() {
  let answer;
  try {
    answer = await askAll();
  } catch {
    unheard('figures');
    return;
  }
  heard('figures');
  show(answer);
}

async function askAll() {
  const answer = await askAffiliates();
  const affiliate = chosenOf(answer.affiliates);
  return { ...answer, affiliate, figures: affiliate && await askFigures(affiliate.name) };
}

function show({ affiliates, faults, notices, affiliate, figures }) {
  if (affiliate !== chosenOf(affiliates)) return;  // another was chosen meanwhile: its own round comes
  showFaults(faults);
  showNotices(notices);
  showAffiliates(affiliates, affiliate?.name);
  showTitle(affiliate?.name);
  followOnly(affiliate?.name);
  byId('main').classList.toggle('without-affiliate', !affiliate);
  if (affiliate) showAffiliate(affiliate, figures);
  else showEmpty(null);
}

function showAffiliate({ name, endpoint, keys, snippet, curl, ledger }, figures) {
  showConnect({ endpoint, keys, snippet, curl });
  showEmpty({ accepted: ledger.accepted, curl });
  showPipelines({ affiliate: name, pipelines: ledger.pipelines });
  followLetters(ledger.pipelines);
  showLedger(ledger);
  showFigures(figures);
  showTiles({ ledger, hour: eventsOf(figures) });
}

const showTitle = whenChanged((chosen) => {
  document.title = chosen ? `${chosen} · Trackmate` : 'Trackmate';
  byId('to-insights').href = chosen ? `/insights?affiliate=${encodeURIComponent(chosen)}` : '/insights';
});

function followOnly(name) {
  if (followed?.name === name) return;
  followed?.end();
  clearLive();
  closeDetail();
  closeLetters();
  awaiting('live');
  followed = name ? { name, end: follow(name, listener()) } : null;
}

function listener() {
  return {
    arrived: addEvent,
    skipped: (events) => addGap(tooFast(events)),
    lost: () => unheard('live'),
    opened: () => {
      const since = silentSince('live');
      if (since !== null) addGap(lostSince(since));
      heard('live');
    },
  };
}

const tooFast = (events) =>
  `${counted(events, 'event')} came too fast to be shown here. They are accepted like the others.`;

const lostSince = (since) =>
  `Connection lost from ${second(since)} to ${second(Date.now())}. `
  + 'Events of that time are not in this list.';

async function keepFresh() {
  clearTimeout(timer);
  if (document.visibilityState !== 'visible') return;
  await refresh();
  clearTimeout(timer);  // another round may have begun while this one waited
  timer = setTimeout(keepFresh, REFRESH_MS);
}

byId('affiliate').addEventListener('change', ({ target }) => { location.hash = target.value; });
addEventListener('hashchange', keepFresh);
document.addEventListener('visibilitychange', keepFresh);
startLive(showDetail);
startDetail();
startLetters();
keepFresh();
