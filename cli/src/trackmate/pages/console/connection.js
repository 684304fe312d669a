/*
Whether the page and the server still talk, said in the header and, when they do not, in a banner.
The live stream and the questions asked each two seconds fail apart, so each is told apart.
*/

import { byId } from './element.js';
import { second } from './words.js';

const awaited = new Set(['live', 'figures']);  // not heard of yet
const silent = new Map();  // which part was lost → since when, epoch ms

export function heard(part) {
  awaited.delete(part);
  silent.delete(part);
  show();
}

export function unheard(part) {
  if (!silent.has(part)) silent.set(part, Date.now());
  show();
}

/** A part that begins anew: neither here nor lost. */
export function awaiting(part) {
  awaited.add(part);
  silent.delete(part);
  show();
}

export const silentSince = (part) => silent.get(part) ?? null;

const STATES = { lost: 'Connection lost', awaited: 'Connecting', live: 'Live' };

function show() {
  const state = stateNow();
  say(byId('connection'), STATES[state]);
  byId('connection').dataset.state = state;
  byId('lost').hidden = state !== 'lost';
  say(byId('lost'), state === 'lost' ? banner(Math.min(...silent.values())) : '');
}

function stateNow() {
  if (silent.size > 0) return 'lost';
  return awaited.size > 0 ? 'awaited' : 'live';
}

const banner = (since) =>
  `Connection lost at ${second(since)}. Trying again. If this lasts: is trackmate dev still running?`;

function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
