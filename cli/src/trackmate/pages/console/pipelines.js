/*
The pipelines of an affiliate: what each reads and where it goes, how it is in words, how far it is
behind, how fast it goes, and why it left events out. Items stay and their texts change, so that
neither the page nor the focus jumps while it is refreshed.
*/

import { visible } from './bytes.js';
import { byId, element, whenChanged } from './element.js';
import { showLetters } from './letters.js';
import { reasonWords } from './reasons.js';
import { pausePipeline, resumePipeline } from './server.js';
import { count, counted, delay, perSecond } from './words.js';

const STATES = {
  Running: 'Running',
  Starting: 'Starting',
  Paused: 'Paused',
  SinkDown: 'Sink is down',
  SinkUnfit: 'Sink does not fit',
  EventsRefused: 'Sink refuses events',
};
const LOOKS = { Running: 'good', Starting: 'calm', Paused: 'warn' };  // any other is bad
const SINKS = {
  store: 'the store', stdout: 'standard output', http: 'HTTP', postgres: 'PostgreSQL', files: 'files',
};
const LEAST_MS = 500;  // between two looks at a pipeline that make a rate

let items = new Map();  // name → what shows it
let shownOf = null;

export function showPipelines({ affiliate, pipelines }) {
  if (affiliate !== shownOf) items = new Map();
  shownOf = affiliate;
  const names = pipelines.map(({ name }) => name);
  items = new Map(names.map((name) => [name, items.get(name) ?? item(affiliate, name)]));
  pipelines.forEach((pipeline) => items.get(pipeline.name).show(pipeline));
  place(names.join());
  showStates(pipelines.map(({ reason }) => reason));
}

/** Items are put in place when there are others than before, and are else left alone. */
const place = whenChanged(() => {
  byId('pipelines').replaceChildren(...[...items.values()].map(({ node }) => node));
});

const showStates = whenChanged((reasons) => {
  const running = reasons.filter((reason) => reason === 'Running').length;
  byId('pipelines-running').textContent = `${count(running)} of ${count(reasons.length)} running`;
});

function item(affiliate, name) {
  const nodes = {
    way: element('span', { class: 'quiet way' }),
    state: element('span', { class: 'state' }),
    message: element('p', { class: 'pipeline-message' }),
    figures: element('dl', { class: 'pipeline-figures' }),
    reasons: element('ul', { class: 'reasons' }),
    letters: element('button', { type: 'button', class: 'to-letters' }),
    turn: element('button', { type: 'button', class: 'turn' }),
    said: element('p', { class: 'said', role: 'status' }),
  };
  const node = element(
    'li', { class: 'pipeline' },
    element(
      'div', { class: 'pipeline-head' },
      element('h3', {}, element('bdi', {}, name)),
      nodes.state, nodes.way, nodes.letters, nodes.turn,
    ),
    nodes.message, nodes.said, nodes.figures, nodes.reasons,
  );
  const show = shower(nodes, speed());
  nodes.letters.addEventListener('click', () =>
    showLetters({ affiliate, pipeline: name, from: nodes.letters }));
  nodes.turn.addEventListener('click', () => turn({ affiliate, pipeline: name, nodes, show }));
  return { node, show };
}

/** Shows a pipeline in these nodes; each part is drawn anew only where it differs. */
function shower(nodes, eventsPerSecond) {
  const showHead = whenChanged((pipeline) => head(nodes, pipeline));
  const showFigures = whenChanged((figures) => nodes.figures.replaceChildren(...figures.map(figure)));
  const showReasons = whenChanged((reasons) => nodes.reasons.replaceChildren(...reasons.map(reasonItem)));
  return (pipeline) => {
    const { name, stream, sink, ready, reason, message, last_error: error } = pipeline;
    showHead({ name, stream, sink, ready, reason, message, error, letters: pipeline.dead_letters });
    showFigures(figuresOf(pipeline, eventsPerSecond(pipeline.settled)));
    showReasons(pipeline.reasons);
  };
}

function head(nodes, { name, stream, sink, reason, message, error, letters }) {
  const isPaused = reason === 'Paused';
  nodes.way.textContent = `${stream === null ? 'all streams' : `stream ${stream}`} → ${SINKS[sink] ?? sink}`;
  nodes.state.textContent = STATES[reason] ?? reason;
  nodes.state.dataset.state = LOOKS[reason] ?? 'bad';
  nodes.message.replaceChildren(...sentences(message, error).map((sentence) =>
    element('bdi', {}, ...visible(sentence))));
  nodes.letters.textContent = counted(letters, 'dead letter');
  nodes.letters.setAttribute('aria-label', `${counted(letters, 'dead letter')} of ${name}`);
  nodes.letters.classList.toggle('alarming', letters > 0);
  nodes.turn.textContent = isPaused ? 'Resume' : 'Pause';
  nodes.turn.setAttribute('aria-label', `${isPaused ? 'Resume' : 'Pause'} ${name}`);
  nodes.turn.dataset.paused = isPaused;
}

const sentences = (message, error) =>
  (error && error !== message ? [message, `Last error: ${error}`] : [message]).filter(Boolean);

function figuresOf(pipeline, rate) {
  const behind = pipeline.in_flight
    ? `${counted(pipeline.in_flight, 'event')}, ${delay(pipeline.lag_seconds)}`
    : 'nothing';
  return [
    ['Behind', behind],
    ['Throughput', rate === null ? '–' : perSecond(rate)],
    ['Delivered', count(pipeline.delivered)],
    ['Documents', count(pipeline.documents)],
  ];
}

const figure = ([title, value]) =>
  element('div', {}, element('dt', {}, title), element('dd', {}, value));

function reasonItem({ term, reason, events }) {
  return element(
    'li', {},
    `${count(events)} ${term}: ${reasonWords(term, reason)} `,
    element('code', {}, ...visible(reason)),
  );
}

/** Events settled a second between two looks; null before the second, and after a restart. */
function speed() {
  let before = null;  // {settled, at}
  let rate = null;
  return (settled) => {
    const at = performance.now();
    if (before && at - before.at < LEAST_MS) return rate;
    rate = before && settled >= before.settled
      ? (settled - before.settled) / ((at - before.at) / 1000)
      : null;
    before = { settled, at };
    return rate;
  };
}

async function turn({ affiliate, pipeline, nodes, show }) {
  const change = nodes.turn.dataset.paused === 'true' ? resumePipeline : pausePipeline;
  nodes.said.textContent = '';
  try {
    show(await change({ affiliate, pipeline }));
  } catch (error) {
    nodes.said.textContent = error.message;
    nodes.said.dataset.state = 'bad';
  }
}
