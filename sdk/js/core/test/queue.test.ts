import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { QUEUE_BYTES, QUEUE_EVENTS } from '../src/limits.js';
import { createQueue, type Item, toItem } from '../src/queue.js';

const sized = (bytes: number): Item => ({ _text: '', _bytes: bytes });
const sum = (items: readonly Item[]) => items.reduce((total, item) => total + item._bytes, 0);

test('the size of an event is that of its UTF-8', () => {
  assert.equal(toItem('"ä€😀"')._bytes, 2 + 2 + 3 + 4);
});

test('whatever comes, the caps hold, and what went is the oldest', () => {
  const sizes = fc.array(fc.integer({ min: 1, max: QUEUE_BYTES }), { maxLength: 60 });
  fc.assert(
    fc.property(fc.array(sizes, { maxLength: 5 }), fc.boolean(), (adds, many) => {
      const gone: Item[] = [];
      const queue = createQueue((items) => gone.push(...items));
      const all: Item[] = [];
      for (const sizes of adds) {
        const items = sizes.flatMap((size) => (many ? Array.from({ length: 50 }, () => sized(1)) : [sized(size)]));
        all.push(...items);
        queue._add(items);
        assert.ok(queue._all().length <= QUEUE_EVENTS);
        assert.ok(sum(queue._all()) <= QUEUE_BYTES);
      }
      assert.deepEqual([...gone, ...queue._all()], all);
    }),
  );
});

test('no more goes than the room that is needed', () => {
  const queue = createQueue(() => {});
  queue._add(Array.from({ length: QUEUE_EVENTS + 1 }, () => sized(1)));
  assert.equal(queue._all().length, QUEUE_EVENTS);
});

test('what is in flight never goes for room', () => {
  const gone: Item[] = [];
  const queue = createQueue((items) => gone.push(...items));
  const flying = { ...sized(1), _flying: true };
  const second = sized(1);
  queue._add([flying, second]);
  queue._add(Array.from({ length: QUEUE_EVENTS - 1 }, () => sized(1)));
  assert.deepEqual(gone, [second]);
  assert.equal(queue._all()[0], flying);
});

test('a batch is the oldest that do not fly, within both limits, and never nothing', () => {
  const item = fc.record({ bytes: fc.integer({ min: 1, max: 100 }), flying: fc.boolean() });
  fc.assert(
    fc.property(
      fc.array(item, { maxLength: 40 }),
      fc.integer({ min: 1, max: 20 }),
      fc.integer({ min: 1, max: 500 }),
      (given, most, mostBytes) => {
        const queue = createQueue(() => {});
        const items: Item[] = given.map(({ bytes, flying }) => ({ _text: '', _bytes: bytes, _flying: flying }));
        queue._add(items);
        const batch = queue._take(most, mostBytes);
        const grounded = items.filter((item) => !item._flying);
        assert.deepEqual(batch, grounded.slice(0, batch.length));
        assert.ok(batch.length <= most);
        assert.ok(batch.length <= 1 || sum(batch) + batch.length <= mostBytes);
        assert.ok(batch.length > 0 || grounded.length === 0);
      },
    ),
  );
});

test('what is removed makes room', () => {
  const gone: Item[] = [];
  const queue = createQueue((items) => gone.push(...items));
  const [first, second] = [sized(QUEUE_BYTES - 1), sized(QUEUE_BYTES)];
  queue._add([first]);
  queue._remove([first]);
  queue._add([second], true);
  assert.deepEqual(queue._all(), [second]);
  assert.deepEqual(gone, []);
});
