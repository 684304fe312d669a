/** One client of one key: puts the parts together. */

import type { Consent, Drop, Options, Problem, Properties, Trackmate } from './api.js';
import { createBucket } from './bucket.js';
import { createIds } from './ids.js';
import { createKeeping, type Losses } from './keeping.js';
import { PENDING_EVENTS, QUEUE_BYTES } from './limits.js';
import { createPages } from './pages.js';
import { createQueue, type Item, toItem } from './queue.js';
import { guarded, later, listen, scope } from './scope.js';
import { createSending } from './sending.js';
import { createStorage } from './storage.js';
import { createVisitor, type Ids } from './visitor.js';

declare const VERSION: string;

/** An event as the page gave it; what else is known of it when it happens, and what is added once the visitor may be known. */
type Waiting = [text: string, ids: Partial<Ids>, context: Properties];

const idOf = (given: unknown): string | undefined => (given || given === 0 ? String(given) : undefined);

const randomize = (bytes: Uint8Array): void => {
  if (scope.crypto) scope.crypto.getRandomValues(bytes);
  else for (let n = 0; n < bytes.length; n++) bytes[n] = Math.random() * 256;
};

/** Whether nothing can come of these options; said once. */
const isUseless = ({ key, endpoint }: Options): boolean => {
  const useless = !key || !/^https?:/.test(endpoint);
  if (useless) console.warn(`Trackmate sends nothing: key ${key}, endpoint ${endpoint}`);
  return useless;
};

const refusedBySignal = ({ gpc, dnt }: Options): boolean => {
  const { navigator } = scope;
  return (
    (gpc === 'deny' && navigator.globalPrivacyControl) ||
    (dnt === 'deny' && (navigator.doNotTrack || scope.doNotTrack) === '1')
  );
};

export const createClient = (options: Options): Trackmate => {
  const { key, endpoint = '', stream, pages = true, cookieless, unload } = options;
  const { document, performance } = scope;
  const prefix = `tm:${key}:`;
  const now = (): number => Date.now();
  const elapsed = (): number => performance.now();
  const newId = createIds(now, randomize);

  let consent: Consent = refusedBySignal(options) || isUseless(options) ? 'denied' : options.consent || 'granted';
  let waiting: Waiting[] = []; // for the page's task to end, for consent, or for a prerendered page to be seen
  let settling: number | undefined;
  let begun = false;
  let going = false; // whether the page may be gone any moment

  const open = (): boolean => consent === 'granted' && !(document && document.prerendering);
  const mayKeep = (): boolean => open() && !cookieless;

  const losses: Losses = { _count: 0 };
  const report = guarded((drop: Drop) => options.onDrop && options.onDrop(drop));
  /** Without items it is one event that never became a text. */
  const lose = (reason: Drop['reason'], items: Item[], problem?: Problem): void => {
    const count = items.length || 1;
    losses._count += count;
    report({ reason, count, events: items.map((item) => item._text), problem });
  };

  const local = createStorage('localStorage', mayKeep);
  const tab = createStorage('sessionStorage', mayKeep);
  const visitor = createVisitor(local, prefix, now, newId);
  const queue = createQueue((evicted) => lose('queue', evicted));
  const changed = (): void => keeping._changed();
  const keeping = createKeeping({
    _local: local,
    _tab: tab,
    _prefix: prefix,
    _queue: queue,
    _losses: losses,
    _now: now,
    _newId: newId,
    _written: (item) => !(unload === 'drop' && going && item._flying),
    _arrived: () => {
      changed();
      sending._soon();
    },
  });
  const sending = createSending({
    _address: `${endpoint.replace(/\/+$/, '')}/v1/events?key=${encodeURIComponent(key)}${
      stream ? `&stream=${encodeURIComponent(stream)}` : ''
    }`,
    _queue: queue,
    _losses: losses,
    _allowed: open,
    _now: now,
    _elapsed: elapsed,
    _changed: changed,
    _lose: lose,
    _paused: guarded((problem) =>
      options.onPause ? options.onPause(problem) : console.warn(`Trackmate: ${problem.detail}`),
    ),
  });

  const leave = (): void => {
    going = true;
    settle();
    sending._leave();
    keeping._write();
  };

  /** What waits joins the queue, where it may. The device is asked here first, as that takes milliseconds. */
  const settle = (): void => {
    settling = undefined;
    if (!open()) return;
    if (!begun) {
      begun = true;
      keeping._takeOver();
      keeping._look();
    }
    const settled = waiting;
    waiting = [];
    settled.forEach(enqueue);
    sending._soon();
  };

  const enqueue = ([text, ids, context]: Waiting): void => {
    const { anonymousId, userId, groupId } = Object.assign(visitor._known(), ids);
    Object.assign(context, { groupId, session: visitor._session() });
    const item = toItem(`${text.slice(0, -1)},${JSON.stringify({ anonymousId, userId, context }).slice(1)}`);
    if (item._bytes > QUEUE_BYTES) lose('size', [item]);
    else queue._add([item]);
    changed();
  };

  const record = (type: string, fields: Properties): void => {
    if (consent === 'denied') return;
    if (!bucket()) {
      lose('rate', []);
      return;
    }
    const context = {
      page: page && page(),
      clock: { origin: Math.round(performance.timeOrigin), elapsed: Math.round(elapsed()) },
      library: { name: '@trackmate/core', version: VERSION },
    };
    try {
      const event = { type, messageId: newId(), timestamp: new Date(now()).toISOString() };
      waiting.push([JSON.stringify(Object.assign(event, fields)), open() ? {} : visitor._ids(), context]);
    } catch {
      lose('invalid', []); // JSON.stringify throws at cycles and BigInts
    }
    if (going) leave();
    else if (open()) settling = settling || later(0, settle);
    else if (waiting.length > PENDING_EVENTS) lose('queue', [toItem((waiting.shift() as Waiting)[0])]);
  };

  const learn = (name: keyof Ids, given: unknown): string | undefined => {
    const id = idOf(given);
    settle(); // what happened before was somebody else's
    if (id) visitor._set({ [name]: id });
    return id;
  };

  const client: Trackmate = {
    track: guarded((event: string, properties?: Properties) => record('track', { event: String(event), properties })),
    page: guarded((name?: string, properties?: Properties) => record('page', { name, properties })),
    identify: guarded((userId: unknown, traits?: Properties) => {
      learn('userId', userId);
      record('identify', { traits });
    }),
    group: guarded((groupId: unknown, traits?: Properties) => {
      record('group', { groupId: learn('groupId', groupId), traits });
    }),
    alias: guarded((given: unknown, previous?: unknown) => {
      settle();
      const { anonymousId, userId } = visitor._known();
      learn('userId', given);
      record('alias', { previousId: idOf(previous) || userId || anonymousId });
    }),
    reset: guarded(() => {
      settle();
      visitor._renew();
    }),
    async flush() {
      sending._resume();
      guarded(settle)();
      return (await sending._run()) && !waiting.length;
    },
    consent(decided?: Consent) {
      guarded(decide)(decided);
      return consent;
    },
  };

  const decide = (decided?: Consent): void => {
    if (!decided) return;
    const learnt = visitor._ids();
    consent = decided;
    if (decided === 'denied') {
      waiting = [];
      queue._clear();
      visitor._forget();
      for (const store of [local, tab]) store._names(prefix).forEach(store._remove);
    } else if (decided === 'granted') {
      visitor._set(learnt);
      settle();
    }
  };

  const bucket = createBucket(elapsed);
  const page = document && createPages(pages, () => client.page());

  listen(document, 'visibilitychange', () => {
    going = document.visibilityState === 'hidden';
    if (going) leave();
    else keeping._look();
  });
  listen(scope, 'pagehide', () => {
    leave();
    keeping._handOver();
  });
  listen(scope, 'pageshow', (event) => {
    going = false;
    if (!(event as PageTransitionEvent).persisted) return;
    keeping._takeOver();
    sending._soon();
  });
  listen(scope, 'online', sending._run);
  listen(document, 'prerenderingchange', settle);

  if (consent === 'denied') decide(consent);
  else settling = later(0, settle);
  return client;
};
