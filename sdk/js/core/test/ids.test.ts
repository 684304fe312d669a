import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { createIds } from '../src/ids.js';

const clock = (readings: number[]) => {
  let n = 0;
  return () => readings[Math.min(n++, readings.length - 1)];
};

const chance = (seed: number) => {
  let state = seed;
  return (bytes: Uint8Array) => {
    for (let n = 0; n < bytes.length; n++) {
      state = (state * 1103515245 + 12345) & 0x7fffffff;
      bytes[n] = state >> 16;
    }
  };
};

test('an id is a UUIDv7 that says when it was made', () => {
  const id = createIds(() => 0x0192_1f3e_4d5c, chance(1))();
  assert.match(id, /^01921f3e-4d5c-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});

test('ids grow as texts whatever the clock does', () => {
  const moments = fc.array(fc.integer({ min: 0, max: 2 ** 47 }), { minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(moments, fc.integer(), (readings, seed) => {
      const next = createIds(clock(readings), chance(seed));
      const ids = Array.from({ length: 50 }, next);
      assert.deepEqual(ids, [...new Set(ids)].sort());
    }),
  );
});

test('more ids in a millisecond than its counter holds go on into the next', () => {
  const next = createIds(
    () => 5,
    (bytes) => bytes.fill(0xff),
  );
  const ids = Array.from({ length: 5000 }, next);
  assert.deepEqual(ids, [...new Set(ids)].sort());
});
