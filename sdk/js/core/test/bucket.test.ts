import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createBucket } from '../src/bucket.js';

test('200 pass at once, then 20 a second', () => {
  let now = 0;
  const passes = createBucket(() => now);
  const passed = () => Array.from({ length: 500 }, passes).filter(Boolean).length;

  assert.equal(passed(), 200);
  now += 1000;
  assert.equal(passed(), 20);
  now += 50;
  assert.equal(passed(), 1);
});

test('a quiet hour saves up one burst, not more', () => {
  let now = 0;
  const passes = createBucket(() => now);
  passes();
  now += 3_600_000;
  assert.equal(Array.from({ length: 500 }, passes).filter(Boolean).length, 200);
});
