import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { backoff, retryAfter } from '../src/waiting.js';

const NOW = Date.UTC(2026, 10, 28, 12, 0, 0);
const HOUR_MS = 3_600_000;

test('the bound doubles from one second to five minutes', () => {
  const bounds = [1, 2, 3, 4, 8, 9, 10, 5000].map((failures) => backoff(failures, 1));
  assert.deepEqual(bounds, [1000, 2000, 4000, 8000, 128_000, 256_000, 300_000, 300_000]);
});

test('chance may take all of the wait', () => {
  assert.equal(backoff(7, 0), 0);
});

test('Retry-After is read in seconds', () => {
  assert.equal(retryAfter('120', NOW), 120_000);
  assert.equal(retryAfter('3', NOW), 3000);
});

test('Retry-After is read as an HTTP-date', () => {
  assert.equal(retryAfter('Sat, 28 Nov 2026 12:01:30 GMT', NOW), 90_000);
});

test('an hour is the most', () => {
  assert.equal(retryAfter('86400', NOW), HOUR_MS);
  assert.equal(retryAfter('Sun, 29 Nov 2026 12:00:00 GMT', NOW), HOUR_MS);
});

test('what is past, or is neither, asks for nothing', () => {
  for (const value of ['Sat, 28 Nov 2026 11:00:00 GMT', '-5', '', 'soon', null, undefined]) {
    assert.equal(retryAfter(value, NOW), 0);
  }
});

test('any text gives a wait between nothing and an hour', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.integer().map(String), fc.date().map(String)), (text) => {
      const wait = retryAfter(text, NOW);
      assert.ok(wait >= 0 && wait <= HOUR_MS);
    }),
  );
});

test('every HTTP-date of the next hour is met to the second', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 3600 }), (seconds) => {
      assert.equal(retryAfter(new Date(NOW + seconds * 1000).toUTCString(), NOW), seconds * 1000);
    }),
  );
});
