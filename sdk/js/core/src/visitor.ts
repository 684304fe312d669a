/**
 * Who an event is of: ids and the session, shared by all tabs of a browser, and read for each event,
 * because another tab may have changed them.
 *
 * A session ends after 30 minutes without an event, and after 24 hours in any case.
 */
import { SESSION_IDLE_MS, SESSION_LONGEST_MS } from './limits.js';
import { createCell, type Kept } from './storage.js';

/** As they are kept, and as they stand in events. */
export interface Ids {
  anonymousId: string;
  userId: string;
  groupId: string;
}

interface Visit {
  id: string;
  began: number;
  last: number;
  seq: number;
}

export const createVisitor = (storage: Kept, prefix: string, now: () => number, newId: () => string) => {
  const ids = createCell<Ids>(storage, `${prefix}i`);
  const visit = createCell<Visit>(storage, `${prefix}s`);
  const begin = (at: number): Visit => ({ id: newId(), began: at, last: at, seq: 0 });

  const set = (changed: Partial<Ids>): Partial<Ids> => {
    const all = Object.assign(ids._read(), changed);
    ids._write(all);
    return all;
  };

  return {
    _ids: ids._read,
    /** Changes what is given. */
    _set: set,
    /** The ids of an event, once they may be kept. */
    _known(): Partial<Ids> {
      const known = ids._read();
      return known.anonymousId ? known : set({ anonymousId: newId() });
    },
    /** The session of an event that happens now, and the event's place in it, from 1. */
    _session(): { id: string; seq: number } {
      const at = now();
      let current = visit._read() as Visit;
      if (!current.id || at - current.last > SESSION_IDLE_MS || at - current.began > SESSION_LONGEST_MS)
        current = begin(at);
      current.last = at;
      current.seq++;
      visit._write(current);
      return { id: current.id, seq: current.seq };
    },
    /** Somebody new, in every tab. */
    _renew(): void {
      ids._write({ anonymousId: newId() });
      visit._write(begin(now()));
    },
    /** Nobody. */
    _forget(): void {
      ids._forget();
      visit._forget();
    },
  };
};
