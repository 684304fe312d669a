/**
 * The queue on the device, under a name of its tab: written as one text, a stamp and an event a line.
 *
 * The next page of a tab takes it over by the tab's name, which the page before leaves in
 * sessionStorage when it goes. That name is taken out while a page is there, because a duplicated tab
 * starts with a copy. A queue whose stamp is old belonged to a tab that died: another tab adopts it,
 * under a Web Lock that is given back at once (a page that holds one gets no back/forward cache).
 * Where two tabs meet all the same, events go twice, under the same ids.
 */
import { DEAD_AFTER_MS, STAMP_EVERY_MS, WRITE_AFTER_MS } from './limits.js';
import { type Item, type Queue, toItem } from './queue.js';
import { cancel, guarded, later, scope } from './scope.js';
import type { Kept } from './storage.js';

export interface Losses {
  /** Events lost since they were last reported. */
  _count: number;
}

interface Parts {
  _local: Kept;
  _tab: Kept;
  _prefix: string;
  _queue: Queue;
  _losses: Losses;
  _now: () => number;
  _newId: () => string;
  /** Whether an event is to be written. */
  _written: (item: Item) => boolean;
  /** Hears that events of another page have come. */
  _arrived: () => void;
}

export const createKeeping = ({ _local, _tab, _prefix, _queue, _losses, _now, _newId, _written, _arrived }: Parts) => {
  const queues = `${_prefix}q:`;
  const tabName = `${_prefix}t`;
  let tab: string | undefined;
  let handed: boolean; // whether the tab's next page may have the queue by now
  let timer: number | undefined;
  let settling = false;
  let looking: number | undefined;

  /** Whether all that is to be kept is kept. */
  const write = (): boolean => {
    cancel(timer);
    settling = false;
    const wanted = _queue._all().filter(_written);
    let items = wanted;
    const save = (): boolean =>
      _local._set(queues + tab, [`${_now()} ${_losses._count}`, ...items.map((item) => item._text)].join('\n'));
    const any = (): number => items.length + _losses._count;
    while (any() && !save() && items.length) items = items.slice((items.length + 1) >> 1); // no room: the newest half
    if (any()) timer = later(STAMP_EVERY_MS, writeOwn);
    else _local._remove(queues + tab);
    return items === wanted;
  };

  const writeOwn = (): unknown => handed || write();

  const load = (value: string): void => {
    const [head, ...texts] = value.split('\n');
    _losses._count += +head.split(' ')[1] || 0;
    _queue._add(texts.filter(Boolean).map(toItem), true);
    _arrived();
  };

  const adopt = (dead: string[][]): void => {
    for (const [name, value] of dead) {
      if (_local._get(name) !== value) continue; // its tab lives, or another was first
      load(value);
      write();
      _local._remove(name);
    }
  };

  const look = (): void => {
    cancel(looking);
    const dead: string[][] = [];
    let others = false;
    for (const name of _local._names(queues)) {
      const value = name !== queues + tab && _local._get(name);
      if (!value) continue;
      if (Math.abs(_now() - Number.parseFloat(value)) <= DEAD_AFTER_MS) others = true;
      else dead.push([name, value]);
    }
    if (others) looking = later(DEAD_AFTER_MS, look);
    if (dead.length) later(1000 + Math.random() * 1000, () => claim(guarded(() => adopt(dead))));
  };

  const claim = (then: () => void): void => {
    const { locks } = scope.navigator;
    if (!locks) then();
    else locks.request(queues, { ifAvailable: true }, (lock: unknown) => lock && then()).catch(() => {});
  };

  return {
    /** What is kept changes soon. */
    _changed(): void {
      if (settling) return;
      settling = true;
      cancel(timer);
      timer = later(WRITE_AFTER_MS, writeOwn);
    },
    _write: write,
    /** Looks for queues of tabs that died, now and while there are queues of others. */
    _look: look,
    /** The page goes: the tab's next page is to have the queue. */
    _handOver(): void {
      handed = write() && _tab._set(tabName, tab as string);
    },
    /** The page comes: what the tab's page before has left. */
    _takeOver(): void {
      const left = _tab._get(tabName);
      _tab._remove(tabName);
      if (left) _queue._clear(); // after the back/forward cache: the page between may have sent it
      handed = false;
      tab = left || tab || _newId();
      const value = left && _local._get(queues + left);
      if (value) load(value);
    },
  };
};
