/** The events that wait, as the texts they were serialised to once; the oldest go when there are too many. */
import { QUEUE_BYTES, QUEUE_EVENTS } from './limits.js';

export interface Item {
  /** JSON, without a newline. */
  readonly _text: string;
  /** In UTF-8. */
  readonly _bytes: number;
  /** Whether a request that carries it has no answer yet. */
  _flying?: boolean;
  /** Whether something on the way lets nothing so large through: it waits for another page. */
  _held?: boolean;
}

export const toItem = (text: string): Item => ({ _text: text, _bytes: new TextEncoder().encode(text).length });

/** `evicted` hears what went for room. */
export const createQueue = (evicted: (items: Item[]) => void) => {
  let items: Item[] = [];
  let bytes = 0;

  const remove = (gone: Item[]): void => {
    items = items.filter((item) => {
      const stays = !gone.includes(item);
      if (!stays) bytes -= item._bytes;
      return stays;
    });
  };

  const makeRoom = (): void => {
    let [count, size] = [items.length, bytes];
    const gone: Item[] = [];
    for (const item of items) {
      if (count <= QUEUE_EVENTS && size <= QUEUE_BYTES) break;
      if (item._flying) continue; // may be stored already: its answer decides
      count--;
      size -= item._bytes;
      gone.push(item);
    }
    if (gone.length) {
      remove(gone);
      evicted(gone);
    }
  };

  return {
    /** What waits or flies, oldest first. */
    _all: (): readonly Item[] => items,
    /** Behind what waits, or in front of it. */
    _add(more: Item[], front?: boolean): void {
      items = front ? more.concat(items) : items.concat(more);
      for (const item of more) bytes += item._bytes;
      makeRoom();
    },
    /** The next to fly: the oldest that do not, up to both limits, and one at least. */
    _take(most: number, mostBytes: number): Item[] {
      const batch: Item[] = [];
      let size = 0;
      for (const item of items) {
        if (item._flying || item._held) continue;
        size += item._bytes + 1; // its comma
        if (batch.length && (batch.length >= most || size > mostBytes)) break;
        batch.push(item);
      }
      return batch;
    },
    _remove: remove,
    _clear(): void {
      items = [];
      bytes = 0;
    },
  };
};

export type Queue = ReturnType<typeof createQueue>;
