/**
 * From the queue to ingest: one batch after the other, and at the end of a page as many as outlive it.
 *
 * An event leaves the queue when Trackmate stored or refused it, and for nothing else. A batch that got
 * no verdict goes again with the same events, so with the same bytes.
 */

import { judge } from './answers.js';
import type { Drop, Problem } from './api.js';
import type { Losses } from './keeping.js';
import { BATCH_BYTES, BATCH_EVENTS, SEND_AFTER_MS } from './limits.js';
import type { Item, Queue } from './queue.js';
import { cancel, later } from './scope.js';
import { type Answered, fits, post } from './transport.js';
import { backoff, retryAfter } from './waiting.js';

interface Parts {
  _address: string;
  _queue: Queue;
  _losses: Losses;
  /** Whether anything may be sent now. */
  _allowed: () => boolean;
  _now: () => number;
  /** Milliseconds that never go back. */
  _elapsed: () => number;
  /** Hears that events have left the queue. */
  _changed: () => void;
  _lose: (reason: Drop['reason'], items: Item[], problem?: Problem) => void;
  _paused: (problem: Problem) => void;
}

const sizeOf = (batch: Item[]): number => batch.reduce((sum, item) => sum + item._bytes + 1, 1);

export const createSending = ({
  _address,
  _queue,
  _losses,
  _allowed,
  _now,
  _elapsed,
  _changed,
  _lose,
  _paused,
}: Parts) => {
  let most = BATCH_EVENTS;
  let failures = 0; // in a row
  let wait = 0;
  let notBefore = 0; // as Retry-After asked
  let paused = false;
  let reporting = 0; // losses that a request in flight tells of
  let running: Promise<boolean> | undefined;
  let timer: number | undefined;

  const ready = (): boolean => !paused && _allowed() && _elapsed() >= notBefore;
  const next = (): Item[] => _queue._take(most, BATCH_BYTES);

  const schedule = (ms: number): void => {
    if (timer || running || paused || !_allowed() || !next().length) return;
    timer = later(Math.max(ms, notBefore - _elapsed()), run);
  };

  const failed = (batch: Item[], asked: number): boolean => {
    failures++;
    most = batch.length;
    wait = backoff(failures, Math.random());
    if (asked) notBefore = _elapsed() + asked;
    return false;
  };

  const removed = (gone: Item[]): true => {
    _queue._remove(gone);
    _changed();
    return true;
  };

  /** Does what the answer asks for; whether to go on at once. */
  const settle = (batch: Item[], reply: Answered, reported: number): boolean => {
    const { _verdict, _gone, _problem } = judge(reply, batch);
    if (_verdict === 'retry') return failed(batch, retryAfter(reply._retryAfter, _now()));
    if (_verdict === 'pause') {
      paused = true;
      _paused(_problem as Problem);
      return false;
    }
    failures = 0;
    if (_verdict === 'hold') {
      batch[0]._held = true;
      return true;
    }
    if (_verdict === 'halve') {
      most = batch.length >> 1;
      return true;
    }
    if (_gone) {
      _lose('refused', _gone, _problem);
      return removed(_gone);
    }
    most = Math.min(BATCH_EVENTS, most * 2);
    _losses._count -= reported;
    return removed(batch);
  };

  /** Whether to go on at once; undefined where nobody answered. */
  const fly = async (batch: Item[], plain?: boolean): Promise<boolean | undefined> => {
    const body = `[${batch.map((item) => item._text)}]`;
    const size = sizeOf(batch);
    const reported = _losses._count - reporting;
    const address = `${_address}&sentAt=${_now()}&attempt=${failures + 1}${reported ? `&dropped=${reported}` : ''}`;
    let reply: Answered | undefined;
    reporting += reported;
    for (const item of batch) item._flying = true;
    try {
      reply = await post(address, body, size, !plain && fits(size));
    } catch {
      failed(batch, 0);
    }
    reporting -= reported;
    for (const item of batch) item._flying = false;
    return reply && settle(batch, reply, reported);
  };

  const drain = async (): Promise<boolean> => {
    let plain = false;
    for (let batch = next(); batch.length && ready(); batch = next()) {
      const goesOn = await fly(batch, plain);
      if (!goesOn && (plain || goesOn === false)) break;
      plain = !goesOn; // others may have used up what outlives a page: once without, at once
    }
    return !_queue._all().length;
  };

  const run = (): Promise<boolean> => {
    cancel(timer);
    timer = undefined;
    wait = 0;
    if (!running) {
      running = drain().then((empty) => {
        running = undefined;
        schedule(wait);
        return empty;
      });
    }
    return running;
  };

  return {
    /** There is something to send. */
    _soon: (): void => schedule(SEND_AFTER_MS),
    /** Sends now, except before what Retry-After asked for. True when nothing is left. */
    _run: run,
    _resume(): void {
      paused = false;
    },
    /** The page may be going: what fits goes beside what is in flight. */
    _leave(): void {
      for (let batch = next(); ready() && batch.length && fits(sizeOf(batch)); batch = next()) {
        fly(batch).then(() => schedule(wait));
      }
    },
  };
};
